"""A rule, a part, a freedom or a definition: what it asks, where that is written, and how it was judged here."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.auditing import rules
from regrow.auditing.facts import Evidence
from regrow.auditing.outputs import view
from regrow.auditing.outputs.because import sentence
from regrow.auditing.outputs.safe import plain, row, whole, wrap
from regrow.auditing.outputs.said import Said
from regrow.auditing.outputs.text import COLUMNS
from regrow.auditing.result import Answer, Audit, Definition, Verdict
from regrow.auditing.rules import Rule
from regrow.auditing.rules.rulesets import ANSWERS, ruleset

_OUTCOME, _TITLE = 9, 34


def explanation(name: str, audit: Audit | None = None) -> str:
    """What a name means, as text that ends with a line feed, with what came out where there is an audit.

    Args:
        name: a rule's id, a part (``data``), a freedom (``use``), a definition (``osaid-1.0``) or a group of its rules.
        audit: what was judged.

    Raises:
        RecipeError: if there is no such thing.
    """
    found = rules.named(name)
    answered = found[0].id.split("/")[0] in ANSWERS
    lines = [line for rule in found for line in _rule(rule)] if answered or len(found) == 1 else _listed(found)
    return "\n".join([*lines, *(_judged(found, audit) if audit else ())]) + "\n"


def _listed(found: tuple[Rule, ...]) -> Iterator[str]:
    """Several rules of a definition: what each asks."""
    yield from wrap(ruleset(found[0].id.split("/")[0]).title, COLUMNS)
    for rule in found:
        yield from _item(rule.id, rule.obligation)


def _rule(rule: Rule) -> Iterator[str]:
    yield f"{rule.id}: {rule.title}"
    pairs = (
        ("asks", rule.obligation),
        ("source", ", ".join(filter(None, (rule.source, rule.place))) or "ours"),
        ("its words", rule.quote),
        ("judged by", rule.how),
        ("ancestors", "They must fulfil it too, as far as the parameters come from them." if rule.along else ""),
        ("standing", "Our reading: the source does not say it in these words." if rule.reading else ""),
        ("version", str(rule.version)),
    )
    for name, value in pairs:
        if value:
            yield from _item(name, value)


def _judged(found: tuple[Rule, ...], audit: Audit) -> Iterator[str]:
    yield ""
    yield from wrap(f"{plain(audit.name)}, version {whole(audit.version)}, on {audit.date}", COLUMNS)
    kind, name, *_ = found[0].id.split("/")
    if kind in ANSWERS:
        answers = audit.parts if kind == "part" else audit.freedoms
        yield from (line for one in answers if one.name == name for line in _answer(one))
        return
    wanted = {rule.id for rule in found}
    definition = next((one for one in audit.definitions if one.id == kind), None)
    verdicts = [one for one in definition.verdicts if one.rule in wanted] if definition else []
    if len(found) == 1:
        yield from (line for one in verdicts for line in _verdict(one))
    elif definition:
        yield from _table(definition, verdicts)
    if not verdicts:
        yield "  It does not apply to this model."


def _table(definition: Definition, verdicts: list[Verdict]) -> Iterator[str]:
    """How several rules came out, and how the model stands under the definition for it."""
    said = Said()
    yield from (f"  {line}" for line in wrap(sentence(definition), COLUMNS - 2))
    for one in verdicts:
        reason = said.once(f"“{plain(one.title)}”", one.reason, one.limited_by)
        by = f" (limited by {plain(one.limited_by)})" * bool(one.limited_by)
        yield from row((one.outcome, one.title, f"{reason}{by}"), (_OUTCOME, _TITLE, COLUMNS - _OUTCOME - _TITLE - 6))


def _answer(answer: Answer) -> Iterator[str]:
    yield from _item(answer.answer, answer.reason)
    yield from _rests_on(answer)


def _verdict(verdict: Verdict) -> Iterator[str]:
    yield from _item(verdict.outcome.value, verdict.reason)
    yield from _rests_on(verdict)
    for one in verdict.missing:
        yield from _item("missing", one)


def _rests_on(judged: Answer | Verdict) -> Iterator[str]:
    if judged.limited_by:
        yield from _item("limited by", judged.limited_by)
    for evidence in judged.evidence:
        yield from _item("evidence", _place(evidence))


def _place(evidence: Evidence) -> str:
    read = f"read by {evidence.collector} on {evidence.date}; sha256 {evidence.sha256 or 'not taken'}"
    return f"{view.place(evidence)} ({read})"


def _item(name: str, value: str) -> Iterator[str]:
    first, *rest = wrap(plain(value), COLUMNS - 14) or [""]
    if len(name) > 11:  # an id stands in a line of its own
        yield f"  {plain(name)}"
        name = ""
    yield f"  {name:11} {first}"
    yield from (f"{'':14}{line}" for line in rest)
