"""Merges beside those of mergekit, where that is installed: `python -m pytest tests/stages/test_merge_peer.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.models import model

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
