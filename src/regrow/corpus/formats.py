"""From the bytes of a file to texts, each with its exact place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from regrow.corpus.content import Content
from regrow.corpus.encodings import BYTE_ORDER_MARK, WIDE, Decoded, decoded, guess, not_encoded, plain_encoding
from regrow.corpus.json_rows import LOOKS_LIKE_ROWS, json_lines, json_rows
from regrow.corpus.parquet_rows import parquet_rows
from regrow.corpus.reading import Piece, Reading, Refusal
from regrow.corpus.rows import Row
from regrow.corpus.signatures import is_parquet, kind_of, stand_in
from regrow.corpus.table_rows import table_rows

TABULAR = ("json", "jsonl", "csv", "tsv", "parquet")
"""Formats that have rows."""

_BINARY = frozenset(("parquet", "warc"))
"""Formats whose files are not all text."""

_SUFFIXES = {
    "md": "markdown",
    "markdown": "markdown",
    "htm": "html",
    "html": "html",
    "xhtml": "html",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
    "csv": "csv",
    "tsv": "tsv",
    "tab": "tsv",
    "parquet": "parquet",
    "warc": "warc",
    "wet": "warc",
}
_STRUCTURED = frozenset(
    (
        "yaml", "yml", "xml", "rss", "atom", "rdf", "owl", "kml", "gpx", "svg", "plist", "toml", "ini", "geojson",
        "topojson", "jsonld", "ipynb", "har"
    )
)  # fmt: skip
_PAGE = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_WARC = re.compile(rb"WARC/\d\.\d\r?\n")
_XML = re.compile(r"\s*<\?xml\s")
_BLANK_LINES = re.compile(r"\n[ \t\r]*\n(?:[ \t\r]*\n)*")
# A blank line or a sentence below the hyphens, and no key, follows a rule across the page.
_FRONT_MATTER = re.compile(
    r"\ufeff?---[ \t]*\r?\n(?:\#.*\n)*(?:[\w\"'][^:\n]*:(?:[ \t].*|\r)?\n(?:.*\n)*?)?---[ \t]*(?:\r?\n|\Z)"
)


def format_of(path: str, data: bytes | Content = b"", encoding: str = "utf-8") -> str:
    """The format a file's name speaks of; if it speaks of none, or of text, the one that its first bytes show.

    Args:
        path: of the file.
        data: its bytes.
        encoding: in which they are read.
    """
    stem, _, end = path.rpartition("/")[2].rpartition(".")
    suffix = end.lower() if stem else ""
    if suffix in _STRUCTURED:
        return "structured"
    return _SUFFIXES.get(suffix) or _shown(_content(data), encoding)


def read(data: bytes | Content, format: str, reading: Reading) -> Iterator[Piece | Refusal]:
    """The texts of a file, in the order in which they stand there. What cannot be read is a :class:`Refusal`."""
    content = _content(data)
    head = content.head
    if (stands_for_another := stand_in(head)) is not None:
        return iter((stands_for_another,))
    if format not in _BINARY and (kind := kind_of(content.ends)):
        return iter((Refusal(0, content.size, "not text", f"it is {kind}"),))
    if format not in _BINARY and (place := head.find(b"\0")) >= 0 and _is_wide_instead(head, reading.encoding):
        return iter((not_encoded(head, 0, content.size, reading.encoding, place),))
    return _READERS[format](content, reading)


def _content(data: bytes | Content) -> Content:
    return data if isinstance(data, Content) else Content.of(data)


def _is_wide_instead(head: bytes, encoding: str) -> bool:
    """Whether what would pass for letters with null characters between them is in an encoding that has such bytes."""
    return not encoding.startswith(WIDE) and guess(head).startswith(WIDE)


def _shown(content: Content, encoding: str) -> str:
    """The format that the first bytes of a file show; plain text if they show none."""
    if is_parquet(content.ends):
        return "parquet"
    if _WARC.match(content.head):
        return "warc"
    plain = plain_encoding(content, encoding)
    name, start = ("utf-8", 0) if isinstance(plain, Refusal) else plain
    head = content.head[start:].decode(name, "replace").removeprefix(BYTE_ORDER_MARK)
    if _PAGE.match(head):
        return "html"
    if _XML.match(head):
        return "structured"
    return "json" if LOOKS_LIKE_ROWS.match(head) else "text"


def _text(content: Content, reading: Reading) -> Iterator[Piece | Refusal]:
    """Plain text: all of it, in pieces that end where a paragraph ends."""
    text = decoded(content, reading.encoding)
    yield from (text,) if isinstance(text, Refusal) else _pieces(text, 0, reading)


def _markdown(content: Content, reading: Reading) -> Iterator[Piece | Refusal]:
    """Markdown is text, written to be read as it is; only the metadata some tools put in front is left out."""
    text = decoded(content, reading.encoding)
    if isinstance(text, Refusal):
        yield text
        return
    yield from _pieces(text, match.end() if (match := _FRONT_MATTER.match(text.text)) else 0, reading)


def _html(content: Content, reading: Reading) -> Iterator[Piece | Refusal]:
    """A page is one piece: its text has no byte range of its own in the file."""
    from regrow.corpus.markup import TooDeepError, html_page

    text = decoded(content, reading.encoding)
    if isinstance(text, Refusal):
        yield text
        return
    try:
        page = html_page(text.text.removeprefix(BYTE_ORDER_MARK))
    except TooDeepError as error:
        yield Refusal(0, content.size, "nested too deeply", str(error))
        return
    yield from _cut(Piece(0, content.size, page.text, rights=page.rights), reading)


def _warc(content: Content, reading: Reading) -> Iterator[Piece | Refusal]:
    """The pages of a web archive."""
    from regrow.corpus.web_archives import warc_pages

    for found in warc_pages(content, reading):
        yield from (found,) if isinstance(found, Refusal) else _cut(found, reading)


def _structured(content: Content, reading: Reading) -> Iterator[Piece | Refusal]:
    """What is written for programs: its keys and brackets are no text unless somebody says so."""
    yield Refusal(0, content.size, "structured text", 'format = "text" would take it as it is, keys and all')


def _rows(
    rows: Callable[[Content, Reading], Iterator[Row | Refusal]], content: Content, reading: Reading
) -> Iterator[Piece | Refusal]:
    """One piece of each run of rows that agree in the fields of ``group_by``, up to ``max_characters``."""
    if not reading.group_by:
        for row in rows(content, reading):
            if isinstance(row, Refusal):
                yield row
            else:
                yield from _cut(Piece(row.start, row.end, row.text, 1, rights=row.rights), reading)
        return
    held: list[Row] = []
    size = 0
    for row in rows(content, reading):
        if isinstance(row, Refusal):
            yield from _joined(held, reading)
            held, size = [], 0
            yield row
            continue
        size += len(row.text) + 1
        same = bool(held) and row.key == held[-1].key
        if not same or 0 < reading.max_characters < size:
            yield from _joined(held, reading)
            held, size = [], len(row.text) + 1
        held.append(row)
    yield from _joined(held, reading)


_READERS: Mapping[str, Callable[[Content, Reading], Iterator[Piece | Refusal]]] = {
    "text": _text,
    "markdown": _markdown,
    "html": _html,
    "structured": _structured,
    "json": partial(_rows, json_rows),
    "jsonl": partial(_rows, json_lines),
    "conversations": partial(_rows, json_rows),
    "csv": partial(_rows, partial(table_rows, delimiter=",", name="CSV")),
    "tsv": partial(_rows, partial(table_rows, delimiter="\t", name="TSV")),
    "parquet": partial(_rows, parquet_rows),
    "warc": _warc,
}


def _pieces(text: Decoded, begin: int, reading: Reading) -> Iterator[Piece]:
    """Cut a text into pieces that together are all of it, from a character on."""
    ends = [begin + end for end in _cuts(text.text[begin:], reading.max_characters)]
    places = text.places((begin, *ends))
    start = next(places)
    for end, place in zip(ends, places, strict=True):
        yield Piece(start, place, text.text[begin:end])
        begin, start = end, place


def _cut(whole: Piece, reading: Reading) -> Iterator[Piece]:
    """A text that has no bytes of its own in the file, in parts that are bytes of it if it is too long."""
    ends = [*_cuts(whole.text, reading.max_characters)] if 0 < reading.max_characters < len(whole.text) else []
    if len(ends) <= 1:
        yield whole
        return
    part_of, rows = f"{whole.start}-{whole.end}", whole.rows
    begin = start = 0
    for end in ends:
        part = whole.text[begin:end]
        size = len(part.encode())
        yield Piece(start, start + size, part, rows, part_of, whole.name, whole.rights)
        begin, start, rows = end, start + size, 0


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


def _joined(rows: list[Row], reading: Reading) -> Iterator[Piece]:
    """Rows as one piece; nothing of nothing. A single row may be too long by itself."""
    if rows:
        text, beside = "\n".join(row.text for row in rows), dict.fromkeys(row.rights for row in rows if row.rights)
        whole = Piece(rows[0].start, rows[-1].end, text, len(rows), rights="\n".join(beside))
        yield from _cut(whole, reading) if len(rows) == 1 else (whole,)
