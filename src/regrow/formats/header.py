"""What the headers of weight files have in common: tensors with their places, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from regrow.printable import escaped

HEADER_LIMIT = 32 << 20
"""The largest header that is read: tens of times that of the largest models, and small enough for any machine."""

LARGEST = 2**63 - 1

Fault = Literal[
    "header-alignment",
    "header-broken",
    "header-duplicate-key",
    "header-empty",
    "header-hole",
    "header-metadata",
    "header-name",
    "header-overlap",
    "header-padding",
    "header-past-end",
    "header-shape",
    "header-too-large",
    "header-trailing",
    "header-truncated",
    "header-unknown-field",
    "header-unknown-type",
    "header-version",
]
"""The rules that a header can break."""


@dataclass(frozen=True)
class Stored:
    """A tensor as a header describes it.

    Attributes:
        name: as written.
        dtype: as the format calls it.
        count: of its numbers.
        begin: of its bytes, from the beginning of the data.
        end: of its bytes; None if the type's size is not known.
        shape: as torch has it, rows first.
    """

    name: str
    dtype: str
    count: int
    begin: int
    end: int | None
    shape: tuple[int, ...] = ()


@dataclass
class Problems:
    """What is wrong with a header: each rule once, with the first examples and how many there were."""

    found: dict[Fault, list[str]] = field(default_factory=dict)
    counts: dict[Fault, int] = field(default_factory=dict)

    def add(self, rule: Fault, example: str) -> None:
        """Note that a rule is broken."""
        self.counts[rule] = self.counts.get(rule, 0) + 1
        if self.counts[rule] <= 2:
            self.found.setdefault(rule, []).append(example)


@dataclass(frozen=True)
class Header:
    """A header, as far as it could be read.

    Attributes:
        tensors: those whose entries make sense.
        problems: what is wrong.
        sha256: of the bytes from the beginning of the file to the end of the header.
        end: where the header ends.
    """

    tensors: tuple[Stored, ...]
    problems: Problems
    sha256: str
    end: int


def printable(text: str, most: int = 200) -> str:
    """Show a name or a value from a stranger's file in one line that cannot play tricks on a terminal."""
    shown = escaped(text[: most + 1])
    return shown if len(shown) <= most else shown[:most] + "..."


def check_name(name: str, problems: Problems) -> None:
    """Note a name that would not be safe as a file name or an attribute, which is what tensor names become."""
    if not name or name.startswith("/") or ".." in name.replace("\\", "/").split("/") or not name.isprintable():
        problems.add("header-name", f"a tensor is called `{printable(name)}`")


def check_layout(tensors: Iterable[Stored], size: int, alignment: int, problems: Problems) -> None:
    """Note where tensors do not fill the data from the beginning to the end of the file, without overlap.

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
