from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from regrow.corpus.content import Content
from regrow.corpus.formats import format_of, read
from regrow.corpus.reading import Piece, Reading, Refusal
from regrow.recipe.kind import Context
from regrow.stages.documents import DocumentsParameters, gathered

URL = "https://example.org/a"
PAGE = "<html><head><title>no</title></head><body><h1>Roses</h1><p>are red &amp; sweet</p></body></html>"

CHUNKS = f"5\r\n{PAGE[:5]}\r\n{len(PAGE) - 5:x};x=y\r\n{PAGE[5:]}\r\n0\r\n\r\n"


def record(kind: str, body: bytes, url: str = URL, date: str = "2024-01-02T03:04:05Z", **headers: str) -> bytes:
    told = {"WARC-Type": kind, "WARC-Date": date, "WARC-Target-URI": url, "Content-Length": str(len(body))}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items() if value)
    return f"WARC/1.0\r\n{head}\r\n".encode() + body + b"\r\n\r\n"


def answer(body: bytes | str = PAGE, status: str = "200 OK", type: str = "text/html", **headers: str) -> bytes:
    told = {"Content-Type": type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + (body.encode() if isinstance(body, str) else body)


def page(body: bytes | str = PAGE, **headers: str) -> bytes:
    return record("response", answer(body, **headers))


def found(data: bytes, reading: Reading = Reading()) -> list[Piece | Refusal]:  # noqa: B008
    return list(read(data, "warc", reading))


def texts(data: bytes) -> list[str]:
    return [one.text if isinstance(one, Piece) else f"{one.reason}: {one.detail}" for one in found(data)]


INFO = record("warcinfo", b"software: x\r\n", url="")
REQUEST = record("request", b"GET /a HTTP/1.1\r\n\r\n")


def test_pages_have_their_date_address_and_place() -> None:
    data = INFO + REQUEST + page() + record("metadata", b"fetchTimeMs: 3")
    (piece,) = found(data)
    start = len(INFO + REQUEST)
    name = f"20240102030405/{URL}"
    end = start + len(page()) - 4  # the blank lines are no part of it
    assert piece == Piece(start, end, "Roses\n\nare red & sweet", 1, name=name)


def test_texts_of_pages() -> None:
    wet = record("warcinfo", b"x", url="") + record(
        "conversion", "Rosen\nsind rot: ä".encode(), Content_Type="text/plain"
    )
    assert texts(wet) == ["Rosen\nsind rot: ä"]
    assert texts(record("resource", b"plain", Content_Type="text/plain")) == ["plain"]
    assert texts(record("response", b"1.2.3.4", url="dns:example.org", Content_Type="text/dns")) == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(PAGE.encode()), {"Content_Encoding": "gzip"}),
        (zlib.compress(PAGE.encode()), {"Content_Encoding": "deflate"}),
        (zlib.compress(PAGE.encode())[2:-4], {"Content_Encoding": "deflate"}),
        (PAGE.encode(), {"Content_Encoding": "gzip"}),  # unpacked by the crawler
        (
            f"5\r\n{PAGE[:5]}\r\n{len(PAGE) - 5:x};x=y\r\n{PAGE[5:]}\r\n0\r\n\r\n".encode(),
            {"Transfer_Encoding": "chunked"},
        ),
        (PAGE.encode(), {"Transfer_Encoding": "chunked"}),  # joined by the crawler
        (PAGE.encode(), {"Content_Type": "TEXT/HTML ; charset=UTF-8"}),
    ],
    ids=("gzip", "zlib", "deflate", "unpacked", "chunks", "joined", "a type in capitals"),
)
def test_bodies_as_servers_send_them(body: bytes, headers: dict[str, str]) -> None:
    type = headers.pop("Content_Type", "text/html")
    assert texts(record("response", answer(body, type=type, **headers))) == ["Roses\n\nare red & sweet"]


