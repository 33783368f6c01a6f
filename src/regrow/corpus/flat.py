"""Numbers in flat files, one file behind the other, of which ranges are read where and when they are needed.

Nothing is mapped and nothing read ahead: a window of a row of tokens costs the pages that it lies on, however large the
row is, or a request where the files lie on another machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from regrow.errors import StageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 1 << 20
"""Numbers that are read at once by what goes through all of them."""


def bytes_here(path: Path, start: int, length: int) -> bytes:
    """Some bytes of a file, fewer if it ends before; and of the disk no others than the pages that they lie on."""
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):  # not on every system
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        file.seek(start)
        found = bytearray()
        while len(found) < length and (more := file.read(length - len(found))):
            found += more
    return bytes(found)


@dataclass(frozen=True)
class Flat:
    """Numbers of some files as one row.

    Attributes:
        files: in their order; None for one that is not there, all numbers of which are 1.
        counts: how many numbers each of them has.
        dtype: of the numbers.
        bytes_of: file, start and length -> so many bytes, fewer if the file ends before.
    """

    files: tuple[Path | None, ...]
    counts: tuple[int, ...]
    dtype: np.dtype[Any]
    bytes_of: Callable[[Path, int, int], bytes] = bytes_here

    def __len__(self) -> int:
        """How many numbers there are."""
        return sum(self.counts)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The numbers ``[start, stop)``, or those of them that there are, wherever the files meet.

        Raises:
            StageError: if a file is shorter than it should be.
        """
        begins = self._begins
        start, stop = max(0, start), min(stop, int(begins[-1]))
        pieces = []
        for number in range(int(np.searchsorted(begins, start, "right")) - 1, len(self.files)):
            begin, end = int(begins[number]), int(begins[number + 1])
            if begin >= stop:
                break
            pieces.append(self._of(number, max(start, begin) - begin, min(stop, end) - begin))
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, self.dtype), *pieces])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Ranges of some numbers each, which are all numbers together."""
        whole = len(self)
        return ((start, min(whole, start + CHUNK)) for start in range(0, whole, CHUNK))

    @cached_property
    def _begins(self) -> NDArray[np.int64]:
        """Where each file begins in the row, and where the last one ends."""
        return np.concatenate(([0], np.cumsum(self.counts, dtype=np.int64)))

    def _of(self, number: int, start: int, stop: int) -> NDArray[Any]:
        size, path = self.dtype.itemsize, self.files[number]
        if path is None:
            return np.ones(stop - start, self.dtype)
        data = self.bytes_of(path, start * size, (stop - start) * size)
        if len(data) != (stop - start) * size:
            raise StageError(
                f"{path.name} ends before its last number",
                where=str(path),
                why=f"it should have {self.counts[number] * size:,} bytes",
                hint="`regrow store verify` names what is damaged in the store",
            )
        return np.frombuffer(data, self.dtype)
