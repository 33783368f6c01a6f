"""Rows of JSON: one to a line, or the items of an array, or objects one after another."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import accumulate, islice

from regrow.corpus.conversations import conversation_row
from regrow.corpus.encodings import BYTE_ORDER_MARK, decoded, not_encoded, plain_encoding
from regrow.corpus.reading import Reading, Refusal
from regrow.corpus.rows import LONGEST, Row, refused, require_groups, row_of
from regrow.words import shown

LOOKS_LIKE_ROWS = re.compile(r'\s*(?:\[\s*)?\{\s*"(?:[^"\\]|\\.){0,200}"\s*:')
"""How a file begins that holds JSON objects."""

_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_DEEPEST = 100  # brackets within brackets; how many Python's parser takes differs from version to version
_DIGITS = 640  # of a whole number; Python takes as many under all of its settings, and more under some
_LINES = 100  # that are looked at to see whether each is an object


class _TooLongError(ValueError):
    """A number that not every Python takes."""


def json_lines(data: bytes, reading: Reading) -> Iterator[Row | Refusal]:
    """An object to a line."""
    plain = plain_encoding(data, reading.encoding)
    if isinstance(plain, Refusal):
        yield plain
        return
    seen: set[str] = set()
    for start, end in _lines(data, *plain):
        yield _line(data, start, end, plain[0], reading, seen)
    _require_groups(reading, seen)


def json_rows(data: bytes, reading: Reading) -> Iterator[Row | Refusal]:
    """Objects in whichever way the file has them: the items of an array, one to a line, or one after another."""
    plain = plain_encoding(data, reading.encoding)
    if isinstance(plain, Refusal):
        yield plain
        return
    if (opening := _opening(data, *plain)) == "":
        yield from json_lines(data, reading)
        return
    text = decoded(data, reading.encoding)
    if isinstance(text, Refusal):
        yield text
        return
    seen: set[str] = set()
    found = list(_items(text.text) if opening == "[" else _values(text.text))
    places = text.places(place for start, end, _ in found for place in (start, end))
    for start, end, whole in found:
        here = next(places), next(places)
        part = text.text[start:end]
        yield _value(part, *here, reading, seen) if whole else refused(*here, "not JSON", _rest(part))
    _require_groups(reading, seen)


def _opening(data: bytes, encoding: str, start: int) -> str:
    """With what the rows of a file begin that are not lines: the bracket of an array, or of objects; else empty."""
    places = islice(_lines(data, encoding, start), _LINES)
    lines = (data[begin:end].decode(encoding, "replace") for begin, end in places)
    first = next(lines, "").lstrip(BYTE_ORDER_MARK + " \t\r")
    if first[:1] not in ("[", "{"):
        return ""
    end = _whole(first)
    if first[0] == "[":
        return "[" if next(lines, None) is None or not end else ""
    if end and first[end:].lstrip(" \t\r")[:1] != "{":
        return ""
    return "" if any(line[0] == "{" and _whole(line) for line in lines) else "{"


def _whole(line: str) -> int:
    """Where the whole value ends that a line begins with; 0 if it does not. What follows is a fault of the line."""
    if len(line) > LONGEST or _depth(line) > _DEEPEST:
        return len(line)  # as good as one: it is refused for that
    try:
        return json.JSONDecoder(parse_int=_integer).raw_decode(line)[1]
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


def _lines(data: bytes, encoding: str, start: int) -> Iterator[tuple[int, int]]:
    """The byte ranges of the lines that are not blank, without their ends."""
    newline = "\n".encode(encoding)
    while start < len(data):
        end = data.find(newline, start)
        while end >= 0 and (end - start) % len(newline):  # the halves of two characters
            end = data.find(newline, end + 1)
        end = len(data) if end < 0 else end
        if data[start:end].decode(encoding, "replace").strip(" \t\r\v\f"):
            yield start, end
        start = end + len(newline)


def _line(data: bytes, start: int, end: int, encoding: str, reading: Reading, seen: set[str]) -> Row | Refusal:
    try:
        text = data[start:end].decode(encoding).removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        return not_encoded(data, start, end, reading.encoding, start + error.start, rows=1)
    return _value(text, start, end, reading, seen)


def _value(text: str, start: int, end: int, reading: Reading, seen: set[str]) -> Row | Refusal:
    """The row that a JSON text is. ``seen`` gets its fields, if rows are grouped."""
    if len(text) > LONGEST:
        return refused(start, end, "too long", f"a row has at most {LONGEST:,} characters")
    if _depth(text) > _DEEPEST:
        return refused(start, end, "not JSON", f"nested more than {_DEEPEST} deep")
    try:
        row = json.loads(text, parse_int=_integer)
    except _TooLongError:
        return refused(start, end, "not JSON", f"a whole number in it has more than {_DIGITS} digits")
    except ValueError:  # every version of Python says it in other words
        return refused(start, end, "not JSON", _follows(text))
    if not isinstance(row, dict):
        return refused(start, end, "not a JSON object")
    if reading.conversations:
        return conversation_row(start, end, row)
    if reading.group_by:
        seen.update(row)
    return row_of(start, end, row, reading)


def _follows(text: str) -> str:
    """What stands after a value, if that is all that is wrong."""
    try:
        _, end = json.JSONDecoder(parse_int=_integer).raw_decode(text := text.lstrip(" \t\r\n"))
    except ValueError:
        return ""
    return f"{shown(text[end:].strip()[:1])} follows the object"


def _depth(text: str) -> int:
    """How deep the brackets of a JSON text are nested."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return 0  # as good as any number that is small enough
    brackets = re.findall(r"[\[\]{}]", _STRING.sub("", text))
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0)


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise _TooLongError
    return int(digits)
