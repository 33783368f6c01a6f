"""``untrained``: tokens that are not in the data are counted, and their rows are told from those of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from regrow.corpus import tokenizer
from regrow.corpus.encoded import Encoded, write
from regrow.corpus.tokens import TokenShards
from regrow.errors import StageError
from regrow.evidence import EVIDENCE, Evidence
from regrow.evidence.untrained import Table, counted
from regrow.formats import parts
from regrow.recipe.kind import Call
from regrow.stages.untrained import KIND
from tests import models
from tests.stages.conftest import Quiet


def rows(unused: np.ndarray, width: int = 48, seed: int = 1) -> np.ndarray:
    """Rows that all lean one way, of which those of unused tokens lean another way together, and others anywhere."""
    r = np.random.default_rng(seed)
    shared, apart = r.normal(size=(2, width))
    found = r.normal(size=(len(unused), width)) + 5 * shared
    found[unused] = 5 * shared + apart + 0.3 * r.normal(size=(int(unused.sum()), width))
    return found.astype(np.float32)


@pytest.fixture
def unused() -> np.ndarray:
    return np.arange(600) % 10 == 3


def test_rows_of_unused_tokens_are_told_from_others_whatever_all_share(unused: np.ndarray) -> None:
    table = Table.of("embed", "the embedding", rows(unused), unused)
    assert table.telling(unused, ~unused) > 0.99
    assert np.allclose(table.norms, np.linalg.norm(rows(unused).astype(np.float64), axis=1))


def test_rows_that_were_learnt_elsewhere_are_not_told(unused: np.ndarray) -> None:
    others = np.roll(unused, 1)
    table = Table.of("embed", "the embedding", rows(others & (np.arange(600) < 0)), unused)
    assert 0.3 < table.telling(unused, ~unused) < 0.75


def test_cosines_are_those_with_the_others_mean(unused: np.ndarray) -> None:
    given = rows(unused).astype(np.float64)
    _, _, directions = np.linalg.svd(given, full_matrices=False)
    left = given - np.outer(given @ directions[0], directions[0])
    some = np.flatnonzero(unused)
    expected = [
        left[i] @ (mean := left[some[some != i]].sum(0)) / np.linalg.norm(mean) / np.linalg.norm(left[i])
        for i in range(600)
    ]
    found = Table.of("embed", "the embedding", given.astype(np.float32), unused).cosines
    assert np.allclose(found, expected, atol=1e-3)


def test_tokens_of_all_parts_are_counted(tmp_path: Path) -> None:
    for part in range(2):
        folder = parts.made(tmp_path, part, 2)
        train = [Encoded("0" * 64, [5, 5, 6 + part])]
        write(folder, {"train": train, "validation": [Encoded("1" * 64, [7])]}, vocabulary=10, end_of_text=0)
    assert counted(TokenShards.open(tmp_path), 12).tolist() == [2, 0, 0, 0, 0, 4, 1, 1, 0, 0, 0, 0]


def test_a_model_is_looked_at(tmp_path: Path) -> None:
    model = models.model(tmp_path / "model")
    shards = models.tokens(tmp_path / "tokens")
    output = tmp_path / "out"
    output.mkdir()
    inputs = {"weights": (model,), "tokenizer": (model,), "tokens": (shards,)}
    assert KIND.run is not None
    KIND.run(Call("untrained", KIND.parameters(), inputs, output, tmp_path, Quiet()))
    found = Evidence.read((output / EVIDENCE).read_bytes())
    known = tokenizer.Tokenizer.open(model)
    counts = counted(TokenShards.open(shards), models.CONFIG.vocabulary)
    assert found.measures["never_read"] == int((counts[: known.vocabulary] == 0).sum())
    assert found.measures["rows_without_token"] == models.CONFIG.vocabulary - known.vocabulary
    assert found.measures["tokens"] == known.vocabulary
    assert "do not show it" in found.answer  # nothing was learnt yet
    assert json.loads((output / EVIDENCE).read_text())["tables"][0]["rows"][0][2] == 0


def test_data_for_another_model_is_refused(tmp_path: Path) -> None:
    model = models.model(tmp_path / "model")
    shards = models.tokens(tmp_path / "tokens", 400)
    inputs = {"weights": (model,), "tokenizer": (model,), "tokens": (shards,)}
    assert KIND.run is not None
    with pytest.raises(StageError, match="400 tokens"):
        KIND.run(Call("untrained", KIND.parameters(), inputs, tmp_path, tmp_path, Quiet()))
