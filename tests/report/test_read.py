"""python -m pytest tests/report/test_read.py"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from regrow.errors import RecipeError
from regrow.release import Release
from regrow.release.release import Loss
from regrow.report import ReportData, load, render
from regrow.report.read import _sources, contents

DEEP = "[" * 600 + "]" * 600


def read(folder: Path, **files: Any) -> ReportData:
    """What a release with these files says of itself: JSON where it is not text; `__` is a slash and `_` a dot."""
    (folder / "SHA256SUMS").write_text("")
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return load(folder)


def test_losses_of_the_same_step_and_losses_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    rows = [(2, 5.0), (1, 9.0), (1, 8.0), (3, float("nan")), (4, float("inf")), (5, 1e300), (10**20, 1.0)]
    text = "\n".join(json.dumps({"step": step, "loss": loss}) for step, loss in rows)
    data = read(tmp_path, training__losses_jsonl=text)
    assert data.losses == (Loss(1, 8.0), Loss(2, 5.0))
    assert "How it learned" in render(data)


def test_one_step_told_twice_draws_no_line(tmp_path: Path) -> None:
    data = read(tmp_path, training__losses_jsonl='{"step": 1, "loss": 2}\n{"step": 1, "loss": 3}')
    assert data.losses == (Loss(1, 3.0),)
    assert "How it learned" not in render(data)


@pytest.mark.parametrize("loss", [float("inf"), float("-inf"), float("nan"), 10**400, 1e300, True, "3"])
def test_a_measure_that_is_no_number_is_left_out(tmp_path: Path, loss: object) -> None:
    losses = '{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}'
    found = {"validation": {"loss": loss, "bits_per_byte": loss}}
    data = read(tmp_path, training__losses_jsonl=losses, evaluation_json=found)
    assert (data.validation_loss, data.measures) == (None, ())
    assert "How it learned" in render(data)


@pytest.mark.parametrize(
    "files",
    [
        {"samples_json": DEEP},
        {"samples_json": "[" * 99_999},
        {"evaluation_json": '{"a": ' + DEEP + "}"},
        {"buildinfo__build_json": '{"a": ' + "[" * 99_999},
        {"regrow_toml": "a = " + "[" * 99_999},
        {"regrow_toml": "source = [[[1]]]"},
        {"training__losses_jsonl": '{"step": Infinity, "loss": 1}'},
        {"provenance__x_intoto_json": "[1]"},
    ],
    ids=range(8),
)
def test_what_cannot_be_read_is_a_clear_error(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(RecipeError, match="the release cannot be read") as caught:
        read(tmp_path, **files)
    assert caught.value.where == str(tmp_path)


@pytest.mark.parametrize("column", [["x"], [{"a": 1}], [float("inf")]])
def test_a_table_of_other_types_is_a_clear_error(tmp_path: Path, column: list[Any]) -> None:
    (tmp_path / "data").mkdir()
    names = {name: ["x"] for name in ("source", "split", "file")}
    pyarrow.parquet.write_table(pa.table({**names, "bytes": column}), tmp_path / "data" / "documents.parquet")
    with pytest.raises(RecipeError, match="the release cannot be read"):
        contents(Release.at(tmp_path))


@pytest.mark.parametrize(("shape", "parameters"), [([3, 4], 12), ([10**200, 10**200], None), ([-1], None)])
def test_parameters_are_counted_if_they_can_be(tmp_path: Path, shape: list[int], parameters: int | None) -> None:
    header = json.dumps({"__metadata__": {}, "a": {"shape": shape}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert contents(Release.at(tmp_path)).facts.get("parameters") == parameters


def test_documents_of_each_source_are_counted_with_the_files_that_are_named() -> None:
    """The rows come in groups, in an order of their own, and a file may be in several."""
    rows = [
        ("b", "train", "2.txt", 7),
        ("b", "train", "1.txt", 5),
        ("a", "validation", "x", 3),
        ("\u00e9", "train", "z", 1),
    ]
    columns = dict(zip(("source", "split", "file", "bytes"), map(list, zip(*rows, strict=True)), strict=True))
    table = pa.table({**columns, "bytes": pa.array(columns["bytes"], pa.int64())})
    named = [{"name": "a"}, {"name": "b"}, {"name": "gone"}, {"name": "\u00e9"}]
    release = SimpleNamespace(sources=named, groups=lambda *_: iter([table, table.slice(1, 1)]))
    a, b, gone, last = _sources(release)  # type: ignore[arg-type]
    assert (a.documents, a.validation_documents, a.validation_bytes, a.files) == (0, 1, 3, ())
    assert (b.documents, b.bytes, b.files, b.more_files) == (3, 17, (("1.txt", 2, 10), ("2.txt", 1, 7)), 0)
    assert (gone.documents, gone.files, last.files) == (0, (), (("z", 1, 1),))
