"""What the text of a card says about data, training, use and openness.

Sentences are recognised by the words in them under the headings they stand under. This is meant to find what a reader
can then look up at the line given, and leaves out what it is not sure of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from regrow.auditing.collectors.folder import Statement, Text
from regrow.auditing.collectors.markdown import Block, blocks
from regrow.auditing.collectors.prose import (
    claims,
    described,
    licences,
    listed,
    numbers,
    parents,
    sources,
    usage,
    withheld,
)
from regrow.auditing.facts import ComponentFact, DataAspectFact, Evidence, LicenceFact, UsageFact

_MOST_PER_KIND = 40
_READERS = (
    usage.uses,
    listed.sources,
    numbers.training,
    withheld.withheld,
    parents.parents,
    licences.licences,
    claims.claims,
    claims.papers,
    claims.results,
)


def read(text: Text, body: str, line: int) -> Iterator[Statement]:
    """What the body of a card says.

    Args:
        text: the card, for evidence.
        body: its text below the front matter.
        line: the line on which the body begins.
    """
    found = [(block, text.line(block.line, block.last)) for block in blocks(body, line)]
    for reader in _READERS:
        yield from _limited(reader, found)
    yield from _of_data([(block, at) for block, at in found if described.is_about_data(block)])


def aspects(text: Text, body: str, line: int) -> Iterator[Statement]:
    """What a text that is all about data tells of it."""
    yield from _of_data([(block, text.line(block.line, block.last)) for block in blocks(body, line)])


def _of_data(found: list[tuple[Block, Evidence]]) -> Iterator[Statement]:
    """What blocks that are all about data tell of all of it, and of each source that they list."""
    yield from _limited(described.of_data, sources.general(found))
    yield from sources.collect(found)


def _limited(
    reader: Callable[[Block, Evidence], Iterator[Statement]], found: Sequence[tuple[Block, Evidence]]
) -> Iterator[Statement]:
    """A reader's statements, each once, up to a number that still can be looked through."""
    seen: set[object] = set()
    for block, at in found:
        for statement in reader(block, at):
            key = _key(statement)
            if key not in seen and len(seen) < _MOST_PER_KIND:
                seen.add(key)
                yield statement


def _key(statement: Statement) -> object:
    """What makes a second statement superfluous: of an aspect and of a use, the first under each heading is enough."""
    match statement:
        case DataAspectFact(aspect=aspect, text=said):
            return aspect, said
        case UsageFact(topic=topic):
            return topic
        case ComponentFact(component=component, where=where):
            return component, where
        case LicenceFact(scope=scope, raw=raw, name=name):
            return scope, raw, name
        case _:
            return statement
