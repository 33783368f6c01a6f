"""What the user asks of a model, and whether it holds.

A policy is a TOML file. Every key is optional but the first; what is not asked is not checked:

    policy = 1
    osaid = "met"
    mof_class = "II"
    ladder = "pinned"
    parts = ["data", "weights"]
    freedoms = ["use", "share"]
    known_data = 0.9

    [licences]
    forbid_kinds = ["non-commercial", "research"]

    [forbid]
    clauses = ["non-commercial", "mau"]
    findings = ["unsafe-file"]

A line that cannot be told is *not shown*, which is not enough for whoever asked. :func:`reference` lists all keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from regrow.auditing.facts import LicenceFact, Rebuild, Severity
from regrow.auditing.findings import FindingId
from regrow.auditing.licences.inheritance import Inheritance
from regrow.auditing.lineage import chain, facts
from regrow.auditing.names import short
from regrow.auditing.result import Answer, Audit, Claim, Definition, Outcome, PolicyCheck, Verdict
from regrow.auditing.rules.results import one_line, rank, unique
from regrow.licences import Kind, Licence, every, find
from regrow.licences.catalogue import clause_names
from regrow.recipe import licences, schema
from regrow.recipe.problems import fields, nested
from regrow.recipe.text import opened
from regrow.sections import Section, fault
from regrow.words import closest, listed, shown, suggestion

Judged = TypeVar("Judged", Claim, Verdict)

PartName = Literal["data", "training-code", "weights", "inference"]
Met = Literal["met"] | None
FreedomName = Literal["use", "study", "modify", "share", "rebuild", "fork"]
_MUTABLE = "mutable-terms"
_CLASSES = ("III", "II", "I")
_WORDS = {"yes": Outcome.MET, "no": Outcome.NOT_MET, "not shown": Outcome.NOT_SHOWN}


def _licence(value: str) -> str:
    """A licence of the catalogue, or another that SPDX lists or somebody calls ``LicenseRef-...``: one, not several."""
    if find(value) is not None:
        return value
    if re.search(r"[()]| (?:AND|OR|WITH) ", value, re.IGNORECASE):
        raise fault(f"{shown(value)} is an expression", hint='name each licence alone: ["MIT", "Apache-2.0"]')
    if wrong := licences.fault(value):
        what, hint = wrong
        near = closest(value, (entry.id for entry in every()))
        raise fault(what, hint=f"did you mean `{near}`?" if near else hint)
    return value


def clauses() -> tuple[str, ...]:
    """The sorts of clauses that a policy can forbid; that terms can change is said by the licence, not by a clause."""
    return tuple(sorted((*clause_names(), _MUTABLE)))


def _among(names: Callable[[], Iterable[str]]) -> BeforeValidator:
    """One of some names that are kept as data."""

    def check(value: object) -> object:
        if value in (known := tuple(names())):
            return value
        near = closest(str(value), known)
        raise fault(
            f"must be one of {listed(known)}, not {shown(value)}", hint=f"did you mean `{near}`?" if near else ""
        )

    return BeforeValidator(check)


def _finding(value: str) -> str:
    known = get_args(FindingId)
    if value not in known:
        raise fault(f"there is no finding {shown(value)}", hint=suggestion(value, known, "there are"))
    return value


LicenceName = Annotated[str, AfterValidator(_licence)]
FindingName = Annotated[str, AfterValidator(_finding)]
KindName = Annotated[str, _among(lambda: Kind)]
ClauseName = Annotated[str, _among(clauses)]


def _asked(description: str, example: Any, **bounds: Any) -> Any:
    """A key that may be left out, and then asks nothing."""
    default = () if isinstance(example, list) else None
    return Field(default=default, description=description, examples=[example], **bounds)


class Licences(Section):
    """Which licences the weights may have: the model's own, and those of all models whose licence reaches it."""

    allow: tuple[LicenceName, ...] = _asked("Every licence has to be one of these.", ["apache-2.0", "mit"])
    forbid: tuple[LicenceName, ...] = _asked("No licence may be one of these.", ["gemma"])
    forbid_kinds: tuple[KindName, ...] = _asked(
        "No licence may be of one of these kinds.", ["non-commercial", "research"]
    )


