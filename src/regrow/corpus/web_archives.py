"""Pages of web archives: WARC files, as crawlers write them (ISO 28500), and the texts of pages in WET files.

A page is called by when it was fetched and where from, as archives on the web call it:
``20240102030405/https://example.org/``. Its place is that of its record. Records that hold no page, such as requests
and what the crawler says of itself, are passed over; a page without a text that can be read is a refusal.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from regrow.corpus.beside import said
from regrow.corpus.content import Content
from regrow.corpus.encodings import known_encoding
from regrow.corpus.markup import Page, TooDeepError, html_page
from regrow.corpus.reading import Piece, Reading, Refusal
from regrow.corpus.rows import LONGEST, refused

_BEGIN = re.compile(rb"WARC/\d{1,3}\.\d{1,3}\r?\n")
_PAGES = frozenset(("response", "resource", "conversion"))
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})\b[^\n]*\n")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\n]*)?\r?\n")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_META_WITHIN = 4096
_HTML = frozenset(("text/html", "application/xhtml+xml"))
_AS_ON_THE_WEB = {"iso8859-1": "cp1252", "ascii": "cp1252"}
"""What pages mean by these names: what browsers take them for, by the Encoding Standard."""
_LONGEST_LINE = 1 << 16
_MOST_HEADERS = 1000


class _Damaged(ValueError):
    """What follows is no record."""


@dataclass(frozen=True)
class _Message:
    """Headers, by their names in small letters, and what follows them."""

    headers: Mapping[str, str]
    body: bytes

    def type(self) -> tuple[str, str]:
        """What the body is, and the encoding that is told with it."""
        kind, _, behind = self.headers.get("content-type", "").partition(";")
        found = _CHARSET.search(behind)
        return kind.strip().lower(), found[1] if found else ""


class _NoTextError(ValueError):
    """A page has no text that can be read.

    Args:
        reason: as of a refusal.
        detail: as of a refusal.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def warc_pages(content: Content, reading: Reading) -> Iterator[Piece | Refusal]:
    """The text of each page, one record in memory at a time.

    A file that ends within a record, or goes on with what is none, is refused as a file behind the pages before that.
    """
    stream = _Stream(content.chunks())
    content.settle()
    try:
        while stream.begin():
            start, headers = stream.start, _headers(stream)
            size = _size(headers)
            if headers.get("warc-type", "").lower() not in _PAGES or not headers.get("warc-target-uri"):
                stream.skip(size)
            elif size > LONGEST:
                stream.skip(size)
                yield refused(start, stream.place, "too long", f"a record has at most {LONGEST:,} bytes")
            else:
                yield from _page(_Message(headers, stream.take(size)), start, stream.place, reading)
    except _Damaged as error:
        yield Refusal(stream.start, stream.place, "a damaged web archive", str(error))


def _page(record: _Message, start: int, end: int, reading: Reading) -> Iterator[Piece | Refusal]:
    """The text of a record, if it is about the web: what was asked of name servers is no page."""
    if record.headers["warc-type"].lower() == "response" and not record.body.startswith(b"HTTP/"):
        return
    try:
        page = _read(record, reading)
        yield Piece(start, end, page.text, 1, name=_name(record.headers), rights=page.rights)
    except _NoTextError as error:
        yield refused(start, end, error.reason, error.detail)


def _name(headers: Mapping[str, str]) -> str:
    """What a page is called. What cannot be printed is written as in addresses."""
    address = headers["warc-target-uri"].strip("<>")
    date = re.sub(r"\D", "", headers.get("warc-date", ""))[:14]
    name = f"{date}/{address}" if date else address
    return "".join(letter if letter.isprintable() else quote(letter, errors="replace") for letter in name)


def _read(record: _Message, reading: Reading) -> Page:
    """The page in a record.

    Raises:
        _NoTextError: if it has none.
    """
    if record.body.startswith(b"HTTP/") and record.headers["warc-type"].lower() == "response":
        record = _answer(record.body)
    kind, charset = record.type()
    if kind and kind not in _HTML and not kind.startswith("text/"):
        raise _NoTextError("not text", f"it is {kind[:60]}")
    if kind in _HTML and not charset and (found := _META.search(record.body[:_META_WITHIN])):
        charset = found[1].decode("ascii", "replace")
    text = _decoded(record.body, charset, reading.encoding)
    return _visible(text, record.headers) if kind in _HTML else Page(text, said(record.headers.items()))


def _answer(block: bytes) -> _Message:
    """What a server answered, as it meant it."""
    status = _STATUS.match(block)
    if status is None or (end := _HEAD_END.search(block, status.end() - 1)) is None:
        raise _NoTextError("no page", "what was kept is no answer of a server")
    if status[1] != b"200":
        raise _NoTextError("no page", f"the server said {status[1].decode()}")
    headers = _parsed(block[status.end() : end.start()].split(b"\n"))
    body = block[end.end() :]
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _joined(body)
    return _Message(headers, _unpacked(body, headers.get("content-encoding", "").strip().lower()))


