"""Parquet as we write and read it. python -m pytest tests/formats/test_parquet.py"""

from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regrow.errors import InputError
from regrow.formats import parquet
from regrow.store import sha256_file

TABLE = pa.table({"source": ["a", "a", "b"], "bytes": pa.array([1, 2, 3], pa.int64()), "text": ["x", "y", "z"]})


def test_a_table_has_exactly_these_bytes(tmp_path: Path) -> None:
    parquet.write(tmp_path / "one.parquet", TABLE, rows_in_group=2)
    assert sha256_file(tmp_path / "one.parquet") == "2e1febaccb786ef30d545b7b4192c797cb87d7a8e678b2ff2b666ae0919935ef"


def test_nothing_is_packed_and_nothing_counted(tmp_path: Path) -> None:
    parquet.write(tmp_path / "one.parquet", TABLE, rows_in_group=2)
    with pq.ParquetFile(tmp_path / "one.parquet") as file:
        metadata = file.metadata
    columns = [metadata.row_group(0).column(number) for number in range(metadata.num_columns)]
    assert metadata.num_row_groups == 2
    assert {column.compression for column in columns} == {"UNCOMPRESSED"}
    assert not any(column.is_stats_set for column in columns)
    assert [column.has_dictionary_page for column in columns] == [True, False, False]


def test_chosen_columns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    parquet.write(path, TABLE, rows_in_group=2)
    assert parquet.read_columns(path, ["bytes"]).to_pydict() == {"bytes": [1, 2, 3]}
    with path.open("rb") as file:
        assert parquet.read_columns(file, ["bytes", "source"]).column_names == ["bytes", "source"]


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    parquet.write(tmp_path / "one.parquet", TABLE, rows_in_group=2)
    with pytest.raises(InputError, match="no column `licence`"):
        parquet.read_columns(tmp_path / "one.parquet", ["bytes", "licence"])


def test_what_would_unpack_to_too_much_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    pq.write_table(pa.table({"text": ["x" * 1000] * 10_000}), path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="too many bytes"):
        parquet.read_columns(path, ["text"], most_bytes=1 << 20)


def test_no_damage_is_more_than_an_error(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    parquet.write(path, TABLE, rows_in_group=2)
    data = path.read_bytes()
    for place in range(len(data)):
        for bit in (2, 7):
            damaged = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            with suppress(InputError):
                parquet.read_columns(BytesIO(damaged), ["bytes"])


@pytest.mark.parametrize("part", [0, 4, 40, -20])
def test_a_file_that_breaks_off_is_an_error(tmp_path: Path, part: int) -> None:
    path = tmp_path / "one.parquet"
    parquet.write(path, TABLE, rows_in_group=2)
    path.write_bytes(path.read_bytes()[:part])
    with pytest.raises(InputError, match="cannot be read"):
        parquet.read_columns(path, ["bytes"])


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        parquet.read_columns(tmp_path / "none.parquet", ["bytes"])


@pytest.mark.parametrize("value", ["", "train", "\u00e9", 0, 1 << 40])
def test_a_column_of_one_value(value: str | int) -> None:
    for count in (0, 1, 5):
        column = parquet.repeated(value, count)
        column.validate(full=True)
        assert column.to_pylist() == [value] * count


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], pa.string()),
        (["", "a", "h\u00e9, \U0001f600", ""], pa.string()),
        ([1, -(2**63), 2**63 - 1], pa.int64()),
        ([None, 7, 0, None, *range(9)], pa.int64()),
        ([None, None], pa.int64()),
        ([0.5, None, -0.0], pa.float64()),
        ([2**64 - 1, None], pa.uint64()),
        ([1, -(2**31)], pa.int32()),
        ([[], ["a", "b"], None], pa.list_(pa.string())),
        ([True, False, True, True, False, False, False, False, True], pa.bool_()),
    ],
    ids=["none", "texts", "numbers", "some numbers", "no numbers", "fractions", "unsigned", "small", "lists", "truths"],
)
def test_a_column_is_what_pyarrow_makes_of_the_values(values: list[object], kind: pa.DataType) -> None:
    found = parquet.column(values, kind)
    found.validate(full=True)
    assert found.equals(pa.array(values, kind))
    assert found.null_count == sum(value is None for value in values)


def test_more_text_than_one_column_holds_is_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_MOST_IN_A_COLUMN", 3)
    assert parquet.column(["ab", "c"], pa.string()).equals(pa.array(["ab", "c"]))