@pytest.mark.parametrize(
    ("body", "type"),
    [
        ("<p>caf\xe9</p>".encode("latin-1"), "text/html; charset=ISO-8859-1"),
        ('<meta charset="shift_jis"><p>薔薇</p>'.encode("shift_jis"), "text/html"),
        ("\ufeff<p>薔薇</p>".encode(), "text/html; charset=utf-8"),
        ("<p>“quoted”</p>".encode("cp1252"), 'text/html; charset="iso-8859-1"'),  # as browsers read it
    ],
)
def test_encodings_that_pages_tell(body: bytes, type: str) -> None:
    (text,) = texts(record("response", answer(body, type=type)))
    assert text in ("café", "薔薇", "“quoted”")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (page(status="404 Not Found"), "no page: the server said 404"),
        (record("response", b"HTTP/1.1 nonsense"), "no page: what was kept is no answer of a server"),
        (page(b"\x89PNG", type="image/png"), "not text: it is image/png"),
        (page(Content_Encoding="br"), "packed: with `br`, which is not unpacked here"),
        (page(b"\x1f\x8b damaged", Content_Encoding="gzip"), "packed: what is said to be gzip is damaged"),
        (page(b"5\r\nROSES\r\nFF\r\nx", Transfer_Encoding="chunked"), "no page: its chunks do not fit together"),
        (page(b"<p>\xff</p>"), "not utf-8: byte 3 of the page is 0xff"),
        (page(type="text/html; charset=klingon"), "unknown encoding: `klingon`"),
        (page(type="text/html; charset=utf-7"), "unknown encoding: `utf-7`"),
    ],
    ids=range(9),
)
def test_pages_without_a_text_are_on_record(data: bytes, reason: str) -> None:
    assert texts(data + page("<p>next</p>")) == [reason, "next"]


@pytest.mark.parametrize(
    "rest",
    [
        page()[:-30],
        page()[:60],
        b"nonsense\r\n",
        record("response", b"x", Content_Length="-1"),
        record("response", b"x", Content_Length="9" * 30),
        record("response", b"x", Content_Length=""),
        record("response", b"xy", Content_Length="1"),
        b"WARC/1.0\r\n" + b"a: b\r\n" * 2000,
        b"x" * 100_000,
        b"WARC/1.0\r\nContent-Length: 999999999999\r\nWARC-Type: request\r\n\r\nx",
    ],
    ids=range(10),
)
def test_a_damaged_archive_is_a_refusal_behind_what_could_be_read(rest: bytes) -> None:
    first, *_, last = found(page() + rest)
    assert isinstance(first, Piece)
    assert isinstance(last, Refusal)
    assert (last.reason, last.rows) == ("a damaged web archive", 0)


def test_names_are_addresses() -> None:
    (piece,) = found(record("conversion", b"x", url="<http://x/a\tb\u202e>", date=""))
    assert isinstance(piece, Piece)
    assert piece.name == "http://x/a%09b%E2%80%AE"


def test_long_pages_are_cut() -> None:
    pieces = found(page("<p>" + "roses are red</p><p>" * 50), Reading(max_characters=200))
    assert all(isinstance(piece, Piece) and piece.name and piece.part_of for piece in pieces)
    assert len(pieces) > 3


def test_they_are_told_by_name_and_by_content() -> None:
    assert format_of("CC-MAIN.warc") == format_of("CC-MAIN.warc.wet") == format_of("pages", INFO) == "warc"


def test_a_file_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regrow.corpus.content.HEAD", 7)
    monkeypatch.setattr("regrow.corpus.content._CHUNK", 11)

    class Once:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def read(self, size: int = -1) -> bytes:
            part, self.data = self.data[:size], self.data[size:]
            return part

        def seekable(self) -> bool:
            return False

    data = INFO + page() * 3
    from regrow.corpus.web_archives import warc_pages

    assert list(warc_pages(Content(Once(data)), Reading())) == found(data)


class Quiet(Context):
    def __init__(self) -> None:
        pass

    def emit(self, event: str, **fields: object) -> None:
        pass

    def stopping(self) -> bool:
        return False


def test_packed_archives_record_by_record(tmp_path: Path) -> None:
    data = b"".join(gzip.compress(one) for one in (INFO, REQUEST, page(), page("<p>more</p>")))
    (tmp_path / "a.warc.gz").write_bytes(data)
    wanted = DocumentsParameters(name="web", licence="CC0-1.0", availability="open")
    documents, tally = gathered(tmp_path, wanted, Quiet())
    assert [(one.file, one.text) for one in documents.kept] == [
        (f"a.warc.gz!/a.warc!/20240102030405/{URL}", "Roses\n\nare red & sweet"),
        (f"a.warc.gz!/a.warc!/20240102030405/{URL}", "more"),
    ]
    assert (tally.files, tally.rows) == (1, 2)
