"""What a build would do and cost, before it is done.

What a stage costs is said by its kind, from what the stages before it give: what is in the store is looked at, the rest
is expected. The number of parameters and the arithmetic of training are exact; time, memory and disk are estimates,
time as on the machine on which the kinds were measured, or as this one was seen to take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from regrow.engine.forecasts import Forecast
from regrow.engine.machine import Hosts, Machine, Speeds
from regrow.errors import StageError
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import FLOPS_PER_SECOND, PROGRAM, Cost, Expected, Training
from regrow.recipe.pin import is_unpinned
from regrow.store import seals
from regrow.words import counted

_FLOPS_PER_SECOND = 100e9
"""Of a stage that only tells its operations."""

START, _STAGE = 3.0, 0.05
"""Seconds until what calculates is loaded, its kernels being compiled already, which is once for a build; and until
what a stage gives is in the store.
"""

_LESS = 0.95
"""Of the memory that something takes: what is worth to be named."""

_HOPELESS = 4
"""Times the memory that there is: no estimate is as wrong, and hardly a swap as large."""

_BYTES_PER_SECOND = 100e6
"""Of a stage that says nothing of its cost: of reading what it takes and writing about as much."""


@dataclass(frozen=True)
class Estimate:
    """What a stage, or a build, takes.

    Attributes:
        flops: operations in matrix products, a multiplication and an addition each counted as one.
        seconds: time.
        memory_bytes: at its highest.
        disk_bytes: what it leaves in the store.
        scratch_bytes: what is on the disk besides while it works, at its highest.
    """

    flops: float = 0.0
    seconds: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    scratch_bytes: int = 0


@dataclass(frozen=True)
class PlannedStage:
    """A stage of the plan.

    Attributes:
        name: of the stage.
        kind: of the stage.
        summary: what it does, in a line.
        cached: whether it was done before.
        reasons: why it was not.
        digest: of what it gave, if it was.
        cost: what it takes now: nothing if it is cached, less if a part of it is done.
        training: the size of the run, if it trains.
        done: the share of it that is done.
        choices: bytes of memory of each worker, by options of ``regrow build``.
    """

    name: str
    kind: str
    summary: str
    cached: bool
    reasons: tuple[str, ...]
    digest: str | None
    cost: Estimate
    training: Training | None = None
    done: float = 0.0
    choices: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a build would do.

    Attributes:
        model: the name of the model.
        stages: in the order of the graph.
        fetch_bytes: to download.
        cost: of all stages that run; they run one after the other.
        unpinned: the stages that bring in files which nobody has seen yet; what these take is not in the numbers.
        machine: what there is for it.
        speeds: how long this machine was seen to take.
        hosts: who shares the training.
        kept_at: where complete states of the runs go; empty for the release.
    """

    model: str
    stages: tuple[PlannedStage, ...]
    fetch_bytes: int
    cost: Estimate
    unpinned: tuple[str, ...] = ()
    machine: Machine = field(default_factory=Machine)
    speeds: Speeds = field(default_factory=Speeds)
    hosts: Hosts = field(default_factory=Hosts)
    kept_at: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        stages = [{**asdict(stage), "reasons": list(stage.reasons)} for stage in self.stages]
        lists = {"stages": stages, "unpinned": list(self.unpinned), "warnings": list(self.warnings())}
        told = {key: value for key, value in asdict(self).items() if key != "speeds"}
        return {"schema": "regrow/plan/1", **told, "slowness": dict(self.speeds.slowness), **lists}

    def warnings(self) -> Iterator[str]:
        """What there is too little of on this machine, and of the work for those who share it."""
        for stage in self.stages:
            if stage.training and not stage.cached and self.hosts.workers > (batches := stage.training.micro_batches):
                yield (
                    f"{self.hosts.workers - batches} of {self.hosts.workers} workers have nothing to do: a step of "
                    f"`{stage.name}` has {batches} micro-batches, and each is one worker's; take fewer workers, or "
                    "raise `micro_batches_per_step` and lower `micro_batch`"
                )
        memory, disk = self.machine.memory_bytes, self.machine.disk_bytes
        if memory is not None and self.cost.memory_bytes > memory:
            stage = max(self.stages, key=lambda stage: stage.cost.memory_bytes)
            yield (
                f"`{stage.name}` needs about {size(stage.cost.memory_bytes)} of memory, and there are {size(memory)}"
                + (f"; {self._sparing(stage)}lower `micro_batch` or the size of the model" if stage.training else "")
            )
        if disk is not None and (needed := self.cost.disk_bytes + self.cost.scratch_bytes) > disk:
            yield (
                f"the build needs about {size(needed)} of disk, and {size(disk)} are free where the "
                "store is; `regrow store gc` makes room, and --store says where else it may be"
            )

    def _sparing(self, stage: PlannedStage) -> str:
        """The option that needs least memory, if it helps."""
        words = min(stage.choices, key=lambda words: stage.choices[words], default="")
        found = stage.choices.get(words, stage.cost.memory_bytes)
        return f"{words} makes that {size(found)}; or " if found < _LESS * stage.cost.memory_bytes else ""

    def require_possible(self) -> None:
        """Raise if this machine has so little memory that even a wrong estimate would not help.

        Raises:
            StageError: naming the stage that needs most.
        """
        memory = self.machine.memory_bytes
        if memory is not None and self.cost.memory_bytes > _HOPELESS * memory:
            stage = max(self.stages, key=lambda stage: stage.cost.memory_bytes)
            raise StageError(
                "there is far too little memory",
                where=f"stage `{stage.name}`",
                why=f"it needs about {size(stage.cost.memory_bytes)}, and there are {size(memory)}",
                hint="make the model smaller, or build on a larger machine; `regrow plan` says what it takes",
            )

    def lines(self) -> Iterator[str]:
        """As text for people."""
        running = [stage for stage in self.stages if not stage.cached]
        yield f"{self.model}: {len(self.stages)} stages, {len(self.stages) - len(running)} cached"
        width = max((len(stage.name) for stage in self.stages), default=0)
        for stage in self.stages:
            first, *others = [f"cached {(stage.digest or '')[:12]}"] if stage.cached else stage.reasons or ("runs",)
            yield f"  {stage.name:{width}}  {'' if stage.cached else 'run: '}{first}"
            yield from (f"  {'':{width}}       {reason}" for reason in others)
        yield self._to_fetch() if running else "nothing to do"
        for stage in self.stages if self.hosts.sparing else running:
            if stage.training and not stage.cached:
                yield f"{stage.name}: {_training(stage)}, {stage.cost.flops:.2g} FLOPs"
            if less := _choices(stage):
                each = f" of each of {self.hosts.workers} workers" if self.hosts.workers > 1 else ""
                yield f"{stage.name}: memory{each}: {less}" + (", if it were built again" if stage.cached else "")
            if stage.cached:
                continue
            if stage.training and stage.training.states:
                yield f"{stage.name}: {self._kept(stage.training)}"
        if running:
            yield from _table(running, width)
            yield f"{'more than' if self.unpinned else 'about'} {_words(self.cost)}"
            yield f"the times are those of {self.speeds.words({stage.kind for stage in running})}"
            if any(stage.training for stage in running):
                yield "where kernels were never compiled, that takes a minute more, once"

    def _kept(self, training: Training) -> str:
        place = f"for {self.kept_at}, where `regrow keep` puts them" if self.kept_at else "in the release"
        return f"{counted(training.states, 'complete state')} of it, {size(training.states_bytes)}, {place}"

    def _to_fetch(self) -> str:
        if not self.unpinned:
            return f"to fetch: {size(self.fetch_bytes)}"
        names, more = " and ".join(self.unpinned), f"{size(self.fetch_bytes)} and " if self.fetch_bytes else ""
        return f"to fetch: {more}what {names} will find; `regrow lock` fetches and pins it, and then its size is known"


