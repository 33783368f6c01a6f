"""Intermediate parameters: kept on the way, released at the end."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from unittest.mock import call as ask

import pytest
import torch
from pydantic import ValidationError

from regrow.errors import StageError
from regrow.model.architecture import Architecture
from regrow.model.weights import load
from regrow.recipe.kind import Surroundings
from regrow.stages import pretrain, training
from regrow.train import loop
from regrow.train.section import Train
from regrow.train.settings import Settings
from tests import models

SETTINGS = Settings(10, 2, 1, 1e-3, 1, "constant", 1e-3, 0.1, 0.9, 0.95, 1e-8, 1.0, 1, 100)


@pytest.mark.parametrize(
    ("steps", "snapshots", "kept"),
    [(10, 0, ()), (10, 1, (5,)), (10, 3, (2, 5, 7)), (2, 5, (1,)), (1, 3, ())],
)
def test_they_are_at_equal_distances_and_never_the_end(steps: int, snapshots: int, kept: tuple[int, ...]) -> None:
    assert replace(SETTINGS, steps=steps, snapshots=snapshots).snapshot_steps == kept


def call(folder: Path, tokens: int, workers: Any = None) -> Any:
    """A call of the stage, of four tokens times two sequences a step."""
    architecture = Architecture(layers=1, width=16, heads=2, context=4)
    train = Train(tokens=tokens, micro_batch=2, micro_batches_per_step=1, decay="constant", warmup=0.0, snapshots=1)
    for name in ("output", "scratch"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shards = models.tokens(folder / "tokens", 32)
    context = SimpleNamespace(
        emit=lambda *_, **__: None,
        stopping=lambda: False,
        stop=lambda: None,
        surroundings=Surroundings(workers=workers),
    )
    parameters = pretrain.PretrainParameters(architecture=architecture, train=train)
    return SimpleNamespace(
        name="pretrain",
        input=lambda _: shards,
        inputs={"tokens": (shards,)},
        parameters=parameters,
        output=folder / "output",
        scratch=folder / "scratch",
        context=context,
    )


def test_they_are_the_parameters_of_that_step(tmp_path: Path) -> None:
    pretrain.run(call(tmp_path / "whole", tokens=8 * 6))
    pretrain.run(call(tmp_path / "half", tokens=8 * 3))
    _, kept = load(tmp_path / "whole" / "output" / "checkpoints" / "step-000000003")
    _, final = load(tmp_path / "half" / "output")
    assert kept.keys() == final.keys()
    assert all(torch.equal(kept[name], final[name]) for name in kept)


def test_the_workers_that_are_lent_train(tmp_path: Path) -> None:
    lent = Mock(train=Mock(side_effect=loop.train))
    pretrain.run(call(tmp_path, tokens=8 * 2, workers=lent))
    lent.train.assert_called_once()
    assert load(tmp_path / "output")


@pytest.mark.parametrize("hosts", [1, 2])
def test_workers_elsewhere_are_told_where_the_tokens_lie(hosts: int, tmp_path: Path) -> None:
    told: list[Any] = []

    def together(*given: Any, rows: Any, **options: Any) -> Any:
        told.append(rows.told)
        given[-1].note("a shard is lost")
        return loop.train(*given, **options)

    place, notes = Mock(url="memory://there"), []
    stage = call(tmp_path, tokens=8 * 2)
    workers = Mock(hosts=hosts, train=together)
    stage.context.surroundings = Surroundings(workers=workers, place=place)
    stage.context.emit = lambda event, **said: notes.append(said["text"]) if event == "note" else None
    pretrain.run(stage)
    assert notes == ["a shard is lost"]
    assert told[0]["shards"]["directory"] == str(tmp_path / "tokens")
    assert told[0]["location"] == ("memory://there" if hosts > 1 else "")
    assert place.method_calls == [getattr(ask, name)(tmp_path / "tokens") for name in ("lend", "drop") if hosts > 1]


def test_damaged_ones_are_not_released(tmp_path: Path) -> None:
    stage = call(tmp_path, tokens=8 * 6)
    pretrain.run(stage)
    weights = stage.scratch / "snapshot-000000003" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(StageError, match="damaged"):
        training._release(stage.scratch / "snapshot-000000003", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_less_than_a_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="less than one step"):
        pretrain.run(call(tmp_path, 7))
