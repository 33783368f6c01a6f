"""Under which licences one model is: what its card says, what its texts say, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from regrow.auditing.facts import Basis, Collected, DenialFact, Evidence, Finding, LicenceFact, Scope, Severity, places
from regrow.licences.catalogue import Licence, find, get, linked
from regrow.licences.comparing import covers, freest, names_none
from regrow.licences.expressions import Alternatives, alternatives
from regrow.licences.matching import title_words
from regrow.licences.words import words


class Status(StrEnum):
    """How well a licence is known."""

    KNOWN = "known"
    UNRESOLVED = "unresolved"  # there is one, and it is not in the catalogue
    ABSENT = "absent"  # there is none, so nothing is permitted
    DISPUTED = "disputed"  # what is said of it contradicts itself
    UNREAD = "unread"  # none was seen, and not all of the model could be read


@dataclass(frozen=True)
class Conclusion:
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
        """Their entries in the catalogue."""
        return tuple(get(id) for id in self.ids)


def scopes_told(collected: Collected) -> frozenset[Scope]:
    """The scopes for which a licence is given."""
    return frozenset(fact.scope for fact in collected.of(LicenceFact))


@dataclass(frozen=True)
class _Read:
    """What was read of a model's licences for one scope: texts, tags, and what the table of known models has."""

    model: Collected
    scope: Scope
    texts: list[LicenceFact]
    tags: list[LicenceFact]
    known: list[LicenceFact]

    @property
    def own(self) -> list[LicenceFact]:
        """What the model itself says."""
        return [*self.texts, *self.tags]


def conclude(collected: Collected, scope: Scope) -> Conclusion:
    """The licences of a model for a scope: a text beats a tag, and a tag beats the table of known models."""
    facts = collected.of(LicenceFact)
    texts, said, known = (_for(facts, scope, basis) for basis in (Basis.FOUND, Basis.DECLARED, Basis.KNOWN))
    said += _besides(facts, said) if scope is Scope.WEIGHTS else []
    read = _Read(collected, scope, texts, [fact for fact in said if not says_none(fact)], known)
    for group in (read.texts, read.tags, read.known):
        if any(resolve(fact) for fact in group):
            return _resolved(read, group)
    if read.own:
        return Conclusion(Status.UNRESOLVED, (), _how(read.own[0]), places(read.own), tuple(_unresolved(read, [])))
    if collected.kind == "unreached" or not collected.complete:
        return Conclusion(Status.UNREAD)
    return Conclusion(Status.ABSENT, evidence=places(said))


def _resolved(read: _Read, group: Sequence[LicenceFact]) -> Conclusion:
    """The licences that a group of facts names, unless another statement leaves them open."""
    ways = {fact: way for fact in group if (way := resolve(fact))}
    resolved = list(ways)
    ids = _together(ways.values())
    ids = _as_offered(ids, read.tags) if group is read.texts else ids
    disputes = [*_disputes(read, ids), *(_between_places(read) if group is read.tags else _against_texts(read, ids))]
    findings = (*(disputes or _differences(read, ids)), *_unresolved(read, resolved))
    if disputes:
        evidence = (*places(resolved), *(place for finding in disputes for place in finding.evidence))
        files = " and ".join(dict.fromkeys(at.file for at in evidence))
        return Conclusion(Status.DISPUTED, (), files, tuple(dict.fromkeys(evidence)), findings)
    unsettled = (fact for fact in group if fact not in ways and not fact.quote)  # a sentence's are among the disputes
    odd = [] if group is read.texts else [*read.texts, *unsettled]
    if odd:
        return Conclusion(Status.UNRESOLVED, (), _how(odd[0]), places(read.own), findings)
    return Conclusion(Status.KNOWN, ids, _how(resolved[0]), places(resolved), findings)


def resolve(fact: LicenceFact) -> Alternatives | None:
    """The ways in which a fact can be met; None if it names no licence of the catalogue."""
    if fact.id is not None and (known := find(fact.id)):
        return ((known.id,),)
    if fact.basis is Basis.FOUND:
        return None  # a text that was not recognised; the name of its file says nothing
    for text in (fact.raw, fact.name):
        if text and (ways := alternatives(text)):
            return ways
    licence = linked(fact.link) if fact.link else None
    return ((licence.id,),) if licence else None


