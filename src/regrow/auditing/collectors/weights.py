"""Files of weights of which the header is read, and never the weights themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

from regrow.auditing.collectors.folder import Folder, Statement, UnreadableError, printable
from regrow.auditing.facts import Evidence, Finding, Severity
from regrow.formats.header import Header, Problems

H = TypeVar("H", bound=Header)

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


def _findings(problems: Problems, path: str, evidence: Evidence) -> Iterator[Finding]:
    """Give one finding for each rule that is broken."""
    for rule, examples in problems.found.items():
        more = problems.counts[rule] - len(examples)
        tail = f"; and {more:,} more" if more else ""
        severity = Severity.NOTE if rule in _NOTES else Severity.WARNING
        yield Finding(rule, severity, f"{printable(path)}: {'; '.join(examples)}{tail}", (evidence,))
