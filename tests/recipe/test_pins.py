"""Sources of many files: their list beside the lock. python -m pytest tests/recipe/test_pins.py"""

import hashlib
import shutil
import subprocess
from pathlib import Path

import fakes
import pytest

from regrow.errors import RecipeError
from regrow.recipe.expand import expand
from regrow.recipe.lock import Lock, load, parse, reasons_stale
from regrow.recipe.pin import FOLDER, MOST_NAMED, Pin, Pinned, Pins, list_path


def many(count: int = MOST_NAMED + 1) -> Pins:
    return Pins(
        Pin(f"{i:05}.txt", hashlib.sha256(str(i).encode()).hexdigest(), i, ("MIT",) if i == 3 else ())
        for i in range(count)
    )


def locked(pins: Pins) -> Lock:
    given = {**fakes.PINS, "plays": pins}
    return Lock.of(fakes.recipe(), expand(fakes.recipe(), given), given, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lock = locked(many())
    (tmp_path / FOLDER).mkdir()
    for path, text in lock.lists.items():
        (tmp_path / path).write_text(text, "utf-8", newline="\n")
    (tmp_path / "regrow.lock").write_text(lock.text(), "utf-8", newline="\n")
    return tmp_path


def test_many_files_lie_in_a_list_and_come_back(folder: Path) -> None:
    lock = load(folder)
    assert lock.pins["plays"] == many().bare
    assert lock.text() == locked(many()).text()
    assert len(lock.text()) < 8000
    assert 'licences_found = ["MIT"]' in " ".join(lock.text().split()).replace("[ ", "[").replace(", ]", "]")
    assert [*lock.lists] == [list_path("plays", many().bare.sums)]
    assert not reasons_stale(lock, fakes.recipe(), 1)


def test_as_many_as_are_named_need_no_list() -> None:
    lock = locked(many(MOST_NAMED))
    assert lock.lists == {}
    assert lock.text().count("[[source.file]]") == MOST_NAMED + 1
    assert parse(lock.text()) == lock


def test_a_stage_has_the_digest_of_the_list_for_an_ingredient_and_what_files_say_is_none() -> None:
    said = Pinned(fetch="file:plays").model_copy(update={"pins": many().bare}).model_dump(mode="json")
    assert said["pins"] == {"files": 1001, "bytes": 500500, "sums": many().bare.sums}
    assert (
        expand(fakes.recipe(), {**fakes.PINS, "plays": many()})["fetch-plays"].parameters.model_dump(mode="json")[
            "pins"
        ]
        == said["pins"]
    )
    few = Pinned(fetch="file:plays", pins=tuple(many(1))).model_dump(mode="json")
    assert [pin["file"] for pin in few["pins"]] == ["00000.txt"]


def test_a_file_that_changed_is_named(folder: Path) -> None:
    pins = list(many())
    pins[7] = Pin("00007.txt", "ab" * 32, 7)
    (reason,) = reasons_stale(load(folder), fakes.recipe(), 1, {"plays": Pins(pins)})
    assert reason.startswith("source plays: file `00007.txt` changed: sha256 ")


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum")
def test_sha256sum_checks_a_list(tmp_path: Path) -> None:
    names = ["a.txt", "b \\ c.txt", "d\ne.txt", "ä.txt"]
    pins = Pins(Pin(name, hashlib.sha256(name.encode()).hexdigest(), len(name.encode())) for name in names)
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "list").write_text(pins.text, "utf-8", newline="\n")
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "list"], cwd=tmp_path, check=True)
    assert Pins.parse(pins.text) == pins


def test_a_list_that_is_missing_damaged_or_another_is_told(folder: Path) -> None:
    (path,) = (folder / FOLDER).iterdir()
    text = path.read_text("utf-8")
    for spoiled, words in (
        (text.replace("# 12\n", "# 13\n"), "is not the one of the lock"),
        (text + "more\n", "is damaged"),
        ("", "is missing"),
        (None, "there is no such file"),
    ):
        path.unlink(missing_ok=True)
        if spoiled is not None:
            path.write_text(spoiled, "utf-8", newline="\n")
        with pytest.raises(RecipeError, match=words) as caught:
            load(folder)
        assert path.name in caught.value.where
        assert "regrow lock" in caught.value.hint


def test_files_in_two_places_are_refused(folder: Path) -> None:
    text = (folder / "regrow.lock").read_text()
    row = f'[[source.file]]\nfile = "a"\nsha256 = "{"ab" * 32}"\nsize = 1\n\n'
    (folder / "regrow.lock").write_text(text.replace('[[source]]\nname = "bible"', f'{row}[[source]]\nname = "bible"'))
    with pytest.raises(RecipeError, match="the lock is damaged") as caught:
        load(folder)
    assert "both here and in a list" in caught.value.why
