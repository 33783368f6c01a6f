"""JSON and YAML from strangers: bounded, without surprises, and with the lines of what it says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from regrow.auditing.collectors.folder import Text, printable
from regrow.auditing.facts import Finding, Severity
from regrow.auditing.findings import FindingId

_DEEPEST = 64
_MOST_EVENTS = 200_000


@dataclass(frozen=True)
class Data:
    """Structured text.

    Attributes:
        value: the top-level mapping; empty if there is none. All of YAML's scalars are strings here, as written.
        lines: top-level key -> its line in the file.
        duplicates: keys that occur twice in one mapping, with their lines (0 where unknown). The last one counts.
        fault: why it cannot be read, or empty.
    """

    value: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    duplicates: tuple[tuple[str, int], ...] = ()
    fault: str = ""

    def findings(self, text: Text, id: FindingId) -> Iterator[Finding]:
        """What is wrong with it.

        Args:
            text: the file.
            id: of the finding for a file that cannot be read.
        """
        if self.fault:
            why = f"{printable(text.path)} cannot be read: {self.fault}"
            yield Finding(id, Severity.WARNING, why, (text.at(),))
        for key, line in self.duplicates[:10]:
            said = f"{printable(text.path)} says `{printable(key)}` twice; readers may take either"
            yield Finding("duplicate-key", Severity.WARNING, said, (text.line(line) if line else text.at(),))


def read_json(text: str) -> Data:
    """A JSON object."""
    duplicates: list[tuple[str, int]] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(items)
        if len(value) < len(items):
            counts = Counter(key for key, _ in items)
            duplicates.extend((key, 0) for key, count in counts.items() if count > 1)
        return value

    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        return Data(fault=f"it is not JSON: {printable(str(error))}")
    if not isinstance(value, dict):
        return Data(fault="it is not a JSON object")
    return Data(value, {}, tuple(duplicates))


def read_yaml(text: str, first_line: int = 1) -> Data:
    """A YAML mapping, with every scalar as the string it is written as.

    Aliases are refused: cards have no use for them, and a few lines of them unfold to gigabytes.

    Args:
        text: the document.
        first_line: the line of the file it begins on.
    """
    import yaml

    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        if fault := _bounded(yaml.parse(text, Loader=loader)):
            return Data(fault=fault)
        node = yaml.compose(text, Loader=loader)
        value = yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        return Data(fault=f"it is not YAML: {printable(' '.join(str(error).split()))}")
    if value is None or value == "":
        return Data()
    if not isinstance(value, dict) or not isinstance(node, yaml.MappingNode):
        return Data(fault="it is not a mapping")
    lines = {str(key.value): key.start_mark.line + first_line for key, _ in node.value}
    return Data(value, lines, tuple(_duplicates(node, first_line)))


def _bounded(events: Iterator[Any]) -> str:
    """What forbids to build the document, or nothing."""
    import yaml

    depth = 0
    for count, event in enumerate(events):
        if isinstance(event, yaml.AliasEvent):
            return "it has aliases, which can unfold without end"
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST or count > _MOST_EVENTS:
            return "it is nested too deeply" if depth > _DEEPEST else "it is too large"
    return ""


def _duplicates(node: Any, first_line: int) -> Iterator[tuple[str, int]]:
    import yaml

    pending = [node]
    while pending:
        here = pending.pop()
        if isinstance(here, yaml.MappingNode):
            seen: set[str] = set()
            for key, item in here.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        yield key.value, key.start_mark.line + first_line
                    seen.add(key.value)
                pending.append(item)
        elif isinstance(here, yaml.SequenceNode):
            pending.extend(here.value)


def strings(value: Any) -> list[str]:
    """A string, or those of a list."""
    found = value if isinstance(value, list) else [value]
    return [item.strip() for item in found if isinstance(item, str) and item.strip()]


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, or an empty one."""
    return value if isinstance(value, dict) else {}


def tables(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
