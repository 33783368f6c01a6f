"""What a build would do and cost, before it is done.

What a stage costs is said by its kind. The number of parameters and the arithmetic of training are exact; time, memory
and disk are estimates, time as on the machine on which the kinds were measured, or as this one was seen to train.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from regrow.engine.forecasts import Forecast
from regrow.engine.machine import Machine
from regrow.errors import StageError
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import PROGRAM, Cost, Expected, Training
from regrow.recipe.pin import is_unpinned

_FLOPS_PER_SECOND = 100e9
"""Of a stage that only tells its operations."""

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
    """

    flops: float = 0.0
    seconds: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0


@dataclass(frozen=True)
class PlannedStage:
    """A stage of the plan; ``cost`` is what it takes now: nothing if it is cached, less if a part of it is done."""

    name: str
    kind: str
    summary: str
    cached: bool
    reasons: tuple[str, ...]
    digest: str | None
    cost: Estimate
    training: Training | None = None
    done: float = 0.0


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
        slowness: how many times as long this machine was seen to train as the one the costs were measured on; None if
            nobody has seen it.
    """

    model: str
    stages: tuple[PlannedStage, ...]
    fetch_bytes: int
    cost: Estimate
    unpinned: tuple[str, ...] = ()
    machine: Machine = field(default_factory=Machine)
    slowness: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        stages = [{**asdict(stage), "reasons": list(stage.reasons)} for stage in self.stages]
        lists = {"stages": stages, "unpinned": list(self.unpinned), "warnings": list(self.warnings())}
        return {"schema": "regrow/plan/1", **asdict(self), **lists}

    def warnings(self) -> Iterator[str]:
        """What there is too little of on this machine."""
        memory, disk = self.machine.memory_bytes, self.machine.disk_bytes
        if memory is not None and self.cost.memory_bytes > memory:
            stage = max(self.stages, key=lambda stage: stage.cost.memory_bytes)
            yield (
                f"`{stage.name}` needs about {size(stage.cost.memory_bytes)} of memory, and there are {size(memory)}"
                + ("; lower `micro_batch` or the size of the model" if stage.training else "")
            )
        if disk is not None and self.cost.disk_bytes > disk:
            yield (
                f"the build needs about {size(self.cost.disk_bytes)} of disk, and {size(disk)} are free where the "
                "store is; `regrow store gc` makes room, and --store says where else it may be"
            )

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
        for stage in running:
            if stage.training:
                yield f"{stage.name}: {_training(stage)}, {stage.cost.flops:.2g} FLOPs"
        if running:
            cost = self.cost
            memory, disk = size(cost.memory_bytes), size(cost.disk_bytes)
            about = "more than" if self.unpinned else "about"
            yield f"{about} {duration(cost.seconds)}, {memory} of memory, {disk} of disk"
            if any(stage.training for stage in running):
                yield f"the time is that of {_whose(self.slowness)}"
                yield "where kernels were never compiled, that takes a minute more, once"

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
    slowness: float | None = None,
    machine: Machine | None = None,
) -> Plan:
    """Plan a build.

    Args:
        model: the name of the model.
        graph: the stages.
        forecasts: one for each stage.
        slowness: how many times as long this machine takes as the one the costs were measured on, if that was seen.
        machine: what there is for it.
    """
    expected = {forecast.stage: forecast for forecast in forecasts}
    costs = estimated(graph)
    stages = tuple(_planned(stage, expected[stage.name], costs[stage.name], slowness or 1.0) for stage in graph.stages)
    running = [stage for stage in stages if not stage.cached]
    total = Estimate(
        flops=sum(stage.cost.flops for stage in running),
        seconds=sum(stage.cost.seconds for stage in running),
        memory_bytes=max((stage.cost.memory_bytes for stage in running), default=0),
        disk_bytes=sum(stage.cost.disk_bytes for stage in running),
    )
    unpinned = tuple(stage.name for stage in graph.stages if is_unpinned(stage.parameters))
    fetched = sum(costs[stage.name].download_bytes for stage in running)
    return Plan(model, stages, fetched, total, unpinned, machine or Machine(), slowness)


def estimated(graph: Graph) -> Mapping[str, Cost]:
    """What each stage costs, by its kind's own word, from what the stages before it are expected to give."""
    found: dict[str, Cost] = {}
    for stage in graph.stages:
        inputs = {slot: tuple(found[name].gives for name in names) for slot, names in stage.inputs.items()}
        cost = stage.kind.cost
        found[stage.name] = cost(stage.parameters, inputs) if cost else _going_through(stage, graph, inputs)
    return found


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


def size(count: float) -> str:
    """Bytes in a form for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """A time in a form for people."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h" if seconds < 48 * 3600 else f"{round(seconds / 86400):,} days"


def _training(stage: PlannedStage) -> str:
    training = stage.training
    assert training is not None
    known = f"{training.parameters:,} parameters, " if training.parameters else ""
    told = f"{known}{training.tokens:,} tokens in {training.steps:,} steps"
    left = training.steps - round(stage.done * training.steps)
    return f"{told}, of which {left:,} are left" if stage.done else told


def _whose(slowness: float | None) -> str:
    if slowness is None:
        return "two cores of an Intel Xeon with AMX; how fast this machine trains will be known from its first build"
    return f"this machine as its last builds have shown it, {slowness:.2g} times that of two cores of an Intel Xeon"


def _planned(stage: Stage, forecast: Forecast, cost: Cost, slowness: float) -> PlannedStage:
    seconds = cost.seconds or cost.flops / _FLOPS_PER_SECOND
    left = 1.0 - forecast.done
    takes = Estimate(
        cost.flops * left,
        seconds * left * (slowness if stage.kind.exact else 1.0),
        cost.memory_bytes,
        int(cost.gives.size),
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
    )
