"""A recipe that begins with another model, as users see it: from the recipe to release, steps, audit and rebuild."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import regrow
from regrow.auditing.ancestry import ancestry
from regrow.building import rebuilds
from regrow.cli.root import cli
from regrow.errors import RegrowError
from regrow.exact.version import ARITHMETIC
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.weights import Ends, load, save
from regrow.release import Release
from regrow.release.lineage import Standing, lineage
from regrow.stages import KINDS
from regrow.tracing.steps import pieces
from regrow.words import suggestion

ROOT = Path(__file__).parents[1]
CONFIG = DecoderConfig(
    vocabulary=300, layers=2, width=16, heads=2, kv_heads=1, hidden=24, context=64, head_norm="head", family="qwen3"
)
RECIPE = """\
recipe = 1

[model]
name = "tuned"
licence = "MIT"

[base]
fetch = "file:base"
licence = "Apache-2.0"

[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"

[corpus]
near_duplicates = 0

[finetune]
tokens = 512
context = 16
parameters = ["layers.1", "norm"]
micro_batch = 4
micro_batches_per_step = 1
learning_rate = 1e-2

[evaluate]
prompts = ["one"]
sample_tokens = 4
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, a base beside it, and `release`."""
    from regrow.corpus import tokenizer

    root = tmp_path_factory.mktemp("derive")
    texts, base = root / "tuned" / "texts", root / "tuned" / "base"
    texts.mkdir(parents=True)
    base.mkdir()
    said = [f"text {number}: " + "one two three four five six seven " * 9 for number in range(12)]
    for number, text in enumerate(said):
        (texts / f"{number}.txt").write_text(text)
    learnt = tokenizer.learn(said, 300)
    tokenizer.write(learnt, base)
    theirs = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    (base / "tokenizer_config.json").write_text(json.dumps(theirs))
    save(base, CONFIG, initialise(CONFIG, 3), Ends(0, 0))
    (root / "tuned" / "regrow.toml").write_text(RECIPE)
    regrow.build(root / "tuned", root / "release", store=root / "store")
    return root


def test_the_release_is_the_base_but_for_what_was_chosen(built: Path) -> None:
    before = load_file(built / "tuned" / "base" / "model.safetensors")
    after = load_file(built / "release" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if ".layers.1." in name or name == "model.norm.weight"}
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (built / "release" / name).read_bytes() == (built / "tuned" / "base" / name).read_bytes()


def test_it_says_what_it_begins_with(built: Path) -> None:
    card = (built / "release" / "README.md").read_text("utf-8")
    assert "It begins with the model in `base`, which lay beside the recipe, under `Apache-2.0`" in card
    assert "trained from scratch" not in card
    assert "It needs the files of the base, texts, which are not in the release" in card
    audit = regrow.audit(built / "release")
    [edge] = audit.lineage.edges
    assert (edge.parent, edge.relation) == ("file:base", "finetune")
    assert [one.answer for one in audit.parts if one.name == "data"] == ["not shown"]
    texts = [fact for node in audit.lineage.nodes for fact in node.collected.facts if hasattr(fact, "availability")]
    assert {fact.name for fact in texts} == {"texts"}


def test_a_step_of_it_can_be_looked_at(built: Path) -> None:
    found = pieces(Release.at(built / "release"), 8)
    assert len({piece.sequence for piece in found}) == 4
    assert {piece.source for piece in found} == {"texts"}
    assert pieces(Release.at(built / "release"), 8, stage="finetune") == found
    with pytest.raises(RegrowError, match="`pretrain` is no training run of this release"):
        pieces(Release.at(built / "release"), 8, stage="pretrain")
    with pytest.raises(RegrowError, match="training took 8 steps"):
        pieces(Release.at(built / "release"), 9)


def test_it_is_built_again_to_the_same_bits(built: Path, tmp_path: Path) -> None:
    report = regrow.verify(built / "release", sources=built / "tuned", store=tmp_path / "store")
    assert report.verdict.value == "same", report


def test_a_base_that_cannot_be_read_is_named_as_the_recipe_does(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "tuned", tmp_path / "tuned")
    (tmp_path / "tuned" / "base" / "model.safetensors").write_bytes(b"{}")
    with pytest.raises(RegrowError, match="this model cannot be read") as error:
        regrow.build(tmp_path / "tuned", tmp_path / "release", store=built / "store")
    assert error.value.where == "stage `base`"
    assert "get the files again" in error.value.hint


@pytest.mark.parametrize(
    ("left", "where", "hint"),
    [
        ((), "base", "look whether this is the folder that you mean"),
        (("config.json",), "stage `base`", "a model is a GGUF file, or a folder with"),
        (("model.safetensors",), "stage `base`", "a model is a GGUF file, or a folder with"),
        (("tokenizer.json",), "stage `base`", "byte-level BPE in a `tokenizer.json`"),
    ],
)
def test_what_a_base_lacks_is_told_as_what_a_model_has(
    built: Path, tmp_path: Path, left: tuple[str, ...], where: str, hint: str
) -> None:
    folder = shutil.copytree(built / "tuned", tmp_path / "tuned")
    for path in (folder / "base").iterdir():
        if not left or path.name in left:
            path.unlink()
    with pytest.raises(RegrowError) as error:
        regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
    assert error.value.where.endswith(where)
    assert hint in error.value.hint
    assert str(tmp_path / "store") not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_a_file_of_a_base_that_is_damaged_is_named(built: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(built / "tuned", tmp_path / "tuned")
    (folder / "base" / name).write_text("{]")
    with pytest.raises(RegrowError, match="cannot be read") as error:
        regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
    assert name in f"{error.value.where} {error.value.why}"


def test_a_hint_is_short(tmp_path: Path) -> None:
    names = [f"layers.{i:03}" for i in range(1000)]
    assert suggestion("nothing", names, "the names are").endswith("`layers.039` and 960 more")


def test_another_base_is_another_release(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "tuned", tmp_path / "tuned")
    save(tmp_path / "tuned" / "base", CONFIG, initialise(CONFIG, 4), Ends(0, 0))
    with pytest.raises(RegrowError, match="base"):
        regrow.build(tmp_path / "tuned", tmp_path / "release", locked=True, store=built / "store")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[tokenizer]\nvocabulary = 300\n", "`import-tokenizer` and `tokenizer` both make: tokenizer"),
        (
            "[architecture]\nlayers = 1\nwidth = 16\nheads = 2\ncontext = 16\n[train]\ntokens = 1024\n",
            "`import-weights` and `pretrain` both make: weights",
        ),
    ],
)
def test_a_base_and_a_beginning_of_ones_own_are_one_too_many(tmp_path: Path, more: str, said: str) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "texts" / "a.txt").write_text("one")
    (tmp_path / "regrow.toml").write_text(RECIPE + more)
    with pytest.raises(RegrowError, match=said):
        regrow.build(tmp_path, tmp_path / "release", store=tmp_path / "store")


def test_fewer_tokens_than_a_step_are_refused(tmp_path: Path) -> None:
    (tmp_path / "regrow.toml").write_text(RECIPE.replace("tokens = 512", "tokens = 63"))
    with pytest.raises(RegrowError, match="63 tokens are less than one step") as error:
        regrow.build(tmp_path, tmp_path / "release", store=tmp_path / "store")
    assert "finetune.tokens" in str(error.value)


SECOND = """\
recipe = 1

[model]
name = "second"
licence = "MIT"

[base]
fetch = "file:first"
licence = "MIT"
"""


@pytest.fixture(scope="module")
def second(built: Path) -> Path:
    """A folder with a recipe that begins with the release, which lies beside it, and another with its release."""
    root = built / "second"
    root.mkdir()
    shutil.copytree(built / "release", root / "first")
    (root / "regrow.toml").write_text(SECOND)
    regrow.build(root, built / "release-2", store=built / "store")
    return built / "release-2"


def test_what_the_change_did_is_in_the_release_and_on_its_pages(built: Path) -> None:
    found = json.loads((built / "release" / "effects" / "finetune.json").read_text())
    before = load_file(built / "tuned" / "base" / "model.safetensors")
    after = load_file(built / "release" / "model.safetensors")
    different = sum(int((before[name] != after[name]).sum()) for name in before)
    assert (found["function"]["kept"], found["weights"]["changed"]) == ("no", different)
    assert set(found["weights"]["ranks"]) == {
        f"layers.001.{name}" for name in ("attention.qkv", "attention.out", "mlp.gate_up", "mlp.down")
    }
    assert found["held_out"]["after"] < found["held_out"]["before"]
    assert found["answer"]["prompt"] == "one"
    for page in ("README.md", "report.html"):
        text = (built / "release" / page).read_text("utf-8")
        assert "changed, logits by up to" in text
        assert f"by matrices of rank {max(found['weights']['ranks'].values())} at most" in text
    assert found["answer"]["after"].strip()[:20] in (built / "release" / "report.html").read_text("utf-8")


def test_a_parent_that_is_a_release_is_followed(built: Path, second: Path) -> None:
    first = Release.at(built / "release")
    child = lineage(Release.at(second))
    assert [(one.name, one.digest) for one in child.all()][:2] == [
        ("second", Release.at(second).digest),
        ("tuned", first.digest),
    ]
    (parent,), (step,) = child.parents, child.steps
    assert (step.stage, step.origin) == ("import-weights", "imported")
    assert [(one.stage, one.origin, one.tool) for one in parent.steps] == [
        ("import-weights", "imported", f"import-weights {KINDS['import-weights'].version}"),
        ("finetune", "fine-tuned", f"finetune {KINDS['finetune'].version}, arithmetic {ARITHMETIC}"),
    ]
    assert parent.steps[1].parameters["parameters"] == ["layers.1", "norm"]
    (grandparent,) = parent.parents
    assert (grandparent.fetch, grandparent.standing) == ("file:base", Standing.PINNED)
    assert grandparent.relation == ("fine-tuned",)
    assert f"which is the release `tuned` with the digest `{first.digest}`" in (second / "README.md").read_text()
    rebuilt = lineage(Release.at(second), lambda digest: digest == first.digest)
    assert [one.standing.value for one in rebuilt.all()] == ["can be rebuilt", "rebuilt here", "pinned only"]


def test_records_of_other_weights_are_not_believed(built: Path, second: Path, tmp_path: Path) -> None:
    for path, change, why in (
        ("regrow.toml", lambda data: data + b"\n# nothing", "regrow.toml is not the file that was released"),
        ("SHA256SUMS", lambda data: data.replace(data[:8], b"00000000", 1), "is not the one that was taken"),
        ("SHA256SUMS", lambda data: b"nonsense", "is not a list as regrow writes it"),
    ):
        copy = tmp_path / f"copy-{why[:12]}"
        shutil.copytree(second, copy)
        target = copy / "lineage" / "base" / path
        target.write_bytes(change(target.read_bytes()))
        (parent,) = lineage(Release.at(copy)).parents
        assert (parent.name, parent.standing, parent.parents) == ("file:first", Standing.PINNED, ())
        assert why in parent.why
        shutil.rmtree(copy)


def test_records_beside_other_weights_are_not_believed(built: Path, second: Path, tmp_path: Path) -> None:
    """Somebody takes a release and puts other weights into it: its records say nothing of these."""
    shutil.copytree(built / "second", tmp_path / "second")
    config, parameters = load(tmp_path / "second" / "first")
    parameters["norm"] *= 2
    save(tmp_path / "second" / "first", config, parameters, Ends(0, 0))
    regrow.build(tmp_path / "second", tmp_path / "release", store=built / "store")
    (parent,) = lineage(Release.at(tmp_path / "release")).parents
    assert (parent.name, parent.standing) == ("file:first", Standing.PINNED)
    assert "lists other weights than those that were taken" in parent.why


def test_the_audit_judges_by_the_records_of_the_parent(second: Path, built: Path) -> None:
    audit = regrow.audit(second)
    digest = Release.at(built / "release").digest
    assert [(edge.parent, edge.relation.value) for edge in audit.lineage.edges] == [
        (f"tuned-{digest[:12]}", "converted"),
        ("file:base", "finetune"),
    ]
    parent = audit.lineage.nodes[1].collected
    assert (parent.kind, parent.version) == ("release", digest)
    assert {fact.name for fact in parent.facts if hasattr(fact, "availability")} == {"texts"}
    assert not [finding for finding in audit.findings if finding.id.startswith("release-")]


def test_who_asks_for_a_step_of_the_parents_training_is_told_where_it_is(second: Path) -> None:
    with pytest.raises(RegrowError, match="no stage of this release is a training run") as error:
        pieces(Release.at(second), 1)
    assert "tuned (" in str(error.value)


def test_the_chain_is_built_again(built: Path, second: Path, tmp_path: Path) -> None:
    report = regrow.verify(second, sources=built / "second", store=tmp_path / "store")
    assert report.verdict.value == "same", report


def test_the_command_draws_the_lineage(second: Path, built: Path) -> None:
    shown = CliRunner().invoke(cli, ["lineage", str(second)])
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].startswith("second  ")
    assert any(line.startswith("└─ tuned  ") for line in lines)
    assert any("fine-tuned by stage finetune" in line for line in lines)
    told = CliRunner().invoke(cli, ["lineage", str(second), "--json"])
    found = json.loads(told.stdout)
    assert (found["schema"], found["parents"][0]["parents"][0]["fetch"]) == ("regrow/lineage/1", "file:base")


def test_the_lineage_of_what_others_made_is_what_they_name(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "---\nlicense: mit\nbase_model: some/model\nbase_model_relation: finetune\n---\n"
    )
    (tmp_path / "config.json").write_text("{}")
    save(tmp_path, CONFIG, initialise(CONFIG, 3), Ends(0, 0))
    found = json.loads(CliRunner().invoke(cli, ["lineage", str(tmp_path), "--json"]).stdout)
    assert (found["standing"], found["licence"]) == ("pinned only", "mit")
    (parent,) = found["parents"]
    assert (parent["fetch"], parent["standing"], parent["relation"]) == ("hf:some/model", "unknown", ["finetune"])
    assert "README.md" in parent["why"]
    missing = CliRunner().invoke(cli, ["lineage", str(tmp_path / "nothing")])
    assert missing.exit_code == 6


def test_a_parent_that_this_machine_rebuilt_is_said_to_be(built: Path, tmp_path: Path) -> None:
    """By the audit's way, which is that of models that are no releases, and of their parents that are."""
    copy = tmp_path / "copy"
    shutil.copytree(built / "release", copy)
    digest = Release.at(copy).digest
    rebuilds.note(digest, "regrow verify")
    try:
        assert ancestry(str(copy)).standing is Standing.REBUILT
    finally:
        rebuilds.place(digest).unlink()
