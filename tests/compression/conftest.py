from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regrow.corpus.encoded import Encoded, write
from regrow.exact.random import integers
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.weights import Ends, save
from tests.stages.conftest import Bench

CONFIG = DecoderConfig(vocabulary=64, layers=2, width=64, heads=4, kv_heads=2, hidden=96, context=32)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with matrices of a size as trained ones have it."""
    folder = tmp_path_factory.mktemp("model")
    parameters = {name: x * 5 if x.dim() > 1 else x for name, x in initialise(CONFIG, 1).items()}
    save(folder, CONFIG, parameters, Ends.both(0))
    return folder


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough for 31 sequences of 32 tokens."""
    folder = tmp_path_factory.mktemp("tokens")
    ids = (integers(1, "ids", 1000) % np.uint64(CONFIG.vocabulary)).tolist()
    write(folder, {"train": [Encoded("a", ids)], "validation": []}, vocabulary=CONFIG.vocabulary, end_of_text=0)
    return folder
