"""Merges beside those of mergekit, where that is installed: `python -m pytest tests/stages/test_merge_peer.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from regrow.corpus import tokenizer
from regrow.corpus.tokenizer import Tokenizer
from tests.models import CONFIG, TEXTS, model

from .conftest import Bench

METHODS = [
    ("linear", {"weights": (0.5, 0.3), "weight": 0.4}, {}),
    ("slerp", {"t": 0.3}, {"t": 0.3}),
    ("task-arithmetic", {"weights": (0.5, 0.3), "scale": 0.7}, {"lambda": 0.7}),
    ("ties", {"weights": (0.5, 0.3), "density": 0.6}, {}),
    ("ties", {"weights": (1.0, 1.0), "density": 0.5, "normalise": "no"}, {"normalize": False}),
]


@pytest.mark.parametrize(("method", "ours", "theirs"), METHODS)
def test_it_is_mergekits_within_the_error_of_float32(
    method: str, ours: dict[str, Any], theirs: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("mergekit")
    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge

    folders = [model(tmp_path / name, seed=seed) for seed, name in enumerate(("base", "one", "two"), 1)]
    names = ("one",) if method == "slerp" else ("one", "two")
    (tmp_path / "ours").mkdir()
    said = {"method": method, "models": list(names), **ours}
    models = [tmp_path / name for name in names]
    out = Bench(tmp_path / "ours").run("merge", said, weights=folders[0], tokenizer=folders[0], models=models)
    found = load_file(out / "model.safetensors")
    weights = ours.get("weights", (1.0,) * len(names))
    entries = [
        {"model": str(tmp_path / name), "parameters": {"weight": weight, "density": ours.get("density", 1.0)}}
        for name, weight in zip(names, weights, strict=True)
    ]
    if method in ("linear", "slerp"):
        entries.insert(0, {"model": str(folders[0]), "parameters": {"weight": ours.get("weight", 1.0)}})
    config = {"merge_method": method.replace("-", "_"), "models": entries, "dtype": "float32", "parameters": theirs}
    if method != "linear":
        config["base_model"] = str(folders[0])
    run_merge(MergeConfiguration.model_validate(config), str(tmp_path / "theirs"), MergeOptions(quiet=True))
    wanted = load_file(tmp_path / "theirs" / "model.safetensors")
    for name, x in wanted.items():
        assert float((found[name] - x).abs().max()) < 1e-6, name


def test_rows_of_all_tokens_are_mergekits(tmp_path: Path) -> None:
    """Its tokens may have other numbers."""
    pytest.importorskip("mergekit")
    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge
    from transformers import AutoTokenizer

    texts = {"base": TEXTS, "one": ("zebra zoo one two " * 50,), "two": ("zebra lion one lion " * 50,)}
    for seed, (name, said) in enumerate(texts.items(), 1):
        tokens = len(tokenizer.learn(list(said), 300).get_vocab())
        model(tmp_path / name, replace(CONFIG, vocabulary=tokens), seed, said)
    (tmp_path / "ours").mkdir()
    bench, base, models = Bench(tmp_path / "ours"), tmp_path / "base", [tmp_path / "one", tmp_path / "two"]
    chosen = {"models": ("one", "two"), "vocabulary": "union"}
    said = {**chosen, "method": "linear", "weights": (0.5, 0.3), "weight": 0.4}
    known = bench.run("merge-tokenizer", chosen, files=base, tokenizer=base, models=models)
    found = load_file(bench.run("merge", said, weights=base, tokenizer=known, models=models) / "model.safetensors")
    entries = [
        {"model": str(tmp_path / name), "parameters": {"weight": weight}}
        for name, weight in (("base", 0.4), ("one", 0.5), ("two", 0.3))
    ]
    config = {"merge_method": "linear", "models": entries, "dtype": "float32", "base_model": str(base)}
    made = MergeConfiguration.model_validate({**config, "tokenizer": {"source": "union"}})
    run_merge(made, str(tmp_path / "theirs"), MergeOptions(quiet=True))
    wanted, numbers = (
        load_file(tmp_path / "theirs" / "model.safetensors"),
        AutoTokenizer.from_pretrained(tmp_path / "theirs").get_vocab(),
    )
    places = [numbers[text] for text in Tokenizer.open(known).tokens()]
    assert len(places) == len(numbers)
    for name, x in wanted.items():
        x = x[places] if name == "model.embed_tokens.weight" else x
        assert float((found[name][: len(x)] - x).abs().max()) < 1e-6, name
