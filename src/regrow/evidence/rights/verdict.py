"""What the statements of a text come to, beside the licence that its source declares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from regrow.evidence.rights.sorts import RESERVED, RESTRICTION
from regrow.evidence.rights.statements import Statement
from regrow.licences import Kind, covers, get, names_none
from regrow.licences.comparing import freest
from regrow.licences.expressions import Alternatives, alternatives

SEVERAL = 4
"""So many licences in one text are a list of what others are under, and none of them need be its own."""

_OWN = "LicenseRef-"
_SILENT = ("not declared", "undeclared")
_WEIGHT = {Kind.PERMISSIVE: 1, Kind.DATA_PERMISSIVE: 1, Kind.WEAK_COPYLEFT: 2, Kind.COPYLEFT: 3, Kind.DATA_COPYLEFT: 3}
_CLOSED = 4


class State(StrEnum):
    """How what a text says goes with what is declared, the worst first."""

    CONTRADICTS = "contradicts"
    RESERVES = "reserves"
    SEVERAL = "lists-licences"
    OTHER = "names-another"
    FOUND = "found"
    AGREES = "agrees"
    DECLARED = "declared"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """What is known of the rights in a text.

    Attributes:
        state: in one word.
        says: the licences and restrictions that it speaks of, in order.
        because: the statements that decide it.
    """

    state: State
    says: tuple[str, ...] = ()
    because: tuple[Statement, ...] = ()


def declares_none(licence: str) -> bool:
    """Whether the licence that a source declares says nothing of its terms."""
    said = licence.removeprefix(_OWN).replace("-", " ")
    return names_none(said) or said.casefold() in _SILENT


def judge(declared: str, statements: Iterable[Statement]) -> Verdict:
    """What is known of a text, by the licence that its source declares and by what it says itself."""
    told = [one for one in statements if one.is_licence or one.sort in (RESTRICTION, RESERVED)]
    licences = [one for one in told if one.is_licence]
    forbids = [one for one in told if one.sort == RESTRICTION]
    reserves = [one for one in told if one.sort == RESERVED and not one.says]
    says = tuple(sorted({one.says for one in (*licences, *forbids)}))
    if declares_none(declared):
        found = (*forbids, *licences) or (reserves if reserves else ())
        return Verdict(State.FOUND if found else State.UNKNOWN, says, tuple(found))
    ways = alternatives(declared)
    if len({one.says for one in licences}) >= SEVERAL:
        return Verdict(State.SEVERAL, says, tuple(licences))
    if ways is None:  # terms of somebody's own, with which nothing can be compared
        return Verdict(State.FOUND if told else State.DECLARED, says, tuple(told))
    against = [one for one in licences if asks_for_more(one.says, declared)]
    if _weight(ways) < _CLOSED:
        against += forbids
    if against:
        return Verdict(State.CONTRADICTS, tuple(sorted({one.says for one in against})), tuple(against))
    if reserves and not licences and _weight(ways) < _CLOSED:
        return Verdict(State.RESERVES, ("all rights reserved",), tuple(reserves))
    if licences and not any(agrees(one.says, declared) for one in licences):
        return Verdict(State.OTHER, says, tuple(licences))
    return Verdict(State.AGREES if licences else State.DECLARED, says, tuple(licences))


@lru_cache(4096)
def agrees(says: str, declared: str) -> bool:
    """Whether a licence that a text names is one that is declared, or another version of it."""
    found, known = alternatives(says) or (), alternatives(declared) or ()
    return any(_same(one, other) for way in found for one in way for theirs in known for other in theirs)


@lru_cache(4096)
def asks_for_more(says: str, declared: str) -> bool:
    """Whether a licence that a text names asks for something that the declared one does not."""
    found, known = alternatives(says), alternatives(declared)
    if found is None or known is None or agrees(says, declared):
        return False
    theirs, ours = freest(found), freest(known)
    heavier = _heaviness(theirs) > _heaviness(ours)
    bound = _heaviness(theirs) == _heaviness(ours) > _WEIGHT[Kind.WEAK_COPYLEFT]
    return heavier or (bound and not _may_go_over(theirs, ours))


def _may_go_over(theirs: Sequence[str], ours: Sequence[str]) -> bool:
    """Whether what is under one licence may be passed on under another."""
    return any(our in get(their).compatible for their in theirs for our in ours)


def _weight(ways: Alternatives) -> int:
    return _heaviness(freest(ways))


def _heaviness(ids: Sequence[str]) -> int:
    """How much licences that hold together ask for: nothing, to be named, the same licence, or more than is open."""
    return max(_heaviness_of(id) for id in ids)


def _heaviness_of(id: str) -> int:
    licence = get(id)
    if not licence.open or licence.kind not in _WEIGHT:
        return _CLOSED
    return _WEIGHT[licence.kind] if licence.clauses else 0


def _same(one: str, other: str) -> bool:
    """Whether two licences are one, or versions of one."""
    return covers(one, other) or _family(one) == _family(other)


@lru_cache(1024)
def _family(id: str) -> str:
    """A licence without its version: ``gpl-2.0-or-later`` is one of ``gpl``."""
    return id.removesuffix("-or-later").removesuffix("-only").rstrip("0123456789.").rstrip("-v")
