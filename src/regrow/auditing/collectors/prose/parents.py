"""Models that a card says this one was made from."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regrow.auditing import names
from regrow.auditing.collectors.folder import Statement
from regrow.auditing.collectors.markdown import Block
from regrow.auditing.collectors.prose.words import says
from regrow.auditing.facts import Basis, Evidence, ParentFact, Relation

_NAMES = r"\b[^.;]{0,40}?(?<![\w./-])(?P<id>[A-Za-z0-9][\w-]{0,95}+/[A-Za-z0-9][\w.-]{0,95}\w)"
_TEXT = r"(?:data|datasets?|examples?|instructions?|conversations?|answers?|completions?|texts?|outputs?)"
_SPELT = re.compile(r"[A-Z0-9]")
_MADE = r"(?:generated|written|synthesi[sz]ed|produced)"
_TEACHERS = tuple(
    (relation, re.compile(rf"\b{words}{_NAMES}", re.IGNORECASE))
    for relation, words in (
        (Relation.DISTILLED, r"distill?\w*\b[^.:;]{0,60}?\b(?:from|of)"),
        (Relation.DISTILLED, r"teachers?"),
        (Relation.SYNTHETIC_DATA, rf"{_TEXT}\b[^.;]{{0,40}}?\b{_MADE} (?:by|with|using|from)"),
        (Relation.SYNTHETIC_DATA, r"trained on (?:the )?outputs? (?:of|from)"),
    )
)


def teachers(block: Block, at: Evidence) -> Iterator[Statement]:
    """Models whose outputs this one learned from, where a sentence gives their id."""
    for said in block.sentences() if block.kind == "text" else ():
        for relation, words in _TEACHERS:
            name = names.model(match["id"]) if (match := words.search(said)) and not says(said, "negated") else ""
            # Two words with a stroke between them are seldom a model, unless they are spelt or linked like one; but
            # nothing else is distilled from.
            spelt = _SPELT.search(name, 3) or name in map(names.model, block.links)
            if name and (spelt or words is _TEACHERS[0][1]):
                yield ParentFact(Basis.DECLARED, at, name, relation)
                break
