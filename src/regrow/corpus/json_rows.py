"""Rows of JSON: one to a line, or the items of an array, or objects one after another."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import accumulate, chain, islice

from regrow.corpus.content import Content
from regrow.corpus.conversations import conversation_row
from regrow.corpus.encodings import BYTE_ORDER_MARK, WIDE, decoded, not_encoded, plain_encoding
from regrow.corpus.reading import Reading, Refusal
from regrow.corpus.rows import LONGEST, Row, refused, require_groups, row_of
from regrow.words import shown

LOOKS_LIKE_ROWS = re.compile(r'\s*(?:\[\s*)?\{\s*"(?:[^"\\]|\\.){0,200}"\s*:')
"""How a file begins that holds JSON objects."""

_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_DEEPEST = 100  # brackets within brackets; how many Python's parser takes differs from version to version
_DIGITS = 640  # of a whole number; Python takes as many under all of its settings, and more under some
_BLANKS = b" \t\r\v\f"
_JSON_BLANKS = " \t\r\n"
_Line = tuple[int, int, bytes]
_LINES = 100  # that are looked at to see whether each is an object


class _TooLongError(ValueError):
    """A number that not every Python takes."""


def json_lines(content: Content, reading: Reading) -> Iterator[Row | Refusal]:
    """An object to a line."""
    plain = plain_encoding(content, reading.encoding)
    if isinstance(plain, Refusal):
        yield plain
        return
    lines = _lines(content, *plain)
    content.settle()
    yield from _objects(lines, plain[0], reading)


def json_rows(content: Content, reading: Reading) -> Iterator[Row | Refusal]:
    """Objects in whichever way the file has them: the items of an array, one to a line, or one after another."""
    plain = plain_encoding(content, reading.encoding)
    if isinstance(plain, Refusal):
        yield plain
        return
    first: list[_Line] = []
    lines = _lines(content, *plain)
    if (opening := _opening(_noted(lines, first), plain[0])) == "":
        content.settle()
        yield from _objects(chain(first, lines), plain[0], reading)
        return
    text = decoded(content, reading.encoding)
    if isinstance(text, Refusal):
        yield text
        return
    seen: set[str] = set()
    number, counted = 1, 0
    found = list(_items(text.text) if opening == "[" else _values(text.text))
    places = text.places(place for start, end, _ in found for place in (start, end))
    for start, end, whole in found:
        here = next(places), next(places)
        part = text.text[start:end]
        row = _value(part, *here, reading, seen) if whole else refused(*here, "not JSON", _rest(part))
        if isinstance(row, Refusal) and reading.conversations:
            number, counted = number + text.text.count("\n", counted, start), start
            row = _numbered(row, number)
        yield row
    _require_groups(reading, seen)


def _objects(lines: Iterable[_Line], encoding: str, reading: Reading) -> Iterator[Row | Refusal]:
    """The objects of lines."""
    seen: set[str] = set()
    for number, start, line in lines:
        row = _line(line, start, encoding, reading, seen)
        yield _numbered(row, number) if isinstance(row, Refusal) and reading.conversations else row
    _require_groups(reading, seen)


def _numbered(refusal: Refusal, line: int) -> Refusal:
    """What is refused with its line, by which an editor finds it."""
    return replace(refusal, detail=f"line {line}: {refusal.detail}" if refusal.detail else f"line {line}")


def _noted(lines: Iterator[_Line], notes: list[_Line]) -> Iterator[_Line]:
    for line in lines:
        notes.append(line)
        yield line


def _opening(lines: Iterator[_Line], encoding: str) -> str:
    """With what the rows of a file begin that are not lines: the bracket of an array, or of objects; else empty."""
    texts = (line.decode(encoding, "replace") for _, _, line in islice(lines, _LINES))
    first = next(texts, "").lstrip(BYTE_ORDER_MARK + " \t\r")
    if first[:1] not in ("[", "{"):
        return ""
    end = _whole(first)
    if first[0] == "[":
        return "[" if next(texts, None) is None or not end else ""
    if end and first[end:].lstrip(" \t\r")[:1] != "{":
        return ""
    return "" if any(line[0] == "{" and _whole(line) for line in texts) else "{"


def _whole(line: str) -> int:
    """Where the whole value ends that a line begins with; 0 if it does not. What follows is a fault of the line."""
    if len(line) > LONGEST or _depth(line) > _DEEPEST:
        return len(line)  # as good as one: it is refused for that
    try:
        return _decoder().raw_decode(line)[1]
    except ValueError:
        return 0


def _items(text: str) -> Iterator[tuple[int, int, bool]]:
    """The places between the commas of an array, and False for a rest that is none of it."""
    depth, start = 0, text.index("[") + 1
    for token in _TOKEN.finditer(text, start):
        sign = token[0]
        if sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        if depth < 0 or (depth == 0 and sign == ","):
            yield from _trimmed(text, start, token.start(), whole=True)
            start = token.end()
        if depth < 0:
            break
    yield from _trimmed(text, start, len(text), whole=False)


def _values(text: str) -> Iterator[tuple[int, int, bool]]:
    """The places of objects that stand one after another, and False for what stands between them."""
    depth, start = 0, 1 if text.startswith(BYTE_ORDER_MARK) else 0
    for token in _TOKEN.finditer(text, start):
        sign = token[0]
        if sign in "[{":
            if depth == 0:
                yield from _trimmed(text, start, token.start(), whole=False)
                start = token.start()
            depth += 1
        elif sign in "]}":
            depth -= 1
            if depth <= 0:
                yield from _trimmed(text, start, token.end(), whole=depth == 0)
                start, depth = token.end(), 0
    yield from _trimmed(text, start, len(text), whole=False)


def _trimmed(text: str, start: int, end: int, whole: bool) -> Iterator[tuple[int, int, bool]]:
    """A place without the blanks around it, if anything is left."""
    part = text[start:end]
    begin = start + len(part) - len(part.lstrip(" \t\r\n"))
    if stripped := part.strip(" \t\r\n"):
        yield begin, begin + len(stripped), whole


def _rest(part: str) -> str:
    return f"{shown(part[0])} stands where the next row should begin" if part[0] not in "[{" else "it is cut short"


def _require_groups(reading: Reading, seen: set[str]) -> None:
    if reading.field in seen:
        require_groups(reading, seen, "no line has a field")


def _lines(content: Content, encoding: str, start: int) -> Iterator[_Line]:
    """The lines that are not blank, with their numbers and places, without their ends."""
    if encoding.startswith(WIDE):
        return _wide_lines(content.data, encoding, start)
    lines = enumerate(content.lines(start), 1)
    return ((number, place, line) for number, (place, line) in lines if line.strip(_BLANKS))


def _wide_lines(data: bytes, encoding: str, start: int) -> Iterator[_Line]:
    """The same where a newline has several bytes."""
    newline = "\n".encode(encoding)
    number = 0
    while start < len(data):
        number += 1
        end = data.find(newline, start)
        while end >= 0 and (end - start) % len(newline):  # the halves of two characters
            end = data.find(newline, end + 1)
        end = len(data) if end < 0 else end
        line = data[start:end]
        if line.decode(encoding, "replace").strip(_BLANKS.decode()):
            yield number, start, line
        start = end + len(newline)


def _line(line: bytes, start: int, encoding: str, reading: Reading, seen: set[str]) -> Row | Refusal:
    end = start + len(line)
    try:
        text = line.decode(encoding).removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        return not_encoded(line, start, end, reading.encoding, error.start, rows=1)
    return _value(text, start, end, reading, seen)


def _value(text: str, start: int, end: int, reading: Reading, seen: set[str]) -> Row | Refusal:
    """The row that a JSON text is. ``seen`` gets its fields, if rows are grouped."""
    if len(text) > LONGEST:
        return refused(start, end, "too long", f"a row has at most {LONGEST:,} characters")
    if _depth(text) > _DEEPEST:
        return refused(start, end, "not JSON", f"nested more than {_DEEPEST} deep")
    try:
        row, size = _decoder().raw_decode(text := text.strip(_JSON_BLANKS))
    except _TooLongError:
        return refused(start, end, "not JSON", f"a whole number in it has more than {_DIGITS} digits")
    except ValueError:  # every version of Python says it in other words
        return refused(start, end, "not JSON")
    if size < len(text):
        return refused(start, end, "not JSON", f"{shown(text[size:].strip()[:1])} follows the object")
    if not isinstance(row, dict):
        return refused(start, end, "not a JSON object")
    if reading.conversations:
        return conversation_row(start, end, row)
    if reading.group_by:
        seen.update(row)
    return row_of(start, end, row, reading)


def _depth(text: str) -> int:
    """How deep the brackets of a JSON text are nested."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return 0  # as good as any number that is small enough
    brackets = re.findall(r"[\[\]{}]", _STRING.sub("", text))
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0)


@cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_int=_integer)


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise _TooLongError
    return int(digits)
