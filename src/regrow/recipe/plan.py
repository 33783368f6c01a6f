"""What a build would do and cost, before it is done.

Which stages run and why is handed in by the engine. The number of parameters and the arithmetic of training are exact;
time, memory and disk are rough estimates, meant to tell minutes from hours and megabytes from gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from regrow.recipe.graph import Graph, Stage
from regrow.recipe.schema import Architecture, Train

FLOPS_PER_SECOND = 100e9
"""Of training on two cores with AVX512-VNNI: the 3M example ran at 1.3e11. Other machines differ several times over."""

BYTES_PER_SECOND: Mapping[str, float] = {
    "fetch": 5e6,
    "documents": 10e6,
    "clean": 10e6,
    "deduplicate": 2e6,
    "split": 50e6,
    "tokenizer": 3e6,
    "tokenize": 2e6,
}
"""Of text, for the kinds that go through all of it, on one core: rough guesses, not measurements."""

_PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".whl")
_UNPACKING = 3  # bytes of text in a byte of an archive
_BYTES_PER_TOKEN = 3.5
_PROGRAM = 400_000_000  # memory of the libraries themselves


class Forecast(Protocol):
    """What the engine expects of a stage."""

    @property
    def stage(self) -> str:
        """Its name."""

    @property
    def cached(self) -> bool:
        """True if its output is there."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it runs."""

    @property
    def digest(self) -> str | None:
        """Of its output, if that is known."""


@dataclass(frozen=True)
class Cost:
    """What a stage takes if it runs.

    Attributes:
        flops: operations in matrix products, a multiplication and an addition each counted as one.
        seconds: time.
        memory_bytes: at its highest.
        disk_bytes: what it leaves in the store.
    """

    flops: float = 0.0
    seconds: float = 0.0
    memory_bytes: int = _PROGRAM
    disk_bytes: int = 0


@dataclass(frozen=True)
class Training:
    """The size of a training run."""

    parameters: int
    tokens: int
    steps: int


@dataclass(frozen=True)
class PlannedStage:
    """A stage of the plan; ``cost`` is what it takes now, nothing if it is cached."""

    name: str
    kind: str
    summary: str
    cached: bool
    reasons: tuple[str, ...]
    digest: str | None
    cost: Cost
    training: Training | None = None


@dataclass(frozen=True)
class Plan:
    """What a build would do.

    Attributes:
        model: the name of the model.
        stages: in the order of the graph.
        fetch_bytes: to download.
        cost: of all stages that run; they run one after the other.
    """

    model: str
    stages: tuple[PlannedStage, ...]
    fetch_bytes: int
    cost: Cost

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        stages = [{**asdict(stage), "reasons": list(stage.reasons)} for stage in self.stages]
        return {"schema": "regrow/plan/1", **asdict(self), "stages": stages}

    def lines(self) -> Iterator[str]:
        """As text for people."""
        running = [stage for stage in self.stages if not stage.cached]
        yield f"{self.model}: {len(self.stages)} stages, {len(self.stages) - len(running)} cached"
        width = max((len(stage.name) for stage in self.stages), default=0)
        for stage in self.stages:
            first, *others = [f"cached {(stage.digest or '')[:12]}"] if stage.cached else stage.reasons or ("runs",)
            yield f"  {stage.name:{width}}  {'' if stage.cached else 'run: '}{first}"
            yield from (f"  {'':{width}}       {reason}" for reason in others)
        yield "nothing to do" if not running else f"to fetch: {size(self.fetch_bytes)}"
        for stage in running:
            if stage.training:
                yield f"{stage.name}: {_training(stage.training)}, {stage.cost.flops:.2g} FLOPs"
        if running:
            cost = self.cost
            memory, disk = size(cost.memory_bytes), size(cost.disk_bytes)
            yield f"about {duration(cost.seconds)}, {memory} of memory, {disk} of disk"


