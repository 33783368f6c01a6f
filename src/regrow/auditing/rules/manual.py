"""The page of all rules, from their data: ``python -m regrow.auditing.rules.manual > docs/audit-rules.md``."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.auditing.rules.rulesets import FILES, Rule, RuleSet, ruleset

_HEAD = """\
# The rules of an audit

<!-- Made by `python -m regrow.auditing.rules.manual`. Do not edit. -->

Every verdict of `regrow audit` comes from one of these rules. `regrow audit MODEL --explain RULE` shows how a rule was
judged for a model, and what that rests on. How to read the verdicts is in [audit.md](audit.md).

*Our reading* marks what the source does not say in these words. *Ancestors too* means that the models from which the
parameters were made have to fulfil the rule as well.
"""
_POLICY = """\
## Keys of a policy

A policy is a TOML file for `--policy`. It begins with `policy = 1`; every other key is optional, and what is not asked
is not checked. What cannot be shown does not fulfil a policy.

| key | meaning | example |
|---|---|---|"""


def reference() -> str:
    """The page, as Markdown."""
    lines = [_HEAD, *(line for name in FILES for line in _definition(ruleset(name))), *_policy()]
    return "\n".join(lines) + "\n"


def _definition(definition: RuleSet) -> Iterator[str]:
    yield f"## {definition.title}\n"
    for rule in definition.rules:
        yield from _rule(rule)
    yield ""


def _rule(rule: Rule) -> Iterator[str]:
    told = {
        f"level {rule.level}": rule.level,
        "optional": not rule.required,
        "our reading": rule.reading,
        "ancestors too": rule.along,
    }
    marks = [mark for mark, holds in told.items() if holds]
    place = f" ({rule.place})" if rule.place else ""
    noted = f" [{', '.join(marks)}]" if marks else ""
    yield f"- **`{rule.id}`** {rule.title}{noted}."
    yield f"  {rule.obligation}{place}"
    yield f"  *Judged by:* {rule.how}"


def _policy() -> Iterator[str]:
    from regrow.auditing import policy

    yield _POLICY
    for key in policy.reference():
        yield f"| `{key.name}` | {key.description} | `{key.example}` |"


if __name__ == "__main__":
    print(reference(), end="")
