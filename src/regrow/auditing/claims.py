"""What makers say against what was found.

The claims are those of the model card, as collected, and those of a claims file:

    claims = 1

    [[claim]]
    topic = "everything"
    text = "All design and engineering is open source."
    links = ["https://example.org/code"]

A claim is *met* if what it speaks of was found, under an open licence where it says "open"; *not met* if it was looked
for and is not there, or none of its links answers; else, a promise without more, *not shown*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from regrow.auditing.facts import (
    Basis,
    ClaimFact,
    Collected,
    Component,
    ComponentFact,
    Evidence,
    LicenceFact,
    Scope,
    State,
)
from regrow.auditing.result import Claim, Outcome
from regrow.auditing.rules.predicates.words import name_of
from regrow.auditing.rules.results import Result, all_of, met, not_met, not_shown, one_line, unique
from regrow.data import toml
from regrow.licences import find
from regrow.recipe import schema
from regrow.recipe.lines import line_of
from regrow.recipe.text import opened
from regrow.sections import Section
from regrow.store import sha256_file

Links = Callable[[str], "bool | None"]
"""Whether an address answers; None if it was not asked."""

_SCOPES = {"data": Scope.DATA, "training-code": Scope.CODE, "inference": Scope.CODE, "recipe": Scope.CODE}
_OPEN = re.compile(r"\b(open|free|libre|permissive)", re.IGNORECASE)


class Entry(Section):
    """A sentence that claims something is open or delivered."""

    topic: Literal["data", "training-code", "weights", "inference", "recipe", "licence", "everything"] = Field(
        description="What it speaks of.", examples=["everything"]
    )
    text: str = Field(description="The sentence.", examples=["All engineering is open source."], min_length=1)
    links: tuple[str, ...] = Field(default=(), description="The addresses or paths it points to.")


class File(Section):
    """A claims file."""

    claims: Literal[1] = Field(description="The version of the format.", examples=[1])
    claim: tuple[Entry, ...] = Field(description="The claims.", min_length=1)


def read(path: Path, today: str) -> tuple[ClaimFact, ...]:
    """The claims of a claims file.

    Raises:
        RecipeError: if it is not there or not a valid claims file; it names file, line and key.
    """
    hint = "a claims file has `claims = 1` and tables `[[claim]]`"
    origin = opened(path, hint, hint)
    entries = schema.check(File, origin.data, origin).claim
    sha256 = sha256_file(path)
    return tuple(
        ClaimFact(
            Basis.DECLARED,
            Evidence(path.name, f"line {line_of(('claim', index), origin.lines)}", sha256, "claims", today),
            entry.topic,
            entry.text,
            entry.links,
        )
        for index, entry in enumerate(entries)
    )


def check(
    collected: Collected,
    extra: Iterable[ClaimFact] = (),
    links: Links = lambda link: None,
) -> tuple[Claim, ...]:
    """Every claim against what was found.

    Args:
        collected: what was read of the model, the claims of its card included.
        extra: claims from elsewhere.
        links: whether an address answers, or None if it was not asked.
    """
    own = collected.of(ClaimFact)
    return tuple(_check(fact, collected, links) for fact in unique((*own, *extra)))


def _check(fact: ClaimFact, collected: Collected, links: Links) -> Claim:
    names = [Component(name) for name in toml("auditing.rules", "words")["claims"].get(fact.topic, ())]
    states = {name: _best(collected, name) for name in names}
    found = [name_of(name) for name, state in states.items() if state and state.state is State.PRESENT]
    results = [_delivered(name, state) for name, state in states.items()]
    if not names or _OPEN.search(fact.text):
        results.append(_licensed(fact.topic, collected))
    result = all_of(results)
    if result.outcome is not Outcome.MET:
        result = _linked(fact, result, links)
        count = len(collected.files)
        tally = f"; found: {', '.join(found) or 'none'}" if len(names) > 1 else ""
        behind = f"; {count} file{'' if count == 1 else 's'} in all" if fact.topic == "everything" else ""
        result = Result(result.outcome, (f"promised, not found: {result.reason}{tally}{behind}",), result.evidence)
    return Claim(one_line(fact.text, 300), fact.topic, result.outcome, result.reason, result.evidence)


def _best(collected: Collected, name: Component) -> ComponentFact | None:
    """What is most of a component: there before promised before absent."""
    states = [fact for fact in collected.of(ComponentFact) if fact.component is name]
    order = tuple(State)
    return min(states, key=lambda fact: order.index(fact.state), default=None)


def _delivered(name: Component, state: ComponentFact | None) -> Result:
    words = name_of(name)
    if state is None:
        return not_shown(f"{words} (not seen)", missing="")
    if state.state is State.PRESENT:
        return met(f"{words}: there", [state])
    if state.state is State.PROMISED:
        return not_shown(f"{words} (only promised)", [state], missing="")
    return not_met(f"{words} (not there)", [state], missing="")


def _licensed(topic: str, collected: Collected) -> Result:
    """Whether what a claim calls open is under an open licence; a text that was found beats a tag."""
    scopes = (_SCOPES.get(topic, Scope.WEIGHTS), Scope.EVERYTHING)
    licences = [fact for fact in collected.of(LicenceFact) if fact.scope in scopes and fact.basis is not Basis.KNOWN]
    found = [fact for fact in licences if fact.basis is Basis.FOUND] or licences
    if not found:
        return not_shown("a licence (not seen)", missing="")
    entries = [find(fact.id) if fact.id else None for fact in found]
    names = ", ".join(one_line(fact.id or fact.raw, 60) for fact in found)
    if any(entry and not entry.open for entry in entries):
        return not_met(f"an open licence ({names} is none)", found, missing="")
    if None in entries:
        return not_shown(f"an open licence ({names} is not known)", found, missing="")
    return met(f"{names} is open", found)


def _linked(fact: ClaimFact, result: Result, links: Links) -> Result:
    """What the links of a claim add: if none answers, nothing stands behind it."""
    answers = {link: links(link) for link in fact.links}
    if answers and all(answer is False for answer in answers.values()):
        dead = ", ".join(one_line(link, 80) for link in answers)
        gone = f"nothing is at {dead}"
        return Result(Outcome.NOT_MET, (*result.reasons, gone), unique((*result.evidence, fact.evidence)))
    live = [one_line(link, 80) for link, answer in answers.items() if answer]
    read = (f"{', '.join(live)} answers, but was not read",) if live else ()
    return Result(result.outcome, (*result.reasons, *read), unique((*result.evidence, fact.evidence)))
