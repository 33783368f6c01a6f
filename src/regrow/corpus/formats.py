"""From the bytes of a file to texts, each with its exact place in the file."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from regrow.errors import StageError

_SUFFIXES = {
    "md": "markdown",
    "markdown": "markdown",
    "htm": "html",
    "html": "html",
    "xhtml": "html",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
}
_BLANK_LINES = re.compile(r"\n[ \t\r]*\n(?:[ \t\r]*\n)*")
_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(?:.*\n)*?---[ \t]*(?:\r?\n|\Z)")
_ENCODINGS = re.compile(r"utf-8|ascii|utf-(16|32)-[lb]e|iso8859-\d+|cp(125\d|437|850|852|866)|koi8-[ru]|mac-roman")
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_DEEPEST = 100  # brackets within brackets; how many Python's parser takes differs from version to version
_DIGITS = 640  # of a whole number; Python takes as many under all of its settings, and more under some


@dataclass(frozen=True)
class Reading:
    """How to read files: see the parameters of the same names of the ``documents`` stage."""

    encoding: str = "utf-8"
    field: str = "text"
    group_by: tuple[str, ...] = ()
    max_characters: int = 0


@dataclass(frozen=True)
class Piece:
    """A text and its place: bytes ``[start, end)`` of the file, or rows of a Parquet file."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Refusal:
    """A place whose text cannot be used, and why."""

    start: int
    end: int
    reason: str
    detail: str


def known_encoding(name: str) -> str:
    """The usual name of an encoding in which every piece of a text has its own bytes.

    Raises:
        LookupError: if there is no such encoding.
        ValueError: for others, where the place of a text would be a matter of opinion.
    """
    try:
        usual = codecs.lookup(name).name
    except ValueError as error:  # a name with a null character
        raise LookupError(name) from error
    if not _ENCODINGS.fullmatch(usual):
        raise ValueError(f"`{name}` is not an encoding in which every piece of a text has its own bytes")
    return usual


def format_of(path: str) -> str:
    """The format a file's name speaks of; plain text if it speaks of none."""
    stem, _, end = path.rpartition("/")[2].rpartition(".")
    return _SUFFIXES.get(end.lower(), "text") if stem else "text"


def read(data: bytes, format: str, reading: Reading) -> Iterator[Piece | Refusal]:
    """The texts of a file, in the order in which they stand there. What cannot be read is a :class:`Refusal`."""
    return _READERS[format](data, reading)


def _text(data: bytes, reading: Reading) -> Iterator[Piece | Refusal]:
    """Plain text: all of it, in pieces that end where a paragraph ends."""
    text = _decoded(data, reading)
    yield from (text,) if isinstance(text, Refusal) else _pieces(text, 0, reading)


def _markdown(data: bytes, reading: Reading) -> Iterator[Piece | Refusal]:
    """Markdown is text, written to be read as it is; only the metadata some tools put in front is left out."""
    text = _decoded(data, reading)
    if isinstance(text, Refusal):
        yield text
        return
    front = match.end() if (match := _FRONT_MATTER.match(text)) else 0
    yield from _pieces(text[front:], len(text[:front].encode(reading.encoding)), reading)


def _html(data: bytes, reading: Reading) -> Iterator[Piece | Refusal]:
    """A page is one piece: its text has no byte range of its own in the file."""
    from regrow.corpus.markup import html_text

    text = _decoded(data, reading)
    yield text if isinstance(text, Refusal) else Piece(0, len(data), html_text(text))


def _jsonl(data: bytes, reading: Reading) -> Iterator[Piece | Refusal]:
    """A field of each line."""
    seen: set[str] = set()
    lines = (_line(data, start, end, reading, seen) for start, end in _lines(data, reading.encoding))
    yield from _grouped(lines, reading)
    if reading.field in seen and (missing := [name for name in reading.group_by if name not in seen]):
        raise StageError(
            f"no line has a field `{missing[0]}`",
            why=f"the fields are {', '.join(sorted(seen)[:20])}",
            hint="name fields that lines have as `group_by`",
        )


