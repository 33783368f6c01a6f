"""The runs of texts, brought to where they are compared with others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from regrow.corpus.exchange import Exchange
from regrow.corpus.names import HASH, digits, numbers
from regrow.recipe.kind import Files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regrow.corpus.near_duplicates import Hashes

ASKED = Exchange("asked", 2)
"""The name of a text, and which task wants its runs."""

_RUNS = Exchange("runs", 1, sorted=False)
_ENTRIES = Exchange("entries", 2 + HASH, sorted=False)  # of each set of runs: the text's name, how many, the text's id


def lend(folder: Path, destinations: int, asked: NDArray[np.uint64], texts: Iterable[tuple[int, str, str]]) -> None:
    """Send the runs of texts to the tasks that have asked for them.

    Args:
        folder: of the task that sends.
        destinations: how many tasks there are.
        asked: rows of :data:`ASKED`, sorted.
        texts: the name, the id and the words of each text that was asked for.
    """
    import numpy as np

    from regrow.corpus.near_duplicates import runs

    wanted = np.ascontiguousarray(asked[:, 0])
    with _RUNS.sender(folder, destinations) as lent, _ENTRIES.sender(folder, destinations) as entries:
        for name, identity, text in texts:
            begin, end = (int(np.searchsorted(wanted, np.uint64(name), side)) for side in ("left", "right"))
            found = runs(text)
            entry = np.array([[name, len(found), *numbers([identity])[0].tolist()]], np.uint64)
            for destination in asked[begin:end, 1].tolist():
                lent.put(destination, found[:, None])
                entries.put(destination, entry)


class Lent:
    """Sets of runs that were lent, on the disk."""

    def __init__(self, file: BinaryIO, entries: NDArray[np.uint64]) -> None:
        import numpy as np

        order = np.argsort(entries[:, 0], kind="stable")
        self._file = file
        self._names, self.sizes = entries[order, 0], entries[order, 1].astype(np.int64)
        self._starts = (np.cumsum(entries[:, 1]) - entries[:, 1])[order]
        self._ids = entries[order, 2:]

    def __len__(self) -> int:
        return len(self._names)

    def places(self, names: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Where the sets of some texts are among all."""
        import numpy as np

        return np.searchsorted(self._names, names)

    def runs(self, place: int) -> Hashes:
        """The runs of a text, ascending."""
        import numpy as np

        data = os.pread(self._file.fileno(), 8 * int(self.sizes[place]), 8 * int(self._starts[place]))
        return np.frombuffer(data, np.uint64)

    def id(self, place: int) -> str:
        """The id of a text."""
        return digits(self._ids[place])


@contextmanager
def borrowed(files: Files, lenders: Sequence[Path], destination: int, folder: Path) -> Iterator[Lent]:
    """What was lent to a task.

    Args:
        files: how to get at files.
        lenders: the folders of the tasks that lent.
        destination: which task it was lent to.
        folder: where it may lie as long as it is used.
    """
    import numpy as np

    with TemporaryFile(dir=folder) as file:
        for block in _RUNS.received(files, lenders, destination):
            file.write(block.tobytes())
        file.flush()
        entries = [np.empty((0, 2 + HASH), np.uint64), *_ENTRIES.received(files, lenders, destination)]
        yield Lent(file, np.concatenate(entries))
