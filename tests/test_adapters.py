"""A recipe that trains an adapter, or takes in one of others, as users see it: release, files, rebuild, errors."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import gguf as library
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

import regrow
from regrow.cli.root import cli
from regrow.errors import RegrowError
from regrow.model.adapters.files import FILES
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.weights import Ends, load, save
from regrow.recipe.expand import expand
from regrow.recipe.schema import parse
from regrow.release import Release
from regrow.release.layout import UNCOVERED
from regrow.release.lineage import lineage
from regrow.stages import KINDS
from regrow.store import sums

CONFIG = DecoderConfig(
    vocabulary=300, layers=2, width=16, heads=2, kv_heads=1, hidden=24, context=32, tied_embeddings=True
)
RECIPE = """\
recipe = 1

[model]
name = "tuned"
licence = "MIT"

[base]
fetch = "file:base"
licence = "Apache-2.0"
"""
LORA = """
[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"

[corpus]
near_duplicates = 0

[lora]
tokens = 512
context = 16
rank = 2
targets = ["q_proj", "layers.1.mlp.*"]
also = ["embed_tokens"]
micro_batch = 4
micro_batches_per_step = 1
learning_rate = 1e-2
snapshots = 1

[evaluate]
prompts = ["one"]
sample_tokens = 4
"""
TAKEN = '\n[adapter]\nfetch = "file:theirs"\nlicence = "MIT"\n'


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, a base and texts beside it, and `release`."""
    from regrow.corpus import tokenizer

    root = tmp_path_factory.mktemp("adapters")
    texts, base = root / "tuned" / "texts", root / "tuned" / "base"
    texts.mkdir(parents=True)
    base.mkdir()
    said = [f"text {number}: " + "one two three four five six seven " * 9 for number in range(12)]
    for number, text in enumerate(said):
        (texts / f"{number}.txt").write_text(text)
    tokenizer.write(tokenizer.learn(said, 300), base)
    save(base, CONFIG, initialise(CONFIG, 3), Ends(0, 0))
    (root / "tuned" / "regrow.toml").write_text(RECIPE + LORA)
    regrow.build(root / "tuned", root / "release", store=root / "store")
    return root


def test_a_release_holds_the_merged_weights_and_the_adapter(root: Path) -> None:
    before, after = (load_file(root / place / "model.safetensors") for place in ("tuned/base", "release"))
    adapter = load_file(root / "release" / "adapter" / "adapter_model.safetensors")
    ends = ("q_proj.weight", ".1.mlp.gate_proj.weight", ".1.mlp.up_proj.weight", ".1.mlp.down_proj.weight")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.endswith((*ends, "embed_tokens.weight"))}
    for name in (name for name in changed if name.endswith(ends)):
        a, b = (adapter[f"base_model.model.{name.removesuffix('weight')}lora_{part}.weight"] for part in "AB")
        torch.testing.assert_close(after[name], before[name] + 8 * (b @ a), rtol=0, atol=1e-7)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert torch.equal(adapter[f"base_model.model.{name}"], after["model.embed_tokens.weight"])
    assert json.loads((root / "release" / "config.json").read_text())["tie_word_embeddings"] is True
    assert (root / "release" / "checkpoints" / "step-000000004" / "adapter_config.json").exists()
    assert (root / "release" / "training" / "chain.jsonl").exists()


GOLDEN = {
    "adapter/adapter_config.json": "8c796a4d86fae914c074a51584d9d19d7ba4487843c1e96982f4cdfbb900a0dc",
    "adapter/adapter_model.safetensors": "f4b94ea8d37d737c01ea778b4714e70cfad2ca56a75ae5876490c8899ccb471d",
    "model.safetensors": "1c180ae56f5a6dd83a2916022bb1cf7423b955a31c63c2042e550f97a7f9e191",
}


def test_its_bytes_are_as_they_were(root: Path) -> None:
    """If this fails, bump the version of the kind, `lora` or `merge-adapter`, and then the digest."""
    assert {name: hashlib.sha256((root / "release" / name).read_bytes()).hexdigest() for name in GOLDEN} == GOLDEN


def test_its_configuration_says_the_same_in_the_same_order(root: Path) -> None:
    text = (root / "release" / "adapter" / "adapter_config.json").read_text()
    said = json.loads(text)
    assert text == json.dumps(said, indent=2, sort_keys=True) + "\n"
    assert said["target_modules"] == [
        "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj", "model.layers.1.mlp.gate_proj",
        "model.layers.1.mlp.up_proj", "model.layers.1.self_attn.q_proj",
    ]  # fmt: skip
    assert said["modules_to_save"] == ["lm_head", "model.embed_tokens"]


