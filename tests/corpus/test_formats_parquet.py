"""Parquet: the same groups and texts on every machine, whatever the types are and whatever a file claims."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regrow.corpus import parquet_rows
from regrow.corpus.formats import read
from regrow.corpus.reading import Piece, Reading, Refusal
from regrow.errors import StageError


def parquet(table: pa.Table, **how: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **how)
    return buffer.getvalue()


def rows(keys: pa.Array) -> bytes:
    return parquet(pa.table({"text": [str(n) for n in range(len(keys))], "k": keys}))


WHEN = datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)
LATER = 1_600_000_000_000_000_001
KEYS = {
    "a zone": pa.array([WHEN, WHEN, None], pa.timestamp("us", "Europe/Paris")),
    "a zone that there is not": pa.array([1, 1, 2], pa.timestamp("ms", "Nowhere/Atlantis")),
    "nanoseconds": pa.array([LATER, LATER, LATER + 1], pa.timestamp("ns")),
    "nanoseconds in a zone": pa.array([LATER, LATER, LATER + 1], pa.timestamp("ns", "America/Lima")),
    "nanoseconds of a day": pa.array([1, 1, 2], pa.time64("ns")),
    "milliseconds of a day": pa.array([1, 1, 2], pa.time32("ms")),
    "days": pa.array([date(2020, 1, 1)] * 2 + [None], pa.date32()),
    "days beyond any calendar": pa.array([1 << 30, 1 << 30, 2], pa.int32()).cast(pa.date32()),
    "days in milliseconds": pa.array([date(2020, 1, 1)] * 2 + [date(2020, 1, 2)], pa.date64()),
    "duration": pa.array([timedelta(1), timedelta(1), timedelta(2)], pa.duration("ns")),
    "decimal": pa.array([Decimal("1.50"), Decimal("1.50"), Decimal("2.00")], pa.decimal128(9, 2)),
    "dictionary": pa.array(["x", "x", "y"]).dictionary_encode(),
    "dictionary of times": pa.array([1, 1, 2], pa.timestamp("s", "Asia/Tokyo")).dictionary_encode(),
    "large string": pa.array(["x", "x", "y"], pa.large_string()),
    "string view": pa.array(["x", "x", "y"], pa.string_view()),
    "bytes": pa.array([b"\xff", b"\xff", b"\xfe"]),
    "bytes of a size": pa.array([b"ab", b"ab", b"ac"], pa.binary(2)),
    "half": pa.array([1.5, 1.5, 2.5], pa.float16()),
    "list of times": pa.array([[1], [1], [2]], pa.list_(pa.timestamp("ns", "Europe/Paris"))),
    "list of a size": pa.array([["a"], ["a"], ["b"]], pa.list_(pa.string(), 1)),
    "struct": pa.array([{"t": 1}, {"t": 1}, {"t": 2}], pa.struct([("t", pa.timestamp("ns", "UTC"))])),
    "map": pa.array([[("a", 1)], [("a", 1)], [("a", 2)]], pa.map_(pa.string(), pa.timestamp("ns"))),
    "uuid": pa.array([b"0" * 16, b"0" * 16, b"1" * 16], pa.uuid()),
    "nothing": pa.array([True, True, None]),
}


@pytest.mark.parametrize("name", KEYS)
def test_rows_are_grouped_by_what_is_stored(name: str) -> None:
    found = list(read(rows(KEYS[name]), "parquet", Reading(group_by=("k",))))
    assert found == [Piece(0, 2, "0\n1", 2), Piece(2, 3, "2", 1)]


def test_neither_time_zones_nor_another_library_is_needed() -> None:
    """A process that cannot have either reads the same."""
    program = (
        "import sys, zoneinfo; zoneinfo.reset_tzpath(()); sys.modules.update(tzdata=None, pandas=None)\n"
        "from regrow.corpus.formats import read; from regrow.corpus.reading import Reading\n"
        "for data in sys.stdin: print(list(read(bytes.fromhex(data), 'parquet', Reading(group_by=('k',)))))"
    )
    names = ["a zone", "a zone that there is not", "nanoseconds", "nanoseconds in a zone", "list of times", "map"]
    given = "\n".join(rows(KEYS[name]).hex() for name in names)
    done = subprocess.run([sys.executable, "-c", program], input=given, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str([Piece(0, 2, "0\n1", 2), Piece(2, 3, "2", 1)])] * len(names)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", None, "é"]),
        pa.array(["a", None, "é"], pa.large_string()),
        pa.array(["a", None, "é"], pa.string_view()),
        pa.array(["a", None, "é"]).dictionary_encode(),
    ],
    ids=str,
)
def test_text_is_text_however_it_is_stored(column: pa.Array) -> None:
    found = list(read(parquet(pa.table({"text": column})), "parquet", Reading()))
    assert found == [Piece(0, 1, "a", 1), Refusal(1, 2, "no text", "field `text` is null", 1), Piece(2, 3, "é", 1)]


@pytest.mark.parametrize(
    ("column", "named"),
    [
        (pa.array([1, 2]), "int64"),
        (pa.array([1, 2], pa.timestamp("ns", "Europe/Paris")), "timestamp[ns, tz=Europe/Paris]"),
        (pa.array([b"a", b"b"]), "binary"),
        (pa.array([[{"role": "user"}], []]), "list<element: struct<role: string>>"),
    ],
    ids=str,
)
def test_a_column_that_holds_no_text_is_named_with_its_type(column: pa.Array, named: str) -> None:
    data = parquet(pa.table({"text": column, "body": ["a", "b"]}))
    told = f"column `text` holds {named}; those that hold text: `body`"
    assert list(read(data, "parquet", Reading())) == [Refusal(0, len(data), "no text", told)]


def test_a_row_that_is_not_utf_8_harms_no_other() -> None:
    texts = pa.array([b"a", b"b\xff", b"c"]).view(pa.string())
    found = list(read(parquet(pa.table({"text": texts})), "parquet", Reading()))
    told = Refusal(1, 2, "not utf-8", "byte 1 of the value is 0xff", 1)
    assert found == [Piece(0, 1, "a", 1), told, Piece(2, 3, "c", 1)]


def test_a_column_to_group_by_has_to_be_there_once() -> None:
    data = parquet(pa.table([pa.array(["a"])] * 2, ["text", "text"]))
    assert next(iter(read(data, "parquet", Reading()))) == Refusal(0, len(data), "no text", "it has `text` twice")
    with pytest.raises(StageError, match="there is no column `z`"):
        list(read(rows(KEYS["days"]), "parquet", Reading(group_by=("z",))))


def test_a_long_row_is_cut() -> None:
    data = parquet(pa.table({"text": ["a", "b\n\nc\n\nd"]}))
    assert list(read(data, "parquet", Reading(max_characters=3))) == [
        Piece(0, 1, "a", 1), Piece(0, 3, "b\n\n", 1, "1-2"), Piece(3, 6, "c\n\n", 0, "1-2"), Piece(6, 7, "d", 0, "1-2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), ["x" * (1 << 20)])}),
        pa.table({"text": pa.nulls(10_000_000, pa.string())}),
        pa.table({"text": ["a"], "k": ["x" * (70 << 20)]}),
    ],
    ids=["one text many times", "very many rows", "another column"],
)
def test_a_small_file_that_unpacks_to_gigabytes_is_refused(table: pa.Table) -> None:
    data = parquet(table, compression="zstd", store_schema=False)
    assert len(data) < 1 << 20
    start = time.process_time()
    found = list(read(data, "parquet", Reading(group_by=("k",) if "k" in table.column_names else ())))
    assert found[-1:] == [
        Refusal(0, len(data), "unpacks to too much", f"{len(data):,} bytes hold more than {1 << 26:,}")
    ]
    assert time.process_time() - start < 5


def test_a_text_that_repeats_is_no_attack() -> None:
    table = pa.table({"text": [f"line {n % 7}" for n in range(20_000)]})
    assert sum(one.rows for one in read(parquet(table), "parquet", Reading())) == 20_000


def deep(levels: int) -> bytes:
    """A file whose schema is so many groups, one inside the other."""

    def number(value: int) -> bytes:
        found = b""
        while value > 0x7F:
            found += bytes([value & 0x7F | 0x80])
            value >>= 7
        return found + bytes([value])

    group = b"\x35\x02\x18\x01g\x15\x02\x00"
    leaf = b"\x15\x0c\x25\x02\x18\x01x\x00"
    elements = b"\x48\x01r\x15\x02\x00" + group * levels + leaf
    footer = b"\x15\x02\x19\xfc" + number(levels + 2) + elements + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def test_a_schema_may_be_as_deep_as_it_likes() -> None:
    for levels in (10, 1_000, 100_000):
        data = deep(levels)
        assert all(isinstance(one, Refusal) for one in read(data, "parquet", Reading(field="g")))


def test_what_a_group_is_does_not_depend_on_the_words_for_it() -> None:
    """Values of the types that JSON knows too are told apart just as they are there."""
    values = [1.0, 1.0, float("nan"), float("nan"), -0.0, 0.0]
    found = list(read(rows(pa.array(values)), "parquet", Reading(group_by=("k",))))
    assert [one.rows for one in found] == [2, 2, 1, 1]
    lines = "\n".join(json.dumps({"text": str(n), "k": value}) for n, value in enumerate(values)).encode()
    assert [one.rows for one in read(lines, "jsonl", Reading(group_by=("k",)))] == [2, 2, 1, 1]


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_large_row_group_is_read_a_few_rows_at_a_time(dictionary: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text {n} " * (n % 50) for n in range(3000)]
    data = parquet(pa.table({"text": texts}), use_dictionary=dictionary, compression="zstd")
    usual = list(read(data, "parquet", Reading()))
    monkeypatch.setattr(parquet_rows, "_is_large", lambda file: True)
    assert list(read(data, "parquet", Reading())) == usual
    assert len(usual) == 3000


def test_a_text_that_stands_once_for_many_rows_is_not_written_out_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "_is_large", lambda file: True)
    sizes: list[int] = []
    sized = parquet_rows._text_bytes
    monkeypatch.setattr(parquet_rows, "_text_bytes", lambda *given: sizes.append(sized(*given)) or sizes[-1])
    table = pa.table({"text": ["x" * 900_000] * 300})
    data = parquet(table, compression="zstd", data_page_size=1 << 28)
    assert list(read(data, "parquet", Reading()))[-1].reason == "unpacks to too much"  # type: ignore[union-attr]
    assert 0 < max(sizes) < 1 << 27
