"""Rows of a table in text: CSV, which RFC 4180 describes, and the same with tabs."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from functools import cache
from typing import IO

from regrow.corpus.content import Content
from regrow.corpus.encodings import BYTE_ORDER_MARK, decoded, not_encoded_in, plain_encoding
from regrow.corpus.reading import Reading, Refusal
from regrow.corpus.rows import LONGEST, Row, names, no_field, refused, require_groups, row_of

_BROKEN = "a quotation mark is not closed, or closed before the field ends"
_OTHERS = {";": "semicolons", "\t": "tabs", ",": "commas", "|": "bars"}
_QUOTED = re.compile('"[^"]*+(?:""[^"]*+)*+"')
_LONG = 1 << 22  # bytes of a file that is not decoded at once
_WINDOW = 1 << 20  # of those that are read at a time
_NOTHING = [""]
_Record = tuple[int, int, list[str] | None]


def table_rows(content: Content, reading: Reading, delimiter: str, name: str) -> Iterator[Row | Refusal]:
    """A column of each row. The first row names the columns; the delimiter is given and never guessed."""
    records = _placed(content, reading.encoding, delimiter)
    if isinstance(records, Refusal):
        yield records
        return
    _, _, first = next(records, (0, 0, _NOTHING))
    if first is _NOTHING:
        return
    columns = first or []
    if trouble := _header_trouble(columns, reading, name):
        yield Refusal(0, content.size, *trouble)
        return
    require_groups(reading, columns, "there is no column")
    for start, end, values in records:
        if values is None:
            yield refused(start, end, f"not {name}", _BROKEN)
        elif len(values) != len(columns):
            yield refused(start, end, f"not {name}", f"{len(values)} fields, the first row has {len(columns)}")
        elif end - start > LONGEST:
            yield refused(start, end, "too long", f"a row has at most {LONGEST:,} characters")
        else:
            yield row_of(start, end, dict(zip(columns, values, strict=True)), reading)


def _placed(content: Content, encoding: str, delimiter: str) -> Iterator[_Record] | Refusal:
    """The rows with their places in the file, which is decoded a bit at a time if it is long."""
    plain = plain_encoding(content, encoding)
    if isinstance(plain, Refusal):
        return plain
    if content.is_file and content.size > _LONG and plain[0].startswith("utf-"):
        return not_encoded_in(content, encoding) or _streamed(content.opened(), *plain, delimiter)
    text = decoded(content, encoding)
    if isinstance(text, Refusal):
        return text
    records = list(_records(text.text, delimiter, _begin(text.text)))
    places = text.places(place for start, end, _, _ in records for place in (start, end))
    return ((next(places), next(places), values) for *_, values, _ in records)


def _streamed(file: IO[bytes], encoding: str, first: int, delimiter: str) -> Iterator[_Record]:
    """The rows of a long text, from a byte on."""
    file.seek(first)
    decoder = codecs.getincrementaldecoder(encoding)()
    text, place, size, whole = "", first, _WINDOW, False
    while not whole:
        data = file.read(size)
        whole = not data
        text += decoder.decode(data, whole)
        begin = _begin(text) if place == first else 0
        read = at = 0
        for start, end, values, behind in _records(text, delimiter, begin, whole):
            read = behind
            here = place + len(text[at:start].encode(encoding))
            at, place = end, here + len(text[start:end].encode(encoding))
            yield here, place, values
        place += len(text[at:read].encode(encoding))
        text = text[read:]
        size = _WINDOW if read else 2 * size


def _header_trouble(columns: list[str], reading: Reading, name: str) -> tuple[str, str] | None:
    """What is wrong with the first row: the reason, and the detail. Only columns that are asked for have to be one."""
    if not columns:
        return f"not {name}", f"in the first row, {_BROKEN}"
    if reading.field not in columns:
        if other := next((words for sign, words in _OTHERS.items() if reading.field in columns[0].split(sign)), ""):
            return f"not {name}", f"the first row has {other} between its columns"
        return "no text", no_field("column", reading.field, columns)
    twice = [column for column in (reading.field, *reading.group_by) if columns.count(column) > 1]
    return ("no text", f"the first row has {names(twice[:1])} twice") if twice else None


def _begin(text: str) -> int:
    return 1 if text.startswith(BYTE_ORDER_MARK) else 0


def _records(
    text: str, delimiter: str, place: int, whole: bool = True
) -> Iterator[tuple[int, int, list[str] | None, int]]:
    """The places and fields of the rows, and where the next begins. None for the fields of a line that breaks the
    rules; blank lines are none.

    Args:
        text: of the table.
        delimiter: between fields.
        place: of the first character that counts.
        whole: whether nothing follows it; else it ends with the last row that is certain to.
    """
    field, line = _patterns(delimiter)
    while place < len(text):
        start, values = place, list[str]()
        while True:
            found = field.match(text, place)
            if found is None:
                end = line.search(text, place)
                if not whole and not _is_broken(text, place, end):
                    return
                place = end.end() if end else len(text)
                yield start, end.start() if end else len(text), None, place
                break
            quoted, plain, after = found.groups()
            if not whole and found.end() == len(text) and after in ("", "\r"):
                return
            values.append(plain or "" if quoted is None else quoted.replace('""', '"'))
            place = found.end()
            if after != delimiter:
                if values != [""] or quoted is not None:
                    yield start, found.start(3), values, place
                break


def _is_broken(text: str, place: int, end: re.Match[str] | None) -> bool:
    """Whether a field that begins with a quotation mark breaks the rules whatever follows the text, to a line's end."""
    if end is None or end.end() == len(text):
        return False
    quoted = _QUOTED.match(text, place)
    return quoted.end() < len(text) if quoted else len(text) - place > LONGEST


@cache
def _patterns(delimiter: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A field with what ends it, and the end of a line."""
    after = rf"({delimiter}|\r\n|\n|\r|\Z)"
    return (
        re.compile(rf'(?:"([^"]*+(?:""[^"]*+)*+)"|((?:[^{delimiter}\r\n"][^{delimiter}\r\n]*+)?+)){after}'),
        re.compile(r"\r\n|\n|\r"),
    )
