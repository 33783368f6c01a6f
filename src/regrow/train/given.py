"""Parameters that a task is given in a folder: read by the first worker, which sends them to the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from regrow.exact.shorter import shortened
from regrow.model.weights import numbers


def given_in(source: Path | None) -> Mapping[str, Tensor]:
    """Those of a decoder in a folder, by our names; None stands for a worker that has no folder.

    They are float32, but of matrices whose numbers a shorter type has: these are of that, whatever the file holds them
    as, since what was published in bfloat16 has no others.
    """
    if source is None:
        raise AssertionError("the first worker has the parameters")
    return {name: shortened(x) if x.dim() == 2 and x.dtype == torch.float32 else x for name, x in numbers(source)}
