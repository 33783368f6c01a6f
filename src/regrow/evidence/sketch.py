"""How often things stand in a corpus, counted in a table of bounded size.

A thing is a 64-bit hash, and its first bits say in which cell it is counted. Things that share a cell are counted
together, so a count may be too high and is never too low. Counts stop at 255. What several parts have counted adds up
to what one would have counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Table = NDArray[np.uint8]

_LEAST_BITS, _MOST_BITS = 16, 28
_CELL, _COUNT = "<u4", "u1"
_ENTRY = 5  # bytes
_STRETCH = 1 << 22  # cells that are looked at together


def bits(size: int) -> int:
    """How many bits name a cell for so many bytes of text: there are more cells than atoms, up to 2**28 of them."""
    return min(max(_LEAST_BITS, (size // 2).bit_length()), _MOST_BITS)


def empty(bits: int) -> Table:
    """A table in which nothing is counted yet."""
    import numpy as np

    return np.zeros(1 << bits, np.uint8)


def shift(table: Table) -> np.uint64:
    """The bits of a hash that do not name a cell."""
    import numpy as np

    return np.uint64(65 - len(table).bit_length())


def write(table: Table, path: Path) -> None:
    """Write the cells in which something was counted, and then their counts."""
    import numpy as np

    with path.open("wb") as file:
        for start in range(0, len(table), _STRETCH):
            cells = start + np.flatnonzero(table[start : start + _STRETCH])
            file.write(cells.astype(_CELL).data)
        for start in range(0, len(table), _STRETCH):
            counts = table[start : start + _STRETCH]
            file.write(counts[counts > 0].data)


def together(paths: Iterable[Path], bits: int) -> Table:
    """The table of what several have counted."""
    import numpy as np

    from regrow.evidence.kernels import MOST

    table = empty(bits)
    for path in paths:
        size = path.stat().st_size // _ENTRY
        with path.open("rb") as cells, path.open("rb") as counts:
            counts.seek(size * np.dtype(_CELL).itemsize)
            for start in range(0, size, _STRETCH):
                count = min(_STRETCH, size - start)
                found = np.fromfile(cells, _CELL, count)
                table[found] += np.minimum(np.fromfile(counts, _COUNT, count), MOST - table[found])
    return table


def once(table: Table) -> int:
    """In how many cells something was counted once."""
    import numpy as np

    return sum(int(np.count_nonzero(table[at : at + _STRETCH] == 1)) for at in range(0, len(table), _STRETCH))
