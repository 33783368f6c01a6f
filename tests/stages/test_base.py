"""A recipe that begins with another model: from its files to weights that were trained further."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import InputError, RegrowError, StageError
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.foreign import Found, find
from regrow.model.weights import Ends, ends, load, save
from regrow.sources import resolve
from regrow.stages import KINDS

from .conftest import Bench

CONFIG = DecoderConfig(vocabulary=512, layers=3, width=16, heads=2, kv_heads=1, hidden=24, context=64)
ENDS = Ends(1, 0)
TRAIN: dict[str, Any] = {
    "tokens": 1024,
    "context": 16,
    "micro_batch": 4,
    "micro_batches_per_step": 1,
    "decay": "constant",
    "learning_rate": 1e-2,
    "checkpoint_every": 8,
}


@pytest.fixture
def model(tiny: dict[str, Path], tmp_path: Path) -> Path:
    """A folder as others publish models."""
    folder = tmp_path / "model"
    folder.mkdir()
    save(folder, CONFIG, initialise(CONFIG, 7), ENDS)
    shutil.copytree(tiny["tokenizer"], folder, dirs_exist_ok=True)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "README.md").write_text("# A model")
    return folder


def taken(bench: Bench, folder: Path, **more: Any) -> Path:
    """The files that a recipe takes of a model."""
    bench.base = folder.parent
    name = f"file:{folder.name}"
    parameters = {"fetch": name, "licence": "MIT", "pins": resolve(name, folder.parent), **more}
    return bench.run("base", parameters)


def imported(bench: Bench, folder: Path) -> tuple[Path, Path]:
    files = taken(bench, folder)
    tokenizer = bench.run("import-tokenizer", {}, files=files)
    return bench.run("import-weights", {}, files=files, tokenizer=tokenizer), tokenizer


def test_a_folder_comes_over_as_it_is(bench: Bench, model: Path) -> None:
    weights, tokenizer = imported(bench, model)
    config, parameters = load(weights)
    assert config == CONFIG
    assert all(torch.equal(value, initialise(CONFIG, 7)[name]) for name, value in parameters.items())
    said = json.loads((weights / "generation_config.json").read_text())
    assert (said["bos_token_id"], said["eos_token_id"]) == (1, 0)
    for path in tokenizer.iterdir():
        assert path.read_bytes() == (model / path.name).read_bytes()
    assert {path.name for path in tokenizer.iterdir()} >= {"tokenizer.json", "chat_template.jinja"}


def test_what_is_trained_changes_and_nothing_else(bench: Bench, model: Path, tiny: dict[str, Path]) -> None:
    weights, tokenizer = imported(bench, model)
    fed = {"weights": weights, "tokens": tiny["tokenize"], "tokenizer": tokenizer}
    tuned = bench.run("finetune", {**TRAIN, "parameters": ["layers.1-2.mlp", "norm"]}, **fed)
    before, after = load(weights)[1], load(tuned)[1]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        name for name in before if name.startswith(("layers.001.mlp", "layers.002.mlp")) or name == "norm"
    }
    losses = [json.loads(line)["loss"] for line in (tuned / "losses.jsonl").read_text().splitlines()]
    assert len(losses) == 16 and losses[-1] < losses[0]
    everything = bench.run("finetune", TRAIN, **fed)
    assert all(not torch.equal(before[name], value) for name, value in load(everything)[1].items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": ["layers.7"]}, "no parameter fits `layers.7`"),
        ({"context": 65}, "longer than the model's 64"),
        ({"micro_batch": 2**16, "tokens": 2**20}, r"(?s)one step needs.*`micro_batch`.*`context`"),
    ],
)
def test_what_cannot_be_trained(
    bench: Bench, model: Path, tiny: dict[str, Path], change: dict[str, Any], said: str
) -> None:
    weights, tokenizer = imported(bench, model)
    with pytest.raises(RegrowError, match=said):
        bench.run("finetune", {**TRAIN, **change}, weights=weights, tokens=tiny["tokenize"], tokenizer=tokenizer)


def test_bases_that_are_none_or_several(bench: Bench, model: Path) -> None:
    with pytest.raises(StageError, match="there is no model"):
        taken(bench, model, select=["**/*.gguf"])
    shutil.copytree(model, model / "other")
    with pytest.raises(InputError, match="there are 2 models"):
        imported(bench, model)
    chosen = taken(bench, model, select=["other/*"])
    assert Tokenizer.open(bench.run("import-tokenizer", {}, files=chosen)).vocabulary == 512


def test_a_gguf_file_beside_a_model_is_that_one_again(bench: Bench, model: Path, tmp_path: Path) -> None:
    """As in releases that have a `[gguf]`, and on hubs."""
    (model / "gguf").mkdir()
    (model / "gguf" / "model-F16.gguf").write_bytes(b"GGUF")
    assert find(model) == Found(model, None)
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "config.json").write_text("{}")
    (tmp_path / "alone" / "model-F16.gguf").write_bytes(b"GGUF")
    assert find(tmp_path / "alone").gguf == tmp_path / "alone" / "model-F16.gguf"


def test_a_tokenizer_of_another_model_is_refused(bench: Bench, model: Path, tmp_path: Path) -> None:
    smaller = DecoderConfig(vocabulary=300, layers=1, width=8, heads=2, kv_heads=1, hidden=8, context=16)
    save(model, smaller, initialise(smaller, 1), ENDS)
    with pytest.raises(InputError, match="has 512 tokens, and its model knows 300"):
        imported(bench, model)


def changed(model: Path, **tensors: Any) -> None:
    stored = load_file(model / "model.safetensors")
    save_file({name: x for name, x in {**stored, **tensors}.items() if x is not None}, model / "model.safetensors")


def test_numbers_that_are_none_are_refused(bench: Bench, model: Path) -> None:
    changed(model, **{"model.norm.weight": torch.tensor([float("nan"), float("inf"), *[1.0] * 14])})
    with pytest.raises(InputError, match="parameters that are no numbers: 2 in `norm`"):
        imported(bench, model)


def test_a_model_with_code_of_its_own_is_refused_and_its_code_not_run(bench: Bench, model: Path) -> None:
    said = json.loads((model / "config.json").read_text())
    classes = {"AutoModelForCausalLM": "modeling_other.Other", "AutoTokenizer": ["cuts.Cuts", None]}
    (model / "config.json").write_text(json.dumps({**said, "auto_map": classes}))
    (model / "modeling_other.py").write_text(f"open({str(bench.root / 'ran')!r}, 'w')")
    with pytest.raises(InputError, match="brings code of its own, for `AutoModelForCausalLM`"):
        imported(bench, model)
    assert not (bench.root / "ran").exists()


def test_a_token_that_no_text_can_end_with_is_refused(bench: Bench, model: Path) -> None:
    (model / "generation_config.json").write_text('{"eos_token_id": 512}')
    with pytest.raises(InputError, match="the token that ends a text of the base is 512"):
        imported(bench, model)


def test_an_end_that_only_the_configuration_or_the_tokenizer_says(bench: Bench, model: Path) -> None:
    said = json.loads((model / "config.json").read_text())
    for config, wanted in (({"eos_token_id": 3, "bos_token_id": 1}, Ends(1, 3)), ({}, ENDS.both(0))):
        (model / "generation_config.json").write_text('{"eos_token_id": null}')
        kept = {key: value for key, value in said.items() if not key.endswith("_token_id")}
        (model / "config.json").write_text(json.dumps(kept | config))
        assert replace(ends(imported(bench, model)[0]), settings=wanted.settings) == wanted


def test_several_ends_are_taken_over(bench: Bench, model: Path) -> None:
    """Models that answer have two, for a text and for an answer: with the first alone, others would write on."""
    (model / "generation_config.json").write_text('{"bos_token_id": 1, "eos_token_id": [3, 5, 3]}')
    weights, _ = imported(bench, model)
    assert ends(weights) == Ends(1, 3, (5,), settings={})
    assert json.loads((weights / "generation_config.json").read_text())["eos_token_id"] == [3, 5]
    (model / "generation_config.json").write_text('{"eos_token_id": [3, 512]}')
    with pytest.raises(InputError, match="the token that ends a text of the base is 512"):
        imported(bench, model)


def test_older_files_of_a_model_are_the_model(bench: Bench, model: Path) -> None:
    """Without the name of the whole in front, with frequencies, and with a head that is the embedding."""
    tied = replace(CONFIG, tied_embeddings=True)
    save(model, tied, initialise(tied, 7), ENDS)
    wanted = load(model)[1]
    stored = load_file(model / "model.safetensors")
    bare = {name.removeprefix("model."): x for name, x in stored.items()}
    head = {"lm_head.weight": bare["embed_tokens.weight"].clone()}
    rest = {"layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    save_file({**bare, **head, **rest}, model / "model.safetensors")
    assert all(torch.equal(wanted[name], x) for name, x in load(imported(bench, model)[0])[1].items())
    save_file({**bare, "lm_head.weight": head["lm_head.weight"] + 1}, model / "model.safetensors")
    with pytest.raises(InputError, match=r"`lm_head[.]weight` has other numbers than `embed_tokens[.]weight`"):
        imported(bench, model)


def test_a_tensor_in_two_files_is_refused(bench: Bench, model: Path) -> None:
    shutil.copyfile(model / "model.safetensors", model / "a.safetensors")
    (model / "model.safetensors").rename(model / "b.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="two files hold"):
        imported(bench, model)


def test_kinds_that_begin_with_another_model_say_so() -> None:
    assert (KINDS["import-weights"].origin, KINDS["finetune"].origin) == ("imported", "fine-tuned")
