"""Three values and how they combine.

``not met`` is below ``not shown`` is below ``met``. Of several things that are all needed the worst decides; of
several of which one is enough, the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from regrow.auditing.facts import Basis, Evidence, Fact, places
from regrow.auditing.result import Outcome

T = TypeVar("T")

_RANK = {Outcome.NOT_MET: 0, Outcome.NOT_SHOWN: 1, Outcome.MET: 2}
_REASONS = 3


@dataclass(frozen=True)
class Result:
    """What came of a need.

    Attributes:
        outcome: met, not met or not shown.
        reasons: why, a few words each.
        evidence: what it rests on.
        missing: what would have to be added; empty if met.
        limited_by: id of the ancestor that limits it, or empty.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    limited_by: str = ""

    @property
    def reason(self) -> str:
        """The reasons in one line; what is met by the table of known models says so, however many reasons there are."""
        known = as_known(self.evidence) if self.outcome is Outcome.MET else ""
        part = "" if all(place.collector == Basis.KNOWN for place in self.evidence) else "; in part"
        return joined(self.reasons) + (f"{part or ','} {known}" if known else "")


def met(reason: str, facts: Iterable[Fact] = ()) -> Result:
    """It is fulfilled, as these facts show."""
    return Result(Outcome.MET, (reason,), places(facts))


def not_met(reason: str, facts: Iterable[Fact] = (), *, missing: str) -> Result:
    """It is not fulfilled; ``missing`` says what to add."""
    return Result(Outcome.NOT_MET, (reason,), places(facts), (missing,))


def not_shown(reason: str, facts: Iterable[Fact] = (), *, missing: str) -> Result:
    """Nobody can tell from what was read; ``missing`` says what to add."""
    return Result(Outcome.NOT_SHOWN, (reason,), places(facts), (missing,))


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """What decides if all are needed."""
    return min(outcomes, key=rank, default=Outcome.MET)


def best(outcomes: Iterable[Outcome]) -> Outcome:
    """What decides if one is enough."""
    return max(outcomes, key=rank, default=Outcome.NOT_MET)


def rank(outcome: Outcome) -> int:
    """0 for not met, 1 for not shown, 2 for met."""
    return _RANK[outcome]


def all_of(results: Sequence[Result]) -> Result:
    """All are needed; the reasons are of those that fail, the worst first."""
    failing = sorted((one for one in results if one.outcome is not Outcome.MET), key=lambda one: rank(one.outcome))
    return Result(
        worst(one.outcome for one in results),
        unique(line for one in failing or results for line in one.reasons),
        unique(place for one in results for place in one.evidence),
        unique(line for one in failing for line in one.missing),
        failing[0].limited_by if failing else "",
    )


def any_of(results: Sequence[Result]) -> Result:
    """One is enough: the first of the best; where none is met, it is what is easiest to complete."""
    top = best(one.outcome for one in results)
    return next(one for one in results if one.outcome is top)


def capped(result: Result, reason: str) -> Result:
    """Not shown where it would be not met, because it is not known to matter."""
    if result.outcome is not Outcome.NOT_MET:
        return result
    return replace(result, outcome=Outcome.NOT_SHOWN, reasons=(*result.reasons, reason))


def as_known(evidence: Iterable[Evidence]) -> str:
    """The rows of the table of known models among some evidence, for a reason that rests on them; or nothing."""
    rows = joined(place.locator for place in evidence if place.collector == Basis.KNOWN)
    return f"as known ({rows})" if rows else ""


def joined(reasons: Iterable[str]) -> str:
    """Several reasons in one line."""
    lines = unique(reasons)
    more = len(lines) - _REASONS
    return "; ".join(lines[:_REASONS]) + (f"; and {more} more" if more > 0 else "")


def one_line(text: str, limit: int = 160) -> str:
    """What somebody else wrote, as one short line without control characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def unique(items: Iterable[T]) -> tuple[T, ...]:
    """Each once, in the order of their first occurrence."""
    return tuple(dict.fromkeys(items))
