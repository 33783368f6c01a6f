"""What a card or a page about data tells of it."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.auditing.collectors.folder import Statement
from regrow.auditing.collectors.markdown import Block
from regrow.auditing.collectors.prose.words import PATTERNS, says, short
from regrow.auditing.facts import Aspect, Basis, DataAspectFact, Evidence


def is_about_data(block: Block) -> bool:
    """Whether a block stands under a heading about training data."""
    about = any(says(title, "data-heading") for title in block.headings)
    return block.kind != "code" and about and not any(says(title, "not-training-data") for title in block.headings)


def of_data(block: Block, at: Evidence) -> Iterator[Statement]:
    """What a text tells that is all about training data."""
    if block.kind == "code":
        return
    if block.kind == "table":
        yield DataAspectFact(Basis.DECLARED, at, Aspect.CHARACTERISTICS, short(block.text))
        return
    for aspect, words in PATTERNS["aspects"].items():
        told = (one for one in block.sentences() if words.search(one) and not says(one, "withheld"))
        said = next((one for one in told if len(one) >= 20), None)
        if said:
            yield DataAspectFact(Basis.DECLARED, at, Aspect(aspect), short(said))
