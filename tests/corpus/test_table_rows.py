"""Long tables of text: read a bit at a time, they are the same rows as at once."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus import table_rows
from regrow.corpus.content import Content
from regrow.corpus.encodings import decoded, not_encoded_in
from regrow.corpus.formats import read
from regrow.corpus.reading import Reading, Refusal

FIELDS = st.sampled_from(
    ["", "a", "word", '"quoted"', '"a ""b"" c"', '"two\nlines"', '"', '"x"y', 'x"y', "\xe4\u4e00\U0001f600"]
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
ROWS = st.lists(st.lists(FIELDS, min_size=1, max_size=3).map(",".join), max_size=8)


@given(ROWS, st.sampled_from(["\n", "\r\n", "\r"]), ENCODINGS, st.integers(1, 9))
def test_a_table_is_the_same_rows_however_much_is_read_at_a_time(
    rows: list[str], end: str, encoding: str, window: int
) -> None:
    data = ("\ufeff" * (encoding == "utf-8") + end.join(["text,k", *rows])).encode(encoding)
    reading = Reading(encoding=encoding)
    usual = list(read(data, "csv", reading))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_rows, "_LONG", 0)
        patch.setattr(table_rows, "_WINDOW", window)
        assert list(read(data, "csv", reading)) == usual


def test_an_open_quotation_mark_does_not_take_the_file_into_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = b'text\n"open\n' + b"row\n" * 1000
    usual = list(read(data, "csv", Reading()))
    assert isinstance(usual[0], Refusal) and len(usual) == 1001
    monkeypatch.setattr(table_rows, "_LONG", 0)
    monkeypatch.setattr(table_rows, "_WINDOW", 10)
    monkeypatch.setattr(table_rows, "LONGEST", 100)
    file = io.BytesIO(data)
    rows = read(Content(file), "csv", Reading())
    assert next(rows) == usual[0]
    assert file.tell() < 500
    assert [*rows] == usual[1:]


@pytest.mark.parametrize("place", [0, 5, 1 << 20, (1 << 20) + 1, (2 << 20) - 1])
@pytest.mark.parametrize("bad", [b"\xff", b"\xe2\x82", b"\xe2\x28\xa1"])
def test_what_is_in_no_encoding_is_found_in_a_stream_as_at_once(place: int, bad: bytes) -> None:
    data = b"x" * place + bad + b"y" * ((2 << 20) - place)
    assert not_encoded_in(Content.of(data), "utf-8") == decoded(Content.of(data), "utf-8")
    cut = data[: place + len(bad)]
    assert not_encoded_in(Content.of(cut), "utf-8") == decoded(Content.of(cut), "utf-8")


def test_what_is_in_its_encoding_is_not_refused() -> None:
    assert not_encoded_in(Content.of("\u20ac".encode() * 500_000), "utf-8") is None
