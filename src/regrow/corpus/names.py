"""Numbers for texts: their hashes, and short names that are in the order of the hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from regrow.errors import StageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.uint64]

HASH = 4
"""Numbers that make a sha256."""

_BYTES = 8 * HASH


def numbers(hashes: Sequence[str]) -> Numbers:
    """(hashes, 4): each sha256 as numbers that compare as its 64 hex digits do.

    Raises:
        StageError: if one is none.
    """
    import numpy as np

    try:
        data = bytes.fromhex("".join(hashes))
    except ValueError:
        data = b""
    if len(data) != _BYTES * len(hashes):
        wrong = next((one for one in hashes if len(one) != 2 * _BYTES or not one.isalnum()), hashes[0])
        raise StageError(f"a document is called `{wrong[:99]}`", why="ids and hashes of documents are 64 hex digits")
    return np.frombuffer(data, ">u8").astype(np.uint64).reshape(-1, HASH)


def digits(row: Numbers) -> str:
    """The 64 hex digits of four numbers."""
    return row.astype(">u8").tobytes().hex()


def names(part: int, first: int, homes: Numbers) -> Numbers:
    """Names of texts that follow one another in the order of their hashes.

    Args:
        part: of all texts in that order, which is cut into up to 65,536 parts, of up to four thousand million each.
        first: the place of the first one in the part.
        homes: for each the part of the documents in which it is.
    """
    import numpy as np

    places = np.arange(first, first + len(homes), dtype=np.uint64)
    return np.uint64(part) << np.uint64(48) | places << np.uint64(16) | homes


def homes(names: Numbers) -> Numbers:
    """For each name the part of the documents in which the text is."""
    import numpy as np

    return names & np.uint64(0xFFFF)
