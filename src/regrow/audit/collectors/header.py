"""What the two readers of weight files' headers have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from regrow.audit.collectors.folder import printable
from regrow.audit.facts import Evidence, Finding, Severity
from regrow.audit.findings import FindingId

HEADER_LIMIT = 32 << 20
"""The largest header that is read: tens of times that of the largest models, and small enough for any machine."""

LARGEST = 2**63 - 1

_NOTES = frozenset(("header-alignment", "header-unknown-field", "header-unknown-type", "header-empty"))


@dataclass(frozen=True)
class Stored:
    """A tensor as a header describes it.

    Attributes:
        name: as written.
        dtype: as the format calls it.
        count: of its numbers.
        begin: of its bytes, from the beginning of the data.
        end: of its bytes; None if the type's size is not known.
    """

    name: str
    dtype: str
    count: int
    begin: int
    end: int | None


@dataclass
class Problems:
    """What is wrong with a header: each rule once, with the first example and how many there were."""

    found: dict[FindingId, list[str]] = field(default_factory=dict)
    counts: dict[FindingId, int] = field(default_factory=dict)

    def add(self, rule: FindingId, example: str) -> None:
        """Note that a rule is broken."""
        self.counts[rule] = self.counts.get(rule, 0) + 1
        if self.counts[rule] <= 2:
            self.found.setdefault(rule, []).append(example)

    def findings(self, path: str, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each rule."""
        for rule, examples in self.found.items():
            more = self.counts[rule] - len(examples)
            tail = f"; and {more:,} more" if more else ""
            severity = Severity.NOTE if rule in _NOTES else Severity.WARNING
            yield Finding(rule, severity, f"{printable(path)}: {'; '.join(examples)}{tail}", (evidence,))


def check_name(name: str, problems: Problems) -> None:
    """Tensor names become file names and attributes elsewhere."""
    if not name or name.startswith("/") or ".." in name.replace("\\", "/").split("/") or not name.isprintable():
        problems.add("header-name", f"a tensor is called `{printable(name)}`")


def check_layout(tensors: Iterable[Stored], size: int, alignment: int, problems: Problems) -> None:
    """Together, the tensors must fill the data from the beginning to the end of the file, without overlap.

    Args:
        tensors: all of them.
        size: bytes of data in the file.
        alignment: between two tensors there may be fewer bytes than this.
        problems: gets what is wrong.
    """
    position, sized = 0, True
    for tensor in sorted(tensors, key=lambda tensor: (tensor.begin, tensor.end or tensor.begin)):
        name = printable(tensor.name)
        if tensor.begin < position:
            problems.add("header-overlap", f"the data of `{name}` overlaps that of another tensor")
        elif sized and tensor.begin - position >= alignment:
            problems.add("header-hole", f"{tensor.begin - position:,} bytes before `{name}` belong to no tensor")
        sized = tensor.end is not None
        position = max(position, tensor.end if tensor.end is not None else tensor.begin)
    if position > size:
        problems.add("header-past-end", f"the data ends {position - size:,} bytes after the end of the file")
    elif sized and size - position >= alignment:
        problems.add("header-trailing", f"{size - position:,} bytes at the end of the file belong to no tensor")
