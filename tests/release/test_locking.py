"""python -m pytest tests/release/test_locking.py"""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from regrow.building import locking
from regrow.building.locking import Mode, as_locked, locked_recipe
from regrow.building.preparing import prepare
from regrow.errors import InputError, Interrupted, RecipeError
from regrow.recipe.kind import Surroundings
from regrow.recipe.pin import Pin
from regrow.sources import https
from regrow.sources.downloads import Downloads

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


def test_where_and_how_to_fetch_is_lent_to_the_stages_and_not_in_the_lock(folder: Path, tmp_path: Path) -> None:
    here = lock(folder, offline=True)
    assert here.surroundings == Surroundings(folder, True)
    assert str(tmp_path) not in written(folder)
    shutil.copytree(folder / "texts", tmp_path / "elsewhere" / "texts")
    other = lock(folder, sources=tmp_path / "elsewhere")
    assert other.surroundings == Surroundings(tmp_path / "elsewhere", False)
    assert other.graph == here.graph


@pytest.mark.parametrize("mode", list(Mode))
def test_a_lock_that_is_up_to_date_is_taken_as_it_is(folder: Path, mode: Mode) -> None:
    text = written(folder)
    locked = lock(folder, mode)
    assert locked.promised_release == "2" * 64
    assert locked.promised["pretrain"] == "1" * 64
    assert locked.text(locked.promised, "2" * 64) == text


def test_plain_mode_renews_and_keeps_pins(folder: Path) -> None:
    written(folder)
    for name in ("regrow.toml", "regrow.lock"):  # as if it had been locked so
        (folder / name).write_text((folder / name).read_text().replace("file:texts", "https://example.org/a.txt"))
    change(folder, "[train]", "[train]\nseed = 7")
    events: list[dict] = []
    locked = locked_recipe(folder, Mode.RENEW, offline=True, listener=events.append)  # type: ignore[arg-type]
    assert dict(locked.promised) == {}
    assert locked.graph["pretrain"].parameters.train.seed == 7  # type: ignore[attr-defined]
    (pin,) = locked.graph["fetch-play"].parameters.pins  # type: ignore[attr-defined]
    assert pin.size == len("To be, or not to be")
    (event,) = [event for event in events if event["event"] == "lock"]
    assert any("seed" in reason for reason in event["reasons"])


def test_a_pin_of_the_recipe_cannot_name_a_file(folder: Path, tmp_path: Path) -> None:
    (victim := tmp_path / "thesis.txt").write_text("years")
    pin = f'{{ file = "a.txt", sha256 = "{victim}", size = 1, licences_found = [] }}'
    stage = f'[[stage]]\nname = "more"\nkind = "fetch"\nparameters = {{ fetch = "file:texts", pins = [{pin}] }}\n'
    change(folder, RECIPE, RECIPE + stage)
    with pytest.raises(RecipeError, match="is not a sha256") as caught:
        lock(folder)
    assert "stage.more.parameters.pins[0]" in caught.value.where


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


def test_frozen_mode_takes_the_lock_for_the_truth(folder: Path) -> None:
    written(folder)
    (folder / "texts" / "a.txt").write_text("changed since")
    change(folder, "seed = 1", "seed = 7", "regrow.lock")
    assert lock(folder, Mode.FROZEN).graph["pretrain"].parameters.train.seed == 7  # type: ignore[attr-defined]


def test_frozen_mode_refuses_another_recipe(folder: Path) -> None:
    written(folder)
    change(folder, 'name = "toy"', 'name = "toys"')
    with pytest.raises(RecipeError) as caught:
        lock(folder, Mode.FROZEN)
    assert caught.value.what == "the recipe is not the one that was locked"
    assert caught.value.where == str(folder / "regrow.toml")


def edit(folder: Path) -> None:
    (folder / "texts" / "a.txt").write_text("changed")


def add(folder: Path) -> None:
    (folder / "texts" / "b.txt").write_text("new")


def rename(folder: Path) -> None:
    (folder / "texts" / "a.txt").rename(folder / "texts" / "c.txt")


