"""Pins: the exact bytes of an input."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_serializer

from regrow.sections import Parameters
from regrow.system import uncollected

FOLDER = "regrow.sums"
"""Beside a lock: there lie the lists of files of sources that have many."""

WITHHELD = "regrow.withheld"
"""Beside texts that may not be shared: there lie the lists of their files, each with its secret, never released."""

MOST_NAMED = 1000
"""Files of a source that are named wherever it is told of; more have a list, and its digest stands for them."""

_SHA256 = re.compile("[0-9a-f]{64}")
_SECRET = re.compile(r"# withheld (?P<secret>[0-9a-f]{64})\n")
_LISTED = re.compile(r"# (0|[1-9]\d{0,17})\n(\\?)([0-9a-f]{64})  ([^\n\r]+)\n")  # size, whether escaped, sha256, name
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}


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


class Pins(tuple[Pin, ...]):
    """The files of a source. Many of them are kept in a list beside the lock, and told of by the digest of that.

    So are those of texts that may not be shared, however few they are. Their list begins with a secret, without which
    nobody can find out by guessing what its digest stands for, and only who holds the texts has it. To others the files
    are only described: how many there are, their bytes, and that digest.
    """

    secret: str = ""
    """64 hex digits, if the texts may not be shared and whoever asks holds them."""

    _described: tuple[int, int, str] | None = None

    @classmethod
    def of(cls, pins: Iterable[Pin]) -> Pins:
        """The same files; nothing is worked out again of those that are pins already."""
        return pins if isinstance(pins, Pins) else Pins(pins)

    @classmethod
    def kept_back(cls, pins: Iterable[Pin], secret: str) -> Self:
        """Files of texts that may not be shared, as who holds them has them."""
        found = cls(pins)
        found.secret = secret
        return found

    @classmethod
    def described(cls, files: int, size: int, commitment: str) -> Self:
        """Files of texts that may not be shared, as others have them: none is named."""
        found = cls()
        found._described = (files, size, commitment)
        return found

    @property
    def missing(self) -> bool:
        """Whether the files are only described."""
        return self._described is not None

    @property
    def withheld(self) -> bool:
        """Whether their texts may not be shared."""
        return self.missing or bool(self.secret)

    @property
    def number(self) -> int:
        """How many files there are, named or not."""
        return self._described[0] if self._described else len(self)

    @cached_property
    def many(self) -> bool:
        """Whether there are too many to name each wherever the source is told of."""
        return len(self) > MOST_NAMED

    @property
    def unnamed(self) -> bool:
        """Whether a digest stands for the files where the source is told of."""
        return self.many or self.withheld

    @cached_property
    def bare(self) -> Pins:
        """The same files without what they say of themselves, which is no ingredient of anything."""
        silent = not any(pin.licences_found for pin in self)
        return self if silent else Pins.kept_back((replace(pin, licences_found=()) for pin in self), self.secret)

    @cached_property
    def text(self) -> str:
        """The list: what ``sha256sum`` prints about the files, so that it can check them; above each line, the size."""
        return (f"# withheld {self.secret}\n" if self.secret else "") + "".join(map(_line, self))

    @cached_property
    def sums(self) -> str:
        """The sha256 of the list."""
        return self._described[2] if self._described else hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def together(self) -> str:
        """The sha256 of the file; of several, of what ``sha256sum`` prints of them in the order of their names."""
        sums = {pin.file: pin.sha256 for pin in self}
        if len(sums) < 2:
            return next(iter(sums.values()), "")
        lines = (f"{sums[name]}  {name}\n" for name in sorted(sums))  # as their bytes in UTF-8
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def size(self) -> int:
        """Bytes of all files."""
        return self._described[1] if self._described else sum(pin.size for pin in self)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The files that a list has.

        Raises:
            ValueError: if it is no such list.
        """
        said = _SECRET.match(text)
        rows = _LISTED.findall(text)
        named = (Pin(_unescaped(name) if how else name, sha256, int(size)) for size, how, sha256, name in rows)
        with uncollected():
            found = cls.kept_back(named, said["secret"] if said else "")
        if found.text != text:
            raise ValueError("it is not a list of files as regrow writes it")
        return found

    def brief(self) -> dict[str, Any]:
        """What is said of files that are not named."""
        return {"files": self.number, "bytes": self.size, "commitment" if self.withheld else "sums": self.sums}


def read_brief(told: Any) -> Pins | None:
    """Files that may not be shared, from what :meth:`Pins.brief` says of them; None if it is about none.

    Raises:
        ValueError: if it is nothing that is said of files.
    """
    if not isinstance(told, dict) or "commitment" not in told:
        return None
    files, size, commitment = (told.get(name) for name in ("files", "bytes", "commitment"))
    if type(files) is not int or type(size) is not int or not (isinstance(commitment, str) and is_sha256(commitment)):
        raise ValueError("it does not say how many files there are, and what stands for them")
    return Pins.described(files, size, commitment)


def withheld_path(source: str, commitment: str) -> str:
    """Where the list of the files of a source that may not be shared lies, beside its texts."""
    return f"{WITHHELD}/{source}-{commitment[:12]}.sha256"


def list_path(source: str, sums: str) -> str:
    """Where the list of the files of a source lies, beside the lock that names its digest.

    A new list does not take the place of an old one, so a lock always has its own beside it, come what may.
    """
    return f"{FOLDER}/{source}-{sums[:12]}.sha256"


def listed_in_short(told: Any) -> str:
    """The digest of a list if that is how the files of a source are told of, as :meth:`Pins.brief` does; else empty."""
    found = told.get("sums") if isinstance(told, dict) else None
    return found if isinstance(found, str) and is_sha256(found) else ""


def _line(pin: Pin) -> str:
    name = pin.file
    if "\\" in name or "\n" in name or "\r" in name:  # as sha256sum does it
        return f"# {pin.size}\n\\{pin.sha256}  {''.join(_ESCAPES.get(letter, letter) for letter in name)}\n"
    return f"# {pin.size}\n{pin.sha256}  {name}\n"


def _unescaped(name: str) -> str:
    meant = {said: letter for letter, said in _ESCAPES.items()}
    return re.sub(r"\\[\\nr]", lambda found: meant[found[0]], name)


class Pinned(Parameters):
    """Parameters of a stage that brings in files from outside. The recipe says where from, the lock which they are."""

    fetch: str = Field(json_schema_extra={"settled": True})
    pins: tuple[Pin, ...] = Field(
        default=(),
        description="The files it must give, with their hashes.",
        json_schema_extra={"hidden": True, "settled": True},
    )

    @field_serializer("pins", mode="wrap", when_used="json")
    def _in_short(self, pins: tuple[Pin, ...], write: SerializerFunctionWrapHandler) -> Any:
        """Many files are an ingredient by the digest of their list."""
        return told.brief() if (told := Pins.of(pins)).unnamed else write(pins)


def is_unpinned(parameters: Parameters) -> bool:
    """True if a stage with these parameters brings in files that nobody has seen yet."""
    return isinstance(parameters, Pinned) and not Pins.of(parameters.pins).number
