from __future__ import annotations

import io
import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus.encodings import known_encoding
from regrow.corpus.formats import format_of, read
from regrow.corpus.reading import Piece, Reading, Refusal
from regrow.errors import StageError

PROSE = st.lists(
    st.sampled_from(["a", "word ", "\n", "\n\n", "\r\n", " \n \n", "é", "字", "\t", "😀"]), max_size=60
).map("".join)


def all_of(data: bytes, format: str = "text", **how: object) -> list[Piece | Refusal]:
    """What is read, however many rows it is made of."""
    return [replace(found, rows=0) for found in read(data, format, Reading(**how))]  # type: ignore[arg-type]


@given(
    PROSE,
    st.integers(0, 20),
    st.sampled_from(["utf-8", "utf-16-le", "utf-32-be"]),
    st.sampled_from(["text", "markdown"]),
)
def test_places_are_exact(text: str, most: int, encoding: str, format: str) -> None:
    data = text.encode(encoding)
    pieces = [
        piece for piece in all_of(data, format, encoding=encoding, max_characters=most) if isinstance(piece, Piece)
    ]
    assert [data[piece.start : piece.end].decode(encoding) for piece in pieces] == [piece.text for piece in pieces]
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.start for piece in pieces] == [0, *(piece.end for piece in pieces[:-1])]
    assert all(piece.text for piece in pieces) or text == ""


@given(PROSE, st.integers(1, 20))
def test_only_a_line_can_be_too_long(text: str, most: int) -> None:
    for piece in all_of(text.encode(), max_characters=most):
        assert isinstance(piece, Piece)
        assert len(piece.text) <= most or "\n" not in piece.text.rstrip("\r\n \t")


def test_pieces_end_at_blank_lines_if_they_can() -> None:
    data = b"one\ntwo\n\nthree\n\n\nfour\nfive\n\nsix"
    found = [data[piece.start : piece.end] for piece in all_of(data, max_characters=18)]
    assert found == [b"one\ntwo\n\nthree\n\n\n", b"four\nfive\n\nsix"]
    assert len(all_of(data)) == 1


def test_a_file_in_another_encoding_is_refused_with_the_place() -> None:
    data = "caf\u00e9".encode("latin-1")
    assert all_of(data) == [Refusal(0, 4, "not utf-8", "byte 3 is 0xe9; `cp1252` fits")]
    assert all_of(data, encoding="iso8859-1") == [Piece(0, 4, "caf\u00e9")]


@pytest.mark.parametrize(
    "name", ["utf-7", "rot13", "base64", "punycode", "iso2022_jp", "hz", "big5hkscs", "shift_jis_2004"]
)
def test_encodings_without_exact_places_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not an encoding in which every character has bytes of its own"):
        known_encoding(name)


@pytest.mark.parametrize("name", ["nonsense", "utf-8\0", ""])
def test_an_encoding_that_there_is_not(name: str) -> None:
    with pytest.raises(LookupError):
        known_encoding(name)


@pytest.mark.parametrize(
    ("name", "usual"), [("UTF8", "utf-8"), ("latin-1", "iso8859-1"), ("windows-1252", "cp1252"), ("koi8-r", "koi8-r")]
)
def test_encodings_have_many_names(name: str, usual: str) -> None:
    assert known_encoding(name) == usual


@pytest.mark.parametrize(
    ("path", "format"),
    [
        ("a.txt", "text"),
        ("a", "text"),
        ("a/b.MD", "markdown"),
        ("a.htm", "html"),
        ("a.ndjson", "json"),
        ("a.json", "json"),
        ("a.CSV", "csv"),
        ("a.tab", "tsv"),
        ("a.yaml", "structured"),
        ("a.geojson", "structured"),
        ("a.parquet", "parquet"),
        ("a.jsonl/b", "text"),
        (".md", "text"),
        ("..md", "markdown"),
    ],
)
def test_formats_go_by_names(path: str, format: str) -> None:
    assert format_of(path) == format


def test_front_matter_is_not_text() -> None:
    data = "---\ntitle: \u00e9\n---\n# Hello\n".encode()
    (piece,) = all_of(data, "markdown")
    assert isinstance(piece, Piece)
    assert piece.text == "# Hello\n"
    assert data[piece.start : piece.end] == b"# Hello\n"
    assert all_of(b"a\n---\nb\n---\n", "markdown") == [Piece(0, 12, "a\n---\nb\n---\n")]
    assert all_of(b"---\nno end", "markdown") == [Piece(0, 10, "---\nno end")]


