"""python -m pytest tests/cli/test_new.py"""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from regrow.cli.root import cli
from regrow.recipe.schema import load
from regrow.stages import KINDS
from tests import models


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_valid_recipe_named_after_its_folder(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["new", "deep/my-model"])
    assert (result.exit_code, result.stdout) == (0, "deep/my-model\n")
    assert load(tmp_path / "deep" / "my-model", KINDS).model.name == "my-model"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "file").write_text("text")
    for name in ("mine", "file"):
        result = CliRunner().invoke(cli, ["new", name])
        assert result.exit_code == 2
        assert f"error: `{name}` is there already" in result.stderr
    assert list((tmp_path / "mine").iterdir()) == []
    assert (tmp_path / "file").read_text() == "text"


def test_a_name_that_cannot_be_leaves_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["new", "a name\nof two lines"])
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file/x", "file/x/y"])
def test_no_folder_in_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("text")
    result = CliRunner().invoke(cli, ["new", name])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "hint: choose another path" in result.stderr
    assert (tmp_path / "file").read_text() == "text"


def test_json() -> None:
    document = json.loads(CliRunner().invoke(cli, ["new", "x", "--json"]).stdout)
    assert document == {
        "schema": "regrow/new/1",
        "folder": "x",
        "files": [".gitattributes", "regrow.toml", "texts/about-models.txt"],
    }


def new(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["new", *arguments])
    return result.exit_code, result.stdout, result.stderr


def filled(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def rows(field: str, count: int) -> bytes:
    lines = ({"n": i, field: f"Text {i} tells of a lamp and a boat."} for i in range(count))
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def source(recipe: Path) -> dict[str, object]:
    (one,) = tomllib.loads((recipe / "regrow.toml").read_text("utf-8"))["source"]
    return one


def test_from_a_folder_of_texts(tmp_path: Path) -> None:
    paragraph = b"It was a dark night, and the boat came late.\n\n"
    files = {"a.txt": paragraph * 900, "deep/b.md": paragraph * 50, "rows.jsonl": rows("text", 9)}
    filled(tmp_path / "mine", {**files, ".git/HEAD": b"x"})
    code, out, err = new("model", "--from", "mine")
    assert (code, out) == (0, "model\n"), err
    made = tmp_path / "model" / "texts"
    assert {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()} == set(files)
    said = source(tmp_path / "model")
    assert "field" not in said and "encoding" not in said
    assert said["max_characters"] == 550  # makes of 44,000 characters eighty texts, of which a share is held out
    assert said["licence"] == "LicenseRef-Undeclared"
    assert "3 files; left out: 1 hidden" in err
    assert "11 documents from 3 files with 9 rows" in err
    assert err.rstrip().endswith("Next regrow plan model")
    assert load(tmp_path / "model", KINDS).model.name == "model"


@pytest.mark.parametrize("field", ["body", "content", "raw_content"])
def test_the_field_with_the_text_is_found(tmp_path: Path, field: str) -> None:
    filled(tmp_path / "mine", {"a.jsonl": rows(field, 60), "b.jsonl": rows("text", 3)})
    assert new("model", "--from", "mine")[0] == 0
    assert source(tmp_path / "model")["field"] == field
    assert source(tmp_path / "model")["max_characters"] == 0


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_a_field_that_nobody_thought_of_is_found_by_what_is_in_it(tmp_path: Path, name: str) -> None:
    table = [{"id": f"{i}", "asked": "Why?", "told, in short": f"Text {i} tells of a lamp."} for i in range(60)]
    lines = [list(table[0]), *(list(row.values()) for row in table)]
    csv = "".join(",".join(f'"{value}"' for value in line) + "\n" for line in lines)
    filled(tmp_path / "mine", {name: (json.dumps(table) if name == "a.json" else csv).encode()})
    code, _, err = new("model", "--from", "mine")
    assert code == 0, err
    assert source(tmp_path / "model")["field"] == "told, in short"
    assert "the field `told, in short` is read" in err


def test_from_a_single_file(tmp_path: Path) -> None:
    filled(tmp_path / "mine", {"a b[1].txt": b"It was a dark night.\n\n" * 90, "other.txt": b"no"})
    (tmp_path / "link").symlink_to(tmp_path / "mine" / "a b[1].txt")
    code, _, err = new("model", "--from", "link")
    assert code == 0, err
    assert "Source texts: 1 file\n" in err
    assert [path.name for path in (tmp_path / "model" / "texts").iterdir()] == ["a b[1].txt"]
    assert "# 1 document, 1,980 characters\n" in (tmp_path / "model" / "regrow.toml").read_text("utf-8")


def test_the_encoding_of_most_texts_is_found(tmp_path: Path) -> None:
    text = "これは本です。ある日、船が来ました。\n" * 100
    japanese = text.encode("shift_jis")
    filled(tmp_path / "mine", {"a.txt": japanese, "b.txt": japanese, "c.txt": b"English\n"})
    assert new("model", "--from", "mine")[0] == 0
    assert source(tmp_path / "model")["encoding"] == "shift_jis"
    filled(tmp_path / "mine", {"d.txt": text.encode()})
    filled(tmp_path / "mine", {"e.txt": text.encode()})
    code, _, err = new("other", "--from", "mine")
    assert code == 0
    assert "encoding" not in source(tmp_path / "other")
    assert "left out 2 of 5 files" in err


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a.jsonl": b'{"x": 1}\n'}, "there is no field `text`, but `x`"),
        ({"a.txt": b"\x89PNG\r\n\x1a\n"}, "there is no text that can be read"),
        ({".hidden": b"x"}, "no file fits"),
        ({"a.jsonl": b'{"said": [{"by": "me"}]}\n'}, "put the text of each row into a field or column called `text`"),
        ({}, "there is no `mine`"),
    ],
)
def test_from_a_folder_without_texts(tmp_path: Path, files: dict[str, bytes], told: str) -> None:
    filled(tmp_path / "mine", files)
    code, out, err = new("model", "--from", "mine")
    assert (code, out) != (0, "model\n")
    assert told in err
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".model*"))


