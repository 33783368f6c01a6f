"""Cutting tables in canonical order into parts of about equal texts: by what the tables say of themselves."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

from regrow.corpus.tables import GROUP, Order, Stretch
from regrow.formats import parquet

_Key = tuple[Any, ...]


@dataclass(frozen=True)
class Cut:
    """Where one part ends and the next begins.

    Attributes:
        source: of the first document behind it.
        file: of that document.
        start: of that document.
    """

    source: str
    file: str
    start: int


DOCUMENTS_BY = Order(("source", "file", "start"))
EXCLUSIONS_BY = Order(("source", "locator"))


def cuts(tables: Sequence[Stretch], count: int) -> list[Cut]:
    """Where to cut the documents of some tables, so that parts have about as many bytes of text as one another.

    A pure function of the rows and of how they lie in row groups, whose sizes are known without reading them: within
    one, texts count as if each were as long as the others.

    Args:
        tables: of documents.
        count: how many parts there are to be.
    """
    if count == 1:
        return []
    groups = sorted(
        (key, number, start, end, size)
        for number, table in enumerate(map(_Indexed, tables))
        for key, start, end, size in zip(table.firsts, table.borders, table.borders[1:], table.sizes, strict=False)
    )
    if not groups:
        return []
    ends = list(accumulate(size for *_, size in groups))
    found = []
    for target in (ends[-1] * part // count for part in range(1, count)):
        at = bisect_left(ends, target + 1)
        _, number, start, end, size = groups[min(at, len(groups) - 1)]
        row = start + (target - (ends[at] - size)) * (end - start) // size
        found.append(replace(tables[number], start=row, end=row + 1).first(DOCUMENTS_BY))
    return [Cut(*key) for key in sorted(key for key in found if key is not None)]


def documents_between(tables: Sequence[Stretch], cuts: Sequence[Cut], count: int) -> list[list[Stretch]]:
    """The rows of documents that each of some parts has."""
    return _between(tables, DOCUMENTS_BY, [(cut.source, cut.file, cut.start) for cut in cuts], count)


def exclusions_between(tables: Sequence[Stretch], cuts: Sequence[Cut], count: int) -> list[list[Stretch]]:
    """The rows of exclusions that each of some parts has: those of a file that is cut lie in the last part of it."""
    return _between(tables, EXCLUSIONS_BY, [(cut.source, cut.file) for cut in cuts], count)


def _between(tables: Sequence[Stretch], order: Order, keys: Sequence[_Key], count: int) -> list[list[Stretch]]:
    if count == 1:
        return [[*tables]]
    found: list[list[Stretch]] = [[] for _ in range(count)]
    for table in tables:
        index = _Indexed(table, order)
        borders = [0, *map(index.before, keys), index.borders[-1]]
        borders += [index.borders[-1]] * (count + 1 - len(borders))  # of tables without a row
        for part, (start, end) in enumerate(pairwise(borders)):
            if start < end:
                found[part].append(replace(table, start=start, end=end))
    return found


class _Indexed:
    """A table in which places are looked up, row group by row group."""

    def __init__(self, table: Stretch, order: Order = DOCUMENTS_BY) -> None:
        self._table, self._order = table, order
        with parquet.opened(table.path) as file:
            self.borders = parquet.group_borders(file)
            self.sizes = parquet.group_sizes(file, "text")

    @cached_property
    def firsts(self) -> list[_Key]:
        """The keys of the first rows of the row groups."""
        return [self._key(row) for row in self.borders[:-1] if row < self.borders[-1]]

    @cached_property
    def _last(self) -> _Key:
        return self._key(self.borders[-1] - 1)

    def before(self, key: _Key) -> int:
        """How many rows come before a key."""
        group = bisect_left(self.firsts, key) - 1
        if group < 0:
            return 0
        if self._last < key:
            return self.borders[-1]
        start, end = self.borders[group : group + 2]
        (batch,) = replace(self._table, start=start, end=end).batches(self._order.columns, rows=max(GROUP, end - start))
        return start + bisect_left(self._order.keys(batch), key)

    def _key(self, row: int) -> _Key:
        found = replace(self._table, start=row, end=row + 1).first(self._order)
        assert found is not None
        return found
