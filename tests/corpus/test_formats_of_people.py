"""Formats and encodings as people have them: every text with the place that gives it back."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus.encodings import guess, known_encoding
from regrow.corpus.formats import format_of, read
from regrow.corpus.reading import Piece, Reading, Refusal
from regrow.errors import StageError
from regrow.formats.pointer import pointer

LETTERS = {
    "aé字😀": "utf-8 utf-8-sig utf-16 utf-16-be utf-32 utf-32-le gb18030",
    "\u0a0d\u0d0a\u0a00": "utf-16 utf-16-be utf-16-le",
    "aあ漢ソ表": "shift_jis cp932 euc_jp",
    "a汉字囧": "gbk gb18030",
    "a漢字功": "big5 cp950",
    "a한글뷁": "euc_kr cp949",
    "a한글": "johab",
    "aж": "koi8-r cp1251",
    "aé": "cp1252 iso8859-1",
}
ENCODINGS = {name: letters for letters, names in LETTERS.items() for name in names.split()}
MARKS = {"utf-8-sig": 3, "utf-16": 2, "utf-32": 4}
PLAIN = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}


def pieces(data: bytes, format: str, **how: Any) -> list[Piece]:
    found = list(read(data, format, Reading(**how)))
    assert [one for one in found if isinstance(one, Refusal)] == []
    return [one for one in found if isinstance(one, Piece)]


def refusals(data: bytes, format: str, **how: Any) -> list[tuple[str, str]]:
    return [(one.reason, one.detail) for one in read(data, format, Reading(**how)) if isinstance(one, Refusal)]


@st.composite
def written(draw: st.DrawFn, least: int = 0) -> tuple[str, list[str]]:
    """An encoding, and texts that it has letters for."""
    encoding = draw(st.sampled_from(sorted(ENCODINGS)))
    letters = st.sampled_from([*ENCODINGS[encoding], " ", "\n", "\n\n", '"', ",", "\\", "[", "}", "\t"])
    return encoding, draw(st.lists(st.lists(letters, max_size=12).map("".join), min_size=least, max_size=4))


def slice_of(data: bytes, piece: Piece, encoding: str) -> str:
    return data[piece.start : piece.end].decode(PLAIN.get(encoding, encoding))


@given(written(), st.integers(0, 9), st.sampled_from(["text", "markdown"]))
def test_places_in_text_are_exact_in_every_encoding(given: tuple[str, list[str]], most: int, format: str) -> None:
    encoding, texts = given
    data = "\n".join(["x", *texts]).encode(encoding)
    found = pieces(data, format, encoding=encoding, max_characters=most)
    assert [slice_of(data, piece, encoding) for piece in found] == [piece.text for piece in found]
    assert "".join(piece.text for piece in found) == "\n".join(["x", *texts])
    assert [piece.start for piece in found] == [MARKS.get(encoding, 0), *(piece.end for piece in found[:-1])]


@given(written(), st.sampled_from(["json", "jsonl", "array", "pretty", "csv", "tsv"]))
def test_places_of_rows_are_exact_in_every_encoding(given: tuple[str, list[str]], how: str) -> None:
    encoding, texts = given
    rows = [{"n": [n], "text": text} for n, text in enumerate(texts)]
    if how in ("csv", "tsv"):
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter="," if how == "csv" else "\t")
        writer.writerows([["n", "text"], *([n, text] for n, text in enumerate(texts))])
        data = buffer.getvalue().encode(encoding)
    else:
        dumped = [json.dumps(row, ensure_ascii=False, indent=2 if how == "pretty" else None) for row in rows]
        text = f"[{' , '.join(dumped)}\n]" if how == "array" else "\n".join(dumped)
        data = text.encode(encoding)
    found = pieces(data, {"array": "json", "pretty": "json"}.get(how, how), encoding=encoding)
    assert [piece.text for piece in found] == texts
    for n, piece in enumerate(found):
        here = slice_of(data, piece, encoding)
        delimiter = "," if how == "csv" else "\t"
        row = next(csv.reader(io.StringIO(here, newline=""), delimiter=delimiter)) if how in ("csv", "tsv") else None
        assert row == [str(n), texts[n]] if row else json.loads(here) == rows[n]


def test_a_character_that_can_be_written_in_two_ways_keeps_its_place() -> None:
    data = b"\xa4\xd4\xa4\xa1\xa4\xbf\xa4\xd4\n\n\xb0\xa1\n\nx"  # a syllable in eight bytes, and in two
    found = pieces(data, "text", encoding="euc_kr", max_characters=1)
    assert [(piece.start, piece.end, piece.text) for piece in found] == [
        (0, 10, "\uac00\n\n"), (10, 14, "\uac00\n\n"), (14, 15, "x"),
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030"])
@pytest.mark.parametrize(
    ("format", "body"),
    [("json", '{"text": "a"}'), ("json", '[{"text": "a"}]'), ("csv", "text\na"), ("html", "<p>a")],
)
def test_a_byte_order_mark_is_never_text(encoding: str, format: str, body: str) -> None:
    mark = "" if encoding in MARKS else "\ufeff"
    assert [piece.text for piece in pieces((mark + body).encode(encoding), format, encoding=encoding)] == ["a"]


def test_utf_16_says_by_its_mark_which_half_comes_first() -> None:
    for order in ("le", "be"):
        data = ("\ufeff" + "é").encode(f"utf-16-{order}")
        assert pieces(data, "text", encoding="utf-16") == [Piece(2, 4, "é")]
    told = "it has no byte order mark, without which it would be `utf-16-le` or `utf-16-be`; `utf-16-le` fits"
    assert refusals("plain".encode("utf-16-le"), "json", encoding="utf-16") == [("not utf-16", told)]
    assert pieces(b"", "text", encoding="utf-16") == [Piece(0, 0, "")]


JAPANESE, RUSSIAN = "これは日本語の文章です。彼は東京へ行った。", "Это предложение на русском языке."
SAID = {
    "shift_jis": JAPANESE,
    "euc_jp": JAPANESE,
    "gb18030": "这是一个用来测试编码的中文句子。",
    "big5": "這是一個用來測試編碼的中文句子。",
    "euc_kr": "이것은 한국어 문장입니다.",
    "cp1251": RUSSIAN,
    "koi8-r": RUSSIAN,
    "cp1252": "Ce café est à l\u2019Opéra.",
    "utf-16": "A mark.",
    "utf-16-le": "No mark.",
    "utf-32-be": "No mark.",
}


@pytest.mark.parametrize("encoding", SAID)
def test_what_is_in_another_encoding_says_in_which(encoding: str) -> None:
    data = SAID[encoding].encode(encoding)
    for format in ("text", "csv", "html"):
        (told,) = refusals(data, format)
        assert told[0] == "not utf-8"
        assert told[1].endswith(f"`{encoding}` fits")
    lines = "".join(json.dumps({"text": SAID[encoding]}, ensure_ascii=False) + "\n" for _ in "12").encode(encoding)
    assert {(reason, detail.rpartition("; ")[2]) for reason, detail in refusals(lines, "jsonl")} == {
        ("not utf-8", f"`{encoding}` fits")
    }


@pytest.mark.parametrize("end", ["le", "be"])
@pytest.mark.parametrize("text", [RUSSIAN, "كان يا ما كان في قديم الزمان", "एक समय की बात है", "ในน้ำมีปลา ในนามีข้าว"])
def test_wide_letters_of_any_script_are_no_text_in_narrow_ones(text: str, end: str) -> None:
    (told,) = refusals(text.encode(f"utf-16-{end}"), "text")
    assert told[1].endswith(f"`utf-16-{end}` fits")


def test_a_guess_is_made_from_evidence_alone() -> None:
    assert [guess(data) for data in (b"", b"ascii", bytes(range(256)), b"\xf9")] == ["", "", "", ""]
    assert refusals("Größe".encode(), "text", encoding="ascii") == [("not ascii", "byte 2 is 0xc3; `utf-8` fits")]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x28\xb5\x2f\xfd rest", "it is Zstandard data"),
        (b"\x1f\x8b\x08 rest", "it is gzip data"),
        (b"%PDF-1.7\nplain", "it is a PDF document"),
        (b"\x89PNG\r\n\x1a\n", "it is a PNG image"),
        (b"PK\x03\x04", "it is a Zip archive, as .docx, .xlsx and .epub files are"),
        (b"PAR1 rows PAR1", "it is a Parquet file"),
    ],
)
def test_what_is_no_text_is_called_what_it_is(data: bytes, told: str) -> None:
    for format in ("text", "markdown", "html", "json", "jsonl", "csv"):
        assert refusals(data, format) == [("not text", told)]


@pytest.mark.parametrize("text", ["PARENTS", "PAR1 begins", "ORCHARD", "BZhang", "MZ", "RIFFRAFF", "PKZIP"])
def test_words_that_begin_like_a_signature_are_words(text: str) -> None:
    assert pieces(text.encode(), "text") == [Piece(0, len(text), text)]


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


def test_a_pointer_of_git_is_not_what_it_points_to() -> None:
    assert pointer(POINTER)
    assert not pointer(POINTER + b"and more of it\n" * 90)
    assert not pointer(b"version https://git-lfs.github.com/spec/v1\nis the first line of a pointer")
    for format in ("text", "json", "jsonl", "csv", "parquet", "structured"):
        assert refusals(POINTER, format) == [("a Git LFS pointer", "`git lfs pull` brings the file that it stands for")]
    assert refusals(b"/annex/objects/SHA256E-s5--0.txt\n", "text")[0][0] == "a git-annex pointer"


@pytest.mark.parametrize(
    ("path", "data", "format"),
    [
        ("data", b'{"text": "a"}\n', "json"),
        ("data", b'\xef\xbb\xbf\n [ {"text" : 1}]', "json"),
        ("data", b"{braces} are not JSON", "text"),
        ("download.php", b"<!-- x -->\n<!DOCTYPE html><p>a", "html"),
        ("page", b"  <HTML lang=en>", "html"),
        ("page", b"<htmlish>", "text"),
        ("page", b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "">', "html"),
        ("feed", b'<?xml version="1.0"?>\n<rss>', "structured"),
        ("part-0000", b"PAR1........PAR1", "parquet"),
        ("README", b"words", "text"),
        ("a.txt", b'{"text": "a"}\n{"text": "b"}', "json"),
        ("a.txt", b"Scene 1.\n{He goes.}", "text"),
        ("a.md", b"<html>", "markdown"),
        ("empty", b"", "text"),
    ],
)
def test_what_a_name_does_not_say_the_first_bytes_do(path: str, data: bytes, format: str) -> None:
    assert format_of(path, data) == format


def test_a_file_in_wide_letters_shows_what_it_is() -> None:
    assert format_of("data", '{"text": "a"}'.encode("utf-16"), "utf-16") == "json"


def test_structured_text_is_left_out_and_says_how_it_would_not_be() -> None:
    told = 'format = "text" would take it as it is, keys and all'
    assert refusals(b"a: 1", "structured") == [("structured text", told)]


def test_json_is_read_in_whichever_way_it_is_written() -> None:
    rows = [{"text": f"t{n}", "m": {"x": ["[", "}"]}} for n in range(3)]
    ways = [
        json.dumps(rows), json.dumps(rows, indent=1), "[" + ",\n".join(map(json.dumps, rows)) + "]",
        "[\n" + ",\n".join(map(json.dumps, rows)) + ",\n]\n", "\n".join(map(json.dumps, rows)),
        "\n\n".join(json.dumps(row, indent=2) for row in rows), "\r\n".join(map(json.dumps, rows)) + "\r\n",
        "".join(map(json.dumps, rows)), " ".join(map(json.dumps, rows)) + "\n", "\r".join(map(json.dumps, rows)) + "\r",
    ]  # fmt: skip
    for way in ways:
        found = pieces(way.encode(), "json")
        assert [piece.text for piece in found] == ["t0", "t1", "t2"]
        assert [json.loads(way.encode()[piece.start : piece.end]) for piece in found] == rows
        assert [piece.rows for piece in found] == [1, 1, 1]
    assert pieces(b'{\n"text": "a"\n}', "json") == [Piece(0, 15, "a", 1)]
    assert pieces(b"[]", "json") == pieces(b" \n", "json") == []


def test_a_bad_row_of_json_harms_no_other() -> None:
    data = b'[{"text": "a"}, {"text": a}, 5, {"text": "b"}, {"text": "c'
    found = list(read(data, "json", Reading()))
    assert [one.text if isinstance(one, Piece) else (one.reason, one.detail) for one in found] == [
        "a", ("not JSON", ""), ("not a JSON object", ""), "b", ("not JSON", "it is cut short"),
    ]  # fmt: skip
    assert [data[one.start : one.end] for one in found[1:3]] == [b'{"text": a}', b"5"]
    assert all(one.rows == 1 for one in found)
    assert refusals(b'[{"text": "a"}] x', "json") == [("not JSON", '"x" stands where the next row should begin')]
    lines = b'{not json\n{"text": "a"}\n["x"]\n'
    assert [one.start for one in read(lines, "json", Reading()) if isinstance(one, Piece)] == [10]


def test_a_line_of_two_objects_does_not_make_the_others_depend_on_it() -> None:
    data = b'{"text": "a"}{"text": "b"}\n{"text": "c\n{"text": "d"}\n'
    assert [one.text for one in read(data, "json", Reading()) if isinstance(one, Piece)] == ["d"]
    assert refusals(data, "json")[0] == ("not JSON", '"{" follows the object')


def test_lines_with_commas_are_lines_of_which_each_is_wrong() -> None:
    data = b'{"text": "a"},\n' * 5 + b'{"text": "b"}\n'
    assert refusals(data, "json") == [("not JSON", '"," follows the object')] * 5


def test_a_field_that_is_no_text_says_what_it_is() -> None:
    rows: list[Any] = [
        {"body": "a", "id": 1}, {"text": None}, {"text": 5}, {"text": True}, {"text": {"a": 1}}, {"text": []},
        {"text": [{"role": "user", "content": "x"}]}, {"text": ""}, {"\x1b" * 50: 1},
    ]  # fmt: skip
    data = "\n".join(map(json.dumps, rows)).encode()
    assert [detail for _, detail in refusals(data, "json")] == [
        "there is no field `text`, but `body`, `id`",
        "field `text` is null",
        "field `text` is a number",
        "field `text` is true or false",
        "field `text` is an object with `a`",
        "field `text` is a list",
        "field `text` is a list of objects with `role`, `content`",
        "there is no field `text`, but `" + "\\x1b" * 40 + "`",
    ]
    many = json.dumps({f"f{n}": 1 for n in range(20)}).encode()
    assert refusals(many, "json")[0][1].endswith("`f7` ...")


def test_a_table_in_text() -> None:
    data = b'id,text\r\n1,"a ""quoted"", one\r\nwith lines"\r\n\r\n2,plain "quote" inside\n3,\n'
    data += b'4,"no end\n5,x,y\n6,"a"b\n7,last'
    found = list(read(data, "csv", Reading()))
    assert [(data[one.start : one.end], one.text) for one in found if isinstance(one, Piece)] == [
        (b'1,"a ""quoted"", one\r\nwith lines"', 'a "quoted", one\r\nwith lines'),
        (b'2,plain "quote" inside', 'plain "quote" inside'),
        (b"3,", ""),
        (b"7,last", "last"),
    ]
    broken = "a quotation mark is not closed, or closed before the field ends"
    assert [(data[one.start : one.end], one.reason, one.detail) for one in found if isinstance(one, Refusal)] == [
        (b'4,"no end', "not CSV", broken),
        (b"5,x,y", "not CSV", "3 fields, the first row has 2"),
        (b'6,"a"b', "not CSV", broken),
    ]


def test_a_table_names_its_columns() -> None:
    assert refusals(b"id,body\n1,a\n", "csv") == [("no text", "there is no column `text`, but `id`, `body`")]
    assert refusals(b"text,text\n1,a\n", "csv") == [("no text", "the first row has `text` twice")]
    assert refusals(b"k,k,text\n1,2,a\n", "csv", group_by=("k",)) == [("no text", "the first row has `k` twice")]
    assert refusals(b"id;text\n1;a\n", "csv") == [("not CSV", "the first row has semicolons between its columns")]
    assert refusals(b"id\ttext\n1\ta\n", "csv") == [("not CSV", "the first row has tabs between its columns")]
    assert refusals(b'id,"text\n1,a\n', "csv")[0][1].startswith("in the first row, a quotation mark is not closed")
    assert [piece.text for piece in pieces(b"text,,\na,,\nb,1,2\n", "csv")] == ["a", "b"]
    assert [piece.text for piece in pieces(b"text" + b"," * 100_000 + b"\na" + b"," * 100_000, "csv")] == ["a"]
    assert pieces(b"text\tid\na,b\t1\n", "tsv") == [Piece(8, 13, "a,b", 1)]
    assert pieces(b"", "csv") == pieces(b"text\n", "csv") == []
    grouped = pieces(b"k,text\n1,a\n1,b\n2,c\n", "csv", group_by=("k",))
    assert [(piece.text, piece.rows) for piece in grouped] == [("a\nb", 2), ("c", 1)]
    with pytest.raises(StageError, match="there is no column `z`"):
        pieces(b"k,text\n1,a\n", "csv", group_by=("z",))


LONG = "\n\n".join(f"Paragraph {n}, é字😀, and then some." for n in range(9))


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (json.dumps({"text": LONG}).encode(), "json"),
        (json.dumps([{"text": LONG}]).encode(), "json"),
        (b'id,text\n1,"' + LONG.encode() + b'"\n', "csv"),
        (("<p>" + LONG.replace("\n\n", "</p><p>")).encode(), "html"),
    ],
)
def test_what_is_too_long_is_cut_and_every_part_has_its_place(data: bytes, format: str) -> None:
    (whole,) = pieces(data, format)
    found = pieces(data, format, max_characters=80)
    assert whole.text == LONG
    assert len(found) > 3
    assert {piece.part_of for piece in found} == {f"{whole.start}-{whole.end}"}
    text = LONG.encode()
    assert [text[piece.start : piece.end].decode() for piece in found] == [piece.text for piece in found]
    assert "".join(piece.text for piece in found) == LONG
    assert max(len(piece.text) for piece in found) <= 80
    assert sum(piece.rows for piece in found) == whole.rows
    assert pieces(data, format, max_characters=len(LONG)) == [whole]


def test_a_long_row_is_cut_within_its_group_and_the_others_are_joined() -> None:
    rows = [{"k": 1, "text": text} for text in ("a", "b", "c\n\nd\n\ne", "f", "g")]
    data = "\n".join(map(json.dumps, rows)).encode()
    found = pieces(data, "json", group_by=("k",), max_characters=5)
    assert [(piece.text, piece.rows, bool(piece.part_of)) for piece in found] == [
        ("a\nb", 2, False), ("c\n\n", 1, True), ("d\n\ne", 0, True), ("f\ng", 2, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b"{" * 100_000,
        b'{"a":' * 100_000,
        b"[" + b'{"text": ' * 50_000 + b"1" + b"}" * 50_000 + b"]",
        b'{"text": "a", "n": ' + b"9" * 200_000 + b"}",
        b'{"text": "a", "n": 0.' + b"9" * 200_000 + b"x}",
        b'"' + b"\\" * 200_001,
        b"[" + b"," * 100_000,
        b'{"text": "' + b'\\"' * 100_000,
    ],
    ids=range(9),
)
def test_a_bomb_of_json_is_refused_in_little_time(data: bytes) -> None:
    start = time.process_time()
    for format in ("json", "jsonl", "csv"):
        assert not [one for one in read(data, format, Reading()) if isinstance(one, Piece)]
    assert time.process_time() - start < 5


def test_a_row_too_long_for_anybody_to_write_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regrow.corpus.json_rows.LONGEST", 20)
    monkeypatch.setattr("regrow.corpus.table_rows.LONGEST", 20)
    told = [("too long", "a row has at most 20 characters")]
    assert refusals(b'{"text": "' + b"a" * 20 + b'"}', "json") == told
    assert refusals(b"text\n" + b"a" * 21, "csv") == told


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_every_encoding_of_these_tests_is_read(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]+", known_encoding(name))
