"""Files that tell of a build while it runs. python -m pytest tests/release/test_live.py"""

import csv
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regrow.building.live import EventLog, Metrics
from regrow.building.trackers import tracked, tracker
from regrow.errors import RecipeError

Events = list[dict[str, Any]]


def step(number: int, **more: Any) -> dict[str, Any]:
    told = {
        "event": "progress",
        "stage": "pretrain",
        "unit": "steps",
        "done": number,
        "total": 9,
        "tokens": 64 * number,
    }
    return {**told, "loss": 5.0 - number, "learning_rate": 0.1, "gradient_norm": 2.0, "tokens_per_second": None, **more}


RESUMED = {
    "event": "resumed",
    "stage": "pretrain",
    "unit": "steps",
    "done": 2,
    "total": 9,
    "tokens": 128,
    "records": [
        {"step": 1, "loss": 4.0, "learning_rate": 0.1, "gradient_norm": 2.0},
        {"step": 2, "loss": 3.0, "learning_rate": 0.1, "gradient_norm": 2.0, "validation_loss": 3.5, "sample": "a, b"},
    ],
}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_are_there_as_training_runs_and_name_their_place(tmp_path: Path) -> None:
    logged: Events = []
    told: Events = []
    with Metrics(tmp_path / "toy", logged.append, told.append) as metrics:
        metrics({"event": "stage-start", "stage": "pretrain"})
        assert list(tmp_path.iterdir()) == []
        metrics(step(1))
        (row,) = read(tmp_path / "toy.metrics.csv")
        assert (row["step"], row["tokens"], row["loss"], row["tokens_per_second"]) == ("1", "64", "4.0", "")
        metrics(step(2, validation_loss=3.5, sample='say "x",\nand y', tokens_per_second=700.0))
        assert read(tmp_path / "toy.metrics.csv")[1]["sample"] == 'say "x",\nand y'
        assert metrics.tokens_per_second == {"pretrain": 700.0}
    assert told == [{"event": "metrics", "path": str(tmp_path / "toy.metrics.csv")}]
    assert len(logged) == 3
    assert len(read(tmp_path / "toy.metrics.csv")) == 2  # of a build that did not come to its end


def test_metrics_of_a_run_that_is_in_the_store_are_all_there(tmp_path: Path) -> None:
    told: Events = []
    with EventLog(tmp_path / "toy", lambda _: None) as log, Metrics(tmp_path / "toy", log, told.append) as metrics:
        metrics({**RESUMED, "event": "trained", "total": 2})
        assert '"event": "trained"' in log.text()
        assert "learning_rate" not in log.text()  # it would be as long as the metrics, at each build
    assert [row["step"] for row in read(tmp_path / "toy.metrics.csv")] == ["1", "2"]
    assert told == []


def test_metrics_of_a_resumed_run_begin_at_its_first_step(tmp_path: Path) -> None:
    with Metrics(tmp_path / "toy", lambda _: None, lambda _: None) as metrics:
        metrics(RESUMED)
        metrics(step(3))
    rows = read(tmp_path / "toy.metrics.csv")
    assert [(row["step"], row["tokens"]) for row in rows] == [("1", "64"), ("2", "128"), ("3", "192")]
    assert [row["validation_loss"] for row in rows] == ["", "3.5", ""]


def test_the_time_of_an_event_is_its_time_whatever_it_says_of_seconds(tmp_path: Path) -> None:
    with EventLog(tmp_path / "toy", lambda _: None) as log:
        log({"event": "progress", "seconds": 1e9, "duration": 12.5})
        assert '"seconds": 0.' in log.text()
        assert '"duration": 12.5' in log.text()


@pytest.mark.parametrize("module", ["trackio", "wandb"])
def test_runs_elsewhere_get_what_was_measured(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    library = SimpleNamespace(
        __spec__=SimpleNamespace(),
        init=lambda project, name: said.append(("init", project, name)) or "run",
        log=lambda values, step: said.append((step, values)),
        finish=lambda: said.append("finish"),
    )
    monkeypatch.setitem(sys.modules, module, library)
    passed: Events = []
    with tracked([f"{module}:mine"], "toy", passed.append) as listener:
        listener({"event": "stage-start", "stage": "pretrain"})
        assert said == []
        listener(step(1, sample="a"))
    values = {"tokens": 64, "loss": 4.0, "learning_rate": 0.1, "gradient_norm": 2.0, "sample": "a"}
    assert said == [("init", "mine", "toy-pretrain"), (1, values), "finish"]
    assert len(passed) == 2


def test_each_stage_that_trains_is_a_run_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    library = SimpleNamespace(
        __spec__=SimpleNamespace(),
        init=lambda project, name: said.append(name) or "run",
        log=lambda values, step: said.append(step),
        finish=lambda: said.append("finish"),
    )
    monkeypatch.setitem(sys.modules, "wandb", library)
    with tracked(["wandb"], "toy", lambda _: None) as listener:
        for stage in ("first", "second"):
            listener(step(1, stage=stage))
            listener(step(2, stage=stage))
    assert said == ["toy-first", 1, 2, "finish", "toy-second", 1, 2, "finish"]


def test_a_tracker_that_fails_does_not_stop_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(project: str, name: str) -> None:
        raise ConnectionError("no network")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(__spec__=SimpleNamespace(), init=fail))
    passed: Events = []
    with tracked(["wandb"], "toy", passed.append) as listener:
        listener(step(1))
        listener(step(2))
    notes = [event["text"] for event in passed if event["event"] == "note"]
    assert notes == ["wandb shows no more: ConnectionError: no network"]


def test_what_cannot_be_tracked_to_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="no tracker `mlflow`"):
        tracker("mlflow:x")
    monkeypatch.setattr("regrow.building.trackers.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="`wandb` is not installed") as caught:
        tracker("wandb")
    assert caught.value.hint == "python -m pip install wandb"


def test_tensorboard_gets_event_files(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for release in ("toy", "other"):  # which does not take the place of the first
        with tracked([f"tensorboard:{tmp_path / 'runs'}"], release, lambda _: None) as listener:
            listener(RESUMED)
            listener(step(3))
    for release in ("toy", "other"):
        found = accumulator.EventAccumulator(str(tmp_path / "runs" / f"{release}-pretrain"))
        found.Reload()
        assert [(one.step, one.value) for one in found.Scalars("loss")] == [(1, 4.0), (2, 3.0), (3, 2.0)]
        assert [one.step for one in found.Scalars("validation_loss")] == [2]
