"""Files that say what is asked: a JSON object to a line, each known by its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regrow.errors import InputError
from regrow.formats.objects import once
from regrow.words import shown

_LARGEST = 64 << 20


@dataclass(frozen=True)
class Line:
    """A line of a file.

    Attributes:
        file: what people call it.
        number: from 1.
        row: what it says.
    """

    file: str
    number: int
    row: Mapping[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Its place, for messages."""
        return f"{self.file}: line {self.number}"


def lines_of(path: Path, called: str = "") -> Iterator[Line]:
    """The lines that are not empty.

    Args:
        path: the file.
        called: what people call it; by default its path.

    Raises:
        InputError: if it cannot be read, or a line is no object.
    """
    called = called or str(path)
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise InputError("the file cannot be read", where=called, why=why) from error
    if len(data) > _LARGEST:
        raise InputError("the file cannot be read", where=called, why=f"it has more than {_LARGEST:,} bytes")
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            yield Line(called, number, _row(line, Line(called, number).where))


def _row(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"its byte {error.start + 1:,} is 0x{error.object[error.start]:02x}"
        raise InputError("this line is not UTF-8", where=where, why=why, hint="save the file as UTF-8") from error
    try:
        row = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise InputError("this line is no JSON", where=where, why=_why(error), hint=_hint(line, error)) from error
    if not isinstance(row, dict):
        why = f"it is {shown(row)}"
        raise InputError("this line is no JSON object", where=where, why=why, hint="each line is one, `{...}`")
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        hint = "JSON writes a character beyond U+FFFF as two, or as it is"
        raise InputError("this line has half of a character", where=where, hint=hint) from error
    return row


def _why(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):  # which counts lines too, and here there is one
        what = error.msg[:1].lower() + error.msg[1:].removesuffix(" at").removesuffix(" starting")
        return f"{what} at character {error.pos + 1:,}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a number has thousands of digits" if "set_int_max_str_digits" in str(error) else str(error)


def _hint(line: bytes, error: ValueError | RecursionError) -> str:
    """What to do about a line that is no JSON: people have lists over many lines, and habits from TOML."""
    if not isinstance(error, json.JSONDecodeError):
        return ""  # it is made as JSON is
    if line.strip() in (b"[", b"{") or line.lstrip().startswith(b"[{"):
        return "each line is a JSON object of its own, without a list around them"
    if re.match(rb"\{?\s*[\w-]+\s*=", line.strip()):
        return 'each line is a JSON object, `{"key": "value"}`; it is not TOML'
    return "each line is a JSON object"
