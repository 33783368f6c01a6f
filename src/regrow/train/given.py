"""Parameters that a task is given in a folder: read by the first worker, which sends them to the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from regrow.exact.shorter import shortened
from regrow.model.weights import load


def given_in(source: Path | None) -> Mapping[str, Tensor]:
    """Those of a decoder in a folder, by our names, as :func:`staying` has them; None stands for a worker that has no
    folder.
    """
    if source is None:
        raise AssertionError("the first worker has the parameters")
    return staying(load(source)[1])


def staying(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of which nothing will be changed, float32: matrices in numbers of 16 bits, if these are the same.

    Whatever the files hold them as: what was published in bfloat16 has no other numbers. Each is taken out of what is
    given, so that no two are there twice at a time.
    """
    found = {}
    for name in sorted(parameters):
        x = parameters.pop(name)
        found[name] = shortened(x) if x.dim() == 2 else x
    return found
