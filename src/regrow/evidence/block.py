"""Texts side by side in memory, so that all of them are looked through at once, byte by byte in vectors.

What is searched for is rare, and can be told from most text by a byte or two: an ``@`` between letters, four groups of
digits with dots. Those places are found in vectors, and only there a regular expression looks, at a few dozen bytes, so
that no text takes more than time in proportion to its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

_SIZE = 1 << 23  # bytes of texts that are looked at together: few enough to stay near the processor
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)|\"")


@dataclass(frozen=True, order=True)
class Span:
    """Bytes of a block that are something.

    Attributes:
        start: the first.
        end: one past the last.
        sort: what it is.
        value: what of it may be said.
    """

    start: int
    end: int
    sort: str
    value: str = ""


@dataclass(frozen=True)
class Block:
    """Texts as UTF-8, one behind the other, with a zero byte before and behind each.

    So every byte of a text has neighbours, and no expression that takes no zeros reaches from one text into the next.

    Attributes:
        data: the bytes.
        starts: where each text begins, and where one more would.
    """

    data: bytes
    starts: NDArray[np.int64]

    @staticmethod
    def of(texts: pyarrow.StringArray) -> Block:
        """The block of some texts, none of which is null."""
        import numpy as np

        if not len(texts):
            return Block(b"\0", np.ones(1, np.int64))
        _, offsets, data = texts.buffers()
        bounds = np.frombuffer(offsets, np.int32, len(texts) + 1, 4 * texts.offset).astype(np.int64)
        units = memoryview(data or b"")
        parts = [units[start:end] for start, end in pairwise(bounds.tolist())]
        return Block(b"\0".join([b"", *parts, b""]), bounds - bounds[0] + np.arange(1, len(bounds) + 1))

    @cached_property
    def units(self) -> NDArray[np.uint8]:
        """The bytes as numbers."""
        import numpy as np

        return np.frombuffer(self.data, np.uint8)

    def places(self, byte: str) -> NDArray[np.int64]:
        """Where a byte stands, but for the zeros at both ends."""
        import numpy as np

        return np.flatnonzero(self.units[1:-1] == ord(byte)) + 1

    def before(self, place: int, most: int) -> bytes:
        """Some bytes before a place, at most."""
        return self.data[max(0, place - most) : place]

    def around(self, place: int, before: int, behind: int) -> tuple[bytes, int]:
        """Some bytes around a place without a zero among them, and where in them it is."""
        ahead = self.before(place, before).rpartition(b"\0")[2]
        return ahead + self.data[place : place + behind].partition(b"\0")[0], len(ahead)

    def characters(self, spans: Sequence[Span]) -> list[tuple[int, int, int]]:
        """For each span, which are in order and apart: its text, its first character in that, and one past the last."""
        import numpy as np

        if not spans:
            return []
        places = np.array([(one.start, one.end) for one in spans], np.int64).ravel()
        rows = np.searchsorted(self.starts, places[::2], side="right") - 1
        begins = self.starts[rows]
        cuts = np.unique(np.concatenate([begins, places]))
        widths = np.add.reduceat((self.units & 0xC0) != 0x80, cuts, dtype=np.int64)  # not what continues a character
        counted = np.concatenate([[0], np.cumsum(widths)])
        at = counted[np.searchsorted(cuts, places)] - np.repeat(counted[np.searchsorted(cuts, begins)], 2)
        return list(zip(rows.tolist(), at[::2].tolist(), at[1::2].tolist(), strict=True))


def such(chosen: bytes) -> NDArray[np.bool_]:
    """For each byte whether it is one of some."""
    import numpy as np

    table = np.zeros(256, np.bool_)
    table[list(chosen)] = True
    return table


def sliced(batch: pyarrow.RecordBatch, size: int = _SIZE) -> Iterator[pyarrow.RecordBatch]:
    """A batch of documents in pieces whose texts have some bytes in all, at most, or are a single one."""
    import numpy as np
    import pyarrow.compute as pc

    ends = np.cumsum(pc.binary_length(batch.column("text")).to_numpy(zero_copy_only=False).astype(np.int64))
    first = 0
    while first < batch.num_rows:
        limit = size + (int(ends[first - 1]) if first else 0)
        last = max(first + 1, int(np.searchsorted(ends, limit, side="right")))
        yield batch.slice(first, last - first)
        first = last


def spoken(batch: pyarrow.RecordBatch) -> pyarrow.StringArray:
    """The texts of documents; of conversations with blanks where JSON has quotes and escapes, so that places stay."""
    import pyarrow as pa

    texts = batch.column("text")
    if "conversation" not in batch.schema.names:
        return texts
    told = batch.column("conversation").to_pylist()
    if not any(told):
        return texts
    blank = (
        _ESCAPE.sub(lambda it: " " * len(it[0]), text) if it else text
        for text, it in zip(texts.to_pylist(), told, strict=True)
    )
    return pa.array(blank, pa.string())