def test_peft_loads_it_with_the_same_logits(root: Path) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    tokens = torch.arange(32)[None] * 7 % 300
    found = []
    for folder, adapter in (("tuned/base", root / "release" / "adapter"), ("release", None)):
        model = transformers.AutoModelForCausalLM.from_pretrained(root / folder)
        model = model if adapter is None else peft.PeftModel.from_pretrained(model, adapter)
        found.append(model(tokens).logits.detach())
    torch.testing.assert_close(*found, rtol=0, atol=1e-4)


def export(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, ["export", *map(str, args)])


def test_its_files_are_exported(root: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    shutil.copytree(root / "release", release)
    done = export(release, "--to", "peft", "--base", "org/name", "-o", tmp_path / "named")
    assert done.exit_code == 0, done.stderr
    assert json.loads((tmp_path / "named" / FILES[0]).read_text())["base_model_name_or_path"] == "org/name"
    for name in FILES[1:]:
        assert (tmp_path / "named" / name).read_bytes() == (release / "adapter" / name).read_bytes()
    done = export(release, "--to", "gguf", "--adapter", "-o", tmp_path / "adapter.gguf")
    assert (done.exit_code, "an adapter with `modules_to_save`" in done.stderr) == (6, True)
    (release / "adapter" / FILES[0]).write_text("{}")
    done = export(release, "--to", "peft", "-o", tmp_path / "changed")
    assert (done.exit_code, "this is not the file that was released" in done.stderr) == (6, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["named", "release"]


def test_its_change_is_that_of_the_merged_model_in_gguf_too(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "tuned", tmp_path / "tuned")
    (tmp_path / "tuned" / "regrow.toml").write_text((RECIPE + LORA).replace('also = ["embed_tokens"]\n', ""))
    regrow.build(tmp_path / "tuned", tmp_path / "release", store=root / "store")
    more = {"adapter": ["--adapter"], "merged": ["--type", "F32"], "base": ["--type", "F32"]}
    for name, options in more.items():
        model = tmp_path / "tuned" / "base" if name == "base" else tmp_path / "release"
        done = export(model, "--to", "gguf", *options, "-o", tmp_path / name)
        assert done.exit_code == 0, done.stderr
    readers = {name: library.GGUFReader(tmp_path / name) for name in more}
    adapter, merged, base = ({one.name: one.data for one in readers[name].tensors} for name in more)
    scale = float(readers["adapter"].fields["adapter.lora.alpha"].contents()) / 2
    changed = {name for name in base if not np.array_equal(base[name], merged[name])}
    assert changed == {name.removesuffix(".lora_a") for name in adapter if name.endswith(".lora_a")} != set()
    for name in changed:
        product = scale * (adapter[f"{name}.lora_b"] @ adapter[f"{name}.lora_a"])
        assert np.allclose(merged[name] - base[name], product, atol=1e-6)


def test_it_is_built_again_to_the_same_bits(root: Path, tmp_path: Path) -> None:
    report = regrow.verify(root / "release", sources=root / "tuned", store=tmp_path / "store")
    assert report.verdict.value == "same", report


def test_a_release_of_another_version_keeps_its_lock(root: Path, tmp_path: Path) -> None:
    """Nobody is told to lock a release anew, which would be another one."""
    release = shutil.copytree(root / "release", tmp_path / "release")
    lock = (release / "regrow.lock").read_text()
    version = KINDS["lora"].version
    (release / "regrow.lock").write_text(
        lock.replace(f'kind = "lora"\nversion = {version}', 'kind = "lora"\nversion = 0')
    )
    (release / "SHA256SUMS").write_text(sums(release, UNCOVERED))
    with pytest.raises(RegrowError, match="stage `lora` is of version 0 of the kind `lora`") as error:
        regrow.verify(release, sources=root / "tuned", store=root / "store")
    assert "use the regrow that made the release" in error.value.hint and "regrow lock" not in error.value.hint


def test_it_is_merged_where_its_table_stands() -> None:
    """What a later table changes begins with the merged weights, and an earlier one's are the adapter's base."""
    more = f"\n[finetune]\n{LORA.partition('[lora]')[2].partition('rank')[0]}"
    for text, order in (
        (RECIPE + LORA + more, ["lora", "merge-adapter", "finetune"]),
        (RECIPE + more + LORA, ["finetune", "lora", "merge-adapter"]),
    ):
        graph = expand(parse(text, KINDS), {})
        assert [stage.name for stage in graph.stages if stage.name in order] == order
        inputs = {stage.name: stage.inputs for stage in graph.stages}
        before = ["import-weights", *(name for name in order if name != "lora")]
        for name, given in zip(before[1:], before, strict=False):
            assert inputs[name]["weights"] == (given,)
        assert inputs["lora"]["weights"] == inputs["merge-adapter"]["weights"]
        assert inputs["evaluate"]["weights"] == (before[-1],)


def test_an_adapter_of_ones_own_is_merged_with_its_base_and_no_other(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "tuned" / "base", tmp_path / "taken" / "base")
    shutil.copytree(root / "release" / "adapter", tmp_path / "taken" / "theirs")
    (tmp_path / "taken" / "regrow.toml").write_text(RECIPE + TAKEN)
    regrow.build(tmp_path / "taken", tmp_path / "release", store=root / "store")
    one, other = (load_file(folder / "model.safetensors") for folder in (root / "release", tmp_path / "release"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (tmp_path / "release" / "adapter" / "adapter_model.safetensors").exists()
    config, parameters = load(tmp_path / "taken" / "base")
    save(tmp_path / "taken" / "base", config, {**parameters, "norm": parameters["norm"] * 2}, Ends(0, 0))
    with pytest.raises(RegrowError, match="the adapter was made for another base") as error:
        regrow.build(tmp_path / "taken", tmp_path / "another", store=root / "store")
    assert "sha256" in str(error.value)
    assert not (tmp_path / "another").exists()
    (tmp_path / "taken" / "theirs" / "base.json").unlink()  # a stranger's does not say
    regrow.build(tmp_path / "taken", tmp_path / "another", store=root / "store")
    assert sorted(path.name for path in (tmp_path / "another" / "adapter").iterdir()) == list(FILES[:2])


def test_its_lineage_tells_how_the_adapter_was_trained(root: Path) -> None:
    steps = lineage(Release.at(root / "release")).steps
    assert [one.stage for one in steps] == ["import-weights", "lora", "merge-adapter"]
    assert steps[1].parameters["targets"]
    report = (root / "release" / "report.html").read_text("utf-8")
    assert "the one above is this, given an adapter" in report


def test_two_adapters_are_one_too_many(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "tuned", tmp_path / "tuned")
    shutil.copytree(root / "release" / "adapter", tmp_path / "tuned" / "theirs")
    (tmp_path / "tuned" / "regrow.toml").write_text(RECIPE + TAKEN + LORA)
    with pytest.raises(RegrowError, match="`adapter` and `lora` both make: adapter"):
        regrow.build(tmp_path / "tuned", tmp_path / "release", store=tmp_path / "store")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"q_proj"', '"q_porj"', "no module of this model fits `q_porj`"),
        ('"layers.1.mlp.*"', '"layers.2.mlp.*"', "no module of this model fits `layers.2.mlp.*`"),
        ('["embed_tokens"]', '["embedding"]', "no module of this model fits `embedding`"),
        ('["embed_tokens"]', '["layers.1.mlp.down_proj"]', "would get a pair and be trained as a whole"),
        ('["embed_tokens"]', '["k_proj"]', "`model.layers.0.self_attn.k_proj` cannot be trained as a whole"),
        ("context = 16", "context = 64", "longer than the model's 32"),
        ("context = 16", "context = 16\nkeep_optimizer = true", "the training of an adapter cannot be continued"),
        ("context = 16", 'context = 16\noptimizer = "continue"', "the training of an adapter cannot be continued"),
    ],
)
def test_what_a_recipe_names_is_there(root: Path, tmp_path: Path, old: str, new: str, said: str) -> None:
    shutil.copytree(root / "tuned", tmp_path / "tuned")
    (tmp_path / "tuned" / "regrow.toml").write_text((RECIPE + LORA).replace(old, new))
    with pytest.raises(RegrowError) as error:
        regrow.build(tmp_path / "tuned", tmp_path / "release", store=root / "store")
    assert said in str(error.value)
    assert not (tmp_path / "release").exists()


def test_a_stranger_s_broken_adapter_is_named(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "tuned" / "base", tmp_path / "taken" / "base")
    theirs = tmp_path / "taken" / "theirs"
    theirs.mkdir()
    (tmp_path / "taken" / "regrow.toml").write_text(RECIPE + TAKEN)
    (theirs / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 2}')
    save_file({"x": torch.zeros(1)}, theirs / "adapter_model.safetensors")
    data = (theirs / "adapter_model.safetensors").read_bytes()
    (theirs / "adapter_model.safetensors").write_bytes((1 << 62).to_bytes(8, "little") + data[8:])
    with pytest.raises(RegrowError, match=r"`adapter_model\.safetensors` cannot be read") as error:
        regrow.build(tmp_path / "taken", tmp_path / "release", store=tmp_path / "store")
    assert "does not fit into a file" in str(error.value)