def _for(facts: Sequence[LicenceFact], scope: Scope, basis: Basis) -> list[LicenceFact]:
    """The facts of one basis for a scope; those for everything where it has none of its own."""
    ours = [fact for fact in facts if fact.basis is basis and fact.scope is scope]
    return ours or [fact for fact in facts if fact.basis is basis and fact.scope is Scope.EVERYTHING]


def _besides(facts: Sequence[LicenceFact], said: Sequence[LicenceFact]) -> list[LicenceFact]:
    """What is declared for everything beside what is said of the weights: by another file, or by a sentence and a tag.

    What a header or a sentence says of the weights does not silence the card; what a form says of them in one of its
    fields does.
    """
    own = {fact.evidence.file for fact in said if not fact.quote}
    whole = (fact for fact in facts if fact.basis is Basis.DECLARED and fact.scope is Scope.EVERYTHING)
    return [fact for fact in whole if fact not in said and (fact.quote or fact.evidence.file not in own)]


def says_none(fact: LicenceFact) -> bool:
    """Whether a declaration tells no terms: ``unknown``, ``none`` and the like."""
    return fact.id is None and not fact.name and not fact.link and names_none(fact.raw)


def _together(ways: Iterable[Alternatives]) -> tuple[str, ...]:
    """The licences that hold together where each group of alternatives must be met; the freest way of each."""
    ids: dict[str, None] = {}
    for choice in sorted(ways, key=len):  # a choice that what has to hold anyway meets asks for nothing more
        if not any(set(way) <= ids.keys() for way in choice):
            ids |= dict.fromkeys(freest(choice))
    special = [id for id in ids if not any(other in get(id).members for other in ids)]
    return tuple(special)


def _as_offered(found: tuple[str, ...], tags: Sequence[LicenceFact]) -> tuple[str, ...]:
    """Where the texts are those of a declared choice, of versions too, the freest way of it."""
    for fact in tags:
        ways = resolve(fact) or ()
        if len(ways) > 1 and set(found) == {id for way in ways for id in way}:
            return freest(ways)
        if len(ways) == 1 and len(ways[0]) == 1 and set(found) == set(get(ways[0][0]).members):
            return ways[0]
    return found


def _disputes(read: _Read, ids: tuple[str, ...]) -> Iterator[Finding]:
    """What speaks against open licences and cannot be weighed: other terms, by name or as known, or a policy."""
    if not all(get(id).open for id in ids):
        return
    for fact in read.tags:
        if fact.name and not any(_is_name(fact.name, id) for id in ids):
            what = f"its terms are called `{fact.name}` in {fact.evidence.file}"
            yield _differs(read, ids, what, fact.evidence)
    for fact in read.known:
        closed = not any(get(id).open for way in resolve(fact) or () for id in way)
        if closed and _is_another(read, fact, ids):
            yield _differs(read, ids, f"it is known to be under {fact.raw}", fact.evidence, *places(read.own))
    if read.scope in (Scope.WEIGHTS, Scope.EVERYTHING):
        for denial in read.model.of(DenialFact):
            if denial.id in ids:
                what = f"{denial.evidence.file} ({denial.evidence.locator}) says that it is not under {denial.id}"
                yield _differs(read, ids, what, denial.evidence)
        for finding in read.model.findings:
            if finding.id == "use-policy":
                yield _differs(read, ids, finding.text, *finding.evidence)


def _differs(read: _Read, ids: tuple[str, ...], what: str, *evidence: Evidence) -> Finding:
    text = f"{read.model.name} is said to be under {', '.join(ids)}, but {what}; ask which one holds"
    return Finding("licence-differs", Severity.CONFLICT, text, evidence)


def _is_name(name: str, id: str) -> bool:
    """Whether terms that are called so can be this licence."""
    ways = alternatives(name)
    if ways:
        return any(covers(other, id) for way in ways for other in way)
    return not set(words(name.replace("-", " "))) - title_words(id) - {"the", "license", "version"}


def _between_places(read: _Read) -> Iterator[Finding]:
    """Declarations in two places that do not name the same licence. The tags of one file belong together."""
    for one, other in combinations(read.tags, 2):
        ways = resolve(one), resolve(other)
        if one.quote or other.quote:
            apart = one.evidence != other.evidence and all(ways)
        else:
            apart = one.evidence.file != other.evidence.file
        if apart and not _agree(*ways):
            text = f"{read.model.name} {_said(one)}, but {_said(other)}; ask which one holds"
            yield Finding("licence-differs", Severity.CONFLICT, text, (one.evidence, other.evidence))


