"""What may be passed on, by what the recipe and the catalogue of licences say, and what whoever does it has to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from regrow.licences.catalogue import Does, Licence, Right, get
from regrow.licences.comparing import freest
from regrow.licences.expressions import alternatives

_NOT_FOR_ALL = {
    "unshareable": "it may not be shared",
    "obtainable": "whoever wants it has to ask its holder for it, or buy it",
}
"""Availabilities of texts that nobody else may hand out."""


@dataclass(frozen=True)
class Duty:
    """What a licence asks of whoever passes something on, or what is made from it.

    Attributes:
        licence: as it is called.
        of: the names of what is under it.
        asks: what it asks, a line each.
    """

    licence: str
    of: tuple[str, ...]
    asks: tuple[str, ...]


def refusal(licence: str, availability: str = "") -> str:
    """Why something may not be passed on; empty if it may.

    Args:
        licence: SPDX, as it is declared.
        availability: of texts, as it is declared; empty for models.
    """
    if availability in _NOT_FOR_ALL:
        return _NOT_FOR_ALL[availability]
    licences = _licences(licence)
    if any(Right.SHARE not in one.permits for one in licences):
        return f"{licence} does not let one pass it on"
    if availability == "open" or licences:
        return ""
    return f"what {licence or 'no licence'} permits is not known here"


def duties(under: Iterable[tuple[str, str]]) -> tuple[Duty, ...]:
    """What the licences of some things ask.

    Args:
        under: the name of each thing, and its licence.
    """
    found: dict[str, list[str]] = {}
    for name, licence in under:
        if licence:
            found.setdefault(licence, []).append(name)
    return tuple(Duty(licence, tuple(names), tuple(_asks(licence))) for licence, names in sorted(found.items()))


def _asks(licence: str) -> Iterator[str]:
    known = _licences(licence)
    if not known:
        yield "these terms are not in regrow's catalogue: read them before you pass anything on"
    for one in known:
        for clause in one.clauses:
            word = {Does.REQUIRES: "", Does.FORBIDS: "not allowed: ", Does.THRESHOLD: "limit: "}[clause.does]
            yield f"{word}{clause.text}{f' ({clause.value})' if clause.value else ''}"


def _licences(expression: str) -> tuple[Licence, ...]:
    """The licences that hold, where one may choose those that leave the most freedom; none if they are not known."""
    ways = alternatives(expression) if expression else None
    return tuple(map(get, freest(ways))) if ways else ()