def plan(
    model: str,
    graph: Graph,
    forecasts: Iterable[Forecast],
    *,
    artifacts: Mapping[str, Path] | None = None,
    speeds: Speeds | None = None,
    machine: Machine | None = None,
    hosts: Hosts | None = None,
    kept_at: str = "",
) -> Plan:
    """Plan a build.

    Args:
        model: the name of the model.
        graph: the stages.
        forecasts: one for each stage.
        artifacts: stage -> what it has given, of those that are in the store.
        speeds: how long this machine was seen to take.
        machine: what there is for it.
        hosts: who shares the training.
        kept_at: where complete states of the runs go; empty for the release.
    """
    expected = {forecast.stage: forecast for forecast in forecasts}
    costs, seen, shared = estimated(graph, artifacts or {}), speeds or Speeds(), hosts or Hosts()
    loads = next((one.name for one in graph.stages if one.kind.exact and not expected[one.name].cached), None)
    stages = tuple(
        _planned(one, expected[one.name], costs[one.name], seen, shared, START if one.name == loads else 0.0)
        for one in graph.stages
    )
    running = [stage for stage in stages if not stage.cached]
    total = Estimate(
        flops=sum(stage.cost.flops for stage in running),
        seconds=sum(stage.cost.seconds for stage in running),
        memory_bytes=max((stage.cost.memory_bytes for stage in running), default=0),
        disk_bytes=sum(stage.cost.disk_bytes for stage in running),
        scratch_bytes=max((stage.cost.scratch_bytes for stage in running), default=0),
    )
    unpinned = tuple(stage.name for stage in graph.stages if is_unpinned(stage.parameters))
    fetched = sum(costs[stage.name].download_bytes for stage in running)
    return Plan(model, stages, fetched, total, unpinned, machine or Machine(), seen, shared, kept_at)


