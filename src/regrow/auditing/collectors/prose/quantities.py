"""Quantities as people write them: a number, its scale, and the unit it is of.

What is read is the number that was meant, or nothing. So a quantity is read whole or not at all: every character from
its first digit to its unit has to be understood, and nothing may stand before it that makes it the end of a longer
expression (a range, a product, a power, a price). What is written alike for two numbers is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from regrow.data import any_of, toml

_TABLE: Mapping[str, Mapping[str, list[str]]] = toml("auditing.collectors", "quantities")


def _forms(table: str) -> dict[str, re.Pattern[str]]:
    return {key: re.compile(any_of(words), re.IGNORECASE) for key, words in _TABLE[table].items()}


def _all(table: str) -> str:
    """Any entry of a table, the longest first."""
    return any_of(sorted((word for words in _TABLE[table].values() for word in words), key=len, reverse=True))


def _ending(names: Iterable[str]) -> re.Pattern[str]:
    forms = any_of(word.replace("SCALE", _all("scales")) for name in names for word in _TABLE["joined"][name])
    return re.compile(f"{forms}$", re.IGNORECASE)


_SCALES, _WORDS = _forms("scales"), _forms("words")
_JOINED, _JOINED_SPELT = _ending(["any"]), _ending(["any", "spelt"])

# Everything that repeats is bounded: a card is a stranger's, and must not make a search take longer than it is long.
_GAP = "\u00a0\u2009\u202f"
_RUN = rf"\d(?:\d|(?<=\d)[.,_'\u2019{_GAP}](?=\d)|(?<=\d) (?=\d{{3}}(?!\d))){{0,39}}"
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_POWER = r"(?:(?:\^|\*\*)\{?(?P<power>\d{1,2})\}?|(?P<raised>[⁰¹²³⁴-⁹]{1,2})|e\+?(?P<e>\d{1,2}))(?!\d)"
_TIMES = r"(?P<times>\s?[x\u00d7*·]\s?10(?=\^|\*\*|[⁰¹²³⁴-⁹]))"
_END_OF_SCALE = r"(?:(?<=[A-Za-z])(?![A-Za-z0-9])|(?<![A-Za-z])(?![\d万亿億兆조억]))"
QUANTITY = (
    rf"(?:(?P<run>{_RUN}){_TIMES}?(?:{_POWER})?|\b(?P<word>{_all('words')})(?=[ -]))"
    rf"\s?\+?[\s-]{{0,2}}(?:(?P<scale>{_all('scales')}){_END_OF_SCALE})?\+?"
)
_AGAIN = r"(?:\s?\((?P<again>[^()]{1,30})\))?"
_ENDS = r"\s{0,2}(?:$|[|()\[\]<\n;]|[.,](?!\d))"

_NEAR = 60
"""Characters around a quantity that may say what it is of."""

_PLAIN = re.compile(r"\d{1,18}")
_DECIMAL = re.compile(r"(?:\d{1,15}[.,](?:\d{1,2}|\d{4,9})|0[.,]\d{3})")
_GROUPED = re.compile(
    rf"(?P<whole>[1-9]\d{{0,2}}(?P<gap>[.,_'\u2019 {_GAP}])\d{{3}}(?:(?P=gap)\d{{3}}){{0,4}})"
    r"(?:[.,](?P<part>\d{1,9}))?"
)


@dataclass(frozen=True)
class Quantity:
    """A number of something.

    Attributes:
        value: how many.
        before: the text before it.
        after: the text after it and its unit.
    """

    value: Fraction
    before: str
    after: str


class Unit:
    """Something that is counted; its number stands before its name, or behind it as in a table (``tokens: 2T``).

    Args:
        words: a regular expression for its name.
        between: one for what may stand between a number and the name.
    """

    def __init__(self, words: str, between: str = r"[\s-]{0,2}") -> None:
        behind = rf"{QUANTITY}{_AGAIN}{between}(?:{words})"
        label = rf"(?P<label>(?:[A-Za-z#][\w-]{{0,20}}\s){{0,4}})(?:{words})(?P<tail>(?:\s[a-z]{{1,12}}){{0,3}})"
        cell = rf"(?:^|[|:;(])\s{{0,4}}{label}\)?\s{{0,30}}[:=|\uff1a][\s|:]{{0,20}}"
        before = rf"{cell}~?{QUANTITY}(?=\s?(?:{words})?{_ENDS})"
        self._name = re.compile(words, re.IGNORECASE)
        self._behind, self._before = re.compile(behind, re.IGNORECASE), re.compile(before, re.IGNORECASE)

    def quantities(self, text: str) -> Iterator[Quantity]:
        """All quantities of this unit that are understood."""
        if not self._name.search(text):
            return
        for match in self._behind.finditer(text):
            start = match.start("run" if match["run"] else "word")
            before = text[max(0, start - _NEAR) : start]
            joined = (_JOINED_SPELT if match["word"] else _JOINED).search(before)
            value = None if joined else _value(match)
            if value is not None and _same(match["again"], value):
                yield Quantity(value, before, text[match.end() :][:_NEAR])
        for match in self._before.finditer(text):
            if (value := _value(match)) is not None:
                yield Quantity(value, match["label"], f"{match['tail']} {text[match.end() :][:_NEAR]}")


def _value(match: re.Match[str]) -> Fraction | None:
    """What a number with its power and scale stands for; None if it is not a number, or could be two."""
    scale = _key(_SCALES, match["scale"]) if match["scale"] else "0"
    number = _run(match["run"]) if match["run"] else Fraction(_key(_WORDS, match["word"]))
    raised = match["power"] or (match["raised"] or "").translate(_RAISED)
    if number is None or (match["word"] and not match["scale"]):
        return None
    if raised and not match["times"]:
        if number != 10:
            return None
        number = Fraction(1)
    value: Fraction = number * 10 ** (int(raised or match["e"] or 0) + int(scale))
    return value


def _key(forms: Mapping[str, re.Pattern[str]], text: str) -> str:
    return next(key for key, words in forms.items() if words.fullmatch(text))


def _run(run: str) -> Fraction | None:
    """The number that digits and their separators stand for."""
    if _PLAIN.fullmatch(run):
        return Fraction(int(run))
    if _DECIMAL.fullmatch(run):
        return Fraction(run.replace(",", "."))
    match = _GROUPED.fullmatch(run)
    if match is None:
        return None
    gap = match["gap"]
    # "1.500" is one and a half to some and fifteen hundred to others; "2 130" may be two numbers.
    if match["whole"].count(gap) == 1 and gap in ". " and (gap == " " or not match["part"]):
        return None
    if match["part"] and run[len(match["whole"])] == gap:
        return None
    return Fraction(f"{match['whole'].replace(gap, '')}.{match['part'] or 0}")


def _same(again: str | None, value: Fraction) -> bool:
    """Whether what is said once more in brackets, as in ``2 billion (2B)``, is the same number."""
    if again is None:
        return True
    match = re.fullmatch(rf"\W{{0,3}}{QUANTITY}\s?(?:tokens?)?", again, re.IGNORECASE)
    return match is not None and _value(match) == value
