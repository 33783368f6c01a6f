"""Parameters that a task is given in a folder: read by the first worker, which sends them to the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from regrow.model.weights import load


def given_in(source: Path | None) -> Mapping[str, Tensor]:
    """Those of a decoder in a folder, float32 by our names; None stands for a worker that has no folder."""
    if source is None:
        raise AssertionError("the first worker has the parameters")
    return load(source)[1]
