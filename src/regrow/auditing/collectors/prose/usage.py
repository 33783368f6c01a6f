"""What a card says of the use of a model."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.auditing.collectors.folder import Statement
from regrow.auditing.collectors.markdown import Block
from regrow.auditing.collectors.prose.words import PATTERNS, short
from regrow.auditing.facts import Basis, Evidence, UsageFact


def uses(block: Block, at: Evidence) -> Iterator[Statement]:
    """Limits, abilities and intended use, by the heading or by the words of a sentence."""
    if len(block.text) < 20:
        return
    for topic, words in PATTERNS["headings"].items():
        if block.headings and words.search(block.headings[-1]):
            topic = "integration" if block.kind == "code" else topic
            yield UsageFact(Basis.DECLARED, at, topic, short(block.text))
            return
    if block.kind == "text":
        for said in block.sentences():
            for topic, words in PATTERNS["uses"].items():
                if words.search(said):
                    yield UsageFact(Basis.DECLARED, at, topic, short(said))