def plan(
    model: str,
    graph: Graph,
    forecasts: Iterable[Forecast],
    *,
    fetch_bytes: int = 0,
    flops_per_second: float = FLOPS_PER_SECOND,
) -> Plan:
    """Plan a build.

    Args:
        model: the name of the model.
        graph: the stages.
        forecasts: one for each stage.
        fetch_bytes: bytes to download.
        flops_per_second: how fast this machine trains.
    """
    expected = {forecast.stage: forecast for forecast in forecasts}
    stages = tuple(_planned(graph, stage, expected[stage.name], flops_per_second) for stage in graph.stages)
    costs = [stage.cost for stage in stages if not stage.cached]
    total = Cost(
        flops=sum(cost.flops for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        memory_bytes=max((cost.memory_bytes for cost in costs), default=0),
        disk_bytes=sum(cost.disk_bytes for cost in costs),
    )
    return Plan(model, stages, fetch_bytes, total)


def parameter_count(architecture: Architecture, vocabulary: int) -> int:
    """How many numbers a decoder learns."""
    gains = (2 * architecture.layers + 1) * architecture.width
    head = 0 if architecture.tied_embeddings else vocabulary * architecture.width
    return _product_weights(architecture, vocabulary) + gains + head


def forward_flops(architecture: Architecture, vocabulary: int) -> int:
    """Operations in the matrix products of one sequence of full length.

    Two for each weight and token, and in each layer two products of ``context x context x width`` for attention, in
    full though half is masked: the count of Chowdhery et al., PaLM (2022), appendix B.
    """
    context = architecture.context
    attention = 4 * architecture.layers * architecture.width * context * context
    return 2 * _product_weights(architecture, vocabulary) * context + attention


def training_flops(architecture: Architecture, train: Train, vocabulary: int) -> int:
    """Operations of a run: backwards takes twice as many as forwards, a product for each of the two operands."""
    sequences = steps(architecture, train) * train.micro_batch * train.micro_batches_per_step
    return 3 * forward_flops(architecture, vocabulary) * sequences


def steps(architecture: Architecture, train: Train) -> int:
    """The optimizer steps of a run: its tokens in whole steps."""
    return train.tokens // (train.micro_batch * train.micro_batches_per_step * architecture.context)


def training_memory(architecture: Architecture, train: Train, vocabulary: int) -> int:
    """About how many bytes a run needs.

    For each parameter its value, gradient, two moments and digits; for each token of a micro-batch what the way back
    needs from every layer and the attention weights; and the logits with their gradient.
    """
    tokens = train.micro_batch * architecture.context
    layer = 10 * architecture.width + 6 * architecture.hidden + 3 * architecture.heads * architecture.context
    activations = tokens * (architecture.layers * layer + 3 * vocabulary)
    return _PROGRAM + 24 * parameter_count(architecture, vocabulary) + 4 * activations


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


def _product_weights(architecture: Architecture, vocabulary: int) -> int:
    """The weights that every token is multiplied with; looking up an embedding multiplies nothing."""
    width, heads = architecture.width, architecture.heads
    keys_and_values = 2 * architecture.kv_heads * (width // heads) * width
    layer = 2 * width * width + keys_and_values + 3 * width * architecture.hidden
    return architecture.layers * layer + vocabulary * width


def _training(training: Training) -> str:
    return f"{training.parameters:,} parameters, {training.tokens:,} tokens in {training.steps:,} steps"


def _planned(graph: Graph, stage: Stage, forecast: Forecast, rate: float) -> PlannedStage:
    cost = Cost(memory_bytes=0) if forecast.cached else _cost(graph, stage, rate)
    return PlannedStage(
        stage.name,
        stage.kind.name,
        stage.kind.summary,
        forecast.cached,
        tuple(forecast.reasons),
        forecast.digest,
        cost,
        _size_of_training(graph, stage),
    )


def _size_of_training(graph: Graph, stage: Stage) -> Training | None:
    found = _run(graph, stage)
    if found is None:
        return None
    architecture, train, vocabulary = found
    count = steps(architecture, train)
    tokens = count * train.micro_batch * train.micro_batches_per_step * architecture.context
    return Training(parameter_count(architecture, vocabulary), tokens, count)


def _cost(graph: Graph, stage: Stage, rate: float) -> Cost:
    before = list(_before(graph, stage))
    text = sum(_text_bytes(other) for other in (*before, stage))
    if found := _run(graph, stage):
        architecture, train, vocabulary = found
        flops = training_flops(architecture, train, vocabulary)
        disk = 4 * parameter_count(architecture, vocabulary)
        return Cost(flops, flops / rate, training_memory(architecture, train, vocabulary), disk)
    if stage.kind.output == "evaluation":
        judging = sum(_judging(graph, other, text) for other in before)
        return Cost(judging, judging / rate)
    if (speed := BYTES_PER_SECOND.get(stage.kind.name)) is None:
        return Cost()
    packed = sum(pin["size"] for pin in _pins(stage))
    amount = packed or text
    return Cost(0.0, amount / speed, _PROGRAM + 3 * text, 0 if stage.kind.output == "tokenizer" else int(amount))


def _judging(graph: Graph, stage: Stage, text: float) -> float:
    """Operations for one pass over the validation texts with the weights that a stage gives."""
    found = _run(graph, stage)
    if found is None:
        return 0.0
    architecture, _, vocabulary = found
    share = max((float(getattr(other.parameters, "validation", 0.0)) for other in _before(graph, stage)), default=0.0)
    return forward_flops(architecture, vocabulary) * text * share / _BYTES_PER_TOKEN / architecture.context


def _run(graph: Graph, stage: Stage) -> tuple[Architecture, Train, int] | None:
    """What a stage trains and how, with the vocabulary of the tokenizer before it; None if it trains nothing."""
    architecture, train = (getattr(stage.parameters, name, None) for name in ("architecture", "train"))
    if not isinstance(architecture, Architecture) or not isinstance(train, Train):
        return None
    sizes = [getattr(other.parameters, "vocabulary", None) for other in _before(graph, stage)]
    return architecture, train, next((number for number in sizes if isinstance(number, int)), 0)


def _before(graph: Graph, stage: Stage) -> Iterator[Stage]:
    """The stages that ``stage`` depends on, nearest last stage first."""
    needed = {name for names in stage.inputs.values() for name in names}
    for other in reversed(graph.stages):
        if other.name in needed:
            needed.update(name for names in other.inputs.values() for name in names)
            yield other


def _pins(stage: Stage) -> list[dict[str, Any]]:
    pins = stage.parameters.model_dump(mode="json").get("pins", []) if stage.kind.name == "fetch" else []
    return pins if isinstance(pins, list) else []


def _text_bytes(stage: Stage) -> int:
    """About how many bytes of text a stage fetches."""
    return sum(pin["size"] * (_UNPACKING if pin["file"].endswith(_PACKED) else 1) for pin in _pins(stage))