@pytest.mark.parametrize(
    "top", ["---\n---\n", "---\r\n# a comment\r\ntags:\r\n  - a\r\n---\r\n", '--- \n"k e y": 1\n\nz: 2\n---\n']
)
def test_front_matter_has_keys(top: str) -> None:
    assert [piece.text for piece in all_of((top + "text").encode(), "markdown") if isinstance(piece, Piece)] == ["text"]


@pytest.mark.parametrize(
    "text",
    [
        "---\n\nOne.\n\n---\n\nTwo.\n",
        "---\nOne. It was dark\n---\nTwo.\n",
        "---\n- a\n- b\n---\n",
        "---\nhttps://example.org/\n---\n",
        "---\n" + "k: v\n" * 100_000,
    ],
)
def test_a_chapter_between_rules_is_text(text: str) -> None:
    assert all_of(text.encode(), "markdown") == [Piece(0, len(text), text)]


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_json_lines() -> None:
    data = lines({"text": "one"}, {"text": "two\nlines"}) + b"\n  \n" + b'{"text": "no newline"}'
    pieces = all_of(data, "jsonl")
    assert [piece.text for piece in pieces if isinstance(piece, Piece)] == ["one", "two\nlines", "no newline"]
    assert [json.loads(data[piece.start : piece.end])["text"] for piece in pieces] == [
        "one",
        "two\nlines",
        "no newline",
    ]


def test_lines_are_grouped_while_they_agree() -> None:
    rows = [("Genesis", 1, "a"), ("Genesis", 1, "b"), ("Genesis", 2, "c"), ("Exodus", 2, "d"), ("Genesis", 1, "e")]
    data = lines(*({"book": book, "chapter": chapter, "text": text} for book, chapter, text in rows))
    pieces = all_of(data, "jsonl", group_by=("book", "chapter"))
    assert [piece.text for piece in pieces if isinstance(piece, Piece)] == ["a\nb", "c", "d", "e"]
    assert [data[piece.start : piece.end].count(b"\n") for piece in pieces] == [1, 0, 0, 0]
    joined = [
        piece.text for piece in all_of(data, "jsonl", group_by=("book",), max_characters=5) if isinstance(piece, Piece)
    ]
    assert joined == ["a\nb", "c", "d", "e"]


def test_a_field_that_no_line_has_cannot_group() -> None:
    data = lines({"book": "Genesis", "text": "a"}, {"book": "Exodus", "text": "b"})
    with pytest.raises(StageError, match="no line has a field `bok`") as caught:
        all_of(data, "jsonl", group_by=("bok",))
    assert caught.value.why == "those that there are: `book`, `text`"
    with pytest.raises(StageError) as caught:
        all_of(b'{"\\ud800": 1, "text": "a"}', "jsonl", group_by=("bok",))
    assert caught.value.why == "those that there are: `text`, `\\ud800`"


def test_equal_means_equal_and_of_one_type() -> None:
    data = lines(
        {"k": 1, "text": "a"},
        {"k": True, "text": "b"},
        {"k": "1", "text": "c"},
        {"text": "d"},
        {"k": None, "text": "e"},
    )
    assert [piece.text for piece in all_of(data, "jsonl", group_by=("k",)) if isinstance(piece, Piece)] == [
        "a",
        "b",
        "c",
        "d\ne",
    ]


def nested(depth: int) -> bytes:
    return b'{"text": "a[", "x": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (b"{not json", ""),
        (b"\xef\xbb\xbf", ""),
        (b'{"text": "a', ""),
        (b'{"text": "\\x"}', ""),
        (b'{"text": "a"} b', '"b" follows the object'),
        (b'{"text": "a"},', '"," follows the object'),
        (b'{"text": "a", "x": ' + b"9" * 641 + b"}", "a whole number in it has more than 640 digits"),
        (nested(101), "nested more than 100 deep"),
        (b"[" * 100_000, "nested more than 100 deep"),
    ],
)
def test_what_is_recorded_of_a_line_that_is_no_json_is_in_our_words(line: bytes, detail: str) -> None:
    assert all_of(line, "jsonl") == [Refusal(0, len(line), "not JSON", detail)]


