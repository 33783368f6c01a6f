"""Effects and evidence in words: the same in a terminal, a card and a page."""

from __future__ import annotations

from regrow.evidence import Rows
from regrow.evidence.record import Cell
from regrow.report.data import Effect
from regrow.report.render import share, size

_KEPT = {"exact": "exactly", "rounding": "but for rounding"}


def function(effect: Effect) -> str:
    """Whether the function was kept."""
    if effect.function in _KEPT:
        return f"kept {_KEPT[effect.function]}"
    by = "" if effect.difference is None else f", logits by up to {effect.difference:.3g}"
    return f"changed{by}"


def weights(effect: Effect) -> str:
    """How much of the weights was changed."""
    if not effect.changed:
        return "none of the weights that both have"
    rank = f"more than {effect.rank_bound}" if effect.rank is None else str(effect.rank)
    return f"{share(effect.changed, 1)} of the weights, by matrices of rank {rank} at most"


def bits(effect: Effect) -> str:
    """Bits per byte before and after; empty if there is no text to measure on."""
    before, after = effect.bits
    return "" if before is None or after is None else f"{before:.3f} -> {after:.3f} bits per byte"


def sizes(effect: Effect) -> str:
    """The size before and after, if it is another one."""
    before, after = effect.size
    return "" if before == after else f"{size(before)} -> {size(after)}"


def zeros(effect: Effect) -> str:
    """How many zeros there are, if they are many."""
    return f"{share(effect.zeros, 1)} zeros" if effect.zeros >= 0.05 else ""


def effect(one: Effect) -> str:
    """All of it in a line."""
    return "; ".join(part for part in (function(one), weights(one), bits(one), zeros(one), sizes(one)) if part)


def cell(value: Cell) -> str:
    """A value of a table of evidence."""
    if value is None:
        return "\u2013"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else value


def is_number(table: Rows, column: int) -> bool:
    """Whether a column of a table of evidence holds nothing but numbers, which are read from the right."""
    cells = [row[column] for row in table.rows if column < len(row) and row[column] is not None]
    return bool(cells) and not any(isinstance(one, str) for one in cells)


def lines(table: Rows, most: int = 20) -> list[str]:
    """A table of evidence for a terminal: its title, a row to a line, and how many rows were left out."""
    rows = [table.columns, *(tuple(map(cell, row)) for row in table.rows[:most])]
    cut = [[_short(one) for one in row] for row in rows]
    widths = [max(len(row[i]) for row in cut if i < len(row)) for i in range(len(table.columns))]
    numeric = [is_number(table, i) for i in range(len(table.columns))]
    told = [table.title]
    for row in cut:
        padded = (one.rjust(w) if n else one.ljust(w) for one, w, n in zip(row, widths, numeric, strict=False))
        told.append(f"  {'  '.join(padded).rstrip()}")
    if len(table.rows) > most:
        told.append(f"  and {len(table.rows) - most:,} more")
    return [*told, *([f"  {table.note}"] if table.note else [])]


def _short(text: str, most: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "\u2026"
