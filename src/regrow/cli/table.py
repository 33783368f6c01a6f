"""Plain tables: columns as wide as they need, two spaces apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> Iterator[str]:
    """The lines of a table.

    Args:
        head: names of the columns.
        rows: texts.
        right: the names of columns that hold numbers, separated by spaces.
    """
    every = [[name.upper() for name in head], *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(head))]
    aligned = [">" if name in right.split() else "<" for name in head]
    for row in every:
        cells = (f"{cell:{side}{width}}" for cell, side, width in zip(row, aligned, widths, strict=True))
        yield "  ".join(cells).rstrip()