def test_larger_texts_get_a_larger_model(tmp_path: Path) -> None:
    shapes = []
    for size in (10, 1000):
        text = "".join(f"Line {i} of a longer text than before.\n\n" for i in range(size * 12)).encode()
        filled(tmp_path / f"t{size}", {"a.txt": text})
        assert new(f"m{size}", "--from", f"t{size}")[0] == 0
        recipe = tomllib.loads((tmp_path / f"m{size}" / "regrow.toml").read_text())
        shapes.append((recipe["tokenizer"]["vocabulary"], recipe["architecture"]["width"], recipe["train"]["tokens"]))
    small, large = shapes
    assert all(one < other for one, other in zip(small, large, strict=True))


def test_from_a_folder_of_a_model(tmp_path: Path) -> None:
    models.model(tmp_path / "theirs")
    (tmp_path / "theirs" / "notes.pdf").write_bytes(b"%PDF")
    for record in ("regrow.toml", "regrow.lock", "SHA256SUMS"):
        (tmp_path / "theirs" / record).write_text("")
    (tmp_path / "theirs" / "gguf").mkdir()
    for kind in ("F16", "Q8_0"):
        (tmp_path / "theirs" / "gguf" / f"theirs-{kind}.gguf").write_bytes(b"GGUF")
    code, out, err = new("tune", "--from", "theirs")
    assert (code, out) == (0, "tune\n"), err
    assert "Source base: 11 files" in " ".join(err.split())
    recipe = tomllib.loads((tmp_path / "tune" / "regrow.toml").read_text("utf-8"))
    assert recipe["base"] == {"fetch": "file:base", "licence": "LicenseRef-Undeclared"}
    assert recipe["lora"]["context"] == models.CONFIG.context
    assert not (tmp_path / "tune" / "base" / "notes.pdf").exists()
    assert (tmp_path / "tune" / "base" / "regrow.lock").is_file()


def test_from_a_folder_of_an_adapter(tmp_path: Path) -> None:
    filled(tmp_path / "theirs", {"adapter_config.json": b"{}"})
    code, _, err = new("tune", "--from", "theirs")
    assert (code, (tmp_path / "tune").exists()) == (6, False)
    assert "`theirs` is an adapter" in err
