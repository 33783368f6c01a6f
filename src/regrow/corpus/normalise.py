"""Normalising text: one way to write what looks the same."""

from __future__ import annotations

import re
from functools import cache
from io import BytesIO

from regrow.corpus.characters import combining_class, composed, decomposed, such_that

_BREAKS = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufeff]")
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")  # any of both
_BLANKS = (" ", "\t", "\xa0")
_SOME_LINES = "\n\n\n"
_MANY_LINES = re.compile("\n{4,}")
_MANY_MARKS = 30
_PIECE = 1 << 20  # bytes
_VISIBLE = re.compile(rb"[!-~](?=[!-~])")


def normalised(data: bytes | memoryview) -> bytes:
    """:func:`normalise` of UTF-8, of which a piece at a time is a text.

    A piece ends between two visible characters of ASCII: no blank or line goes there, and nothing is composed.
    """
    found = BytesIO()  # which does not leave memory in pieces behind, as a list of them does
    start = 0
    while len(data) - start > _PIECE and (last := _VISIBLE.search(data, start + _PIECE)):
        found.write(normalise(str(data[start : last.end()], "utf-8")).encode())
        start = last.end()
    found.write(normalise(str(data[start:], "utf-8")).encode())
    return found.getvalue()


def normalise(text: str) -> str:
    """Unify line breaks, drop control characters and needless blanks, and compose characters (NFC).

    Blanks at the ends of lines go, as do blank lines at both ends; of more than two blank lines in a row two stay.
    Every Python ships the tables of Unicode 3.2 beside those of its own version; composing by them gives the same text
    under each, and differs from the newest tables only in scripts that were added since.
    """
    if _ODD.search(text):
        text = _CONTROLS.sub("", _BREAKS.sub("\n", text))
    if not text.isascii():
        text = composed(_long_runs_of_marks().sub(_in_order, text))
    if text.endswith(_BLANKS) or any(f"{blank}\n" in text for blank in _BLANKS):
        text = "\n".join(line.rstrip("".join(_BLANKS)) for line in text.split("\n"))
    text = text.strip("\n")
    return _MANY_LINES.sub(_SOME_LINES, text) if f"{_SOME_LINES}\n" in text else text


@cache
def _long_runs_of_marks() -> re.Pattern[str]:
    return re.compile(f"[{such_that(lambda character: combining_class(character) > 0)}]{{{_MANY_MARKS},}}")


def _in_order(run: re.Match[str]) -> str:
    """Combining marks in canonical order, which composing would bring them to as well, in quadratic time."""
    return "".join(sorted("".join(map(decomposed, run[0])), key=combining_class))
