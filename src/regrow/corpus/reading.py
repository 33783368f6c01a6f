"""What reading a file is about: how it is done, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """How to read files: see the parameters of the same names of the ``documents`` stage."""

    encoding: str = "utf-8"
    field: str = "text"
    group_by: tuple[str, ...] = ()
    max_characters: int = 0
    conversations: bool = False


@dataclass(frozen=True)
class Piece:
    """A text and its place.

    Attributes:
        start: the first byte of it in the file, or row of a Parquet file.
        end: one past the last.
        text: the text; of a row, the value of its field.
        rows: how many rows it is made of; 0 for what comes from no row, and for all but the first part of one.
        part_of: of a part of a row or page that was cut, the place of that row or page, ``START-END``; ``start`` and
            ``end`` are then bytes of its text as UTF-8.
        name: what it is called in the file, as pages of a web archive are; empty for what has no name there.
        rights: what stands beside it about its rights (:mod:`regrow.corpus.beside`).
    """

    start: int
    end: int
    text: str
    rows: int = 0
    part_of: str = ""
    name: str = ""
    rights: str = ""


@dataclass(frozen=True)
class Refusal:
    """A place whose text cannot be used, and why.

    Attributes:
        start: as of a :class:`Piece`.
        end: as of a :class:`Piece`.
        reason: a few words, the same for all that is refused for it.
        detail: what is special to this place.
        rows: 1 for a row, 0 for what is no row, such as a file.
    """

    start: int
    end: int
    reason: str
    detail: str = ""
    rows: int = 0