CHANGES = {
    edit: ["source play: file `a.txt` changed: sha256 80ed7fc26bc0 -> d67e2e944994"],
    add: ["source play: file `b.txt` added"],
    rename: ["source play: file `c.txt` added", "source play: file `a.txt` removed"],
}


@pytest.mark.parametrize("alter", CHANGES)
def test_files_beside_the_recipe_are_looked_at_again(folder: Path, alter: Callable[[Path], None]) -> None:
    text = written(folder)
    alter(folder)
    events: list[dict] = []
    locked = locked_recipe(folder, Mode.RENEW, listener=events.append)  # type: ignore[arg-type]
    assert [event for event in events if event["event"] == "lock"] == [{"event": "lock", "reasons": CHANGES[alter]}]
    assert (dict(locked.promised), locked.promised_release) == ({}, None)
    pins = locked.graph["fetch-play"].parameters.pins  # type: ignore[attr-defined]
    assert [pin.file for pin in pins] == sorted(path.name for path in (folder / "texts").iterdir())
    with pytest.raises(RecipeError, match="not up to date") as caught:
        lock(folder, Mode.LOCKED)
    assert caught.value.why == "; ".join(CHANGES[alter])
    frozen = lock(folder, Mode.FROZEN)
    assert frozen.text(frozen.promised, frozen.promised_release) == text


def test_line_ends_that_git_changed_are_called_so(folder: Path) -> None:
    (folder / "texts" / "b.txt").write_text("one\ntwo\n")
    (folder / "texts" / "c.txt").write_text("three\n")
    written(folder)
    (folder / "texts" / "b.txt").write_bytes(b"one\r\ntwo\r\n")
    (folder / "texts" / "c.txt").write_bytes(b"four\r\n")
    with pytest.raises(RecipeError, match="not up to date") as caught:
        lock(folder, Mode.LOCKED)
    of_b, of_c = caught.value.why.split("; ")
    assert of_b == "source play: file `b.txt` changed: only line ends differ"
    assert of_c.startswith("source play: file `c.txt` changed: sha256 ")
    assert "`* -text` into `.gitattributes`" in caught.value.hint
    edit(folder)
    (folder / "texts" / "b.txt").write_text("one\ntwo\n")
    with pytest.raises(RecipeError, match="not up to date") as caught:
        lock(folder, Mode.LOCKED)
    assert caught.value.hint.startswith("run `regrow lock")


def test_files_beside_others_do_not_make_a_lock_stale(folder: Path) -> None:
    text = written(folder)
    for name in (".git/FETCH_HEAD", ".DS_Store", "a.txt~"):
        (folder / "texts" / name).parent.mkdir(exist_ok=True)
        (folder / "texts" / name).write_text("new")
    locked = lock(folder, Mode.LOCKED)
    assert locked.text(locked.promised, locked.promised_release) == text


def test_files_that_are_gone_are_missed(folder: Path) -> None:
    written(folder)
    (folder / "texts").rename(folder / "elsewhere")
    with pytest.raises(InputError, match="there is no") as caught:
        lock(folder)
    assert caught.value.where == "source `play`"


def test_the_lock_of_a_release_does_without_the_files(folder: Path) -> None:
    written(folder)
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  regrow.lock\n")
    edit(folder)
    assert lock(folder).promised_release == "2" * 64


def test_pinning_stops_when_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(folder, "file:texts", "https://example.org/a.txt")
    stop = threading.Event()

    def slow(self: Downloads, url: str, pin: object = None, *, poll: Callable[[], None], **_: object) -> Path:
        poll()
        stop.set()
        poll()
        raise AssertionError("nobody stopped it")

    monkeypatch.setattr(Downloads, "get", slow)
    with pytest.raises(Interrupted) as caught:
        lock(folder, stop=stop)
    assert caught.value.where == "stage `fetch-play`"


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


def elsewhere(folder: Path) -> None:
    """Let the recipe have a second source, which nobody could fetch."""
    more = '[[source]]\nname = "web"\nfetch = "https://nowhere.invalid/a.txt?access_token=hidden&page=1"\n'
    change(folder, "[tokenizer]", f'{more}licence = "CC0-1.0"\navailability = "open"\n[tokenizer]')


