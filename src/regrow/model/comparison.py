"""Two sets of weights side by side: counted, number by number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from regrow.model.rank import MOST, rank

_GROUP = 4


def compared(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, Any]:
    """What changed between two models' parameters, by their names, as plain data.

    ``parameters`` are all; ``compared`` those of a name and shape that both have; ``changed`` of these, the ones with
    other bits. Ranks are those of the change of each such matrix, where there is one; None above ``rank_bound``.
    """
    both = [name for name, x in after.items() if name in before and before[name].shape == x.shape]
    compared, changed, ranks = 0, 0, dict[str, int | None]()
    for name in both:
        old, new = before[name].numpy(), after[name].numpy()
        different = int(np.count_nonzero(old.view(np.int32) != new.view(np.int32)))
        compared, changed = compared + new.size, changed + different
        if different and new.ndim == 2:
            ranks[name] = rank(old, new)
    return {
        "parameters": {"before": _count(before), "after": _count(after)},
        "compared": compared,
        "changed": changed,
        "not_comparable": sorted(name for name in after if name in before and name not in both),
        "new": sorted(name for name in after if name not in before),
        "gone": sorted(name for name in before if name not in after),
        "ranks": ranks,
        "rank_bound": MOST,
        "zeros": {"before": zeros(before), "after": zeros(after)},
    }


def zeros(parameters: Mapping[str, Tensor]) -> dict[str, int]:
    """How many numbers of the matrices are zero, and how many matrices have two zeros in each four neighbours."""
    matrices = [x.numpy() for x in parameters.values() if x.dim() == 2]
    sizes = sum(x.size for x in matrices)
    counts = [x.size - int(np.count_nonzero(x)) for x in matrices]
    halved = [2 * count >= x.size and _two_of_four(x) for count, x in zip(counts, matrices, strict=True)]
    return {"numbers": sum(counts), "size": sizes, "matrices": len(matrices), "two_of_four": sum(halved)}


def _two_of_four(x: NDArray[np.float32]) -> bool:
    if x.shape[1] % _GROUP:
        return False
    zero = x.reshape(x.shape[0], -1, _GROUP) == 0
    return bool((zero.sum(axis=2, dtype=np.int64) >= _GROUP // 2).all())


def _count(parameters: Mapping[str, Tensor]) -> int:
    return sum(x.numel() for x in parameters.values())