@pytest.mark.parametrize(
    "line",
    [
        nested(100),
        b'{"text": "a[", "x": [' + b"[]," * 200 + b'[]], "y": "\\"' + b"[" * 200 + b'"}',
        b'{"text": "a[", "x": -' + b"9" * 639 + b"}",
    ],
)
def test_a_line_may_be_as_deep_and_a_number_as_long_as_every_python_takes(line: bytes) -> None:
    assert all_of(line, "jsonl", group_by=("x",)) == [Piece(0, len(line), "a[")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp1252"])
def test_lines_end_where_a_character_is_a_line_feed(encoding: str) -> None:
    texts = ["one", "\u0a00\u000a\u010a" if encoding != "cp1252" else "\u00e9", "three"]
    rows = ["\ufeff" * (encoding != "cp1252"), *(json.dumps({"text": text}, ensure_ascii=False) for text in texts)]
    data = f"{rows[0]}{rows[1]}\n \t\r\n{rows[2]}\r\n{{not json\n{rows[3]}".encode(encoding)
    found = all_of(data, "jsonl", encoding=encoding)
    assert [piece.text if isinstance(piece, Piece) else piece.reason for piece in found] == [
        *texts[:2], "not JSON", texts[2],
    ]  # fmt: skip
    assert [data[piece.start : piece.end].decode(encoding).strip("\ufeff\r") for piece in found] == [
        rows[1], rows[2], "{not json", rows[3],
    ]  # fmt: skip


def test_half_a_character_at_the_end_is_refused() -> None:
    data = '{"text": "a"}\n{"text": "b"}'.encode("utf-16-le") + b"\0"
    assert all_of(data, "jsonl", encoding="utf-16-le") == [
        Piece(0, 26, "a"),
        Refusal(28, 55, "not utf-16-le", "byte 54 is 0x00"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json", "not JSON"),
        (b'["text"]', "not a JSON object"),
        (b'{"txt": "a"}', "no text"),
        (b'{"text": 5}', "no text"),
        (b'{"text": "\\ud800"}', "half a character"),
        (b'{"text": "\xff"}', "not utf-8"),
    ],
)
def test_a_bad_line_harms_no_other(line: bytes, reason: str) -> None:
    data = lines({"k": 1, "text": "before"}) + line + b"\n" + lines({"k": 1, "text": "after"})
    before, bad, after = all_of(data, "jsonl", group_by=("k",))
    assert isinstance(bad, Refusal)
    assert bad.reason == reason
    assert data[bad.start : bad.end] == line
    assert [before.text, after.text] == ["before", "after"]  # type: ignore[union-attr]


def parquet(**columns: list[object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_parquet_rows() -> None:
    data = parquet(body=["one", None, "two"], k=[1, 1, 1])
    assert all_of(data, "parquet", field="body") == [
        Piece(0, 1, "one"),
        Refusal(1, 2, "no text", "field `body` is null"),
        Piece(2, 3, "two"),
    ]
    assert all_of(parquet(text=["a", "b", "c"], k=[1, 1, 2]), "parquet", group_by=("k",)) == [
        Piece(0, 2, "a\nb"),
        Piece(2, 3, "c"),
    ]


def test_parquet_without_the_column_or_not_parquet() -> None:
    data = parquet(body=["one"])
    assert all_of(data, "parquet") == [Refusal(0, len(data), "no text", "there is no column `text`, but `body`")]
    assert all_of(b"PAR1 not really PAR1", "parquet") == [Refusal(0, 20, "a Parquet file that is damaged")]
    assert all_of(b"PARE not really PARE", "parquet") == [Refusal(0, 20, "a Parquet file that is encrypted")]
    assert all_of(b"PAR1 cut", "parquet") == [Refusal(0, 8, "not a Parquet file")]
    assert all_of(b"\x1f\x8b\x08", "parquet") == [Refusal(0, 3, "not a Parquet file", "it is gzip data")]


def test_a_damaged_parquet_file_is_refused_whatever_is_wrong_with_it() -> None:
    data = parquet(text=["one", "two\u00e9", "three"] * 5)
    seen = set()
    for place in range(len(data)):
        for bit in (0, 7):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            seen |= {found.reason for found in all_of(bytes(damaged), "parquet") if isinstance(found, Refusal)}
    assert {"a Parquet file that is damaged", "not a Parquet file", "not utf-8"} <= seen


@given(
    st.binary(max_size=200),
    st.sampled_from(["text", "markdown", "html", "json", "jsonl", "csv", "tsv", "parquet"]),
    st.integers(0, 9),
)
def test_no_bytes_are_a_fault(data: bytes, format: str, most: int) -> None:
    for found in all_of(data, format, max_characters=most):
        assert 0 <= found.start <= found.end <= max(1, len(data))
