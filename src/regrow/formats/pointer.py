"""Small files that Git keeps in the place of large ones, which somebody has to fetch apart."""

from __future__ import annotations

import re

LONGEST = 1024
"""Bytes of a pointer, by the specification of Git LFS."""

_LFS = re.compile(rb"version https://(git-lfs|hawser)\.github\.com/spec/v1\r?\n(?:[a-z0-9.-]+ [^\n]*\n?)*\Z")
_COMMANDS = {"Git LFS": "git lfs pull", "git-annex": "git annex get"}

POINTERS = tuple(_COMMANDS)
"""What files may be pointers of."""


def pointer(data: bytes) -> str:
    """Of what a file is a pointer, ``Git LFS`` or ``git-annex``; empty if it is none.

    Args:
        data: the file, or more than :data:`LONGEST` bytes of its beginning.
    """
    if len(data) > LONGEST:
        return ""
    if _LFS.match(data) and b"\noid sha256:" in data:
        return "Git LFS"
    return "git-annex" if data.startswith((b"/annex/objects/", b"../.git/annex/objects/")) else ""


def remedy(kind: str) -> str:
    """The command that brings the file that a pointer stands for."""
    return _COMMANDS[kind]
