"""Rows of a table in text: CSV, which RFC 4180 describes, and the same with tabs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from regrow.corpus.content import Content
from regrow.corpus.encodings import BYTE_ORDER_MARK, decoded
from regrow.corpus.reading import Reading, Refusal
from regrow.corpus.rows import LONGEST, Row, names, no_field, refused, require_groups, row_of

_BROKEN = "a quotation mark is not closed, or closed before the field ends"
_OTHERS = {";": "semicolons", "\t": "tabs", ",": "commas", "|": "bars"}
_Record = tuple[int, int, list[str] | None]


def table_rows(content: Content, reading: Reading, delimiter: str, name: str) -> Iterator[Row | Refusal]:
    """A column of each row. The first row names the columns; the delimiter is given and never guessed."""
    text = decoded(content, reading.encoding)
    if isinstance(text, Refusal):
        yield text
        return
    records = list(_records(text.text, delimiter))
    if not records:
        return
    columns = records[0][2] or []
    if trouble := _header_trouble(columns, reading, name):
        yield Refusal(0, content.size, *trouble)
        return
    require_groups(reading, columns, "there is no column")
    places = text.places(place for start, end, _ in records[1:] for place in (start, end))
    for _, _, values in records[1:]:
        start, end = next(places), next(places)
        if values is None:
            yield refused(start, end, f"not {name}", _BROKEN)
        elif len(values) != len(columns):
            yield refused(start, end, f"not {name}", f"{len(values)} fields, the first row has {len(columns)}")
        elif end - start > LONGEST:
            yield refused(start, end, "too long", f"a row has at most {LONGEST:,} characters")
        else:
            yield row_of(start, end, dict(zip(columns, values, strict=True)), reading)


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


def _records(text: str, delimiter: str) -> Iterator[_Record]:
    """The places and fields of the rows; None for the fields of a line that breaks the rules. Blank lines are none."""
    field, line = _patterns(delimiter)
    place = 1 if text.startswith(BYTE_ORDER_MARK) else 0
    while place < len(text):
        start, values = place, list[str]()
        while True:
            found = field.match(text, place)
            if found is None:
                end = line.search(text, place)
                yield start, end.start() if end else len(text), None
                place = end.end() if end else len(text)
                break
            quoted, plain, after = found.groups()
            values.append(plain or "" if quoted is None else quoted.replace('""', '"'))
            place = found.end()
            if after != delimiter:
                if values != [""] or quoted is not None:
                    yield start, found.start(3), values
                break


@cache
def _patterns(delimiter: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A field with what ends it, and the end of a line."""
    after = rf"({delimiter}|\r\n|\n|\r|\Z)"
    return (
        re.compile(rf'(?:"([^"]*+(?:""[^"]*+)*+)"|((?:[^{delimiter}\r\n"][^{delimiter}\r\n]*+)?+)){after}'),
        re.compile(r"\r\n|\n|\r"),
    )
