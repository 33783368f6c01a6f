"""The licences of the training data: how many bytes are under which, and what they ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from regrow.auditing.facts import Basis, Collected, DatasetFact, Finding, Relation, Role, Severity, places
from regrow.auditing.findings import FindingId
from regrow.auditing.result import DataShare, Duty
from regrow.licences.catalogue import Clause, Licence, get
from regrow.licences.comparing import freest
from regrow.licences.expressions import alternatives

UNKNOWN = "unknown"
_NAMED = 3  # sources named in a line
_ASKS_TO_NAME = frozenset(("attribution", "notice"))
_USE: tuple[FindingId, Severity, str] = ("data-non-commercial", Severity.WARNING, "are not for commercial use")
_QUESTIONS: dict[str, tuple[FindingId, Severity, str]] = {
    "same-licence": ("data-share-alike", Severity.NOTE, "are share-alike"),
    "non-commercial": _USE,
    "research-only": _USE,
    "no-derivatives": ("data-no-derivatives", Severity.NOTE, "may not be shared changed"),
}
_RELIABLE = (Basis.FOUND, Basis.DECLARED, Basis.KNOWN)


@dataclass(frozen=True)
class Data:
    """What follows from the licences of the data."""

    shares: tuple[DataShare, ...]
    duties: tuple[Duty, ...]
    findings: tuple[Finding, ...]


def judge(collected: Collected) -> Data:
    """Sum up the licences of everything that the model was trained with."""
    groups: dict[tuple[str, tuple[str, ...]], list[DatasetFact]] = {}
    for fact in _trained_on(collected):
        groups.setdefault(_licences(fact), []).append(fact)
    read = {said: [one for one in facts if one.basis is not Basis.KNOWN] for (said, _), facts in groups.items()}
    shares = _shares({said: facts for said, facts in read.items() if facts})
    return Data(
        shares,
        tuple(duty for (_, ids), facts in groups.items() for duty in _duties(ids, facts)),
        tuple(finding for (said, ids), facts in groups.items() for finding in _findings(said, ids, facts)),
    )


def _trained_on(collected: Collected) -> Iterable[DatasetFact]:
    """Each source once: what was found of it before what is said of it."""
    facts = [fact for fact in collected.of(DatasetFact) if fact.role is not Role.EVALUATION]
    best: dict[str, DatasetFact] = {}
    for fact in sorted(facts, key=lambda fact: (_RELIABLE.index(fact.basis), not fact.licence)):
        best.setdefault(fact.name, fact)
    return best.values()


def _licences(fact: DatasetFact) -> tuple[str, tuple[str, ...]]:
    """What to call the data's licence, and its ids if it is in the catalogue."""
    ways = alternatives(fact.licence) if fact.licence else None
    if ways:
        ids = freest(ways)
        return (ids[0], ids) if len(ways) == len(ids) == 1 else (fact.licence, ids)
    plain = fact.licence.strip()
    return (UNKNOWN if plain.casefold() in ("", "unknown", "other", "none", "noassertion") else plain), ()


def _shares(groups: dict[str, list[DatasetFact]]) -> tuple[DataShare, ...]:
    """By licence, the largest first and the unknown last."""
    total = sum(fact.bytes or 0 for facts in groups.values() for fact in facts)
    shares = []
    for said, facts in groups.items():
        known = [fact.bytes for fact in facts if fact.bytes is not None]
        size = sum(known) if known else None
        shares.append(DataShare(said, size, size / total if size is not None and total else None, len(facts)))
    return tuple(sorted(shares, key=lambda share: (share.licence == UNKNOWN, -(share.bytes or 0), share.licence)))


def _duties(ids: Sequence[str], facts: Sequence[DatasetFact]) -> Iterator[Duty]:
    names, evidence = _names(facts), places(facts[:_NAMED])
    for licence, clause in _clauses(ids):
        if clause.name in _ASKS_TO_NAME:
            yield Duty(f"of the data {names}: {clause.text}", licence.id, names, "share", evidence)
        elif Relation.SYNTHETIC_DATA in clause.reach:
            yield Duty(
                f"may apply, as outputs in the data {names}: {clause.text}", licence.id, names, clause.when, evidence
            )


def _findings(said: str, ids: Sequence[str], facts: Sequence[DatasetFact]) -> Iterator[Finding]:
    names, evidence = _names(facts), places(facts[:_NAMED])
    if not ids:
        what = "have no licence that is told" if said == UNKNOWN else f"are under `{said}`, which is not known here"
        yield Finding(
            "data-licence-unknown", Severity.NOTE, f"the data {names} {what}; find out what they ask", evidence
        )
    for licence, clause in _clauses(ids):
        if clause.name in _QUESTIONS and (clause.reach or clause.name != "same-licence"):
            id, severity, what = _QUESTIONS[clause.name]
            text = f"the data {names} {what} ({licence.id}); whether that reaches the weights is an open question"
            yield Finding(id, severity, text, evidence)


def _clauses(ids: Sequence[str]) -> Iterator[tuple[Licence, Clause]]:
    return ((get(id), clause) for id in ids for clause in get(id).clauses)


def _names(facts: Sequence[DatasetFact]) -> str:
    names = [f"{fact.name} (as known)" if fact.basis is Basis.KNOWN else fact.name for fact in facts]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
