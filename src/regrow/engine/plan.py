"""What a build would do and cost, before it is done.

What a stage costs is said by its kind. The number of parameters and the arithmetic of training are exact; time, memory
and disk are rough estimates, meant to tell minutes from hours and megabytes from gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from regrow.engine.forecasts import Forecast
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import PROGRAM, Cost, Expected, Training
from regrow.recipe.pin import is_unpinned

FLOPS_PER_SECOND = 100e9
"""Of training on two cores with AVX512-VNNI: the 3M example ran at 1.3e11. Other machines differ several times over."""

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
    """A stage of the plan; ``cost`` is what it takes now, nothing if it is cached."""

    name: str
    kind: str
    summary: str
    cached: bool
    reasons: tuple[str, ...]
    digest: str | None
    cost: Estimate
    training: Training | None = None


@dataclass(frozen=True)
class Plan:
    """What a build would do.

    Attributes:
        model: the name of the model.
        stages: in the order of the graph.
        fetch_bytes: to download.
        cost: of all stages that run; they run one after the other.
        unpinned: the stages that bring in files which nobody has seen yet; what these take is not in the numbers.
    """

    model: str
    stages: tuple[PlannedStage, ...]
    fetch_bytes: int
    cost: Estimate
    unpinned: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        stages = [{**asdict(stage), "reasons": list(stage.reasons)} for stage in self.stages]
        return {"schema": "regrow/plan/1", **asdict(self), "stages": stages, "unpinned": list(self.unpinned)}

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
                yield f"{stage.name}: {_training(stage.training)}, {stage.cost.flops:.2g} FLOPs"
        if running:
            cost = self.cost
            memory, disk = size(cost.memory_bytes), size(cost.disk_bytes)
            about = "more than" if self.unpinned else "about"
            yield f"{about} {duration(cost.seconds)}, {memory} of memory, {disk} of disk"

    def _to_fetch(self) -> str:
        if not self.unpinned:
            return f"to fetch: {size(self.fetch_bytes)}"
        names, more = " and ".join(self.unpinned), f"{size(self.fetch_bytes)} and " if self.fetch_bytes else ""
        return f"to fetch: {more}what {names} will find; `regrow lock` fetches and pins it, and then its size is known"


def plan(
    model: str, graph: Graph, forecasts: Iterable[Forecast], *, flops_per_second: float = FLOPS_PER_SECOND
) -> Plan:
    """Plan a build.

    Args:
        model: the name of the model.
        graph: the stages.
        forecasts: one for each stage.
        flops_per_second: how fast this machine trains.
    """
    expected = {forecast.stage: forecast for forecast in forecasts}
    costs = estimated(graph)
    stages = tuple(_planned(stage, expected[stage.name], costs[stage.name], flops_per_second) for stage in graph.stages)
    running = [stage for stage in stages if not stage.cached]
    total = Estimate(
        flops=sum(stage.cost.flops for stage in running),
        seconds=sum(stage.cost.seconds for stage in running),
        memory_bytes=max((stage.cost.memory_bytes for stage in running), default=0),
        disk_bytes=sum(stage.cost.disk_bytes for stage in running),
    )
    unpinned = tuple(stage.name for stage in graph.stages if is_unpinned(stage.parameters))
    return Plan(model, stages, sum(costs[stage.name].download_bytes for stage in running), total, unpinned)


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
    return f"{round(seconds / 3600)} h" if seconds < 48 * 3600 else f"{round(seconds / 86400)} days"


def _training(training: Training) -> str:
    return f"{training.parameters:,} parameters, {training.tokens:,} tokens in {training.steps:,} steps"


def _planned(stage: Stage, forecast: Forecast, cost: Cost, rate: float) -> PlannedStage:
    takes = Estimate(cost.flops, cost.seconds + cost.flops / rate, cost.memory_bytes, int(cost.gives.size))
    return PlannedStage(
        stage.name,
        stage.kind.name,
        stage.kind.summary,
        forecast.cached,
        tuple(forecast.reasons),
        forecast.digest,
        Estimate() if forecast.cached else takes,
        cost.training,
    )
