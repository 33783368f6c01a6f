"""Pins: the exact bytes of an input."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import Field

from regrow.sections import Parameters

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Pin:
    """One file of a source, as it was when the recipe was locked.

    Attributes:
        file: relative POSIX path, in the source's own words.
        sha256: of its bytes, as 64 small hex digits. Anything else is refused, since files are named by it.
        size: in bytes.
        licences_found: what the file says of its own licence, in its own words; never a judgement.
    """

    file: str
    sha256: str
    size: int
    licences_found: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_sha256(self.sha256):
            raise ValueError(f"{self.sha256!r} is not a sha256: 64 digits and letters from a to f")


def is_sha256(text: str) -> bool:
    """True for a sha256 as everything here writes it."""
    return _SHA256.fullmatch(text) is not None


class Pinned(Parameters):
    """Parameters of a stage that brings in files from outside. The recipe says where from, the lock which they are."""

    fetch: str = Field(json_schema_extra={"settled": True})
    pins: tuple[Pin, ...] = Field(
        default=(),
        description="The files it must give, with their hashes.",
        json_schema_extra={"hidden": True, "settled": True},
    )


def is_unpinned(parameters: Parameters) -> bool:
    """True if a stage with these parameters brings in files that nobody has seen yet."""
    return isinstance(parameters, Pinned) and not parameters.pins
