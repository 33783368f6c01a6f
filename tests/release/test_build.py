"""python -m pytest tests/release/test_build.py"""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import toy_model

from regrow.building import build as module
from regrow.building import rebuilds
from regrow.building.build import BuildResult, Options, build
from regrow.building.live import EventLog
from regrow.building.locking import Mode
from regrow.errors import DifferentError, Interrupted, RecipeError, StageError
from regrow.release import Release
from regrow.store import Store
from regrow.verifying.files import check_files


class Bench:
    """A recipe folder, a store and an output directory."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.recipe, self.output, self.seed = root, root / "toy", root / "out" / "toy", 1
        self.recipe.mkdir()
        (self.recipe / "regrow.toml").write_bytes(toy_model.RECIPE)
        self.events: list[dict] = []
        monkeypatch.setattr(module, "locked_recipe", lambda folder, mode, **_: toy_model.locked(folder, self.seed))
        monkeypatch.setattr(module, "_model", lambda folder, _: Release.at(folder).name)

    def build(self, **options: object) -> BuildResult:
        settings = Options(**{"output": self.output, "store": self.root / "store", **options})  # type: ignore[arg-type]
        return build(self.recipe, settings, listener=self.events.append, stop=threading.Event())  # type: ignore[arg-type]

    def lock(self) -> dict:
        return json.loads((self.recipe / "regrow.lock").read_text())

    def change_lock(self, **changes: object) -> None:
        (self.recipe / "regrow.lock").write_text(json.dumps({**self.lock(), **changes}))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_first_build_writes_the_lock_and_the_second_matches_it(bench: Bench) -> None:
    first = bench.build()
    assert (first.matches_lock, first.lock_written) == (None, True)
    assert bench.lock()["release"] == first.digest
    second = bench.build(store=bench.root / "other store")
    assert (second.matches_lock, second.lock_written) == (True, False)
    assert second.digest == first.digest


def test_result_tells_what_people_want_to_see(bench: Bench) -> None:
    result = bench.build()
    assert result.release == bench.output
    assert result.report.is_file()
    assert result.samples[0].prompt == "To be"
    assert result.evaluation["validation"]["bits_per_byte"] == 2.5
    assert [stage.name for stage in result.stages] == [stage.name for stage in toy_model.graph().stages]


def test_the_lock_in_the_release_has_outputs_but_no_release_digest(bench: Bench) -> None:
    bench.build()
    inside = json.loads((bench.output / "regrow.lock").read_text())
    assert inside == {**bench.lock(), "release": None}
    assert set(inside["outputs"]) == {stage.name for stage in toy_model.graph().stages}


def test_default_output_is_named_after_the_recipes_folder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.root)
    assert bench.build(output=None).release == bench.root / "build" / "toy"


def test_another_result_names_the_first_stage_and_changes_nothing(bench: Bench) -> None:
    bench.build()
    before = bench.lock()
    wrong = {"tokenizer": "0" * 64, "pretrain": "1" * 64}
    bench.change_lock(outputs={**before["outputs"], **wrong})
    locked, release = (bench.recipe / "regrow.lock").read_text(), (bench.output / "SHA256SUMS").read_text()
    with pytest.raises(DifferentError, match="stage `tokenizer` gave") as caught:
        bench.build()
    assert caught.value.exit_code == 3
    assert "fetch-play, fetch-song, split" in caught.value.why
    assert (bench.recipe / "regrow.lock").read_text() == locked
    assert (bench.output / "SHA256SUMS").read_text() == release


def test_another_release_digest_changes_nothing_either(bench: Bench) -> None:
    bench.build()
    (bench.recipe / "LICENSE").write_text("A text of a licence.")
    with pytest.raises(DifferentError, match="LICENSE: the release digest is"):
        bench.build()
    assert "Apache License" in (bench.output / "LICENSE").read_text()


def test_update_lock_takes_what_came_out(bench: Bench) -> None:
    digest = bench.build().digest
    bench.change_lock(release="0" * 64, outputs={"split": "0" * 64})
    result = bench.build(update_lock=True)
    assert (result.digest, result.matches_lock, result.lock_written) == (digest, False, True)
    assert bench.lock()["release"] == digest


@pytest.mark.parametrize("mode", [Mode.LOCKED, Mode.FROZEN])
def test_a_lock_that_is_not_to_be_changed_is_not(bench: Bench, mode: Mode) -> None:
    assert bench.build(mode=mode).lock_written is False
    assert not (bench.recipe / "regrow.lock").exists()


def test_output_is_refused_before_anything_is_built(bench: Bench) -> None:
    bench.output.mkdir(parents=True)
    (bench.output / "thesis.txt").write_text("years")
    with pytest.raises(RecipeError, match="may replace"):
        bench.build()
    assert bench.events == []


def test_the_release_of_another_model_is_never_replaced(bench: Bench) -> None:
    first = bench.build().digest
    bench.events.clear()
    other = toy_model.RECIPE.replace(b'name = "toy"', b'name = "toy-2"')
    (bench.recipe / "regrow.toml").write_bytes(other)
    with pytest.raises(RecipeError, match="release of another model") as caught:
        bench.build()
    assert (caught.value.exit_code, bench.events) == (2, [])
    assert caught.value.why == "it holds `toy`, and this recipe makes `toy-2`"
    assert "--output" in caught.value.hint
    assert "if you renamed the model, remove the old release" in caught.value.hint
    assert check_files(Release.open(bench.output)).digest == first
    assert bench.build(output=bench.root / "elsewhere", update_lock=True).release == bench.root / "elsewhere"


@pytest.mark.parametrize("empty", ["folder", "deeper/folder"])
def test_an_output_with_a_folder_in_it_is_refused_before_anything_is_built(bench: Bench, empty: str) -> None:
    (bench.output / empty).mkdir(parents=True)
    with pytest.raises(RecipeError, match=f"holds `{empty}`"):
        bench.build()
    assert bench.events == []
    assert list((bench.root / "out").iterdir()) == [bench.output]


@pytest.mark.parametrize("output", ["..", "here/..", "../here/.."])
def test_two_dots_mean_the_folder_they_lead_to(bench: Bench, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    here = bench.root / "empty" / "here"
    (here / "here").mkdir(parents=True)
    monkeypatch.chdir(here)
    with pytest.raises(RecipeError, match="may replace") as caught:
        bench.build(output=Path(output))
    assert bench.events == []
    assert caught.value.where in (str(here), str(here.parent))
    assert sorted(bench.root.rglob("*.jsonl")) == []


def test_the_output_is_where_two_dots_lead(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.root / "here").mkdir()
    monkeypatch.chdir(bench.root / "here")
    assert bench.build(output=Path("../out/toy")).release == bench.output
    assert check_files(Release.open(bench.output)).whole


@pytest.mark.parametrize("place", ["build/toy", "data/more", "new"])
def test_nothing_is_built_inside_a_release(bench: Bench, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    bench.build()
    bench.events.clear()
    monkeypatch.chdir(bench.output)
    for recipe in (bench.recipe, bench.output):
        bench.recipe = recipe
        with pytest.raises(RecipeError, match="inside another one") as caught:
            bench.build(output=Path(place))
        assert caught.value.exit_code == 2
        assert "--output" in caught.value.hint
        assert f"{bench.output} is a release" in caught.value.why
    assert bench.events == []
    assert check_files(Release.open(bench.output)).whole


def test_a_recipe_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    options = Options(tmp_path / "build" / "nosuch", tmp_path / "store")
    for mode in Mode:
        with pytest.raises(RecipeError) as caught:
            build(tmp_path / "nosuch", replace(options, mode=mode), listener=lambda _: None, stop=threading.Event())
        assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_build_in_which_nothing_happened_leaves_no_log(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RecipeError("the lock is not up to date")

    monkeypatch.setattr(module, "locked_recipe", refuse)
    with pytest.raises(RecipeError, match="up to date"):
        bench.build()
    assert list((bench.root / "out").iterdir()) == []


def test_a_release_that_is_built_from_stays_whole(bench: Bench) -> None:
    first, release = bench.build(), bench.output
    bench.recipe, bench.output = release, bench.root / "again"
    again = bench.build()
    assert (again.digest, again.lock_written) == (first.digest, False)
    assert check_files(Release.open(release)).whole
    notes = [event["text"] for event in bench.events if event["event"] == "note"]
    assert notes == [f"{release / 'regrow.lock'} is part of a release and stays as it is"]


def test_a_release_cannot_take_the_place_of_its_recipe(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.build()
    bench.recipe = bench.output
    monkeypatch.chdir(bench.root / "out")
    for output in (bench.output, Path("toy"), bench.root / "out" / ".." / "out" / "toy"):
        with pytest.raises(RecipeError, match="place of the recipe") as caught:
            bench.build(output=output)
        assert caught.value.exit_code == 2
    assert check_files(Release.open(bench.output)).whole


def test_a_build_overtaken_by_another_of_the_same_recipe(bench: Bench) -> None:
    others: list[BuildResult] = []

    def overtaken(event: dict) -> None:
        if event.get("event") == "stage-done" and event["stage"] == "evaluate" and not others:
            others.append(bench.build())

    options = Options(bench.output, bench.root / "store")
    first = build(bench.recipe, options, listener=overtaken, stop=threading.Event())  # type: ignore[arg-type]
    assert [first.digest] == [other.digest for other in others]
    assert check_files(Release.open(bench.output)).whole
    assert [path.name for path in (bench.root / "out").iterdir()] == ["toy"]


def test_two_logs_of_the_same_release_are_kept_apart(tmp_path: Path) -> None:
    beside = tmp_path / "toy.events.jsonl"
    with EventLog(tmp_path / "toy", lambda _: None) as one, EventLog(tmp_path / "toy", lambda _: None) as other:
        one({"event": "one"})
        other({"event": "other"})
        one.remove()
        assert json.loads(beside.read_text())["event"] == "other"
        assert [json.loads(log.text())["event"] for log in (one, other)] == ["one", "other"]
        other.remove()
        assert list(tmp_path.iterdir()) == []


def test_unwritable_output_is_refused_before_anything_is_built(bench: Bench) -> None:
    (bench.root / "out").write_text("a file where a folder should be")
    with pytest.raises(RecipeError, match="cannot be written") as caught:
        bench.build()
    assert caught.value.exit_code == 2
    assert bench.events == []


def test_events_are_kept_with_the_release_or_beside_a_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.build()
    lines = [json.loads(line) for line in (bench.output / "buildinfo" / "events.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines if line["event"] == "stage-done"] == list(bench.lock()["outputs"])
    assert all(line["seconds"] >= 0 for line in lines)
    beside = bench.output.with_name("toy.events.jsonl")
    assert not beside.exists()

    def fail(call: object) -> None:
        raise ValueError("no luck")

    kind = replace(toy_model.KINDS["pretrain"], run=fail, version=3)
    graph = toy_model.graph()
    stages = tuple(replace(stage, kind=kind) if stage.name == "pretrain" else stage for stage in graph.stages)
    broken = replace(toy_model.locked(bench.recipe), graph=replace(graph, stages=stages))
    monkeypatch.setattr(module, "locked_recipe", lambda *_, **__: broken)
    with pytest.raises(StageError, match="the stage failed") as caught:
        bench.build()
    assert "no luck" in beside.read_text()
    assert caught.value.hint == f"{beside} has the details"


def test_the_record_of_a_build_stays_when_nothing_is_built_again(bench: Bench) -> None:
    def record() -> dict[str, str]:
        return {path.name: path.read_text() for path in (bench.output / "buildinfo").iterdir()}

    bench.build()
    first = record()
    bench.build()
    assert record() == first
    bench.build(store=bench.root / "other store")
    assert record()["events.jsonl"] != first["events.jsonl"]


def test_timings_of_a_cached_stage_are_those_of_when_it_ran(bench: Bench) -> None:
    def timings() -> dict:
        return json.loads((bench.output / "buildinfo" / "timings.json").read_text())["stages"]["pretrain"]

    bench.build()
    first = timings()
    (bench.recipe / "LICENSE").write_text("A text of a licence.")
    bench.build(update_lock=True)
    assert timings() == {**first, "cached": True}
    assert first["cached"] is False


def test_buildinfo_names_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "jane-doe")
    bench.build()
    info = json.loads((bench.output / "buildinfo" / "environment.json").read_text())
    assert info["python"].startswith("CPython 3")
    text = "".join(path.read_text() for path in (bench.output / "buildinfo").iterdir())
    assert "jane-doe" not in text
    assert str(bench.root) not in text


def test_interrupted_build_leaves_no_release(bench: Bench) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        build(bench.recipe, Options(bench.output, bench.root / "store"), listener=lambda _: None, stop=stop)
    assert not bench.output.exists()


def test_a_lock_that_cannot_be_written_does_not_undo_the_build(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "write_lock", refuse)
    result = bench.build()
    assert result.lock_written is False
    assert any(event["event"] == "note" and "regrow.lock" in event["text"] for event in bench.events)


def test_a_verification_before_the_first_build_leaves_room_for_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGROW_STORE", str(tmp_path / "store"))
    rebuilds.note("0" * 64, "regrow verify")
    with Store(tmp_path / "store") as store:
        assert store.root == tmp_path / "store"
    assert rebuilds.is_noted(rebuilds.place("0" * 64), "0" * 64)


def test_what_must_not_be_released_is_refused_before_the_work(bench: Bench) -> None:
    (bench.recipe / "paper.md").symlink_to("/etc/hostname")
    with pytest.raises(RecipeError, match="leads out of the folder of the recipe"):
        bench.build()
    assert bench.events == []
    assert not bench.output.parent.exists()
