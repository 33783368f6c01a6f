"""Pins: the exact bytes of an input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pin:
    """One file of a source, as it was when the recipe was locked.

    Attributes:
        file: relative POSIX path, in the source's own words.
        sha256: of its bytes.
        size: in bytes.
        licences_found: what the file says of its own licence, in its own words; never a judgement.
    """

    file: str
    sha256: str
    size: int
    licences_found: tuple[str, ...] = ()
