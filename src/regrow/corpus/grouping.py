"""Which texts are compared, and the groups that they make: from sorted rows of numbers that come in blocks."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regrow.corpus.lending import Lent

    Rows = NDArray[np.uint64]
    Places = NDArray[np.intp]

COMPARED = 8
"""How many of the first texts of a bucket each of its texts is compared with. Buckets of unlike texts are smaller."""


def grouped(blocks: Iterable[Rows], columns: int, most: int) -> Iterator[tuple[Rows, Places, int]]:
    """Blocks of sorted rows, each with the first rows of the group that the block before has left unfinished.

    Args:
        blocks: of rows.
        columns: how many of the first numbers of a row name its group.
        most: how many rows of an unfinished group come again.

    Yields:
        rows; for each the place of the first one of its group; and how many have come before.
    """
    import numpy as np

    again: Rows | None = None
    for block in blocks:
        rows = block if again is None else np.concatenate([again, block])
        known = len(rows) - len(block)
        new = np.ones(len(rows), np.bool_)
        new[1:] = (rows[1:, :columns] != rows[:-1, :columns]).any(axis=1)
        first = np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))
        yield rows, first, known
        again = rows[first[-1] : first[-1] + most]


def pairs(blocks: Iterable[Rows]) -> Iterator[Rows]:
    """Each text with the first few others of its bucket, so that pairs are in proportion to texts, whatever they say.

    Args:
        blocks: of (rows, 2): the number of a bucket, and the name of a text; sorted.

    Yields:
        (rows, 2) names: of the text, and of one that comes before it.
    """
    import numpy as np

    for rows, first, known in grouped(blocks, 1, COMPARED):
        later = np.flatnonzero(first < np.arange(len(rows)))
        later = later[later >= known]
        for place in range(COMPARED):
            later = later[first[later] + place < later]
            if len(later):
                yield np.stack([rows[later, 1], rows[first[later] + place, 1]], axis=1)


def alike(blocks: Iterable[Rows], lent: Lent, threshold: float) -> Iterator[Rows]:
    """Pairs whose runs are alike, of those that join groups: once two texts are in one group, they are not compared.

    Args:
        blocks: of (rows, 2) names.
        lent: the runs of all that are named.
        threshold: the least Jaccard similarity of what is alike.
    """
    import numpy as np

    from regrow.corpus.near_duplicates import similarity

    parents = array("q", range(len(lent)))
    own, runs = -1, np.empty(0, np.uint64)
    for block in blocks:
        places = lent.places(block)
        sizes = lent.sizes[places]
        joined = []
        # Sets of very unlike sizes are unlike.
        for row in np.flatnonzero(sizes.min(axis=1) / sizes.max(axis=1) >= threshold).tolist():
            one, other = places[row].tolist()
            first, second = _root(parents, one), _root(parents, other)
            if first == second:
                continue
            if own != one:
                own, runs = one, lent.runs(one)
            if similarity(runs, lent.runs(other)) >= threshold:
                parents[max(first, second)] = min(first, second)
                joined.append(row)
        yield block[joined]


def _root(parents: array[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = place = parents[parents[place]]
    return place


def components(edges: Places, nodes: int) -> Places:
    """For each node the smallest of those that it is connected with.

    Args:
        edges: (edges, 2) nodes.
        nodes: how many there are.
    """
    import numpy as np

    least = np.arange(nodes)
    while True:
        ends = least[edges]
        apart = ends[ends[:, 0] != ends[:, 1]]
        if not len(apart):
            return least
        np.minimum.at(least, apart.max(axis=1), apart.min(axis=1))
        while not np.array_equal(nearer := least[least], least):
            least = nearer
