"""A run in two parts is the run without a pause, bit for bit; and what would be another run is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from regrow.errors import RegrowError
from regrow.formats.safetensors import safetensors_bytes
from regrow.model.weights import Ends, load, save
from tests.models import model, tokens

from .conftest import Bench

RUN = {
    "tokens": 384, "context": 16, "micro_batch": 2, "micro_batches_per_step": 2, "learning_rate": 1e-2,
    "checkpoint_every": 2, "validate_every": 3, "snapshots": 2, "parameters": ["layers.1", "norm"],
}  # fmt: skip
FILES = ("model.safetensors", "optimizer.safetensors", "chain.jsonl", "losses.jsonl")


class Runs:
    def __init__(self, root: Path) -> None:
        self.bench, self.data, self.base = Bench(root), tokens(root / "tokens"), model(root / "base")
        self.whole = self.tune(keep_optimizer=True)
        self.half = self.tune(stop_after=3, keep_optimizer=True)

    def tune(self, weights: Path | None = None, data: Path | None = None, **said: Any) -> Path:
        folder = self.bench.root / f"scratch-{self.bench.count}"
        folder.mkdir()
        bench = Bench(folder)
        self.bench.count += 1
        fed = {"weights": weights or self.base, "tokens": data or self.data, "tokenizer": self.base}
        return bench.run("finetune", {**RUN, **said}, **fed)

    def go_on(self, weights: Path, **said: Any) -> Path:
        return self.tune(weights, optimizer="continue", **said)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def same(one: Path, other: Path, names: tuple[str, ...] = FILES) -> list[str]:
    return [name for name in names if (one / name).read_bytes() == (other / name).read_bytes()]


def test_two_halves_are_the_whole(runs: Runs) -> None:
    found = runs.go_on(runs.half, keep_optimizer=True)
    assert same(found, runs.whole)[:1] == ["model.safetensors"]
    assert same(found, runs.whole, FILES[2:]) == list(FILES[2:])
    assert [x.name for x in sorted((found / "checkpoints").iterdir())] == ["step-000000004"]
    again = runs.go_on(runs.go_on(runs.half, stop_after=4, keep_optimizer=True), keep_optimizer=True)
    assert same(again, found) == list(FILES)


def test_nothing_is_kept_unasked(runs: Runs) -> None:
    assert not (runs.tune(stop_after=1) / "optimizer.safetensors").exists()


def test_a_constant_rate_lets_a_run_grow_longer(runs: Runs) -> None:
    steady = {"decay": "constant", "warmup": 0.0}
    whole = runs.tune(**steady)
    half = runs.tune(**steady, tokens=192, keep_optimizer=True)
    assert same(runs.go_on(half, **steady), whole, FILES[:1]) == ["model.safetensors"]


def test_it_comes_with_a_release(runs: Runs, tmp_path: Path) -> None:
    shutil.copytree(runs.half, tmp_path / "release")
    shutil.rmtree(tmp_path / "release" / "checkpoints")
    (tmp_path / "release" / "training").mkdir()
    shutil.move(tmp_path / "release" / FILES[1], tmp_path / "release" / "training")
    for path in runs.base.glob("tokenizer*"):
        shutil.copy(path, tmp_path / "release")
    taken = Bench(tmp_path).run("import-weights", {}, files=tmp_path / "release", tokenizer=runs.base)
    assert same(runs.go_on(taken), runs.whole, FILES[:1]) == ["model.safetensors"]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"micro_batch": 4, "micro_batches_per_step": 1}, "another `micro_batch`, `micro_batches_per_step`"),
        ({"seed": 2}, "another `seed`.*`seed` was 1, and is 2"),
        ({"parameters": ["layers.1"]}, "another `trained parameters`"),
        ({"learning_rate": 2e-2}, "its learning rate at step 1 would have been 0.02, and was 0.01"),
        ({"tokens": 768}, "its learning rate at step 2"),
        ({"stop_after": 2}, "has 3 steps already, and this part of it ends after 2"),
    ],
)
def test_another_run_is_refused(runs: Runs, said: dict[str, Any], fault: str) -> None:
    with pytest.raises(RegrowError, match=f"(?s){fault}"):
        runs.go_on(runs.half, **said)


def test_other_tokens_and_changed_weights_are_refused(runs: Runs, tmp_path: Path) -> None:
    other = tokens(tmp_path / "tokens", 200)
    with pytest.raises(RegrowError, match="another `tokens`"):
        runs.go_on(runs.half, data=other)
    shutil.copytree(runs.half, tmp_path / "half")
    config, parameters = load(runs.half)
    parameters["norm"] += 1
    save(tmp_path / "half", config, parameters, Ends(0, 0))
    with pytest.raises(RegrowError, match="not that of these weights"):
        runs.go_on(tmp_path / "half")


def test_a_state_that_is_missing_or_damaged_is_refused(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(RegrowError, match="bring no state of an optimizer"):
        runs.go_on(runs.base)
    shutil.copytree(runs.half, tmp_path / "half")
    for data in (b"", (runs.half / FILES[1]).read_bytes()[:-9], safetensors_bytes({}, more={"regrow": "[]"})):
        (tmp_path / "half" / FILES[1]).write_bytes(data)
        with pytest.raises(RegrowError, match=r"`optimizer.safetensors` cannot be read"):
            runs.go_on(tmp_path / "half")


@pytest.mark.parametrize("version", ["arithmetic", "chain of states"])
@pytest.mark.parametrize("was", [None, 0])
def test_a_state_of_another_version_is_refused(runs: Runs, tmp_path: Path, version: str, was: int | None) -> None:
    half = shutil.copytree(runs.half, tmp_path / "half")
    with safe_open(half / FILES[1], "pt") as file:
        record, moments = json.loads(file.metadata()["regrow"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    terms = {**record["terms"], version: was, "seed": 9}  # what a recipe says may be another besides
    record["terms"] = {name: value for name, value in terms.items() if value is not None}
    (half / FILES[1]).write_bytes(safetensors_bytes(moments, more={"regrow": json.dumps(record)}))
    with pytest.raises(RegrowError, match=f"kept by another version of regrow.*\n.*`{version}`") as error:
        runs.go_on(half)
    assert "build the weights again with this version" in error.value.hint


def test_a_part_longer_than_the_run_is_refused(runs: Runs) -> None:
    with pytest.raises(ValueError, match="the run has 6 steps, and is to stop after 7"):
        runs.tune(stop_after=7)
