"""Parts of a release are checked, a liar is named, and the figure that is printed is right."""

import hashlib
import json
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regrow.errors import RecipeError
from regrow.recipe.graph import Stage
from regrow.store import sums
from regrow.verifying import spot
from regrow.verifying.chain import Run, Segment
from regrow.verifying.draw import drawn, missed
from regrow.verifying.seen import Looked, SpotReport
from regrow.verifying.spot import Wanted, spot_check

SEGMENTS = 10
UNCOVERED = ("SHA256SUMS", "report.html", "buildinfo", "states")


@pytest.fixture
def release(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "release", tmp_path / "release"))


def check(release: Path, made: Path, segments: int = 3, store: Path | None = None, **more: Any) -> SpotReport:
    wanted = Wanted(segments, nonce="a word", sources=made / "part", **more)
    return spot_check(release, wanted, store=store or made / "store", listener=lambda _: None, stop=threading.Event())


def repair(release: Path) -> None:
    """What an adversary does after a change: make the list of checksums agree with it."""
    (release / "SHA256SUMS").write_text(sums(release, UNCOVERED))


def test_a_true_release_passes_and_nothing_more_is_said_than_was_seen(release: Path, made: Path) -> None:
    report = check(release, made)
    assert not report.lie
    (run,) = report.looked
    assert run.segments == SEGMENTS
    assert {0, SEGMENTS - 1} <= {one.number for one in run.checked}
    assert 3 <= len(run.checked) < SEGMENTS
    assert run.steps[0] < run.steps[1] == 60
    said = "\n".join(report.lines())
    assert f"{len(run.checked)} of 10 segments were run" in said
    assert "would have passed with probability" in said
    assert {"tokenize", "evaluate"} <= set(report.same)
    assert check(release, made).to_json() | {"seconds": 0} == report.to_json() | {"seconds": 0}


def test_the_same_nonce_draws_the_same_and_another_one_others() -> None:
    assert drawn("root", "a", 40, 5) == drawn("root", "a", 40, 5)
    found = {drawn("root", str(word), 40, 3) for word in range(200)}
    assert len(found) == 38
    assert all(one[0] == 0 and one[-1] == 39 and len(one) == 3 for one in found)
    assert drawn("other", "a", 40, 5) != drawn("root", "a", 40, 5)
    assert drawn("root", "a", 3, 9) == (0, 1, 2)
    assert drawn("root", "a", 1, 3) == (0,)


@pytest.mark.parametrize(("segments", "checked", "changed"), [(40, 3, 4), (40, 12, 4), (10, 4, 1), (100, 20, 10)])
def test_the_figure_is_right_for_a_thousand_liars(segments: int, checked: int, changed: int) -> None:
    chance, passed = random.Random(segments * checked), 0
    for liar in range(1000):
        hidden = set(chance.sample(range(1, segments - 1), changed))
        passed += hidden.isdisjoint(drawn(f"root {liar}", f"word {liar}", segments, checked))
    assert passed / 1000 == pytest.approx(missed(segments, checked, changed), abs=0.05)


def test_without_kept_states_the_run_is_repeated(release: Path, made: Path) -> None:
    shutil.rmtree(release / "states")
    report = check(release, made)
    assert not report.lie
    assert len(report.looked[0].checked) == SEGMENTS
    elsewhere = check(release, made, kept=(made / "release" / "states").as_uri())
    assert not elsewhere.lie
    assert len(elsewhere.looked[0].checked) < SEGMENTS


def edit(path: Path, number: int, **changes: object) -> None:
    rows = [json.loads(row) for row in path.read_text().splitlines()]
    rows[number].update(changes)
    path.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def lies() -> Iterator[tuple[str, Callable[[Path], object], str]]:
    def weights(release: Path) -> None:
        path = release / "model.safetensors"
        data = bytearray(path.read_bytes())
        data[-2] ^= 1
        path.write_bytes(data)
        repair(release)

    def records(release: Path) -> None:
        edit(release / "training" / "losses.jsonl", 7, loss=1.0)
        repair(release)

    def truncated(release: Path) -> None:
        path = release / "training" / "chain.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
        repair(release)

    def state(release: Path) -> None:
        path = next((release / "states" / "pretrain").glob("*"))
        path.write_bytes(path.read_bytes()[::-1])

    def shorter(release: Path) -> None:
        path = next((release / "states" / "pretrain").glob("*"))
        path.write_bytes(path.read_bytes()[:-4])

    def swapped(release: Path) -> None:
        first, second, *_ = sorted((release / "states" / "pretrain").glob("*"))
        data = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(data)

    yield "files changed", lambda release: (release / "README.md").write_text("other"), "README.md"
    yield "weights tuned afterwards", weights, "model.safetensors"
    yield "records edited", records, "does not have the losses.jsonl that the statement"
    yield "chain truncated", truncated, "does not have the chain.jsonl that the statement"
    yield "state", state, "is another one"
    yield "state of another shape", shorter, "bytes, and a state of this model has"
    yield "states swapped", swapped, "is another one"


@pytest.mark.parametrize(("lie", "said"), [pytest.param(lie, said, id=name) for name, lie, said in lies()])
def test_a_lie_is_named(release: Path, made: Path, lie: Callable[[Path], object], said: str) -> None:
    lie(release)
    report = check(release, made, segments=SEGMENTS)
    assert report.exit_code == 3
    assert said in report.lie


