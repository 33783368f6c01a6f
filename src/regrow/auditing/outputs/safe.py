"""Other people's words, made safe to show.

Names, licences and sentences come from strangers. What a terminal, a browser or a reader could take for something
else (control characters, escape codes, marks that turn the writing direction, halves of surrogate pairs) is shown as
what it is, ``\\x1b`` or ``\\u202e``, and nothing is dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from regrow.printable import escaped

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~&$@])")
_LINE_START = re.compile(r"^(\d+)([.)])|^([-=])")


def whole(text: str) -> str:
    """All of ``text`` in one line of printable characters."""
    return escaped(" ".join(text.split()))


def plain(text: str, limit: int = 400) -> str:
    """``text`` in one line of printable characters, cut where it is longer than anybody reads."""
    shown = whole(text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 1].rstrip()}…"


def markdown(text: str, limit: int = 400) -> str:
    """``text`` in one line of Markdown that shows it literally, in a paragraph, a list or a table."""
    shown = _MARKDOWN.sub(r"\\\1", plain(text, limit))
    shown = re.sub(r"(?i)(https?|ftp|mailto|www)(?=[:.])", r"\1\\", shown)  # no link that nobody wrote
    return _LINE_START.sub(lambda match: f"{match[1] or ''}\\{match[2] or match[3]}", shown)


def width(text: str) -> int:
    """Columns that printable ``text`` takes in a terminal."""
    from rich.cells import cell_len

    return cell_len(text)


def shorten(text: str, columns: int) -> str:
    """``text`` in at most so many columns, the end marked if it is cut."""
    from rich.cells import set_cell_size

    shown = plain(text)
    return shown if width(shown) <= columns else f"{set_cell_size(shown, columns - 1).rstrip()}…"


def wrap(text: str, columns: int) -> list[str]:
    """``text`` in lines of at most so many columns, broken between words where there are any."""
    from rich.cells import chop_cells

    lines = [""]
    for word in plain(text, 4000).split(" "):
        for piece in chop_cells(word, columns) if width(word) > columns else [word]:
            if lines[-1] and width(lines[-1]) + 1 + width(piece) > columns:
                lines.append(piece)
            else:
                lines[-1] = f"{lines[-1]} {piece}".strip()
    return lines


def row(cells: Sequence[str], widths: Sequence[int], indent: int = 2, gap: int = 2) -> Iterator[str]:
    """The lines of one row of a table; each cell is wrapped to its own width."""
    wrapped = [wrap(cell, columns) for cell, columns in zip(cells, widths, strict=True)]
    for i in range(max(map(len, wrapped))):
        parts = [lines[i] if i < len(lines) else "" for lines in wrapped]
        padded = (part + " " * (columns - width(part)) for part, columns in zip(parts, widths, strict=True))
        yield (" " * indent + (" " * gap).join(padded)).rstrip()
