"""Passages around places: as much of a text as a statement may need, in a form that patterns can be written for."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from regrow.evidence.rights.places import Place

BEFORE, BEHIND = 260, 420
"""Bytes around a place that belong to its passage."""

_COMMENT = re.compile(r"\n[ \t]*(?:[#*;%|>]+|//+|--+|\.\\\"|dnl\b|rem\b|REM\b)?[ \t]*")
_MARKUP = re.compile(r"</?(?:a|b|i|p|em|strong|code|span|div|br|small|cite)\b[^<>\n]{0,300}>|\\n|&nbsp;|\\f[BIRP]")


@dataclass(frozen=True)
class Passage:
    """A stretch of a text, its bytes read as Latin-1, so that each is a character and places stay what they are.

    Attributes:
        raw: as it is.
        text: with blanks in the places of what begins the lines of comments and of marks inside of lines.
        begin: its first byte in the text.
        places: the cues in it, as places in the passage.
    """

    raw: str
    text: str
    begin: int
    places: tuple[Place, ...]

    def sentence(self, at: int) -> tuple[int, int]:
        """The ends of the sentence around a place."""
        return self.start_of_sentence(at), self.end_of_sentence(at)

    def start_of_sentence(self, at: int) -> int:
        """Where the sentence begins that a place is in."""
        before = bisect_right(self._ends, at)
        return max(at - BEFORE, self._ends[before - 1] if before else 0)

    def end_of_sentence(self, at: int) -> int:
        """Where it ends."""
        behind = bisect_right(self._ends, at)
        return min(self._ends[behind] if behind < len(self._ends) else len(self.text), at + BEHIND)

    @cached_property
    def small(self) -> str:
        """The text in small letters; each of Latin-1 stays one letter."""
        return self.text.lower()

    @cached_property
    def _ends(self) -> list[int]:
        return [end.end() for end in _SENTENCE.finditer(self.text)]

    def begins_line(self, at: int) -> bool:
        """Whether nothing but marks stands before a place in its line."""
        line = self.raw[self.raw.rfind("\n", 0, at) + 1 : at]
        return _MARKS.fullmatch(line) is not None


_SENTENCE = re.compile(
    r"[.!?][\"')]{0,2}(?=\s)\s+|(?:[ \t]*\n){2,}|\n[ \t]*(?=[-*+\u2022][ \t])|[|]"
    r"|\n\s*(?=(?:This|These|Licensed|Released|Distributed|Permission|All|SPDX)\b)"
)
_MARKS = re.compile(r"[^\w\n]{0,16}(?:dnl |rem |REM |[\"'])?[^\w\n]{0,8}")


def passages(data: bytes, places: Sequence[Place]) -> Iterator[Passage]:
    """The passages of a text: places that are near each other share one."""
    first = 0
    for number in range(1, len(places) + 1):
        if number == len(places) or places[number].at - places[number - 1].at > BEFORE + BEHIND:
            near = places[first:number]
            begin, end = max(0, near[0].at - BEFORE), min(len(data), near[-1].at + BEHIND)
            yield _passage(data[begin:end].decode("latin-1"), begin, near)
            first = number


def _passage(raw: str, begin: int, near: Sequence[Place]) -> Passage:
    text = _MARKUP.sub(_blank, raw) if "<" in raw or "\\" in raw or "&" in raw else raw
    text = _COMMENT.sub(_lines, text)
    return Passage(raw, text, begin, tuple(Place(one.at - begin, one.cue) for one in near))


def _blank(mark: re.Match[str]) -> str:
    return " " * len(mark[0])


def _lines(start: re.Match[str]) -> str:
    """What begins a line, as blanks behind its end."""
    return "\n" + " " * (len(start[0]) - 1)