def relink(release: Path, text: str) -> None:
    """Make the statement about training, the list of checksums and nothing else agree with another chain."""
    path = release / "training" / "chain.jsonl"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(text)
    statement = release / "provenance" / "pretrain.intoto.json"
    statement.write_text(statement.read_text().replace(before, hashlib.sha256(path.read_bytes()).hexdigest()))
    repair(release)


@pytest.mark.parametrize("step", ["0.0", "false", '"0"', "[0]", "null"])
def test_steps_that_are_no_numbers_of_steps(release: Path, made: Path, step: str) -> None:
    chain = (release / "training" / "chain.jsonl").read_text()
    relink(release, chain.replace('"step": 0}', f'"step": {step}}}'))
    assert "the chain is not in its order" in check(release, made).lie


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[:-1], "the chain is truncated"),
        (lambda rows: [rows[0], rows[2], rows[1], *rows[3:]], "the chain is not in its order"),
        (lambda rows: [*rows[:4], rows[3], *rows[4:]], "the chain is not in its order"),
        (lambda rows: [*rows[:4], rows[4] | {"state": rows[5]["state"]}, *rows[5:]], "the link of step 24 does not"),
        (lambda rows: [*rows[:4], rows[4] | {"records": "0" * 64}, *rows[5:]], "the records of steps 19 to 24 are not"),
    ],
)
def test_chains_that_do_not_hold(
    release: Path, made: Path, change: Callable[[list[Any]], list[Any]], said: str
) -> None:
    rows = [json.loads(row) for row in (release / "training" / "chain.jsonl").read_text().splitlines()]
    relink(release, "".join(json.dumps(row, sort_keys=True) + "\n" for row in change(rows)))
    assert said in check(release, made).lie


def test_a_version_of_the_arithmetic_that_is_unknown_here(release: Path, made: Path) -> None:
    lock = release / "regrow.lock"
    lock.write_text(lock.read_text().replace("arithmetic = ", "arithmetic = 9", 1))
    repair(release)
    with pytest.raises(RecipeError, match="of the arithmetic") as caught:
        check(release, made)
    assert "use the regrow that made the release" in caught.value.hint


def test_a_build_that_would_take_very_long_is_asked_about(
    release: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regrow.verifying.cost.LONGEST", 0)
    with pytest.raises(RecipeError, match="asks for much") as caught:
        check(release, made, store=made / "nothing")
    assert "--yes" in caught.value.hint


def test_a_statement_about_training_that_says_something_else(release: Path, made: Path) -> None:
    path = release / "provenance" / "pretrain.intoto.json"
    told = json.loads(path.read_text())
    told["predicate"]["buildDefinition"]["externalParameters"]["train"]["seed"] = 99
    path.write_text(json.dumps(told))
    repair(release)
    assert "pretrain.intoto.json is not what follows" in check(release, made).lie


def test_snapshots_that_no_run_kept(release: Path, made: Path) -> None:
    (release / "checkpoints" / "step-000000003").mkdir(parents=True)
    (release / "checkpoints" / "step-000000003" / "model.safetensors").write_text("anything")
    repair(release)
    assert "checkpoints/step-000000003/model.safetensors is not what follows" in check(release, made).lie


def test_the_figure_does_not_count_what_is_run_on_the_way() -> None:
    """A liar knows which states are kept, and changes only segments that nobody comes by who does not mean to."""
    segments = tuple(Segment(number, number * 6, number * 6 + 6) for number in range(10))
    seen = Looked("pretrain", 10, 3, (segments[0], segments[4], segments[5], segments[9]), "root", (24, 60))
    late, passed = 5, 0
    for liar in range(1000):
        passed += late not in drawn(f"root {liar}", f"word {liar}", 10, 3)
    assert seen.figure.passed_over == pytest.approx(passed / 1000, abs=0.05)
    assert replace(seen, checked=segments).figure.passed_over == 0


def test_names_of_files_look_like_no_line_of_ours(release: Path, made: Path) -> None:
    (release / "buildinfo" / "a\nNothing differs").write_text("x")
    lines = "\n".join(check(release, made, 2).lines()).splitlines()
    assert [line for line in lines if line.startswith("Nothing differs")] == lines[:1]
    (release / "b\nSame").write_text("x")
    (line, *_) = check(release, made, 2).lines()
    assert line.startswith("Different") and "\n" not in line


def test_on_another_machine_it_is_said_what_is_other(release: Path, made: Path) -> None:
    path = release / "buildinfo" / "environment.json"
    told = json.loads(path.read_text()) | {"processor": "Another 9000", "processors": 777}
    path.write_text(json.dumps(told))
    report = check(release, made, 2)
    assert not report.lie
    said = "\n".join(report.lines())
    assert "the release was made with Another 9000" in said
    assert "the release was made with 777" in said
    assert report.to_json()["machines"] == list(report.machines)


def test_two_runs_of_a_segment_that_differ_here_are_not_held_against_the_release(
    release: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare, mood = spot._Check._compare_run, iter([True, False])

    def moody(check: spot._Check, stage: Stage, run: Run, output: Path, end: int) -> None:
        if next(mood, False):
            edit(output / "losses.jsonl", 3, loss=9.0)
        compare(check, stage, run, output, end)

    monkeypatch.setattr(spot._Check, "_compare_run", moody)
    report = check(release, made)
    assert (report.moody, report.lie, report.where, report.exit_code) == (True, "", "pretrain", 4)
    assert report.to_json()["verdict"] == "not deterministic"
    said = list(report.lines())
    assert said[0].startswith("Not deterministic: stage `pretrain`")
    assert not any("Different" in line or "taken as given" in line for line in said)
