"""python -m pytest tests/cli/test_new.py"""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from regrow.cli.root import cli
from regrow.recipe.schema import load
from regrow.stages import KINDS


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
