"""python -m pytest tests/cli/test_data.py"""

import tomllib
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest

from regrow.corpus.tokens import TokenShards
from regrow.errors import InputError
from regrow.formats import parts
from regrow.release import Release
from regrow.store import Store
from regrow.tracing import steps

from .conftest import Shell

CONTEXT, PER_STEP, STEPS = 32, 8, 30


def pieces(shell: Shell, step: int, *options: str) -> list[dict[str, Any]]:
    document = shell.json("data", "build/small", "--step", str(step), *options)
    assert (document["schema"], document["step"]) == ("regrow/data/1", step)
    return document["pieces"]


@pytest.mark.parametrize("step", [1, 7, STEPS])
def test_the_spans_are_what_training_saw(built: Shell, step: int) -> None:
    import pyarrow.parquet as pq

    lock = tomllib.loads((built.folder / "small" / "regrow.lock").read_text())
    with Store(built.store) as store:
        tokens = TokenShards.open(store.path(lock["outputs"]["tokenize"]))
        starts = {
            row["id"]: row["start"] for row in pq.read_table(tokens.directory / "train.documents.parquet").to_pylist()
        }
        seen = tokens.batch(1, step, PER_STEP, CONTEXT).tolist()
        row = tokens.read("train")
        found: list[list[int]] = [[] for _ in seen]
        for piece in pieces(built, step):
            start, end = (starts[piece["document"]] + place for place in piece["tokens"])
            found[piece["sequence"]] += row[start:end].tolist()
    assert found == seen


def test_each_piece_says_whose_it_is(built: Shell) -> None:
    for piece in pieces(built, 2):
        assert (piece["source"], piece["licence"]) == ("texts", "CC0-1.0")
        assert piece["locator"].startswith("about-models.txt:")
        assert "text" not in piece


def test_the_text_is_the_documents(built: Shell) -> None:
    whole = (built.folder / "small" / "texts" / "about-models.txt").read_text()
    found = pieces(built, 3, "--text")
    assert all(piece["text"] in whole for piece in found)
    assert sum(len(piece["text"]) for piece in found) > PER_STEP * CONTEXT / 2


def test_people_get_a_table(built: Shell) -> None:
    done = built.run("data", "build/small", "--step", "3", "--text")
    head, first, text, *_ = done.stdout.splitlines()
    assert head.split() == ["SEQUENCE", "DOCUMENT", "SOURCE", "LICENCE", "LOCATOR", "TOKENS"]
    assert first.split()[0] == "0"
    assert text.startswith("    ")


def test_a_step_that_never_was(built: Shell) -> None:
    done = built.run("data", "build/small", "--step", str(STEPS + 1))
    assert done.returncode == 2
    assert f"training took {STEPS} steps" in done.stderr


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"id": pa.array([], pa.string()), "end": pa.array([], pa.int64())}, "fewer tokens than the 32"),
        ({"id": pa.array(["x"]), "end": pa.array([31])}, "fewer tokens than the 32"),
        ({"id": pa.array([None], pa.string()), "end": pa.array([99])}, "there are empty cells"),
        ({"id": pa.array(["x"]), "end": pa.array([{"a": 1}])}, "Unsupported cast"),
        ({"id": pa.array(["x"])}, "end"),
    ],
)
def test_a_table_of_tokens_that_cannot_be_is_a_clear_error(copy: Shell, columns: dict[str, pa.Array], why: str) -> None:
    pyarrow.parquet.write_table(pa.table(columns), copy.folder / "build" / "small" / "data" / "tokens.parquet")
    with pytest.raises(InputError, match="does not say which tokens are whose") as caught:
        steps.pieces(Release.open(copy.folder / "build" / "small"), 1)
    assert why in caught.value.why


def test_tokens_in_parts_are_one_row(copy: Shell) -> None:
    release = copy.folder / "build" / "small"
    whole = release / "data" / "tokens.parquet"
    expected, table = steps.pieces(Release.open(release), 2), pyarrow.parquet.read_table(whole)
    whole.unlink()
    cut = len(table) // 3
    for number, rows in enumerate((table[:cut], table[cut:])):
        path = parts.made(whole.parent, number, 2) / whole.name
        moved = {name: pc.subtract(rows[name], rows["start"][0]) for name in ("start", "end")}
        pyarrow.parquet.write_table(pa.table({"id": rows["id"], **moved}), path)
    assert steps.pieces(Release.open(release), 2) == expected
    path.unlink()
    with pytest.raises(InputError, match="does not say which tokens are whose") as caught:
        steps.pieces(Release.open(release), 2)
    assert caught.value.where == str(path)
    assert "the table is in 2 parts" in caught.value.why


@pytest.mark.parametrize("name", ["tokens.parquet", "documents.parquet"])
def test_a_text_that_is_none_is_a_clear_error(copy: Shell, name: str) -> None:
    release = copy.folder / "build" / "small"
    path = release / "data" / name
    table = pyarrow.parquet.read_table(path)
    one = table["id"][0].as_py().encode()
    pyarrow.parquet.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)
    raw = path.read_bytes()
    assert raw.count(one) == 1
    path.write_bytes(raw.replace(one, b"\xf1" + one[1:]))
    with pytest.raises(InputError, match="does not say which tokens are whose") as caught:
        steps.pieces(Release.open(release), 1)
    assert caught.value.where == str(path)
    assert "UTF8" in caught.value.why
    assert "regrow verify" in caught.value.hint


@pytest.mark.parametrize("text", ["{}", "[", None])
def test_text_needs_a_whole_tokenizer(copy: Shell, text: str | None) -> None:
    path = copy.folder / "build" / "small" / "tokenizer.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(InputError, match=r"not the file that was released|a file of the release is missing") as caught:
        steps.pieces(Release.open(copy.folder / "build" / "small"), 1, text=True, store=copy.store)
    assert (caught.value.exit_code, caught.value.where) == (6, str(path))
    assert steps.pieces(Release.open(copy.folder / "build" / "small"), 1, store=copy.store)


def test_text_needs_the_store_and_the_rest_does_not(built: Shell, shell: Shell) -> None:
    release = str(built.folder / "build" / "small")
    assert shell.run("data", release, "--step", "1").returncode == 0
    done = shell.run("data", release, "--step", "1", "--text")
    assert (done.returncode, done.stdout) == (6, "")
    assert "the store does not have the tokens" in done.stderr
    assert not shell.store.exists()