def estimated(graph: Graph, artifacts: Mapping[str, Path] | None = None) -> Mapping[str, Cost]:
    """What each stage costs, by its kind's own word, from what the stages before it give or are expected to give.

    Args:
        graph: the stages.
        artifacts: stage -> what it has given, of those that are there.
    """
    found: dict[str, Cost] = {}
    for stage in graph.stages:
        inputs = {slot: tuple(found[name].gives for name in names) for slot, names in stage.inputs.items()}
        cost = stage.kind.cost
        one = cost(stage.parameters, inputs) if cost else _going_through(stage, graph, inputs)
        there = (artifacts or {}).get(stage.name)
        found[stage.name] = one if there is None else replace(one, gives=_found(stage, one.gives, there))
    return found


def _found(stage: Stage, expected: Expected, artifact: Path) -> Expected:
    """What an artifact gives; where it is damaged, which the build will find out and mend, what was expected of it."""
    with suppress(OSError, ValueError, LookupError, StageError):
        sized = replace(expected, size=seals.size(artifact))
        return stage.kind.found(sized, artifact) if stage.kind.found else sized
    return expected


def _going_through(stage: Stage, graph: Graph, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """The cost of reading all inputs and giving something like the one that is of the same type."""
    alike = [
        expected
        for slot, names in stage.inputs.items()
        for name, expected in zip(names, inputs[slot], strict=True)
        if graph[name].kind.output == stage.kind.output
    ]
    amount = sum(one.size for given in inputs.values() for one in given)
    gives = replace(alike[0], size=sum(one.size for one in alike)) if alike else Expected()
    return Cost(gives, seconds=amount / _BYTES_PER_SECOND, memory_bytes=int(PROGRAM + amount + gives.size))


def seconds(cost: Cost) -> float:
    """The time a stage takes where costs were measured."""
    return _STAGE + (cost.seconds or cost.flops / _FLOPS_PER_SECOND)


def products(cost: Cost) -> float:
    """The share of that time which a stage spends in exact products."""
    return min(1.0, cost.flops / FLOPS_PER_SECOND / seconds(cost))


def size(count: float) -> str:
    """Bytes in a form for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(time: float) -> str:
    """A time in a form for people."""
    if time < 90:
        return f"{max(1, round(time))} s"
    if time < 90 * 60:
        return f"{round(time / 60)} min"
    return f"{round(time / 3600)} h" if time < 48 * 3600 else f"{round(time / 86400):,} days"


def _training(stage: PlannedStage) -> str:
    training = stage.training
    assert training is not None
    known = f"{training.parameters:,} parameters, " if training.parameters else ""
    told = f"{known}{training.tokens:,} tokens in {training.steps:,} steps"
    left = training.steps - round(stage.done * training.steps)
    return f"{told}, of which {left:,} are left" if stage.done else told


def _choices(stage: PlannedStage) -> str:
    """What options of ``regrow build`` do to its memory, of those that do something."""
    plain = stage.choices.get("", 0)
    some = [f"{words} {size(count)}" for words, count in stage.choices.items() if count < _LESS * plain]
    return ", ".join((size(plain), *some)) if some else ""


def _words(cost: Estimate) -> str:
    """What a build takes."""
    scratch = f", and {size(cost.scratch_bytes)} more while it runs" if cost.scratch_bytes else ""
    return f"{duration(cost.seconds)}, {size(cost.memory_bytes)} of memory, {size(cost.disk_bytes)} of disk{scratch}"


def _table(running: Sequence[PlannedStage], width: int) -> Iterator[str]:
    """What each stage takes."""
    yield f"  {'':{width}}  {'time':>8}  {'memory':>8}  {'disk':>10}"
    for stage in running:
        cost = stage.cost
        disk = size(cost.disk_bytes + cost.scratch_bytes)
        yield f"  {stage.name:{width}}  {duration(cost.seconds):>8}  {size(cost.memory_bytes):>8}  {disk:>10}"


def _planned(
    stage: Stage, forecast: Forecast, cost: Cost, speeds: Speeds, hosts: Hosts, start: float
) -> PlannedStage:  # fmt: skip
    left = 1.0 - forecast.done
    share = hosts.share(cost.training.micro_batches) if cost.training else 1.0
    slowness = speeds.of(stage.kind.name, exact=stage.kind.exact, products=products(cost))
    takes = Estimate(
        cost.flops * left,
        start + seconds(cost) * left * share * slowness,
        cost.memory_of(hosts.sharing) if cost.memory_of else cost.memory_bytes,
        int(cost.gives.size),
        int(cost.scratch_bytes),
    )
    return PlannedStage(
        stage.name,
        stage.kind.name,
        stage.kind.summary,
        forecast.cached,
        tuple(forecast.reasons),
        forecast.digest,
        Estimate() if forecast.cached else takes,
        cost.training,
        forecast.done,
        {words: cost.memory_of(one) for words, one in hosts.choices().items()} if cost.memory_of else {},
    )
