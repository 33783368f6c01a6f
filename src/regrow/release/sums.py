"""The list of checksums, the sha256 of which is the digest of a release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from regrow.recipe.differences import differences
from regrow.store import sha256_bytes

_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<path>[^\\\n]+)")


@dataclass(frozen=True)
class Sums:
    """What a list of checksums says.

    Attributes:
        digest: of the list, and so of the release.
        listed: path -> sha256, of all lines that say so.
        canonical: whether the list is just as regrow writes it, to the byte, as its digest is made of: sorted, each
            path once, a line feed behind each, and each the path of a file that can lie in the release.
    """

    digest: str
    listed: Mapping[str, str]
    canonical: bool


def parse(raw: bytes) -> Sums:
    """Read a list, whatever it is."""
    lines = [_LINE.fullmatch(line) for line in raw.decode("utf-8", "replace").splitlines()]
    listed = {line["path"]: line["sha256"] for line in lines if line}
    again = "".join(f"{listed[path]}  {path}\n" for path in sorted(listed, key=str.encode))
    possible = not any(leaves(path) or _is_within(path, listed) for path in listed)
    return Sums(sha256_bytes(raw), listed, possible and again.encode() == raw)


def changed(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, ...]:
    """The names of files that are only in one of two lists of checksums, or have other bytes there."""
    return tuple(sorted(difference.path[0] for difference in differences(one, other)))


def leaves(path: str) -> bool:
    """True for a path that could lead out of the release, or is not written as that of a file in it.

    One file has one path: ``a//b`` and ``./a/b`` would give a list another digest, and lead to the file ``a/b``.
    """
    return "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/"))


def _is_within(path: str, listed: Mapping[str, str]) -> bool:
    """Whether a path lies in what is itself listed as a file."""
    while path := path.rpartition("/")[0]:
        if path in listed:
            return True
    return False
