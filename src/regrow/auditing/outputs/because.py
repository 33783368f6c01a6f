"""A sentence for each definition: how the model stands, and because of what."""

from __future__ import annotations

from collections.abc import Iterable

from regrow.auditing.names import short
from regrow.auditing.outputs import view
from regrow.auditing.outputs.safe import plain
from regrow.auditing.result import Definition, Outcome, Verdict
from regrow.auditing.rules.results import unique, worst
from regrow.auditing.rules.rulesets import ruleset
from regrow.data import toml

_THINGS = 2
_SUBJECTS = 2


def standing(definition: Definition) -> str:
    """How the model stands, in a few words: ``not open source AI``."""
    words = toml("auditing.outputs", "words")["standing"].get(definition.id, {})
    said = words.get(definition.level) if definition.id == "ladder" else words.get(definition.outcome)
    if said is None:
        return f"{plain(definition.title)}: {plain(view.standing(definition))}"
    return str(said).format(level=plain(definition.level))


def because(definition: Definition) -> str:
    """What decides it: ``org/base does not give its data``; empty where the standing says all."""
    if definition.id == "ladder":
        return ""
    lacking = _decisive(definition)
    if not lacking:
        return "every rule is met"
    outcome = worst(one.outcome for one in lacking)
    told = [one for one in lacking if one.outcome is outcome]
    subjects = sorted(dict.fromkeys(one.limited_by for one in told), key=bool)  # "it" behind a name would be that name
    clauses = [_clause(definition, outcome, by, [one for one in told if one.limited_by == by]) for by in subjects]
    return ", and ".join(clauses[:_SUBJECTS])


def sentence(definition: Definition) -> str:
    """Both in one line."""
    return ": ".join(filter(None, (standing(definition), because(definition))))


def _decisive(definition: Definition) -> list[Verdict]:
    """The verdicts that are not met and keep the model from the definition, or from its next class."""
    failing = [one for one in definition.verdicts if one.outcome is not Outcome.MET]
    if not view.has_classes(definition):
        return failing
    levels = {rule.id: rule.level for rule in ruleset("mof").rules if rule.required}  # from the lowest
    needed = [one for one in failing if one.rule in levels]
    return [one for one in needed if levels[one.rule] == levels[needed[0].rule]] or failing


def _clause(definition: Definition, outcome: Outcome, by: str, verdicts: Iterable[Verdict]) -> str:
    things = unique(_thing(definition, one) for one in verdicts)
    rest = things[_THINGS:]
    shown = [*things[:_THINGS], *(rest if len(rest) < 2 else [f"{len(rest)} more"])]
    listed = " or ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
    subject = plain(short(by)) if by else "for a higher one it" if definition.outcome is Outcome.MET else "it"
    how = " under open terms" if view.has_classes(definition) else ""
    return f"{subject} {toml('auditing.outputs', 'words')['verbs'].get(outcome, outcome)} {listed}{how}"


def _thing(definition: Definition, verdict: Verdict) -> str:
    things = toml("auditing.outputs", "words")["things"].get(definition.id, {})
    rule = verdict.rule.removeprefix(f"{definition.id}/")
    return next((words for start, words in things.items() if rule.startswith(start)), plain(verdict.title).lower())