class Forbid(Section):
    """What must not be there."""

    clauses: tuple[ClauseName, ...] = _asked(
        "No licence of the weights may contain such a clause.", ["non-commercial", "mau", "mutable-terms"]
    )
    findings: tuple[FindingName, ...] = _asked("No finding may have one of these ids.", ["licence-differs"])
    severity: Literal["note", "warning", "conflict"] | None = _asked(
        "No finding may be as severe as this, or more.", "conflict"
    )
    conflicts: bool = Field(default=False, description="If true, no two licences may conflict.")


class Policy(Section):
    """What is asked of a model."""

    policy: Literal[1] = Field(description="The version of the format.", examples=[1])
    osaid: Met = _asked("The Open Source AI Definition has to be met.", "met")
    eu_exempt: Met = _asked("The exemption of Article 53(2) of the EU AI Act has to be met.", "met")
    mof_class: Literal["III", "II", "I"] | None = _asked(
        "The class of the Model Openness Framework that has to be reached.", "II"
    )
    ladder: Literal["declared", "pinned", "signed", "spot-checked", "rebuilt-here", "rebuilt-by-others"] | None = (
        _asked("The rung of the ladder of rebuilding that has to be reached.", "pinned")
    )
    parts: tuple[PartName, ...] = _asked("The parts that have to be there.", ["data", "weights"])
    freedoms: tuple[FreedomName, ...] = _asked("The freedoms that have to be given.", ["use", "share"])
    known_data: float | None = _asked(
        "The share of the training data, by bytes, whose licence has to be known.", 0.9, ge=0, le=1
    )
    claims: Met = _asked("What the maker claims has to be delivered.", "met")
    licences: Licences = Field(default_factory=Licences, description="The licences of the weights.")
    forbid: Forbid = Field(default_factory=Forbid, description="What must not be there.")


@dataclass(frozen=True)
class Key:
    """A key of a policy, for the documentation: its name, what it means, and an example as TOML would have it."""

    name: str
    description: str
    example: Any


def reference() -> tuple[Key, ...]:
    """All keys of a policy."""
    return tuple(_keys(Policy, ""))


