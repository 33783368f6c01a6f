"""Texts that may be learnt from and not be shared: what is called by other names, so that nothing of them is published.

An id of a document is a hash of its text, and names of files tell of what is in them, so neither of such texts may
stand in a release. Their files are called by their numbers in the list of the source. Their ids, and the salts that
hide them in a commitment, are HMACs (RFC 2104) under the secret of the source: who has it finds all of them again, and
who has not cannot try out what a short text might have been.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from regrow.corpus.documents import identify, inside

SECRET = ".regrow-secret"
"""Beside the files of a source whose texts may not be shared: its secret, as 64 hex digits."""

_INSIDE = inside("", "")
_DIGITS = 9


class Names(Protocol):
    """What the documents of a source are called, wherever it is told of them."""

    def file(self, file: str) -> str:
        """A file of the source, or in an archive of it."""

    def id(self, place: str, text: bytes) -> str:
        """The document at a place that says something."""

    def salt(self, id: str) -> str:
        """What hides a document in a commitment; empty if nothing does."""

    def detail(self, said: str) -> str:
        """What is special to a place without a text."""


class Plain:
    """Everything by its own name.

    Args:
        source: the name of the source.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def file(self, file: str) -> str:
        """The file as it is called."""
        return file

    def id(self, place: str, text: bytes) -> str:
        """A hash of source, place and text."""
        return identify(self._source, place, text)

    def salt(self, id: str) -> str:
        """Nothing."""
        return ""

    def detail(self, said: str) -> str:
        """The same."""
        return said


class Hidden:
    """Everything by names that tell nothing to who does not have the secret.

    Args:
        source: the name of the source.
        secret: of the source, 64 hex digits.
        numbers: file of the source -> its number in the list of its files, from 1.
    """

    def __init__(self, source: str, secret: str, numbers: Mapping[str, int]) -> None:
        self._source, self._secret = source, bytes.fromhex(secret)
        self._numbers = numbers
        self._inner: dict[str, dict[str, int]] = {}

    def file(self, file: str) -> str:
        """The number of the file; of one in an archive, also which one there it is, as they are read."""
        outer, *rest = file.split(_INSIDE, 1)
        called = f"{self._numbers[outer]:0{_DIGITS}}"
        if not rest:
            return called
        known = self._inner.setdefault(outer, {})
        return inside(called, f"{known.setdefault(rest[0], len(known) + 1):0{_DIGITS}}")

    def id(self, place: str, text: bytes) -> str:
        """A keyed hash of source, true place and text."""
        return self._keyed("id", f"{self._source}\0{place}\0".encode() + text)

    def salt(self, id: str) -> str:
        """A keyed hash of the id."""
        return self._keyed("salt", id.encode())

    def detail(self, said: str) -> str:
        """Nothing: it may quote what is there."""
        return ""

    def _keyed(self, what: str, data: bytes) -> str:
        return hmac.new(self._secret, f"{what}\0".encode() + data, sha256).hexdigest()


def is_secret(path: Path, folder: Path) -> bool:
    """Whether a file of a source is its secret, which is no text."""
    return path == folder / SECRET