def _against_texts(read: _Read, ids: tuple[str, ...]) -> Iterator[Finding]:
    """Declarations that an open text does not settle: of the weights themselves, by a sentence, or of less freedom."""
    if not all(get(id).open for id in ids):
        return
    general = all(fact.scope is Scope.EVERYTHING for fact in read.texts)
    for fact in read.tags:
        ways = resolve(fact)
        nearer = fact.quote or (general and fact.scope is not Scope.EVERYTHING)
        closed = not any(get(id).open for way in ways or () for id in way)
        if ways and (nearer or closed) and _is_another(read, fact, ids):
            text = f"{read.model.name} {_said(fact)}, but the text in {read.texts[0].raw} says {', '.join(ids)}"
            yield Finding(
                "licence-differs", Severity.CONFLICT, f"{text}; ask which one holds", places((fact, *read.texts))
            )


def _said(fact: LicenceFact) -> str:
    """What a declaration says, and where."""
    place = f"{fact.evidence.file} ({fact.evidence.locator})" if fact.quote else fact.evidence.file
    return f"is {'said to be under' if fact.quote else 'tagged'} {_called(fact)} in {place}"


def _agree(one: Alternatives | None, other: Alternatives | None) -> bool:
    """Whether a way of the one can be a way of the other."""
    return any(
        all(any(covers(a, b) for b in theirs) for a in ours) and all(any(covers(a, b) for a in ours) for b in theirs)
        for ours in one or ()
        for theirs in other or ()
    )


def _called(fact: LicenceFact) -> str:
    return " ".join(part for part in (fact.raw, fact.name, fact.link) if part)


def _differences(read: _Read, ids: tuple[str, ...]) -> Iterable[Finding]:
    """Each statement that names another licence than the one that is taken to hold."""
    for fact in (*read.tags, *read.known):
        if _is_another(read, fact, ids):
            others = [
                other for other in (*read.own, *read.known) if other is not fact and resolve(other) != resolve(fact)
            ]
            verb = "is known to be under" if fact.basis is Basis.KNOWN else "is tagged"
            where = _how(others[0]) if others else "its text"
            what = f"{read.model.name} {verb} {fact.raw}, but {where} says {', '.join(ids)}; ask which one holds"
            yield Finding("licence-differs", Severity.CONFLICT, what, places((fact, *others)))


def _is_another(read: _Read, fact: LicenceFact, ids: tuple[str, ...]) -> bool:
    """Whether a statement names a licence that is not the one that is taken to hold."""
    named = {id for way in resolve(fact) or () for id in way}
    texts = {text.id for text in read.texts if text.id}
    accounted = all(any(covers(name, id) for name in named) or _beside(id, named) for id in texts or ids)
    return bool(named) and not (accounted and any(covers(name, id) for name in named for id in ids))


def _beside(id: str, named: set[str]) -> bool:
    """The GPL's text belongs beside the LGPL's."""
    return id == "gpl-3.0" and bool(named & {"lgpl-3.0", "lgpl"})


def _unresolved(read: _Read, resolved: Sequence[LicenceFact]) -> Iterable[Finding]:
    """Texts that are no known licence, and tags that name none."""
    name = read.model.name
    for fact in read.texts:
        if fact not in resolved:
            text = f"the text in {fact.raw} of {name} is not a licence known here, or one with changes; read it"
            yield Finding("licence-text-unidentified", Severity.WARNING, text, (fact.evidence,))
    if any(fact.basis is Basis.FOUND for fact in resolved):
        return
    for fact in read.tags:
        if resolve(fact) is None:
            text = f"{name} is under `{_called(fact)}`, which is not a licence known here; read its terms"
            yield Finding("licence-unresolved", Severity.WARNING, text, (fact.evidence,))


def _how(fact: LicenceFact) -> str:
    return {
        Basis.FOUND: f"the text in {fact.raw}",
        Basis.DECLARED: f"{f'{fact.evidence.locator} of' if fact.quote else 'the tag in'} {fact.evidence.file}",
        Basis.KNOWN: "the table of known models",
    }[fact.basis]