def _keys(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    for name, info in fields(model).items():
        if table := nested(info):
            yield from _keys(table, f"{prefix}{name}.")
        else:
            yield Key(prefix + name, info.description or "", info.examples[0] if info.examples else info.default)


def read(path: Path) -> Policy:
    """The policy in a file.

    Raises:
        RecipeError: if it is not there or not a valid policy; it names file, line and key, with a guess.
    """
    hint = "texts stand in quotes, and every key is followed by `=` and a value"
    origin = opened(path, "a policy begins with `policy = 1`", hint)
    return schema.check(Policy, origin.data, origin)


def check(audit: Audit, policy: Policy) -> tuple[PolicyCheck, ...]:
    """Every line of a policy against an audit.

    Args:
        audit: the audit, its own ``policy`` aside.
        policy: what is asked.
    """
    return (
        *_definitions(audit, policy),
        *_answers("part", policy.parts, audit.parts),
        *_answers("freedom", policy.freedoms, audit.freedoms),
        *_data(audit, policy),
        *_claims(audit, policy),
        *_licences(audit, policy),
        *_findings(audit, policy.forbid),
    )


def _definitions(audit: Audit, policy: Policy) -> Iterator[PolicyCheck]:
    of = {one.id: one for one in audit.definitions}
    if policy.osaid:
        yield _whole("osaid is met", of.get("osaid-1.0"))
    if policy.eu_exempt:
        yield _whole("eu_exempt is met", of.get("eu-ai-act-53-2"))
    if policy.mof_class:
        yield _level(f"mof_class is at least {policy.mof_class}", of.get("mof"), policy.mof_class, _CLASSES)
    if policy.ladder:
        yield _level(f"ladder is at least {policy.ladder}", of.get("ladder"), policy.ladder, tuple(Rebuild))


def _failing(judged: Iterable[Judged]) -> list[Judged]:
    """What is not met, the worst first."""
    return sorted((one for one in judged if one.outcome is not Outcome.MET), key=lambda one: rank(one.outcome))


def _whole(text: str, definition: Definition | None) -> PolicyCheck:
    if definition is None:
        return PolicyCheck(text, Outcome.NOT_SHOWN, "not judged")
    failing = _failing(definition.verdicts)
    more = f", and {len(failing) - 1} more" if len(failing) > 1 else ""
    reason = f"{failing[0].title}: {failing[0].reason}{more}" if failing else "every rule is met"
    return PolicyCheck(text, definition.outcome, reason)


def _level(text: str, definition: Definition | None, wanted: str, steps: tuple[str, ...]) -> PolicyCheck:
    level = definition.level if definition else ""
    if level and steps.index(level) >= steps.index(wanted):
        return PolicyCheck(text, Outcome.MET, f"it is {level}")
    known = definition is not None and any(one.outcome is Outcome.NOT_MET for one in definition.verdicts)
    lacking = f"; {definition.next[0]}" if definition and definition.next else ""
    outcome = Outcome.NOT_MET if known else Outcome.NOT_SHOWN
    return PolicyCheck(text, outcome, (f"it is {level}" if level else "none is reached") + lacking)


def _answers(word: str, wanted: Iterable[str], answers: tuple[Answer, ...]) -> Iterator[PolicyCheck]:
    of = {one.name: one for one in answers}
    for name in wanted:
        answer = of.get(name)
        judged = (_WORDS[answer.answer], answer.reason) if answer else (Outcome.NOT_SHOWN, "not judged")
        yield PolicyCheck(f"{word} {name} is there", *judged)


def _data(audit: Audit, policy: Policy) -> Iterator[PolicyCheck]:
    if policy.known_data is None:
        return
    text = f"the licence of at least {policy.known_data:.0%} of the training data is known"
    sizes = [one for one in audit.data if one.bytes is not None]
    total = sum(one.bytes or 0 for one in sizes)
    if len(sizes) < len(audit.data) or not total:
        yield PolicyCheck(text, Outcome.NOT_SHOWN, "not told how much training data there is")
        return
    share = sum(one.bytes or 0 for one in sizes if one.licence and one.licence != "unknown") / total
    outcome = Outcome.MET if share >= policy.known_data else Outcome.NOT_MET
    yield PolicyCheck(text, outcome, f"it is known of {share:.1%}")


def _claims(audit: Audit, policy: Policy) -> Iterator[PolicyCheck]:
    if policy.claims:
        failing = _failing(audit.claims)
        outcome = failing[0].outcome if failing else Outcome.MET
        reason = f"{one_line(failing[0].text)}: {failing[0].reason}" if failing else "nothing claimed is lacking"
        yield PolicyCheck("claims are delivered", outcome, reason)


def _licences(audit: Audit, policy: Policy) -> Iterator[PolicyCheck]:
    asked, clauses = policy.licences, policy.forbid.clauses
    if not (asked.allow or asked.forbid or asked.forbid_kinds or clauses):
        return
    named, unknown = _named(audit)
    entries = {name: (find(name), where) for name, where in named.items()}
    unknown += [f"{name} of {where}" for name, (entry, where) in entries.items() if entry is None]
    own = [_Applies(entry, where, _clauses(entry)) for entry, where in entries.values() if entry is not None]
    inherited, more = _inherited(audit)
    there, unknown = [*own, *inherited], [*unknown, *more]

    def line(text: str, wrong: Iterable[_Applies]) -> PolicyCheck:
        if found := unique(f"{one.licence.id} of {one.where}" for one in wrong):
            return PolicyCheck(text, Outcome.NOT_MET, ", ".join(found))
        if unknown or not there:
            what = f"not known: {', '.join(unknown)}" if unknown else "no licence was seen"
            return PolicyCheck(text, Outcome.NOT_SHOWN, what)
        return PolicyCheck(text, Outcome.MET, f"the licences are {', '.join(unique(one.licence.id for one in there))}")

    if asked.allow:
        allowed = {_canonical(name) for name in asked.allow}
        yield line(
            f"licences are among {', '.join(asked.allow)}", [one for one in there if one.licence.id not in allowed]
        )
    for name in asked.forbid:
        yield line(f"licence is not {name}", [one for one in there if one.licence.id == _canonical(name)])
    for kind in asked.forbid_kinds:
        yield line(f"no licence is {kind}", [one for one in there if one.licence.kind == kind])
    for clause in clauses:
        yield line(f"no clause is {clause}", [one for one in there if clause in one.clauses])


@dataclass(frozen=True)
class _Applies:
    """A licence, a model that has it, and which of its clauses count: of a teacher's, those that arrive."""

    licence: Licence
    where: str
    clauses: frozenset[str]


def _inherited(audit: Audit) -> tuple[list[_Applies], list[str]]:
    """The licences that reach the model from its teachers; and the models of those of which none is known."""
    own = {ancestor.node.id for ancestor in chain(audit.lineage)}
    inheritance = Inheritance(audit.lineage)
    found = [
        _Applies(one.licence, short(one.node.id), frozenset((one.clause.name,)) | _mutable(one.licence))
        for one in inheritance.clauses
        if one.node.id not in own
    ]
    unread = [
        node.id
        for node in inheritance.ancestors
        if node.id not in own and not inheritance.conclusions[node.id].licences
    ]
    return found, [f"the licence of {short(name)}" for name in unread]


def _named(audit: Audit) -> tuple[dict[str, str], list[str]]:
    """The licences of the weights along the chain, each with a model that has it; and models of which none is known."""
    found: dict[str, str] = {}
    unknown = []
    for node in (ancestor.node for ancestor in chain(audit.lineage)):
        own = [fact for fact in facts(node, LicenceFact) if fact.scope in ("weights", "everything")]
        for fact in own:
            if fact.id:
                found.setdefault(fact.id, short(node.id))
        if not own or any(fact.id is None for fact in own):
            raw = ", ".join(unique(one_line(fact.raw, 40) for fact in own if fact.id is None)) or "the licence"
            unknown.append(f"{raw} of {short(node.id)}")
    return found, unknown


def _canonical(name: str) -> str:
    entry = find(name)
    return name.lower() if entry is None else str(entry.id)


def _clauses(entry: Licence) -> frozenset[str]:
    """The clauses of a licence; what permits no commercial use, for research only say, is non-commercial."""
    closed = frozenset(("non-commercial",)) if "commercial" not in entry.permits else frozenset[str]()
    return closed | _mutable(entry) | {one.name for one in entry.clauses}


def _mutable(entry: Licence) -> frozenset[str]:
    return frozenset((_MUTABLE,)) if entry.mutable_terms else frozenset()


def _findings(audit: Audit, forbid: Forbid) -> Iterator[PolicyCheck]:
    for name in forbid.findings:
        yield _none(f"no finding is {name}", [one.text for one in audit.findings if one.id == name])
    if forbid.severity:
        order = list(Severity)  # the worst first
        severe = [one for one in audit.findings if order.index(one.severity) <= order.index(Severity(forbid.severity))]
        yield _none(f"no finding is a {forbid.severity} or worse", [f"{one.id}: {one.text}" for one in severe])
    if forbid.conflicts:
        yield _none("no licences conflict", [one.text for one in audit.conflicts])


def _none(text: str, found: list[str]) -> PolicyCheck:
    if not found:
        return PolicyCheck(text, Outcome.MET, "none was found")
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return PolicyCheck(text, Outcome.NOT_MET, one_line(found[0]) + more)