def test_a_plan_needs_no_network_and_makes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(folder)
    monkeypatch.setattr(Downloads, "get", lambda *_, **__: pytest.fail("something was fetched"))
    store = folder.parent / "store"
    planned = prepare(folder, offline=False, store=store, listener=lambda _: None).plan
    assert planned.unpinned == ("fetch-web",)
    assert planned.to_json()["unpinned"] == ["fetch-web"]
    reasons = {stage.name: stage.reasons for stage in planned.stages}
    assert reasons["fetch-web"] == ("which files it has is not known before it is locked",)
    assert reasons["fetch-play"] == ("first build",)
    assert "to fetch: what fetch-web will find; `regrow lock`" in "\n".join(planned.lines())
    assert next(stage for stage in planned.stages if stage.name == "fetch-play").cost.disk_bytes == 19
    assert sorted(path.name for path in folder.parent.iterdir()) == ["toy"]
    assert not (folder / "regrow.lock").exists()


def test_a_plan_does_not_take_the_store_for_what_it_is_not(folder: Path) -> None:
    (folder.parent / "store").mkdir()
    (folder.parent / "store" / "thesis.txt").write_text("years")
    with pytest.raises(RecipeError, match="something else where the store should be"):
        prepare(folder, offline=False, store=folder.parent / "store", listener=lambda _: None)


def test_a_build_is_not_planned_without_pins(folder: Path) -> None:
    elsewhere(folder)
    with pytest.raises(InputError, match="stay offline"):
        lock(folder, offline=True)


@pytest.mark.parametrize("mode", [Mode.RENEW, Mode.DRAFT, Mode.LOCKED, Mode.FROZEN])
def test_credentials_are_pointed_out_whatever_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    elsewhere(folder)
    pin = Pin("a.txt", "ab" * 32, 5)
    monkeypatch.setattr(https, "resolve", lambda locator, site: (pin,))
    (folder / "regrow.lock").write_text(lock(folder).text({}, None))
    events: list[dict[str, object]] = []
    locked_recipe(folder, mode, listener=events.append)  # type: ignore[arg-type]
    (said,) = [str(event["text"]) for event in events if event["event"] == "note"]
    assert "`access_token` in the address https://nowhere.invalid/a.txt looks like a credential" in said
    assert "hidden" not in str(events)


def test_files_beside_the_recipe_itself_are_missed_in_a_release_too(folder: Path, tmp_path: Path) -> None:
    change(folder, "file:texts", "file:.")
    written(folder)
    (folder / "texts").rename(tmp_path / "texts")
    with pytest.raises(InputError, match="the files of source `play` are not part of the release"):
        as_locked(folder, sources=None, offline=False)
    assert as_locked(folder, sources=tmp_path, offline=False)[1] == ()


def test_all_sources_that_are_missed_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "more").mkdir()
    table = '[[source]]\nname = "more-{0:02}"\nfetch = "file:more/{0:02}.txt"\nlicence = "CC0-1.0"\n'
    table += 'availability = "open"\n\n'
    text = (folder / "regrow.toml").read_text()
    for number in range(6):
        (folder / "more" / f"{number:02}.txt").write_text(f"Text {number}.")
        text += "\n" + table.format(number)
    (folder / "regrow.toml").write_text(text)
    written(folder)
    (folder / "more" / "03.txt").unlink()
    (folder / "more" / "05.txt").unlink()
    with pytest.raises(InputError, match="the files of sources `more-03`, `more-05` are not part") as caught:
        as_locked(folder, sources=None, offline=False)
    assert caught.value.why == "it was made from `file:more/03.txt`, `file:more/05.txt`, beside the recipe"
    monkeypatch.setattr("regrow.building.locking._NAMED", 1)
    with pytest.raises(InputError, match=r"`more-03` and 1 more are not part of the release"):
        as_locked(folder, sources=None, offline=False)
