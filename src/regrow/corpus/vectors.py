"""Known answers of the order of the tokens: ``python -m regrow.corpus.vectors > docs/arithmetic/order.json``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from regrow.corpus import order
from regrow.exact.vectors import Vector, document, vector


def vectors() -> Iterator[Vector]:
    """All known answers of this room."""
    for seed, epoch, count in (
        (1, 0, 1),
        (1, 0, 3),
        (1, 0, 10),
        (1, 1, 10),
        (2, 0, 10),
        (2**63, 7, 16),
        (2**63, 7, 17),
    ):
        found = order.window_at(seed, epoch, np.arange(count), count).tolist()
        yield vector("order", f"{count} windows", {"seed": seed, "epoch": epoch, "count": count}, {"windows": found})
    for seed, step, per_step, count in ((1, 1, 4, 373), (1, 94, 4, 373), (5, 3, 7, 3), (9, 10**9, 3, 10**12)):
        given = {"seed": seed, "step": step, "windows_per_step": per_step, "count": count}
        found = order.step_windows(seed, step, per_step, count).tolist()
        yield vector("step_windows", f"step {step}", given, {"windows": found})


if __name__ == "__main__":
    import sys

    sys.stdout.write(document(vectors()))
