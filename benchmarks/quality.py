"""Does exact arithmetic cost quality? The model of a recipe beside the same model trained by plain torch.

    python -m benchmarks.quality examples/bard                              # one seed, as long as the recipe says
    python -m benchmarks.quality examples/bard --seeds 1 2 3 --tokens 20000000 --into curves.jsonl
    python -m benchmarks.quality examples/bard --size 25M --seeds 1 2       # another shape, on the same texts
    python -m benchmarks.quality --show curves.jsonl                        # the table again, and the curves

Same data order, initial weights, schedule and optimizer for every kind of arithmetic: `regrow`, `float32`, `bf16`
(autocast), and models of `one digit`, `two digits` and `three digits`; `reordered` is float32 with its sums in another
order, which shows how far rounding alone takes a run. Every run is judged by the same float32 program. Runs that are
in the file already are not run again, and one that was interrupted goes on from the last point of its curve, which is
kept beside the file, so a long table can be made in several sittings. The float32 result of the recipe's own length
and seed is noted in the release's ``buildinfo/comparison.json``, where `regrow report` finds it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import digits, plain, train_step
from regrow.building.build import BuildResult, Options, build
from regrow.corpus.tokens import TokenShards
from regrow.engine import StageResult
from regrow.model.config import DecoderConfig
from regrow.stages.pretrain import PretrainParameters, decoder_config
from regrow.stages.training import settings_of
from regrow.train import loop
from regrow.train.batches import Given
from regrow.train.section import steps
from regrow.train.settings import Settings
from regrow.train.state import State
from regrow.train.task import Batch
from regrow.train.tasks.pretraining import Pretraining

REORDERED = "reordered"  # float32 again, each batch in two halves: sums in another order
KINDS = ("regrow", "float32", REORDERED, "bf16", *digits.BITS)
BATCH = 16
POINTS = 20  # of a curve
RECIPE = "recipe"  # the size of the recipe's own architecture


@dataclass(frozen=True)
class Task:
    """What every kind of arithmetic is given: the model's shape and what it is called, the run, and the tokens."""

    size: str
    config: DecoderConfig
    settings: Settings
    shards: TokenShards

    def name(self, kind: str) -> dict[str, Any]:
        """What tells a run of one kind from others."""
        return {"size": self.size, "kind": kind, "seed": self.settings.seed, "tokens": tokens(self)}

    def batch(self, number: int) -> Tensor:
        """The tokens of a step."""
        count = self.settings.micro_batch * self.settings.micro_batches_per_step
        return self.shards.batch(self.settings.seed, number, count, self.config.context)


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, nargs="?")
    parser.add_argument("--size", choices=[RECIPE, *train_step.SIZES], default=RECIPE)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["regrow", "float32"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[])
    parser.add_argument("--tokens", type=int, default=0)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--show", type=Path)
    arguments = parser.parse_args()
    if arguments.show:
        print("\n".join([*table(read(arguments.show)), *curves(read(arguments.show))]))
        return
    result = build(arguments.recipe, Options(), listener=lambda event: None, stop=threading.Event())
    known = read(arguments.into) if arguments.into else []
    for task, kind in wanted(result, arguments):
        name = task.name(kind)
        if any(name.items() <= run.items() for run in known):
            continue
        kept = arguments.into.with_suffix(f".{'-'.join(map(str, name.values()))}.pt") if arguments.into else None
        run = name | train(task, kind, kept)
        known.append(run)
        if arguments.into:
            with arguments.into.open("a", encoding="utf-8") as file:
                file.write(json.dumps(run) + "\n")
        if kept:
            kept.unlink(missing_ok=True)
    print("\n".join(table(known)))
    if not arguments.tokens and not arguments.seeds and arguments.size == RECIPE:
        note(result, known)


def wanted(result: BuildResult, arguments: argparse.Namespace) -> Iterator[tuple[Task, str]]:
    """The runs asked for, seed by seed, so that an interrupted table has whole rows."""
    for seed in arguments.seeds or [None]:
        for kind in arguments.kinds:
            yield task_of(result, arguments.size, arguments.tokens, seed), kind


