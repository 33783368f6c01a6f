"""Under which licences one model is: what its card says, what its texts say, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from regrow.audit.facts import Basis, Collected, Evidence, Finding, LicenceFact, Scope, Severity
from regrow.audit.licences.expressions import Alternatives, alternatives
from regrow.audit.licences.table import Kind, Licence, get, linked
from regrow.audit.licences.table import find as find_licence

_NONE = frozenset(
    ("", "unknown", "none", "unlicensed", "unlicenced", "noassertion", "no license", "no licence", "proprietary")
)
_ORDER = list(Kind)


class Status(StrEnum):
    """How well a licence is known."""

    KNOWN = "known"
    UNRESOLVED = "unresolved"  # there is one, and it is not in the table
    ABSENT = "absent"  # there is none, so nothing is permitted
    UNREAD = "unread"  # nothing of the model could be read


@dataclass(frozen=True)
class Holding:
    """The licences of a model for one scope.

    Attributes:
        status: how well they are known.
        ids: those that hold together, if they are known.
        how: in what they were read, for a reason: ``the text in LICENSE``.
        evidence: where.
        findings: what is wrong with them.
    """

    status: Status
    ids: tuple[str, ...] = ()
    how: str = ""
    evidence: tuple[Evidence, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def licences(self) -> tuple[Licence, ...]:
        """The entries of the table."""
        return tuple(get(id) for id in self.ids)


def told(collected: Collected) -> frozenset[Scope]:
    """The scopes for which a licence is given."""
    return frozenset(fact.scope for fact in collected.facts if isinstance(fact, LicenceFact))


def hold(collected: Collected, scope: Scope) -> Holding:
    """The licences of a model for a scope: a text beats a tag, and a tag beats the table of known models."""
    facts = [fact for fact in collected.facts if isinstance(fact, LicenceFact)]
    texts, tags, known = (_for(facts, scope, basis) for basis in (Basis.FOUND, Basis.DECLARED, Basis.KNOWN))
    tags = [fact for fact in tags if not _says_none(fact)]
    for group in (texts, tags, known):
        resolved = [(fact, ways) for fact in group if (ways := resolve(fact))]
        if resolved:
            ids = _together(ways for _, ways in resolved)
            if group is texts:
                ids = _as_offered(ids, tags)
            evidence = _evidence(fact for fact, _ in resolved)
            findings = (
                *_differences(collected, ids, texts, tags, known),
                *_unresolved(collected, texts, tags, resolved),
            )
            if group is texts or not texts:
                return Holding(Status.KNOWN, ids, _how(resolved[0][0]), evidence, findings)
            return Holding(Status.UNRESOLVED, (), _how(texts[0]), _evidence((*texts, *tags)), findings)
    if texts or tags:
        findings = tuple(_unresolved(collected, texts, tags, []))
        return Holding(Status.UNRESOLVED, (), _how((*texts, *tags)[0]), _evidence((*texts, *tags)), findings)
    if collected.kind == "unreached":
        return Holding(Status.UNREAD)
    return Holding(Status.ABSENT, evidence=_evidence(_for(facts, scope, Basis.DECLARED)))


def resolve(fact: LicenceFact) -> Alternatives | None:
    """The ways in which a fact can be met; None if it names no licence of the table."""
    if fact.id is not None and find_licence(fact.id):
        return ((get_id(fact.id),),)
    if fact.basis is Basis.FOUND:
        return None  # a text that was not recognised; the name of its file says nothing
    for text in (fact.raw, fact.name):
        if text and (ways := alternatives(text)):
            return ways
    licence = linked(fact.link) if fact.link else None
    return ((licence.id,),) if licence else None


def get_id(tag: str) -> str:
    """The id of a licence that is in the table under this name."""
    licence = find_licence(tag)
    if licence is None:
        raise KeyError(tag)
    return licence.id


def covers(declared: str, found: str) -> bool:
    """Whether a declared licence is the found one, or a family that it belongs to."""
    return declared == found or found in get(declared).members or declared in get(found).members


def _for(facts: Sequence[LicenceFact], scope: Scope, basis: Basis) -> list[LicenceFact]:
    """The facts of one basis for a scope; those for everything where it has none of its own."""
    ours = [fact for fact in facts if fact.basis is basis and fact.scope is scope]
    return ours or [fact for fact in facts if fact.basis is basis and fact.scope is Scope.EVERYTHING]


def _says_none(fact: LicenceFact) -> bool:
    return fact.id is None and not fact.name and not fact.link and fact.raw.strip().casefold() in _NONE


def _together(ways: Iterable[Alternatives]) -> tuple[str, ...]:
    """The licences that hold together where each group of alternatives must be met; the freest way of each."""
    ids = dict.fromkeys(id for choice in ways for id in freest(choice))
    special = [id for id in ids if not any(other in get(id).members for other in ids)]
    return tuple(special)


def freest(ways: Alternatives) -> tuple[str, ...]:
    """The way that leaves the most freedom, which whoever may choose can take."""
    return min(ways, key=_burden)


def _burden(ids: Sequence[str]) -> tuple[int, ...]:
    licences = [get(id) for id in ids]
    limits = sum(len(clause.limits) for licence in licences for clause in licence.clauses)
    denied = sum(4 - len(licence.permits) for licence in licences)
    kinds = max(_ORDER.index(licence.kind) for licence in licences)
    closed, duties = (sum(not licence.open for licence in licences), sum(len(licence.clauses) for licence in licences))
    return (limits + denied, closed, kinds, duties)


def _as_offered(found: tuple[str, ...], tags: Sequence[LicenceFact]) -> tuple[str, ...]:
    """Where the texts are those of a declared choice, the freest way of it."""
    for fact in tags:
        ways = resolve(fact) or ()
        if len(ways) > 1 and set(found) == {id for way in ways for id in way}:
            return freest(ways)
    return found


def _differences(
    collected: Collected,
    ids: tuple[str, ...],
    texts: Sequence[LicenceFact],
    tags: Sequence[LicenceFact],
    known: Sequence[LicenceFact],
) -> Iterable[Finding]:
    """Each statement that names another licence than the one that is taken to hold."""
    for fact in (*tags, *known):
        ways = resolve(fact)
        named = {id for way in ways or () for id in way}
        texts_ids = {fact.id for fact in texts if fact.id}
        accounted = all(any(covers(name, id) for name in named) or _beside(id, named) for id in texts_ids or ids)
        if named and not (accounted and any(covers(name, id) for name in named for id in ids)):
            others = [other for other in (*texts, *tags, *known) if other is not fact and resolve(other) != ways]
            verb = "is known to be under" if fact.basis is Basis.KNOWN else "is tagged"
            where = _how(others[0]) if others else "its text"
            what = f"{collected.name} {verb} {fact.raw}, but {where} says {', '.join(ids)}; ask which one holds"
            yield Finding("licence-differs", Severity.CONFLICT, what, _evidence((fact, *others)))


def _beside(id: str, named: set[str]) -> bool:
    """The GPL's text belongs beside the LGPL's."""
    return id == "gpl-3.0" and bool(named & {"lgpl-3.0", "lgpl"})


def _unresolved(
    collected: Collected,
    texts: Sequence[LicenceFact],
    tags: Sequence[LicenceFact],
    resolved: Sequence[tuple[LicenceFact, Alternatives]],
) -> Iterable[Finding]:
    """Texts that are no known licence, and tags that name none."""
    done = [fact for fact, _ in resolved]
    for fact in texts:
        if fact not in done:
            text = (
                f"the text in {fact.raw} of {collected.name} is not a licence known here, or one with changes; read it"
            )
            yield Finding("licence-text-unidentified", Severity.WARNING, text, (fact.evidence,))
    if any(fact.basis is Basis.FOUND for fact in done):
        return
    for fact in tags:
        if resolve(fact) is None:
            said = " ".join(part for part in (fact.raw, fact.name, fact.link) if part)
            text = f"{collected.name} is under `{said}`, which is not a licence known here; read its terms"
            yield Finding("licence-unresolved", Severity.WARNING, text, (fact.evidence,))


def _how(fact: LicenceFact) -> str:
    return {
        Basis.FOUND: f"the text in {fact.raw}",
        Basis.DECLARED: f"the tag in {fact.evidence.file}",
        Basis.KNOWN: "the table of known models",
    }[fact.basis]


def _evidence(facts: Iterable[LicenceFact]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(fact.evidence for fact in facts))
