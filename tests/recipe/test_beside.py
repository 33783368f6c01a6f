import os
from pathlib import Path

import pytest

from regrow.errors import RecipeError
from regrow.recipe.beside import beside
from regrow.recipe.schema import load
from regrow.stages import KINDS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recipe" / "texts").mkdir(parents=True)
    (tmp_path / "recipe" / "texts" / "a.txt").write_text("A")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "key").write_text("secret")
    return tmp_path / "recipe"


def test_what_lies_there_and_what_does_not(folder: Path) -> None:
    assert beside(folder, "texts/a.txt") == folder / "texts/a.txt"
    assert beside(folder, ".") == folder
    assert beside(folder, "nothing") is None
    assert beside(folder, "nothing/at/all") is None


def test_links_within_the_folder_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "b.txt").symlink_to("texts/a.txt")
    (tmp_path / "other-name").symlink_to(folder)
    assert beside(tmp_path / "other-name", "b.txt") == tmp_path / "other-name" / "b.txt"


@pytest.mark.parametrize("target", ["../elsewhere/key", "/etc/hostname", "/dev/stdin", "/dev/null", "texts/../.."])
def test_links_that_lead_out_are_refused(folder: Path, target: str) -> None:
    (folder / "x").symlink_to(target)
    with pytest.raises(RecipeError, match=r"link leads (out of the folder of the recipe|nowhere)") as caught:
        beside(folder, "x")
    assert caught.value.where == str(folder / "x")
    assert "secret" not in str(caught.value)


def test_a_parent_that_is_a_link_leads_out_too(folder: Path) -> None:
    (folder / "x").symlink_to("../elsewhere")
    with pytest.raises(RecipeError, match="leads out"):
        beside(folder, "x/key")


@pytest.mark.parametrize("target", ["x", "nothing", "/nothing"])
def test_links_that_lead_nowhere(folder: Path, target: str) -> None:
    (folder / "x").symlink_to(target)
    with pytest.raises(RecipeError, match="leads nowhere"):
        beside(folder, "x")


@pytest.mark.parametrize("name", ["regrow.toml", "x"])
def test_a_pipe_is_not_opened(folder: Path, name: str) -> None:
    os.mkfifo(folder / name)
    with pytest.raises(RecipeError, match="neither a file nor a folder"):
        beside(folder, name)
    if name == "regrow.toml":
        with pytest.raises(RecipeError, match="neither a file nor a folder"):
            load(folder, KINDS)


def test_a_recipe_that_is_a_link_shows_nothing_of_what_it_leads_to(folder: Path) -> None:
    (folder / "regrow.toml").symlink_to("../elsewhere/key")
    with pytest.raises(RecipeError, match="leads out") as caught:
        load(folder, KINDS)
    assert "secret" not in str(caught.value)


def test_a_file_of_another_name_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on disks that take capitals for small letters, where the same folder would make another release."""
    (tmp_path / "LICENSE").write_text("mine")
    assert beside(tmp_path, "LICENSE") is not None
    (tmp_path / "License").touch()  # the folder was written to since, and is looked at again
    monkeypatch.setattr(os, "listdir", lambda folder: ["License"])
    assert beside(tmp_path, "LICENSE") is None


def test_the_folder_of_the_recipe_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert beside(Path(), ".") is not None
    assert beside(tmp_path, ".") is not None
