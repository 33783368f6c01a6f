"""From the files of a benchmark to its items: JSON, CSV, TSV or Parquet, an item to a row."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from regrow.corpus.content import Content, Readable
from regrow.corpus.formats import format_of
from regrow.corpus.rows import names, value_in_words
from regrow.errors import StageError
from regrow.evidence.contamination.items import Item
from regrow.words import shown

TABULAR = ("json", "csv", "tsv", "parquet")
"""Formats, as :func:`regrow.corpus.formats.format_of` calls them, that have rows."""

USUAL: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "prompt", "problem", "query", "instruction", "text"),
    "choices": ("choices", "options", "endings"),
    "answer": ("answer", "canonical_solution", "solution", "answerKey", "label", "target"),
    "item": ("task_id", "id", "question_id", "_id", "idx"),
}
"""What fields are called where a recipe does not say; the first that a row has."""

_ENDS = re.compile(r"[\r\n]+")
"""Of lines: other characters that end one for Python may stand in a text of JSON."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_Row = Mapping[str, Any]


class NoQuestionError(StageError):
    """Nothing says which field of a file is the question, and none is called as usual."""


@dataclass(frozen=True)
class Shape:
    """Which fields of a row are what.

    Attributes:
        question: joined by a line break; one at least is in every row.
        choices: lists, or one choice each.
        answer: joined by a line break.
        item: the id.
    """

    question: tuple[str, ...]
    choices: tuple[str, ...]
    answer: tuple[str, ...]
    item: tuple[str, ...]

    def of(self, rows: Sequence[_Row]) -> Shape:
        """The same, where what is not said goes by what the rows have: of the question, by the first."""
        names = {"question": {*rows[0]}} if rows else {}
        all_names = {name for row in rows for name in row}
        usual = {
            key: next(((name,) for name in known if name in names.get(key, all_names)), ())
            for key, known in USUAL.items()
        }
        return Shape(**{key: getattr(self, key) or found for key, found in usual.items()})


def items(file: str, data: Readable, shape: Shape) -> tuple[Shape, list[Item]] | None:
    """The items of a file, and which fields they were taken from; None if it is no table.

    Raises:
        NoQuestionError: if no field is known to be the question.
        StageError: if its rows are not as they should be, naming the first that is not.
    """
    content = Content(data)
    format = format_of(file, content)
    if format not in TABULAR:
        return None
    rows = [*_READERS[format](content, file)]
    del rows[: bool(rows) and _is_head(rows[0], shape)]
    known = shape.of(rows)
    if rows and not known.question:
        why = f"none of its fields is known to be the question; it has {names(rows[0])}"
        raise _misshapen(file, 1, why, NoQuestionError)
    needed = {*known.question, *shape.choices, *shape.answer, *shape.item}
    return known, [_item(row, known, needed, file, number) for number, row in enumerate(rows, 1)]


def _is_head(row: _Row, shape: Shape) -> bool:
    """Whether the first row says what the others are, as in a file of a task (docs/eval.md), and asks nothing."""
    return "task" in row and row.keys().isdisjoint(shape.question or USUAL["question"])


def _item(row: _Row, shape: Shape, needed: Set[str], file: str, number: int) -> Item:
    for name in sorted(needed):
        if name not in row:
            raise _misshapen(file, number, f"it has no field `{name}`, but {names(row)}")
    for name in shape.question:
        if not _leaves(row[name]) and row[name] != "":
            raise _misshapen(file, number, f"its field `{name}` is {value_in_words(row[name])}, and holds no text")
    choices = tuple(choice for name in shape.choices if name in row for choice in _choices(row[name]))
    called = "-".join(_text(row[name]) for name in shape.item if name in row)
    item = Item(
        called or f"{file}:{number}",
        "\n".join(_text(row[name]) for name in shape.question),
        choices,
        "\n".join(_answer(row[name], choices, _labels(row, shape)) for name in shape.answer if name in row),
    )
    try:
        "".join([item.id, item.question, *item.choices, item.answer]).encode()
    except UnicodeEncodeError:
        raise _misshapen(file, number, "it holds half a character (a lone surrogate)") from None
    return item


def _text(value: Any) -> str:
    return "\n".join(_leaves(value))