def _parquet(data: bytes, reading: Reading) -> Iterator[Piece | Refusal]:
    """A column of each row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        columns = [reading.field, *reading.group_by]
        if missing := [name for name in columns if name not in file.schema_arrow.names]:
            raise StageError(
                f"there is no column `{missing[0]}`",
                why=f"the columns are {', '.join(file.schema_arrow.names)}",
                hint="name the column that holds the text as `field`",
            )
        rows = (row for batch in file.iter_batches(columns=columns) for row in batch.to_pylist())
        yield from _grouped((_row(at, at + 1, row, reading) for at, row in enumerate(rows)), reading)
    except MemoryError:  # says something of the machine, not of the file
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError):  # what pyarrow says of damaged bytes
        yield Refusal(0, len(data), "not a Parquet file", "")


def _grouped(rows: Iterator[tuple[Piece, str] | Refusal], reading: Reading) -> Iterator[Piece | Refusal]:
    """Make one piece of consecutive rows that agree in the fields of ``group_by``, up to ``max_characters``."""
    held: list[Piece] = []
    group, size = "", 0
    for row in rows:
        if isinstance(row, Refusal):
            yield from _joined(held)
            held, size = [], 0
            yield row
            continue
        piece, key = row
        size += len(piece.text) + 1
        if not reading.group_by or key != group or 0 < reading.max_characters < size:
            yield from _joined(held)
            held, size = [], len(piece.text) + 1
        held.append(piece)
        group = key
    yield from _joined(held)


_READERS: Mapping[str, Callable[[bytes, Reading], Iterator[Piece | Refusal]]] = {
    "text": _text,
    "markdown": _markdown,
    "html": _html,
    "jsonl": _jsonl,
    "parquet": _parquet,
}


def _decoded(data: bytes, reading: Reading) -> str | Refusal:
    try:
        return data.decode(reading.encoding)
    except UnicodeDecodeError as error:
        return _not_encoded(0, len(data), reading, error)


def _not_encoded(start: int, end: int, reading: Reading, error: UnicodeDecodeError) -> Refusal:
    found = error.object[error.start : error.start + 1].hex()
    return Refusal(start, end, f"not {reading.encoding}", f"byte {start + error.start} is 0x{found}")


def _pieces(text: str, offset: int, reading: Reading) -> Iterator[Piece]:
    """Cut a text into pieces that together are all of it. ``offset`` is where its bytes begin in the file."""
    begin = 0
    for end in _cuts(text, reading.max_characters):
        size = len(text[begin:end].encode(reading.encoding))
        yield Piece(offset, offset + size, text[begin:end])
        begin, offset = end, offset + size


def _cuts(text: str, most: int) -> Iterator[int]:
    """Where pieces end: after blank lines, within longer paragraphs after lines, so that few exceed ``most``."""
    if most <= 0 or len(text) <= most:
        yield len(text)
        return
    begin = last = 0
    for end in _ends(text, most):
        if end - begin > most and begin < last < end:
            yield last
            begin = last
        last = end
    yield len(text)


def _ends(text: str, most: int) -> Iterator[int]:
    """Where paragraphs end, and the lines of those paragraphs that are too long themselves."""
    begin = 0
    for end in [*(match.end() for match in _BLANK_LINES.finditer(text)), len(text)]:
        if end - begin > most:
            yield from (
                begin + match.end() for match in re.finditer("\n+", text[begin:end]) if begin + match.end() < end
            )
        yield end
        begin = end


def _lines(data: bytes, encoding: str) -> Iterator[tuple[int, int]]:
    """The byte ranges of the lines that are not blank, without their ends."""
    newline = "\n".encode(encoding)
    start = 0
    while start < len(data):
        end = data.find(newline, start)
        while end >= 0 and (end - start) % len(newline):  # the halves of two characters
            end = data.find(newline, end + 1)
        end = len(data) if end < 0 else end
        if data[start:end].decode(encoding, "replace").strip(" \t\r\v\f"):
            yield start, end
        start = end + len(newline)


def _line(data: bytes, start: int, end: int, reading: Reading, seen: set[str]) -> tuple[Piece, str] | Refusal:
    """The text of a line of JSON, and the values it is grouped by. ``seen`` gets its fields, if it is grouped."""
    try:
        text = data[start:end].decode(reading.encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        return _not_encoded(start, end, reading, error)
    if _depth(text) > _DEEPEST:
        return Refusal(start, end, "not JSON", f"nested more than {_DEEPEST} deep")
    try:
        row = json.loads(text, parse_int=_integer)
    except ValueError:  # no detail: every version of Python says it in other words
        return Refusal(start, end, "not JSON", "")
    if not isinstance(row, dict):
        return Refusal(start, end, "not a JSON object", "")
    if reading.group_by:
        seen.update(row)
    return _row(start, end, row, reading)


def _depth(text: str) -> int:
    """How deep the brackets of a JSON text are nested."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return 0  # as good as any number that is small enough
    brackets = re.findall(r"[\[\]{}]", _STRING.sub("", text))
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0)


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError("too many digits")
    return int(digits)


def _row(start: int, end: int, row: Mapping[str, Any], reading: Reading) -> tuple[Piece, str] | Refusal:
    text = row.get(reading.field)
    if not isinstance(text, str):
        trouble = "missing" if text is None else "not a string"
        return Refusal(start, end, "no text", f"field `{reading.field}` is {trouble}")
    try:
        text.encode()
    except UnicodeEncodeError:
        return Refusal(start, end, "half a character", f"field `{reading.field}` holds a lone surrogate")
    return Piece(start, end, text), json.dumps([row.get(name) for name in reading.group_by], default=repr)


def _joined(pieces: list[Piece]) -> Iterator[Piece]:
    """Lines as one piece; nothing of nothing."""
    if pieces:
        yield Piece(pieces[0].start, pieces[-1].end, "\n".join(piece.text for piece in pieces))
