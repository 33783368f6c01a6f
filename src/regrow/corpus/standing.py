"""Documents that stand for others: of each that was kept of several that say the same, where the others were from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.corpus.duplicates import Duplicate
from regrow.corpus.names import HASH, numbers
from regrow.corpus.tables import Stretch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.uint64]
    Places = NDArray[np.intp]

_LEFT_OUT = "left-out.npy"  # (others, 9): their ids, those of what stands for them, and their sources, as numbers
_ROWS = "standing.npy"  # (others, 5): what stands for them, in order, and their sources
_SOURCES = "sources.json"
_DEEP = 3  # times that two steps become one


def gather(folder: Path, exclusions: Stretch, sources: Sequence[str]) -> None:
    """Gather what was left out of a part of a corpus for saying what another document says. 72 bytes of each are held.

    Args:
        folder: to write to.
        exclusions: what was left out.
        sources: those that count.
    """
    import numpy as np

    codes = {name: code for code, name in enumerate(sources)}
    blocks = [np.empty((0, 2 * HASH + 1), np.uint64)]
    for batch in exclusions.batches(["id", "source", "reason", "detail"]):
        columns = (batch.column(name).to_pylist() for name in ("id", "source", "reason", "detail"))
        found = ((id, codes.get(source), Duplicate.read(*why)) for id, source, *why in zip(*columns, strict=True))
        told = [(id, said.of, code) for id, code, said in found if said is not None and code is not None]
        if told:
            left_out, kept, code = zip(*told, strict=True)
            blocks.append(np.column_stack([numbers(left_out), numbers(kept), np.array(code, np.uint64)]))
    np.save(folder / _LEFT_OUT, np.concatenate(blocks))


def join(folder: Path, gathered: Iterable[Path], sources: Sequence[str]) -> None:
    """Bring what was gathered of all parts into the order of what is kept.

    Args:
        folder: to write to.
        gathered: the folders of the parts.
        sources: as they were when it was gathered.
    """
    import numpy as np

    rows = _sorted(np.concatenate([np.load(part / _LEFT_OUT) for part in gathered]))
    ids, kept = rows[:, :HASH], rows[:, HASH:]
    for _ in range(_DEEP):  # what others were left out for may have been left out itself
        at = _places(ids, kept[:, :HASH])
        kept[at >= 0, :HASH] = kept[at[at >= 0], :HASH]
    np.save(folder / _ROWS, _sorted(kept))
    (folder / _SOURCES).write_text(json.dumps(sources), "utf-8")


class Standing:
    """What :func:`join` has brought together.

    Args:
        folder: to which it was written.
    """

    def __init__(self, folder: Path) -> None:
        import numpy as np

        self._rows = np.load(folder / _ROWS)
        self._sources: list[str] = json.loads((folder / _SOURCES).read_text("utf-8"))

    def of(self, ids: Sequence[str]) -> Iterator[tuple[int, Counter[str]]]:
        """Which of some documents stand for others, and for how many of which sources: places among ``ids``."""
        if not len(self._rows) or not ids:
            return
        wanted = numbers(ids)
        places = _places(self._rows, wanted)
        for row in (places >= 0).nonzero()[0].tolist():
            end = int(places[row])
            others: Counter[str] = Counter()
            while end < len(self._rows) and (self._rows[end, :HASH] == wanted[row]).all():
                others[self._sources[int(self._rows[end, HASH])]] += 1
                end += 1
            yield row, others


def _sorted(rows: Numbers) -> Numbers:
    """Rows in the order of their numbers."""
    import numpy as np

    return rows[np.lexsort(rows.T[::-1])]


def _places(rows: Numbers, wanted: Numbers) -> Places:
    """The first of sorted rows that begins with each of some ids, or -1."""
    import numpy as np

    at = np.searchsorted(rows[:, 0], wanted[:, 0])
    found = np.full(len(wanted), -1, np.intp)
    left = np.arange(len(wanted))
    while len(left := left[at[left] < len(rows)]):
        left = left[rows[at[left], 0] == wanted[left, 0]]
        same = (rows[at[left], :HASH] == wanted[left]).all(axis=1)
        found[left[same]] = at[left[same]]
        left = left[~same]
        at[left] += 1
    return found
