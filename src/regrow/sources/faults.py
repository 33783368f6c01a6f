"""What to say when other bytes came than were promised, or than were asked for."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.errors import InputError
from regrow.formats.pointer import POINTERS, pointer, remedy
from regrow.recipe.pin import Pin

LINE_ENDS = (
    "Git may have changed the ends of lines (core.autocrlf): write `* -text` into `.gitattributes` beside the recipe, "
    "then check the files out again"
)
"""The hint for a text that came with other line ends."""

_CHUNK = 1 << 20

_HEAD = 4096
_SHOWN = 40
_PAGE = re.compile(
    rb"(?:\s|<!--(?:(?!-->).)*-->|<\?xml[^>]*\?>)*<(?:!doctype\s+html|html|head|body)[\s>]", re.DOTALL | re.IGNORECASE
)
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_BEGINNINGS = {
    **dict.fromkeys((".gz", ".tgz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".zst"), _PACKED),
    **dict.fromkeys((".zip", ".whl", ".egg"), (b"PK",)),
    ".deb": (b"!<arch>\ndebian-binary",),
    ".parquet": (b"PAR1",),
}
"""How files begin whose names end so. Archives are read by what they hold, so any way of packing will do for them."""
_TEXT = frozenset((".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".csv", ".tsv", ".json", ".jsonl", ".ndjson"))
_PAGES = frozenset((".html", ".htm", ".xhtml", ".shtml", ".php", ".asp", ".aspx", ".jsp", ".cgi"))

_IN_THE_WAY = "a log-in page or a notice of the network may be in the way"


@dataclass(frozen=True)
class Promise:
    """What a file must be, before it has come.

    Attributes:
        file: its name.
        sha256: of its bytes.
        size: in bytes; None if that is not known.
        index: the variable that names the package index that lists it so; empty if the lock has it.
    """

    file: str
    sha256: str
    size: int | None
    index: str = ""

    @classmethod
    def of(cls, pin: Pin) -> Promise:
        """What the lock promises."""
        return cls(pin.file, pin.sha256, pin.size)


def unexpected(promise: Promise, where: str, came: str, path: Path | None = None) -> InputError:
    """The error for bytes that are not those that were promised.

    Args:
        promise: what was promised.
        where: where the bytes came from.
        came: what came, in words.
        path: a file to look into, for a guess at what happened.
    """
    guess = _guess(path) if path is not None else ""
    instead = f": {guess} came instead" if guess else ""
    if promise.index:
        what = f"`{promise.file}` is not what the package index lists{instead}"
        size = f" and {promise.size} bytes" if promise.size is not None else ""
        why = f"the index lists sha256 {promise.sha256}{size}, and {came} came"
        hint = f"tell whoever keeps the index, or use another one: see {promise.index}"
    else:
        what = f"`{promise.file}` is not what was locked{instead}"
        why = f"the lock has {promise.size} bytes with sha256 {promise.sha256}; {came} came"
        hint = "if the change is meant, remove `regrow.lock` and lock again; otherwise find out who changed it"
        if path is not None and differs_in_line_ends(path, promise.sha256):
            what, hint = f"{what}: only line ends differ", LINE_ENDS
    return InputError(what, where=where, why=why, hint=_HINTS.get(guess, hint))


def differs_in_line_ends(path: Path, sha256: str) -> bool:
    """Whether a file would be what was promised if all of its lines ended as Unix or as Windows ends them."""
    return sha256 in (_sha256(path, _as_unix), _sha256(path, lambda data: _as_unix(data).replace(b"\n", b"\r\n")))


def _sha256(path: Path, change: Callable[[bytes], bytes]) -> str:
    found = hashlib.sha256()
    for data in _pieces(path):
        found.update(change(data))
    return found.hexdigest()


def _as_unix(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


def _pieces(path: Path) -> Iterator[bytes]:
    """The bytes of a file, in pieces that never part the two of a line's end."""
    kept = b""
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            data = kept + data
            kept = b"\r" if data.endswith(b"\r") else b""
            yield data.removesuffix(kept)
    yield kept


def require_asked_for(path: Path, name: str, where: str, emit: Callable[..., Any]) -> None:
    """Look whether a file may be what its name says, which is all there is to go by before a hash is known.

    Args:
        path: the file.
        name: what it is called at the place it came from.
        where: that place.
        emit: gets a note if the name leaves it open.

    Raises:
        InputError: if it is something else, such as a log-in page in the place of a text.
    """
    suffix, guess = posixpath.splitext(name)[1].lower(), _guess(path)
    if guess == "a web page" and suffix not in _TEXT and suffix not in _BEGINNINGS:
        if suffix not in _PAGES:
            emit("note", text=f"{where}: a web page came; if you meant another file, {_IN_THE_WAY}")
        return
    fitting = _BEGINNINGS.get(suffix, (b"",))
    if not guess and _head(path).startswith(fitting):
        return
    hint = _HINTS.get(guess, "open the address in a browser to see what it is")
    raise InputError(
        f"`{name}` is not what its name says: {guess or 'something else'} came",
        where=where,
        why="" if guess else f"it begins with {_head(path)[:_SHOWN]!r}, and no {suffix} file does",
        hint=f"{hint}; what you have looked at yourself can be used with `file:`",
    )


_HINTS = {
    "a web page": _IN_THE_WAY + ", or the address is that of a page about the file",
    **{
        f"a pointer of {kind}": f"`{remedy(kind)}` fetches the file itself; on the web take the address it comes from"
        for kind in POINTERS
    },
}


def _guess(path: Path) -> str:
    """What a file is that comes in the place of others; empty for any other file."""
    head = _head(path)
    if not head:
        return "an empty file"
    if kind := pointer(head):
        return f"a pointer of {kind}"
    return "a web page" if _PAGE.match(head.removeprefix(b"\xef\xbb\xbf")) else ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)
