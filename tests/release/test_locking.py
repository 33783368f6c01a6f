"""python -m pytest tests/release/test_locking.py"""

from pathlib import Path

import pytest

from regrow.errors import InputError, RecipeError
from regrow.release import locking
from regrow.release.locking import Again, Mode, as_locked, lock_recipe, locked_recipe

RECIPE = """recipe = 1
[model]
name = "toy"
licence = "Apache-2.0"
[[source]]
name = "play"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"
[tokenizer]
vocabulary = 300
[architecture]
layers = 1
width = 32
heads = 2
context = 16
[train]
tokens = 2048
micro_batch = 2
micro_batches_per_step = 2
learning_rate = 1e-3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "toy" / "texts").mkdir(parents=True)
    (tmp_path / "toy" / "texts" / "a.txt").write_text("To be, or not to be")
    (tmp_path / "toy" / "regrow.toml").write_text(RECIPE)
    return tmp_path / "toy"


def lock(folder: Path, mode: Mode = Mode.RENEW, **options: object) -> locking.Locked:
    return locked_recipe(folder, mode, listener=lambda _: None, **options)  # type: ignore[arg-type]


def change(folder: Path, old: str, new: str, name: str = "regrow.toml") -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def written(folder: Path, **outputs: str) -> str:
    """Lock the recipe, as a build with these outputs would."""
    locked = lock(folder)
    names = {stage.name: "1" * 64 for stage in locked.graph.stages}
    (folder / "regrow.lock").write_text(locked.text({**names, **outputs}, "2" * 64))
    return (folder / "regrow.lock").read_text()


def test_a_new_lock_promises_nothing_and_writes_nothing(folder: Path) -> None:
    locked = lock(folder)
    assert (dict(locked.promised), locked.promised_release, locked.licence) == ({}, None, "Apache-2.0")
    assert not (folder / "regrow.lock").exists()


def test_stages_know_where_to_fetch_but_the_lock_does_not(folder: Path, tmp_path: Path) -> None:
    fetch = lock(folder, offline=True).graph["fetch-play"]
    assert (fetch.parameters.base, fetch.parameters.offline) == (folder, True)  # type: ignore[attr-defined]
    assert str(tmp_path) not in written(folder)
    other = lock(folder, sources=tmp_path / "elsewhere").graph["fetch-play"]
    assert other.parameters.base == tmp_path / "elsewhere"  # type: ignore[attr-defined]
    assert other.parameters.model_dump() == fetch.parameters.model_dump()


@pytest.mark.parametrize("mode", list(Mode))
def test_a_lock_that_is_up_to_date_is_taken_as_it_is(folder: Path, mode: Mode) -> None:
    text = written(folder)
    locked = lock(folder, mode)
    assert locked.promised_release == "2" * 64
    assert locked.promised["pretrain"] == "1" * 64
    assert locked.text(locked.promised, "2" * 64) == text


def test_plain_mode_renews_and_keeps_pins(folder: Path) -> None:
    written(folder)
    change(folder, "[train]", "[train]\nseed = 7")
    (folder / "texts" / "a.txt").write_text("changed meanwhile")
    events: list[dict] = []
    locked = locked_recipe(folder, Mode.RENEW, listener=events.append)  # type: ignore[arg-type]
    assert dict(locked.promised) == {}
    assert locked.graph["pretrain"].parameters.train.seed == 7  # type: ignore[attr-defined]
    (pin,) = locked.graph["fetch-play"].parameters.pins  # type: ignore[attr-defined]
    assert pin.size == len("To be, or not to be")
    (event,) = [event for event in events if event["event"] == "lock"]
    assert any("seed" in reason for reason in event["reasons"])


def test_locked_mode_names_the_reasons_and_the_command(folder: Path) -> None:
    written(folder)
    change(folder, "[train]", "[train]\nseed = 7")
    with pytest.raises(RecipeError, match="not up to date") as caught:
        lock(folder, Mode.LOCKED)
    assert caught.value.exit_code == 2
    assert "seed 1 -> 7" in caught.value.why
    assert f"regrow lock {folder}" in caught.value.hint


@pytest.mark.parametrize("mode", [Mode.LOCKED, Mode.FROZEN])
def test_modes_that_need_a_lock_say_so(folder: Path, mode: Mode) -> None:
    with pytest.raises(RecipeError) as caught:
        lock(folder, mode)
    assert caught.value.exit_code == 2
    assert "regrow lock" in caught.value.hint


def test_frozen_mode_does_not_look_at_the_recipe(folder: Path) -> None:
    written(folder)
    (folder / "regrow.toml").write_text("this is not a recipe")
    locked = lock(folder, Mode.FROZEN)
    assert locked.graph["pretrain"].parameters.train.seed == 1  # type: ignore[attr-defined]
    assert locked.recipe == b"this is not a recipe"


def test_lock_command_looks_at_local_files_again(folder: Path) -> None:
    quiet = {"listener": lambda _: None}
    assert lock_recipe(folder, **quiet)[1] == ("there was no lock yet",)  # type: ignore[arg-type]
    text = written(folder)
    assert lock_recipe(folder, **quiet)[1] == ()  # type: ignore[arg-type]
    assert (folder / "regrow.lock").read_text() == text
    (folder / "texts" / "a.txt").write_text("changed")
    assert lock_recipe(folder, again=Again.NOTHING, **quiet)[1] == ()  # type: ignore[arg-type]
    _, reasons = lock_recipe(folder, **quiet)  # type: ignore[arg-type]
    assert "file `a.txt` changed" in reasons[0]
    assert "[outputs]" not in (folder / "regrow.lock").read_text()


def test_release_and_lock_of_another_recipe(folder: Path) -> None:
    written(folder)
    assert as_locked(folder, sources=None, offline=False)[1] == ()
    change(folder, "CC0-1.0", "MIT")
    _, reasons = as_locked(folder, sources=None, offline=False)
    assert any("MIT" in reason for reason in reasons)


def test_release_with_a_lock_that_does_not_say_all(folder: Path) -> None:
    written(folder)
    change(folder, f'pretrain = "{"1" * 64}"\n', "", "regrow.lock")
    assert as_locked(folder, sources=None, offline=False)[1] == ("the lock does not say what stage pretrain gave",)


def test_release_of_another_arithmetic_is_not_called_different(folder: Path) -> None:
    written(folder)
    change(folder, "arithmetic = 1", "arithmetic = 99", "regrow.lock")
    with pytest.raises(RecipeError, match="version 99 of the arithmetic") as caught:
        as_locked(folder, sources=None, offline=False)
    assert "the regrow that made" in caught.value.hint


def test_files_that_are_not_in_a_release_have_to_be_named(folder: Path, tmp_path: Path) -> None:
    written(folder)
    (folder / "texts").rename(tmp_path / "texts")
    with pytest.raises(InputError, match="source `play`") as caught:
        as_locked(folder, sources=None, offline=False)
    assert caught.value.exit_code == 6
    assert "--source DIR" in caught.value.hint
    assert as_locked(folder, sources=tmp_path, offline=False)[1] == ()
