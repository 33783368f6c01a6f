"""A recipe that makes another model smaller, as users see it: release, card, audit and rebuild."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import regrow
from regrow.errors import RegrowError
from regrow.model import gguf
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.weights import Ends, load, load_codes, save
from regrow.release import Release

CONFIG = DecoderConfig(vocabulary=300, layers=2, width=32, heads=2, kv_heads=1, hidden=64, context=64)
BASE = """\
recipe = 1

[model]
name = "small"
licence = "MIT"

[base]
fetch = "file:base"
licence = "Apache-2.0"
"""
TEXTS = """
[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"

[corpus]
near_duplicates = 0
"""
SHORTER = """
[convert]
dtype = "bfloat16"

[gguf]
types = ["Q4_0"]
"""
GPTQ = """
[quantise]
rows = 8
context = 32
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base and texts, without a recipe."""
    from regrow.corpus import tokenizer

    root = tmp_path_factory.mktemp("small")
    texts, base = root / "texts", root / "base"
    texts.mkdir()
    base.mkdir()
    said = [f"text {number}: " + "one two three four five six seven " * 9 for number in range(12)]
    for number, text in enumerate(said):
        (texts / f"{number}.txt").write_text(text)
    tokenizer.write(tokenizer.learn(said, 300), base)
    theirs = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    (base / "tokenizer_config.json").write_text(json.dumps(theirs))
    save(base, CONFIG, initialise(CONFIG, 3), Ends.both(0))
    return root


@pytest.fixture(scope="module")
def built(recipe: Path) -> Path:
    (recipe / "regrow.toml").write_text(BASE + TEXTS + GPTQ)
    regrow.build(recipe, recipe / "build" / "small", store=recipe / "build" / "store")
    return recipe / "build" / "small"


def test_the_release_holds_integers_and_what_was_done(recipe: Path, built: Path) -> None:
    codes, (_, before) = load_codes(built), load(recipe / "base")
    assert Release.at(built).facts["parameters"] == sum(x.numel() for x in before.values())
    assert codes.keys() == {name for name in before if name.startswith("layers.") and before[name].dim() == 2}
    assert (built / "model.safetensors").stat().st_size < 0.65 * (recipe / "base" / "model.safetensors").stat().st_size
    lines = (built / "changes" / "quantised.jsonl").read_text().splitlines()
    assert [json.loads(line)["matrix"] for line in lines] == list(codes)
    config = json.loads((built / "config.json").read_text())
    assert config["quantization_config"]["format"] == "pack-quantized"


def test_a_gguf_file_has_the_same_integers(recipe: Path, built: Path, tmp_path: Path) -> None:
    """Nothing is rounded once more; what is no matrix of a layer is shortened, by both tables that do so."""
    (recipe / "regrow.toml").write_text(BASE + TEXTS + GPTQ + SHORTER)
    regrow.build(recipe, tmp_path / "out", store=recipe / "build" / "store")
    _, wanted = load(built)
    assert load_codes(tmp_path / "out").keys() == load_codes(built).keys()
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < (built / "model.safetensors").stat().st_size
    found = gguf.load(tmp_path / "out" / "gguf" / "small-Q4_0.gguf").parameters
    for parameters in (load(tmp_path / "out")[1], found):
        assert all(torch.equal(parameters[name], wanted[name]) for name in load_codes(built))


def test_it_writes_text(built: Path) -> None:
    text = regrow.Generator.load(built).generate("one two", max_tokens=3)
    assert "".join(text)


def test_the_audit_sees_how_it_was_made(built: Path) -> None:
    audit = regrow.audit(built)
    [edge] = audit.lineage.edges
    assert (edge.parent, edge.relation) == ("file:base", "quantised")


def test_it_is_built_again_to_the_same_bits(recipe: Path, built: Path, tmp_path: Path) -> None:
    report = regrow.verify(built, sources=recipe, store=tmp_path / "store")
    assert report.verdict.value == "same", report


def test_what_is_trained_further_is_plain_again(recipe: Path, built: Path, tmp_path: Path) -> None:
    further = "[finetune]\ntokens = 64\ncontext = 16\nmicro_batch = 4\nmicro_batches_per_step = 1\n"
    (recipe / "regrow.toml").write_text(BASE.replace("file:base", "file:build/small") + TEXTS + further)
    regrow.build(recipe, tmp_path / "out", store=recipe / "build" / "store")
    assert not load_codes(tmp_path / "out")
    assert all(torch.isfinite(x).all() for x in load(tmp_path / "out")[1].values())


def test_without_text_there_is_rounding_to_the_nearest(recipe: Path, built: Path, tmp_path: Path) -> None:
    (recipe / "regrow.toml").write_text(BASE + '[quantise]\nmethod = "nearest"\nbits = 8\n')
    regrow.build(recipe, tmp_path / "out", store=recipe / "build" / "store")
    assert {one.bits for one in load_codes(tmp_path / "out").values()} == {8}
    (recipe / "regrow.toml").write_text(BASE + "[sparsify]\n")
    with pytest.raises(RegrowError, match="there is no text for the method `wanda`"):
        regrow.build(recipe, tmp_path / "none", store=recipe / "build" / "store")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[quantise]\nbits = 3\n", "quantise.bits"),
        ("[quantise]\ngroup = 128\n", "quantise.group"),
        ('[quantise]\nmethod = "awq"\n', "quantise.method"),
        ('[sparsify]\nstructure = "2:4"\nshare = 0.3\n', "sparsify.share"),
        ("[sparsify]\nshare = 1.0\n", "sparsify.share"),
    ],
)
def test_what_a_recipe_cannot_ask_for_is_told_where(recipe: Path, tmp_path: Path, table: str, said: str) -> None:
    (recipe / "regrow.toml").write_text(BASE + TEXTS + table)
    with pytest.raises(RegrowError, match=said):
        regrow.build(recipe, tmp_path / "none", store=recipe / "build" / "store")