def task_of(result: BuildResult, size: str = RECIPE, length: int = 0, seed: int | None = None) -> Task:
    """What a built recipe trains, or the like with another size, more or fewer tokens, or another seed."""
    stages: dict[str, StageResult] = {stage.name: stage for stage in result.stages}
    parameters = PretrainParameters.model_validate(stages["pretrain"].ingredients["parameters"])
    shards = TokenShards.open(stages["tokenize"].path)
    config = decoder_config(parameters.architecture, shards.vocabulary)
    settings = settings_of(parameters.train, steps(parameters.architecture, parameters.train))
    if size != RECIPE:
        config = DecoderConfig(context=config.context, **train_step.SIZES[size] | {"vocabulary": shards.vocabulary})
    if length:
        step = settings.micro_batch * settings.micro_batches_per_step * config.context
        settings = replace(settings, steps=-(-length // step))
    return Task(size, config, settings if seed is None else replace(settings, seed=seed), shards)


def tokens(task: Task) -> int:
    """How many are trained on."""
    return task.settings.steps * task.settings.micro_batch * task.settings.micro_batches_per_step * task.config.context


class Run(Protocol):
    """A model in training."""

    def advance(self, number: int) -> float:
        """Do a step; gives the loss."""

    def weights(self) -> dict[str, Tensor]:
        """Those so far."""

    def save(self) -> dict[str, Any]:
        """All that the next step depends on."""

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from there."""


def train(task: Task, kind: str, kept: Path | None) -> dict[str, Any]:
    """Train with one kind of arithmetic; gives the training loss at points of the run, and the final judgement.

    What is in ``kept`` is gone on from, and after each point of the curve it is written anew.
    """
    run: Run = Ours(task) if kind == "regrow" else Theirs(task, kind)
    every, recent, curve = max(1, task.settings.steps // POINTS), [], []
    if kept and kept.is_file():
        saved = torch.load(kept)
        curve = saved["curve"]
        run.load(saved["run"])
    for number in range(curve[-1][0] + 1 if curve else 1, task.settings.steps + 1):
        recent.append(run.advance(number))
        if number % every == 0:
            curve.append([number, round(statistics.fmean(recent), 4)])
            recent.clear()
            print(f"{kind}, seed {task.settings.seed}: step {number}, loss {curve[-1][1]}", flush=True)
            if kept:
                torch.save({"curve": curve, "run": run.save()}, kept.with_suffix(".new"))
                kept.with_suffix(".new").replace(kept)
    return {"curve": curve, "bits_per_byte": validation(task, run.weights())}


class Ours:
    """A run of ours."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.pretraining = Pretraining(task.config, task.settings.seed)
        self.state = State.initial(self.pretraining.initial())

    def advance(self, number: int) -> float:
        """One step."""
        settings = self.task.settings
        given = Given.all(Batch(self.task.batch(number)), settings.micro_batch)
        loop.step(self.pretraining, settings, self.state, given)
        return float(self.state.losses[-1]["loss"])

    def weights(self) -> dict[str, Tensor]:
        """Those so far."""
        return self.state.parameters

    def save(self) -> dict[str, Any]:
        """Parameters, moments, steps."""
        return {name: getattr(self.state, name) for name in ("parameters", "first", "second", "step")}

    def load(self, saved: dict[str, Any]) -> None:
        """Take them back."""
        for name, value in saved.items():
            setattr(self.state, name, value)


class Theirs:
    """A run of plain torch."""

    def __init__(self, task: Task, kind: str) -> None:
        linear = digits.linear(digits.BITS[kind]) if kind in digits.BITS else F.linear
        self.task, self.bf16 = in_halves(task) if kind == REORDERED else task, kind == "bf16"
        self.model = plain.PlainDecoder(task.config, task.settings.seed, linear)
        self.adamw = plain.optimizer(self.model, task.settings)

    def advance(self, number: int) -> float:
        """One step."""
        batch = self.task.batch(number)
        return plain.step(self.model, self.adamw, self.task.settings, number, batch, self.bf16)

    def weights(self) -> dict[str, Tensor]:
        """Those so far."""
        return dict(plain.state(self.model))

    def save(self) -> dict[str, Any]:
        """Parameters, moments, steps."""
        return {"model": self.model.state_dict(), "adamw": self.adamw.state_dict()}

    def load(self, saved: dict[str, Any]) -> None:
        """Take them back."""
        self.model.load_state_dict(saved["model"])
        self.adamw.load_state_dict(saved["adamw"])


def in_halves(task: Task) -> Task:
    """The same task, each micro-batch in two."""
    settings = task.settings
    if settings.micro_batch % 2:
        raise SystemExit(f"{REORDERED}: a micro-batch of {settings.micro_batch} has no halves")
    half = replace(
        settings, micro_batch=settings.micro_batch // 2, micro_batches_per_step=2 * settings.micro_batches_per_step
    )
    return replace(task, settings=half)


def validation(task: Task, weights: dict[str, Tensor]) -> float:
    """Bits per byte over the validation tokens, in the windows that the evaluate stage uses, in plain float32."""
    model = plain.loaded(task.config, weights)
    held = torch.from_numpy(task.shards.read("validation").astype("int64"))
    context, total = task.config.context, 0.0
    whole = (len(held) - 1) // context
    with torch.no_grad():
        for start in range(0, whole, BATCH):
            rows = range(start, min(whole, start + BATCH))
            batch = torch.stack([held[row * context : (row + 1) * context + 1] for row in rows])
            total += float(model(batch)) * len(rows) * context
        if len(rest := held[whole * context :]) > 1:
            total += float(model(rest[None])) * (len(rest) - 1)
    return total / math.log(2.0) / task.shards.validation_bytes


def read(path: Path) -> list[dict[str, Any]]:
    """The runs in a file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def table(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Validation bits per byte by kind: each seed, mean, spread, and the ratio to float32's mean."""
    for size, length in sorted({(run["size"], run["tokens"]) for run in runs}):
        yield f"{size}, {length:,} tokens"
        means = {kind: _seeds(runs, {"size": size, "kind": kind, "tokens": length}) for kind in KINDS}
        base = means["float32"]
        for kind, found in ((kind, found) for kind, found in means.items() if found):
            spread = f" +- {statistics.stdev(found):.4f}" if len(found) > 1 else ""
            ratio = f"  {statistics.fmean(found) / statistics.fmean(base):.4f} of float32" if base else ""
            each = " ".join(f"{value:.4f}" for value in found)
            yield f"  {kind:13} {statistics.fmean(found):.4f}{spread}{ratio}   ({each})"


def curves(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Training loss at points of the runs, by kind: the mean over its seeds."""
    for size, length in sorted({(run["size"], run["tokens"]) for run in runs}):
        found = {kind: _all(runs, {"size": size, "kind": kind, "tokens": length}) for kind in KINDS}
        shown = {kind: [dict(run["curve"]) for run in some] for kind, some in found.items() if some}
        yield f"{size}, {length:,} tokens: training loss"
        yield f"  {'step':>6} " + " ".join(f"{kind:>12}" for kind in shown)
        for point in next(iter(shown.values()))[0]:
            means = (statistics.fmean(curve[point] for curve in some) for some in shown.values())
            yield f"  {point:6} " + " ".join(f"{mean:12.4f}" for mean in means)


def _seeds(runs: list[dict[str, Any]], name: dict[str, Any]) -> list[float]:
    return [run["bits_per_byte"] for run in sorted(_all(runs, name), key=lambda run: run["seed"])]


def _all(runs: list[dict[str, Any]], name: dict[str, Any]) -> list[dict[str, Any]]:
    return [run for run in runs if name.items() <= run.items()]


def note(result: BuildResult, runs: list[dict[str, Any]]) -> None:
    """Leave the peers' results where the report looks for them."""
    path = result.release / "buildinfo" / "comparison.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    peers = {run["kind"]: {"bits_per_byte": run["bits_per_byte"]} for run in runs if run["kind"] in ("float32", "bf16")}
    path.write_text(json.dumps(known | peers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
