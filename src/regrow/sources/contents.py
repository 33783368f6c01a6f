"""The wanted texts in a file of a source: itself, or those in it if it is an archive, and in the archives in that."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from regrow.errors import InputError
from regrow.sources.archives import Budget, Large, Limits, Member, Refused, TooLargeError, entries, is_archive
from regrow.sources.packing import HEAD, unknown_packing
from regrow.sources.select import INSIDE, Choice

Opened = IO[bytes] | Large
"""A file that is read: from its beginning on, and if it is large and in an archive, once."""

_DEEPEST = 3  # archives in one another
_PACKED = "packed with {}, which is not unpacked here: unpack it yourself"


def contents(
    path: Path, name: str, choice: Choice, seen: Callable[[str], None], limits: Limits | None = None
) -> Iterator[tuple[str, bytes | Refused]]:
    """Names and bytes of the wanted files, as :func:`opened` finds them.

    Raises:
        TooLargeError: if a file in an archive is larger than this machine reads as a whole.
    """
    for inside, file in opened(path, name, choice, seen, limits):
        yield inside, file if isinstance(file, Refused) else file.read()


def opened(
    path: Path, name: str, choice: Choice, seen: Callable[[str], None], limits: Limits | None = None
) -> Iterator[tuple[str, Opened | Refused]]:
    """The wanted files, each open until the next; in an archive, ``ARCHIVE!/PATH``. What nothing unpacks is refused.

    Args:
        path: the file.
        name: what it is called in the source.
        choice: which are wanted.
        seen: is told the name of every file there is, wanted or not.
        limits: what an archive may hold.

    Raises:
        InputError: if an archive is damaged or exceeds the limits. One that nobody chose by its own name, and in which
            nothing wanted was seen until then, is refused instead: other files need not suffer for it.
    """
    with path.open("rb") as file:
        yield from _Contents(choice, seen, Budget(name, limits)).of(file, name)


class _Contents:
    def __init__(self, choice: Choice, seen: Callable[[str], None], budget: Budget) -> None:
        self._choice, self._seen, self._budget = choice, seen, budget

    def of(self, file: Opened, name: str, depth: int = 0) -> Iterator[tuple[str, Opened | Refused]]:
        """The wanted files in one, which is in so many archives."""
        head = _head(file)
        if not is_archive(name, head):
            if depth == 0:
                self._seen(name)
            if self._choice.wants(name):
                packing = unknown_packing(name, head)
                yield name, Refused(name, _PACKED.format(packing)) if packing else file
        elif depth == _DEEPEST:
            yield name, Refused(name, f"an archive in {depth} others")
        elif self._choice.enters(name):
            yield from self._inside(io.BytesIO(file.read()) if isinstance(file, Large) else file, name, depth)
        else:
            self._seen(name)

    def _inside(self, file: IO[bytes], name: str, depth: int) -> Iterator[tuple[str, Opened | Refused]]:
        met = False
        large: list[str] = []

        def asks(path: str, size: int) -> bool:
            """Whether a file in the archive has to be read: because it is wanted, or what is in it may be."""
            inside = f"{name}{INSIDE}{path}"
            self._seen(inside)
            if self._choice.wants(inside):
                return True
            may_hold = is_archive(path) and self._choice.enters(inside)
            if may_hold and size > self._budget.limits.nested and not self._choice.names(inside):
                large.append(inside)
                return False
            return may_hold

        try:
            for entry in entries(file, name, asks, self._budget):
                met = True
                inside = f"{name}{INSIDE}{entry.path}"
                if isinstance(entry, Refused):
                    yield inside, entry
                else:
                    yield from self.of(_open(entry), inside, depth + 1)
        except TooLargeError:
            raise
        except InputError as error:
            if met or self._choice.names(name):
                raise
            yield name, Refused(name, error.what)
        yield from ((inside, Refused(inside, "an archive too large to look into")) for inside in large)


def _head(file: Opened) -> bytes:
    if isinstance(file, Large):
        return file.peek(HEAD)
    head = file.read(HEAD)
    file.seek(0)
    return head


def _open(entry: Member | Large) -> Opened:
    return entry if isinstance(entry, Large) else io.BytesIO(entry.data)