def _joined(body: bytes) -> bytes:
    """The chunks of a body as one. Some crawlers join them and leave the header that says there are any."""
    parts, place = list[bytes](), 0
    while chunk := _CHUNK.match(body, place):
        size = int(chunk[1], 16)
        place = chunk.end() + size
        if place > len(body):
            break  # what came of the last one
        parts.append(body[chunk.end() : place])
        if not size:
            return b"".join(parts)
        place += body.startswith(b"\r", place)
        place += body.startswith(b"\n", place)
    if not parts:
        return body
    raise _NoTextError("no page", "its chunks do not fit together")


def _unpacked(body: bytes, coding: str) -> bytes:
    """A body without its coding. Some crawlers unpack it and leave the header that says it is packed."""
    if coding in ("", "identity", "none"):
        return body
    windows: tuple[int, ...] = (15, -15)
    if coding in ("gzip", "x-gzip"):
        windows = (31,) if body.startswith(b"\x1f\x8b") else ()
    elif coding != "deflate":
        raise _NoTextError("packed", f"with `{coding[:60]}`, which is not unpacked here")
    for window in windows:
        unpacker = zlib.decompressobj(window)
        try:
            data = unpacker.decompress(body, LONGEST)
        except zlib.error:
            continue
        if unpacker.unconsumed_tail:
            raise _NoTextError("too long", f"a page has at most {LONGEST:,} bytes")
        return data
    if windows == (31,):
        raise _NoTextError("packed", "what is said to be gzip is damaged")
    return body


def _decoded(data: bytes, charset: str, usual: str) -> str:
    try:
        encoding = known_encoding(charset or usual)
    except (LookupError, ValueError):
        raise _NoTextError("unknown encoding", f"`{charset[:60]}`") from None
    encoding = _AS_ON_THE_WEB.get(encoding, encoding) if charset else encoding
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _NoTextError(f"not {encoding}", f"byte {error.start} of the page is 0x{data[error.start]:02x}") from None


def _visible(page: str, headers: Mapping[str, str]) -> Page:
    try:
        return html_page(page, headers)
    except TooDeepError as error:
        raise _NoTextError("nested too deeply", str(error)) from None


def _headers(stream: _Stream) -> dict[str, str]:
    """The headers of a record."""
    lines = list[bytes]()
    while (line := stream.line()).strip():
        lines.append(line)
        if len(lines) > _MOST_HEADERS:
            raise _Damaged("a record has more headers than any")
    if not line:
        raise _Damaged("it ends within the headers of a record")
    return _parsed(lines)


def _parsed(lines: list[bytes]) -> dict[str, str]:
    """Headers by their names in small letters, the first of a name; lines that begin with a blank go on."""
    found, last = dict[str, str](), ""
    for line in lines:
        text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
        if text[:1] in (" ", "\t") and last:
            found[last] = f"{found[last]} {text.strip()}"
            continue
        name, colon, value = text.partition(":")
        if colon and (last := name.strip().lower()):
            found.setdefault(last, value.strip())
    return found


def _size(headers: Mapping[str, str]) -> int:
    said = headers.get("content-length", "")
    if not re.fullmatch("[0-9]{1,15}", said):
        raise _Damaged(f"a record says {said[:20]!r} of its length")
    return int(said)


class _Stream:
    """Bytes that come in pieces, of which some are asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.place = self.start = 0
        self._pieces, self._held = pieces, bytearray()

    def begin(self) -> bool:
        """Go behind the first line of the next record, which begins at ``start``. False at the end.

        Raises:
            _Damaged: if what follows is no record.
        """
        self.start = self.place
        while (line := self.line()) and not line.strip():
            self.start = self.place
        if line and not _BEGIN.fullmatch(line):
            raise _Damaged(f"at byte {self.start} no record begins")
        return bool(line)

    def line(self) -> bytes:
        """The next line, with its newline; empty at the end."""
        end = -1
        while (end := self._held.find(b"\n", max(0, end))) < 0:
            if len(self._held) > _LONGEST_LINE:
                raise _Damaged(f"at byte {self.place} a line is too long for a header")
            end = len(self._held)
            if not self._fill():
                return self._given(len(self._held))
        return self._given(end + 1)

    def take(self, size: int) -> bytes:
        """So many bytes.

        Raises:
            _Damaged: if it ends before.
        """
        while len(self._held) < size:
            if not self._fill():
                self._given(len(self._held))
                raise _Damaged("it ends within a record")
        return self._given(size)

    def skip(self, size: int) -> None:
        """Go past so many bytes.

        Raises:
            _Damaged: if it ends before.
        """
        while size:
            if not self._held and not self._fill():
                raise _Damaged("it ends within a record")
            size -= len(self._given(min(size, len(self._held))))

    def _given(self, size: int) -> bytes:
        data = bytes(self._held[:size])
        del self._held[:size]
        self.place += size
        return data

    def _fill(self) -> bool:
        piece = next(self._pieces, b"")
        self._held += piece
        return bool(piece)
