"""Files of weights of which the header is read, and never the weights themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TypeVar

from regrow.auditing.collectors.folder import Folder, Statement, UnreadableError, printable
from regrow.auditing.facts import Evidence, Finding, Severity
from regrow.formats.header import Header, Problems

H = TypeVar("H", bound=Header)

_PART = re.compile(r"(?P<series>.*)-(?P<number>\d{1,6})-of-(?P<of>\d{1,6})\.\w+")
_NOTES = frozenset(("header-alignment", "header-unknown-field", "header-unknown-type", "header-empty"))


def read(
    folder: Folder,
    collector: str,
    read_header: Callable[[BinaryIO, int], H],
    tell: Callable[[str, H, Evidence], Iterator[Statement]],
) -> Iterator[Statement]:
    """Read the header of each file of a format.

    Args:
        folder: the model.
        collector: who reads, which is also how the files end.
        read_header: the format's reader.
        tell: what to say of a header with tensors, given its path and the place of the header.
    """
    for entry in folder.entries:
        if folder.ending(entry.path) != f".{collector}" or not folder.has(entry.path):
            continue
        try:
            with folder.open(entry.path, collector) as file:
                header = read_header(file, entry.size)
        except UnreadableError as error:
            yield error.finding
            continue
        folder.hashes[entry.path] = header.sha256
        evidence = folder.evidence(entry.path, collector, f"bytes 0-{header.end}")
        yield from _findings(header.problems, entry.path, evidence)
        if header.tensors:
            yield from tell(entry.path, header, evidence)


def whole(path: str, there: Iterable[str]) -> bool:
    """Whether a file is no part of a numbered series, such as ``2-of-3``, or all of the series is among others."""
    if not (match := _PART.fullmatch(path)):
        return True
    parts = filter(None, map(_PART.fullmatch, there))
    numbers = {part["number"] for part in parts if (part["series"], part["of"]) == (match["series"], match["of"])}
    return len(numbers) >= int(match["of"])


def _findings(problems: Problems, path: str, evidence: Evidence) -> Iterator[Finding]:
    """Give one finding for each rule that is broken."""
    for rule, examples in problems.found.items():
        more = problems.counts[rule] - len(examples)
        tail = f"; and {more:,} more" if more else ""
        severity = Severity.NOTE if rule in _NOTES else Severity.WARNING
        yield Finding(rule, severity, f"{printable(path)}: {'; '.join(examples)}{tail}", (evidence,))