def _leaves(value: Any) -> list[str]:
    """The texts and numbers in a value, however they are nested; of messages what is said, and not by whom."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, bool | int | float):
        return [str(value)]
    if isinstance(value, dict):
        inner = next((value[name] for name in ("text", "content") if name in value), list(value.values()))
        return _leaves(inner)
    return [text for one in value for text in _leaves(one)] if isinstance(value, list | tuple) else []


def _choices(value: Any) -> list[str]:
    """What may be answered: the elements of a list, or one text."""
    if isinstance(value, dict):
        value = value["text"] if isinstance(value.get("text"), list) else list(value.values())
    return [_text(one) for one in value] if isinstance(value, list | tuple) else [_text(value)]


def _labels(row: _Row, shape: Shape) -> list[str]:
    """What the choices are called: letters, or what the row says."""
    told = next((row[name] for name in shape.choices if isinstance(row.get(name), dict)), None)
    if told is None:
        return list(_LETTERS)
    return [str(label) for label in (told["label"] if isinstance(told.get("label"), list) else told)]


def _answer(value: Any, choices: Sequence[str], labels: Sequence[str]) -> str:
    """The answer in words: of one that only says which choice it is, that choice."""
    if choices and isinstance(value, str) and value in labels[: len(choices)]:
        return choices[labels.index(value)]
    which = value if isinstance(value, int) else int(value) if isinstance(value, str) and value.isdecimal() else -1
    return choices[which] if choices and 0 <= which < len(choices) else _text(value)


def _json_rows(content: Content, file: str) -> Iterator[_Row]:
    text = _decoded(content, file)
    if text.lstrip()[:1] == "[":
        yield from (_object(one, file, number) for number, one in enumerate(_parsed(text, file, 1), 1))
        return
    lines = [line for line in _ENDS.split(text) if line.strip()]
    try:
        json.loads(lines[0]) if lines else None
    except ValueError:
        whole = _object(_parsed(text, file, 1), file, 1)  # one object over many lines
        inside = [name for name, value in whole.items() if isinstance(value, list) and isinstance([*value, 0][0], dict)]
        if inside:
            why = f"all of the file is one object, and the rows may be the list `{inside[0]}` in it"
            raise _no_row(file, 1, why) from None
        yield whole
        return
    for number, line in enumerate(lines, 1):
        yield _object(_parsed(line, file, number), file, number)


def _parsed(text: str, file: str, number: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_row(file, number, f"it is not JSON: {shown(text.strip()[:40])}") from error


def _object(value: Any, file: str, number: int) -> _Row:
    if not isinstance(value, dict):
        raise _no_row(file, number, f"it is {value_in_words(value)}, and not an object")
    return value


def _csv_rows(content: Content, file: str, delimiter: str) -> Iterator[_Row]:
    reader = csv.DictReader(io.StringIO(_decoded(content, file), newline=""), delimiter=delimiter, strict=True)
    try:
        for number, row in enumerate(reader, 1):
            if None in row or None in row.values():
                has = len(row) - (None in row) + len(row.get(None) or ()) - list(row.values()).count(None)
                raise _no_row(file, number, f"it has {has} fields, the first row has {len(reader.fieldnames or ())}")
            yield row
    except csv.Error as error:
        raise _no_row(file, reader.line_num, f"it breaks the rules of CSV: {error}") from error


def _parquet_rows(content: Content, file: str) -> Iterator[_Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(pa.BufferReader(content.data)) as table:
            for batch in table.iter_batches(1024, use_threads=False):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _no_row(file, 1, "the file is damaged, or no Parquet") from error


def _decoded(content: Content, file: str) -> str:
    try:
        return content.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.data.count(b"\n", 0, error.start) + 1
        raise StageError(
            "a benchmark cannot be read",
            where=f"{file}, line {line}",
            why="it is not in UTF-8",
            hint="store the file in UTF-8",
        ) from error


_FIELDS = (
    "name the fields that the rows have as `question`, and as `choices`, `answer` and `item` if there are such; leave "
    "other files out with `select`"
)
_ROWS = (
    "see what the file holds: rows are JSON objects, one to a line or in a list, or those of CSV, TSV or Parquet; "
    "leave other files out with `select`"
)


def _misshapen(file: str, number: int, why: str, kind: type[StageError] = StageError) -> StageError:
    """What is wrong with what a row says."""
    return kind("a row is no item of a benchmark", where=f"{file}, row {number}", why=why, hint=_FIELDS)


def _no_row(file: str, number: int, why: str) -> StageError:
    """What is wrong with how a row is written."""
    return StageError("this is no row of a benchmark", where=f"{file}, row {number}", why=why, hint=_ROWS)


_READERS: Mapping[str, Callable[[Content, str], Iterable[_Row]]] = {
    "json": _json_rows,
    "csv": lambda content, file: _csv_rows(content, file, ","),
    "tsv": lambda content, file: _csv_rows(content, file, "\t"),
    "parquet": _parquet_rows,
}
