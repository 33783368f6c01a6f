"""A recipe that begins with another model, as users see it: from the recipe to release, steps, audit and rebuild."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import regrow
from regrow.errors import RegrowError
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.weights import Ends, save
from regrow.release import Release
from regrow.trace.steps import pieces

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
    assert "It begins with the model in `file:base`, under `Apache-2.0`" in card
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
    with pytest.raises(RegrowError, match="training took 8 steps"):
        pieces(Release.at(built / "release"), 9)


def test_it_is_built_again_to_the_same_bits(built: Path, tmp_path: Path) -> None:
    report = regrow.verify(built / "release", sources=built / "tuned", store=tmp_path / "store")
    assert report.verdict.value == "same", report


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
