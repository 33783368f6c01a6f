"""A recipe that grows and stretches another model in every way: built, told, trained further, and built again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import regrow
from regrow.corpus import tokenizer
from regrow.corpus.tokenizer import Tokenizer
from regrow.errors import RegrowError
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.model.weights import Ends, load, save

CONFIG = DecoderConfig(vocabulary=300, layers=3, width=16, heads=2, kv_heads=1, hidden=24, context=64)
RECIPE = """\
recipe = 1

[model]
name = "grown"
licence = "MIT"

[base]
fetch = "file:base"
licence = "Apache-2.0"

[vocabulary]
add = ["<|user|>", "<|answer|>"]
multiple = 8

[grow-depth]
layers = 1

[grow-width]
hidden = 32

[skip]
connections = [[0, 2]]

[extend-context]
method = "dynamic"
context = 128
"""
TRAINED = """\
[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"

[corpus]
near_duplicates = 0

[finetune]
tokens = 256
context = 16
micro_batch = 4
micro_batches_per_step = 1
learning_rate = 1e-2

[evaluate]
prompts = ["one"]
sample_tokens = 4
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, a base and texts beside it."""
    root = tmp_path_factory.mktemp("grown") / "grown"
    said = [f"text {number}: " + "one two three four five six seven " * 9 for number in range(12)]
    for folder in ("texts", "base"):
        (root / folder).mkdir(parents=True)
    for number, text in enumerate(said):
        (root / "texts" / f"{number}.txt").write_text(text)
    tokenizer.write(tokenizer.learn(said, 300), root / "base")
    save(root / "base", CONFIG, initialise(CONFIG, 3), Ends(0, 0))
    return root


def test_a_model_grows_in_every_way_and_computes_what_it_did(recipe: Path, tmp_path: Path) -> None:
    (recipe / "regrow.toml").write_text(RECIPE)
    regrow.build(recipe, tmp_path / "release", store=tmp_path / "store")
    config, parameters = load(tmp_path / "release")
    known = Tokenizer.open(recipe / "base").vocabulary
    assert Tokenizer.open(tmp_path / "release").vocabulary == known + 2
    assert (config.vocabulary, config.layers, config.hidden, config.context) == (-(-(known + 2) // 8) * 8, 4, 32, 128)
    tokens = torch.arange(64)[None] * 4 % known
    with torch.no_grad():
        found = Decoder(config).logits(parameters, tokens)[..., :known]
        wanted = Decoder(CONFIG).logits(load(recipe / "base")[1], tokens)[..., :known]
    assert float((found - wanted).abs().max()) < 1e-4 * float(wanted.std())
    records = tmp_path / "release" / "changes"
    assert [one["layer"] for one in json.loads((records / "layers.json").read_text()) if one["adds_nothing"]] == [3]
    assert json.loads((records / "vocabulary.json").read_text())["before"] == known
    card = (tmp_path / "release" / "README.md").read_text("utf-8")
    assert "No class of transformers computes this decoder" in card
    assert "library_name: regrow" in card
    assert "a context of 128 tokens" in card
    assert "AutoModel" not in card


def test_what_has_grown_is_trained_and_built_again_to_the_same_bits(recipe: Path, tmp_path: Path) -> None:
    (recipe / "regrow.toml").write_text(RECIPE + TRAINED)
    regrow.build(recipe, tmp_path / "release", store=tmp_path / "store")
    _, parameters = load(tmp_path / "release")
    assert parameters["layers.002.skip.000"].any()
    report = regrow.verify(tmp_path / "release", sources=recipe, store=tmp_path / "other")
    assert report.verdict.value == "same", report


def test_tokens_of_a_tokenizer_that_is_learnt_are_chosen_there(recipe: Path, tmp_path: Path) -> None:
    own = "[tokenizer]\nvocabulary = 300\n[architecture]\nlayers = 1\nwidth = 16\nheads = 2\ncontext = 16\n[train]\n"
    head, _, rest = RECIPE.partition("[base]")
    parts = (
        head,
        "[vocabulary]",
        rest.partition("[vocabulary]")[2].partition("[grow-depth]")[0],
        own,
        "tokens = 1024\n",
    )
    (recipe / "regrow.toml").write_text("".join(parts) + TRAINED.partition("[finetune]")[0])
    with pytest.raises(RegrowError, match="base: missing"):
        regrow.build(recipe, tmp_path / "release", store=tmp_path / "store")
