"""One rule: what it asks, where that is written, and how it was judged here."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.auditing import rules
from regrow.auditing.facts import Evidence
from regrow.auditing.outputs import view
from regrow.auditing.outputs.safe import plain, whole, wrap
from regrow.auditing.outputs.text import COLUMNS
from regrow.auditing.result import Audit, Verdict
from regrow.auditing.rules import Rule


def explanation(rule_id: str, audit: Audit | None = None) -> str:
    """A rule as text that ends with a line feed, with its verdict where there is an audit.

    Raises:
        RecipeError: if there is no such rule.
    """
    rule = rules.explain(rule_id)
    return "\n".join([*_rule(rule), *(_judged(rule, audit) if audit else ())]) + "\n"


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


def _judged(rule: Rule, audit: Audit) -> Iterator[str]:
    yield ""
    yield from wrap(f"{plain(audit.name)}, version {whole(audit.version)}, on {audit.date}", COLUMNS)
    verdicts = [one for definition in audit.definitions for one in definition.verdicts if one.rule == rule.id]
    for verdict in verdicts:
        yield from _verdict(verdict)
    if not verdicts:
        yield from wrap("  This rule has no verdict of its own: it is behind one of the answers at the top.", COLUMNS)


def _verdict(verdict: Verdict) -> Iterator[str]:
    yield from _item(verdict.outcome.value, verdict.reason)
    if verdict.limited_by:
        yield from _item("limited by", verdict.limited_by)
    for one in verdict.missing:
        yield from _item("missing", one)
    for evidence in verdict.evidence:
        yield from _item("evidence", _place(evidence))


def _place(evidence: Evidence) -> str:
    read = f"read by {evidence.collector} on {evidence.date}; sha256 {evidence.sha256 or 'not taken'}"
    return f"{view.place(evidence)} ({read})"


def _item(name: str, value: str) -> Iterator[str]:
    first, *rest = wrap(plain(value), COLUMNS - 14) or [""]
    yield f"  {name:11} {first}"
    yield from (f"{'':14}{line}" for line in rest)
