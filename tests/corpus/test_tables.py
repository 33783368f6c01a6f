"""Tables larger than memory: the same bytes however the rows come, and the same rows however they lie in parts."""

from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.corpus import tables
from regrow.corpus.documents import (
    ORDER,
    Document,
    Documents,
    DocumentsWriter,
    Exclusion,
    LeftOut,
    Tally,
    columns,
    count,
    documents_table,
    schema_of,
    stream,
    stream_exclusions,
)
from regrow.corpus.tables import Stretch, merged
from regrow.formats import parquet, parts
from regrow.store.digest import sha256_file


def document(
    number: int, text: str = "text", file: str = "a", source: str = "s", conversation: bool = False
) -> Document:
    name = f"{source}{file}{number}"
    return Document(name, source, "CC0-1.0", "open", file, number, number + 1, "0" * 64, text, conversation)


def exclusion(number: int, file: str = "a") -> Exclusion:
    return Exclusion(f"{number}", "s", f"{file}:{number}-{number + 1}", "documents", "no text", "", 0)


def at_once(path: Path, rows: list[Document]) -> Path:
    """The table as it is without any streaming."""
    schema = schema_of(Document)
    for name in ("conversation", "salt", "rights"):
        if not any(getattr(row, name) for row in rows):
            schema = schema.remove(schema.get_field_index(name))
    table = pa.Table.from_pylist([asdict(row) for row in sorted(rows, key=lambda row: row.position)], schema=schema)
    parquet.write(path, table, rows_in_group=tables.GROUP)
    return path


ROWS = st.lists(
    st.builds(
        document,
        st.integers(0, 99),
        st.text(max_size=9),
        st.sampled_from(["a", "a!/0-5", "a b", "\U0001f600", "\uffff"]),
        st.sampled_from(["s", "t"]),
        st.booleans(),
    ),
    max_size=40,
    unique_by=lambda row: row.position,
)


@settings(max_examples=30)
@given(ROWS, st.integers(1, 9), st.integers(1, 9))
def test_the_bytes_follow_from_the_rows_alone(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Document], held: int, group: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_HELD", held)
        patch.setattr(tables, "GROUP", group)
        with documents_table(folder / "streamed") as table:
            for row in rows:
                table.add(row)
        assert sha256_file(folder / "streamed") == sha256_file(at_once(folder / "whole", rows))
    assert {path.name for path in folder.iterdir()} == {"streamed", "whole"}


@settings(max_examples=25)
@given(ROWS, st.lists(st.integers(0, 40), max_size=4), st.integers(1, 5))
def test_parts_and_several_artifacts_are_one(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Document], cuts: list[int], artifacts: int
) -> None:
    root = tmp_path_factory.mktemp("parts")
    ordered = sorted(rows, key=lambda row: row.position)
    for number in range(artifacts):
        mine = ordered[number::artifacts]  # nowhere one behind the other
        borders = [0, *sorted(min(cut, len(mine)) for cut in cuts), len(mine)]
        (root / str(number)).mkdir()
        for part in range(len(borders) - 1):
            folder = parts.made(root / str(number), part, len(borders) - 1)
            Documents(mine[borders[part] : borders[part + 1]], [exclusion(7 * number + part)]).write(folder)
    given = [root / str(number) for number in range(artifacts)]
    assert list(stream(*given)) == ordered
    assert count(*given) == len(rows)
    left_out = list(stream_exclusions(*given))
    assert left_out == sorted(left_out, key=lambda row: row.position)
    assert len(left_out) == artifacts * (len(cuts) + 1)
    assert columns(["id", "start"], *given).num_rows == len(rows)


def test_rows_of_no_order_are_sorted_from_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_HELD", 100)
    rows = [document(number, file=f"{number % 7}") for number in range(3000)]
    random.Random(1).shuffle(rows)
    table = documents_table(tmp_path / "x")
    for row in rows:
        table.add(row)
    assert 1 < len([*tmp_path.iterdir()]) <= 30
    table.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert sha256_file(tmp_path / "x") == sha256_file(at_once(tmp_path / "y", rows))


def test_exclusions_whose_places_are_numbers_come_in_the_order_of_their_words(tmp_path: Path) -> None:
    with DocumentsWriter(tmp_path) as writer:
        for number in (9, 10, 99, 100, 101):
            writer.exclude(exclusion(number))
    assert [row.locator for row in stream_exclusions(tmp_path)] == [
        "a:10-11",
        "a:100-101",
        "a:101-102",
        "a:9-10",
        "a:99-100",
    ]


def test_a_conversation_late_in_a_table_gives_all_rows_its_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_HELD", 10)
    rows = [document(number, conversation=number == 9000) for number in range(9001)]
    with documents_table(tmp_path / "x") as table:
        for row in rows:
            table.add(row)
    assert sha256_file(tmp_path / "x") == sha256_file(at_once(tmp_path / "y", rows))


def test_a_row_group_ends_with_the_text_that_fills_it(tmp_path: Path) -> None:
    half = "x" * (tables.GROUP_BYTES // 2)
    with documents_table(tmp_path / "x") as table:
        for number in range(5):
            table.add(document(number, half))
    with parquet.opened(tmp_path / "x") as file:
        assert parquet.group_borders(file) == [0, 2, 4, 5]


def test_a_stretch_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "GROUP", 7)
    rows = [document(number) for number in range(50)]
    at_once(tmp_path / "x", rows)
    for start, end in ((0, 50), (0, 7), (6, 8), (7, 14), (13, 50), (49, 50), (20, 20), (50, 50)):
        found = [
            place for batch in Stretch(tmp_path / "x", start, end).batches(["start"]) for place in batch[0].to_pylist()
        ]
        assert found == list(range(start, end))


def test_tables_that_follow_one_another_are_open_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        at_once(tmp_path / str(number), [document(place, source=f"{number:02}") for place in range(9)])
    is_open: list[int] = []
    most = 0
    read = Stretch.batches

    def watched(self: Stretch, *args: object, **kwargs: object) -> object:
        nonlocal most
        is_open.append(1)
        most = max(most, len(is_open))
        yield from read(self, *args, **kwargs)  # type: ignore[arg-type]
        is_open.pop()

    given = [Stretch(tmp_path / str(number)) for number in random.Random(2).sample(range(20), 20)]
    firsts = {stretch.path: stretch.first(ORDER) for stretch in given}
    monkeypatch.setattr(Stretch, "first", lambda self, order: firsts[self.path])
    monkeypatch.setattr(Stretch, "batches", watched)
    found = [row for batch in merged(given, ORDER) for row in batch.column("source").to_pylist()]
    assert found == sorted(found) and len(found) == 180
    assert most == 1


def test_the_tallies_of_parts_are_added_up(tmp_path: Path) -> None:
    one = Tally("s", 3, 2, 5, (LeftOut("not text", 1, "a", "it"),), (LeftOut("not JSON", 1, "a:1-2", ""),))
    two = Tally("s", 4, 1, 9)
    three = Tally("s", 1, 4, 4, (LeftOut("not text", 2, "c", ""), LeftOut("structured text", 4, "d", "")))
    for part, tally in enumerate((one, two, three)):
        tally.write(parts.made(tmp_path, part, 3), parts=3)
    assert Tally.open(tmp_path) == Tally(
        "s", 8, 7, 18,
        (LeftOut("structured text", 4, "d", ""), LeftOut("not text", 3, "a", "it")),
        (LeftOut("not JSON", 1, "a:1-2", ""),),
    )  # fmt: skip
    assert Tally.together([two]) == two
    assert Tally.open(parts.made(tmp_path / "whole", 0, 1)) is None
