"""What it has cost to leave something out: the model with everything, measured on the held-out text that both have.

The model with everything is not built for this: what the store has of it is measured, or nothing is said. Whether a
document is held out follows from its id, so the held-out text of the smaller corpus is a part of that of the larger
one, which is looked at all the same. Nothing of this is part of the smaller release as its digest covers it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from regrow.corpus import evaluation
from regrow.corpus.split import Split
from regrow.corpus.tokens import TokenShards
from regrow.engine import Evaluation, Listener, Stop, evaluate, forecast
from regrow.formats import parts
from regrow.recipe.graph import Graph, Stage
from regrow.stages.training import Scheduled
from regrow.store import Store, StoreReader

_BEFORE = "-with-everything"
_HELD_OUT, _MEASURED = f"tokenize{_BEFORE}-anew", f"evaluate{_BEFORE}-anew"


@dataclass(frozen=True)
class Compared:
    """What became of a model by leaving something out.

    Attributes:
        cost: bits per byte of the model with everything on the text that both have, as ``comparison.json`` has it;
            empty if that could not be measured.
        why: why it could not be.
        runs: training run -> from which step on it saw other text than with everything, None if it is the same run.
    """

    cost: Mapping[str, Any]
    why: str
    runs: Mapping[str, int | None]

    def words(self) -> Iterator[str]:
        """In sentences."""
        for name, step in self.runs.items():
            if step is None:
                yield f"{name} is the run of the model with everything: it saw the same text at every step"
            elif step > 1:
                yield f"{name} began anew: from step {step:,} on it saw other text than the model with everything"
            else:
                yield f"{name} began anew: it saw other text than the model with everything from its first step on"
        if self.why:
            yield f"what it cost cannot be told: {self.why}"


def compared(
    whole: Graph, graph: Graph, made: Evaluation, store: Store | StoreReader, scope: str, listener: Listener, stop: Stop
) -> Compared:
    """Compare a model with the one that has everything.

    Args:
        whole: the stages of that.
        graph: the stages without what was left out.
        made: what these gave.
        store: where outputs are.
        scope: what the recipe is known by in the store.
        listener: gets the events of measuring.
        stop: see :func:`regrow.engine.evaluate`.
    """
    there = {one.stage: store.path(one.digest) for one in forecast(whole, store, scope) if one.cached and one.digest}
    runs = dict(_runs(whole, graph, made, there))
    measured = next((stage for stage in reversed(graph.stages) if stage.kind.name == "evaluate"), None)
    former = next((stage for stage in reversed(whole.stages) if stage.kind.name == "evaluate"), None)
    if measured is None or former is None:
        return Compared({}, "the recipe measures nothing", runs)
    if any(stage.name not in there for stage in whole.ancestors(former)):
        return Compared({}, "the store does not have the model with everything; build that, and then this again", runs)
    if not isinstance(store, Store):
        return Compared({}, "the store can only be read, and does not have that measurement", runs)
    split, before = (_split(one, of) for one, of in ((measured, graph), (former, whole)))
    if split is None or before is None or not _is_part(made.results[split.name].path, there[before.name]):
        return Compared({}, "the model with everything has learnt from some of the text that this one is held to", runs)
    wanted = _measuring(former, whole, graph, split)

    def heard(event: Mapping[str, Any]) -> None:
        if event.get("stage") in (_HELD_OUT, _MEASURED) and event.get("event") != "stage-cached":
            listener(event)

    found = evaluate(wanted, store, scope=scope, listener=heard, stop=stop, only=[_MEASURED])
    now, then = (_validation(path) for path in (made.results[measured.name].path, found.results[_MEASURED].path))
    if now["bytes"] != then["bytes"]:
        return Compared({}, "the two models have room for different parts of the held-out text", runs)
    return Compared({"bits_per_byte": then["bits_per_byte"], "bytes": then["bytes"]}, "", runs)


def _runs(whole: Graph, graph: Graph, made: Evaluation, there: Mapping[str, Path]) -> Iterator[tuple[str, int | None]]:
    """Every training run that both have, and from which step on it saw other text; None if it is the same one."""
    known = {stage.name: stage for stage in whole.stages}
    for stage in graph.stages:
        before = known.get(stage.name)
        if before is None or not isinstance(stage.parameters, Scheduled):
            continue
        if there.get(stage.name) == made.results[stage.name].path:
            yield stage.name, None
        elif (tokens := there.get(*before.inputs["tokens"])) is not None and before.parameters == stage.parameters:
            (now,) = stage.inputs["tokens"]
            yield stage.name, _first_other(tokens, made.results[now].path, stage.parameters)


def _first_other(before: Path, now: Path, run: Scheduled) -> int | None:
    """The first step of a run that sees other tokens; None if none does."""
    schedule, shards = run.schedule, [TokenShards.open(path) for path in (before, now)]
    for step in range(1, schedule.steps + 1):
        seen = [
            one.step(schedule.seed, step, schedule.sequences, schedule.context, pairs=schedule.pairs) for one in shards
        ]
        for one, other in zip(*seen, strict=True):
            if (one is None) is not (other is None) or (one is not None and not one.equal(other)):
                return step
    return None


def _split(measured: Stage, graph: Graph) -> Stage | None:
    """Where the text comes from on which a model is measured."""
    (tokens,) = measured.inputs["tokens"]
    names = graph[tokens].inputs.get("split", ())
    return graph[names[0]] if names else None


def _is_part(now: Path, before: Path) -> bool:
    """Whether all documents that one split holds out are held out by another."""
    few, many = ({*_held_out(path)} for path in (now, before))
    return few <= many


def _held_out(split: Path) -> Iterator[str]:
    for folder in parts.folders(split):
        for batch in Split(folder).batches("validation", ["id"]):
            yield from batch.column("id").to_pylist()


def _measuring(former: Stage, whole: Graph, graph: Graph, split: Stage) -> Graph:
    """The stages that measure the model with everything on the held-out text of the other one."""
    (name,) = former.inputs["tokens"]
    before = [_renamed(stage) for stage in whole.ancestors(former)]
    tokens, measure = _renamed(whole[name]), _renamed(former)
    tokens = replace(tokens, name=_HELD_OUT, inputs={**tokens.inputs, "split": (split.name,)})
    measure = replace(
        measure,
        name=_MEASURED,
        inputs={**measure.inputs, "tokens": (tokens.name,)},
        parameters=measure.parameters.model_copy(update={"prompts": ()}),
    )
    return Graph((*graph.ancestors(split), split, *before, tokens, measure))


def _renamed(stage: Stage) -> Stage:
    """A stage of the model with everything, called so that it can stand beside those of the other one."""
    inputs = {slot: tuple(name + _BEFORE for name in names) for slot, names in stage.inputs.items()}
    return replace(stage, name=stage.name + _BEFORE, inputs=inputs)


def _validation(artifact: Path) -> Mapping[str, Any]:
    told: Mapping[str, Any] = json.loads((artifact / evaluation.MEASURED).read_text("utf-8"))["validation"]
    return told
