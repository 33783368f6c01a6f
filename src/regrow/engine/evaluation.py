"""Evaluating a graph: every stage whose output the store lacks is run, once, whoever else is at work there."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from regrow.engine import phases
from regrow.engine.context import (
    Listener,
    StageContext,
    Stop,
    Switch,
    faults_explained,
    kernels_told,
    one_at_a_time,
)
from regrow.engine.key import ingredients, key_of
from regrow.engine.runners import Choice, Crew, Here, Lending, crew
from regrow.errors import Interrupted, RegrowError, StageError
from regrow.formats import parts
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import Call, Given, Surroundings
from regrow.store import Store, StoreReader, copy_tree, remove_tree, tree_digest
from regrow.store.faults import STORE


@dataclass(frozen=True)
class StageResult:
    """What a stage gave. ``seconds`` is for people; ``path`` is read-only and stays while the store is open."""

    name: str
    key: str
    ingredients: Mapping[str, Any]
    digest: str
    path: Path
    cached: bool
    seconds: float


_Build = Callable[["Stage", Mapping[str, StageResult]], StageResult | None]
"""What gives the output of a stage whose inputs are there; None if it has none."""


@dataclass(frozen=True)
class Evaluation:
    """The results of the stages, by name, in the order of the graph."""

    results: Mapping[str, StageResult]


def evaluate(
    graph: Graph,
    store: Store | StoreReader,
    *,
    scope: str,
    listener: Listener,
    stop: Stop,
    only: Collection[str] | None = None,
    given: Mapping[str, StageResult] | None = None,
    who: Choice | None = None,
    surroundings: Surroundings | None = None,
    failed: Callable[[Stage, RegrowError], None] | None = None,
) -> Evaluation:
    """Give every stage's output, from the store where it is there whole and else by running the stage.

    Args:
        graph: the stages.
        store: where outputs are and go. Keep it open as long as the results are in use. One that can only be read
            has to have them all.
        scope: what the recipe is known by in the store, e.g. the path of its directory.
        listener: gets the events.
        stop: when it is set, the running stage saves its work and :class:`regrow.errors.Interrupted` is raised.
        only: the names of the stages that are wanted; their inputs come along. All by default.
        given: what there is of stages that are not in the graph, for those that take it as an input.
        who: who does the work, and how many stages may run at the same time. It changes no output. By default this
            process does all.
        surroundings: what the stages are lent.
        failed: is told of each stage that fails, and then all go on that do not need what it gives; those that do have
            no result. By default the first that fails ends it.

    Raises:
        RegrowError: naming the stage that failed. Everything finished until then is kept.
    """
    stages = _checked_first(_wanted(graph, only))
    switch = Switch(stop)
    who = who or Choice()
    if isinstance(store, Store):
        store.sweep()
        for text in store.notes:
            listener({"event": "note", "text": text})
    results: dict[str, StageResult] = dict(given or {})
    with crew(who) as those:
        if those.location is not None:
            surroundings = replace(surroundings or Surroundings(), place=Lending(those.location))
        checks = _Checks(() if failed else stages, one_at_a_time(listener), switch)
        builder = _Builder(store, scope, one_at_a_time(listener), switch, surroundings, those, checks)
        build = builder.build if failed is None else _Spared(builder.build, failed)
        if who.jobs <= 1:
            for stage in stages:
                if (made := build(stage, results)) is not None:
                    results[stage.name] = made
        else:
            _build_side_by_side(stages, who.jobs, build, switch, results)
        if not all(one.cached for one in results.values()):
            those.leave(one.path for one in results.values())
    if isinstance(store, Store):
        used = {name: (one.key, one.digest) for name, one in results.items()}
        store.record_root(scope, used, complete=only is None and len(used) >= len(stages))
    return Evaluation({stage.name: results[stage.name] for stage in graph.stages if stage.name in results})


def share(
    graph: Graph,
    store: Store,
    name: str,
    phase: str,
    *,
    index: int,
    of: int,
    listener: Listener,
    stop: Stop,
    surroundings: Surroundings | None = None,
) -> bool:
    """Do a share of the tasks of a phase: those numbered ``index``, ``index + of``, and so on, unless they are done.

    That is for schedulers that start processes by themselves; :func:`evaluate` takes the results together.

    Args:
        graph: the stages.
        store: has all that the stage needs, and lends the room.
        name: of the stage.
        phase: of its kind.
        index: which share, from 0.
        of: how many there are.
        listener: gets the events.
        stop: see :func:`evaluate`.
        surroundings: what the stage is lent.

    Returns:
        False if the stage is built already.

    Raises:
        RegrowError: if what comes before is not there, or a task fails.
    """
    stage = graph[name]
    context = StageContext(name, listener, stop, surroundings)
    results: dict[str, StageResult] = {}
    for one in graph.ancestors(stage):
        made_of, key = _key(one, results)
        digest = store.lookup(key)
        if digest is None or (one.name in stage.needs and store.condition(digest) != "whole"):
            hint = f"`regrow task RECIPE {one.name}` builds it, where its own inputs are there"
            raise StageError(f"stage `{one.name}` is not built yet", where=f"stage `{name}`", hint=hint)
        results[one.name] = StageResult(one.name, key, made_of, digest, store.path(digest), True, 0.0)
    _, key = _key(stage, results)
    if store.lookup(key) is not None:
        return False
    with faults_explained(context, store.root, _places(stage, results)), kernels_told(context):
        call = _call(stage, results, store.scratch(key) / "output", store.scratch(key), context)
        phases.share(stage.kind, phase, call, key, index=index, of=of)
    return True


def rerun(
    stage: Stage,
    evaluation: Evaluation,
    store: Store,
    *,
    listener: Listener,
    stop: Stop,
    output: Path | None = None,
    surroundings: Surroundings | None = None,
) -> str:
    """Run one stage again from nothing, on the same inputs, and return the digest of what it gives this time.

    The store keeps none of it. If it is not what the evaluation has, the stage is not deterministic on this machine.

    Args:
        stage: the stage.
        evaluation: has the results of the stage's inputs.
        store: lends the room.
        listener: gets the events.
        stop: see :func:`evaluate`.
        output: a directory to copy the output into, for a closer look.
        surroundings: what the stage is lent.
    """
    context = StageContext(stage.name, listener, stop, surroundings)
    target, scratch = store.fresh(), store.fresh()
    try:
        with faults_explained(context, store.root, _places(stage, evaluation.results)):
            context.emit("stage-start", again=True)
            with kernels_told(context):
                call = _call(stage, evaluation.results, target, scratch, context)
                phases.run(stage.kind, call, evaluation.results[stage.name].key, Crew(Here()))
            digest = tree_digest(target)
            if output is not None:
                copy_tree(target, output)
            return digest
    finally:
        remove_tree(target)
        remove_tree(scratch)


def alone(
    stage: Stage,
    inputs: Mapping[str, Path],
    output: Path,
    scratch: Path,
    *,
    listener: Listener,
    stop: Stop,
    surroundings: Surroundings | None = None,
) -> str:
    """Run one stage on folders that no store has to have, and return the digest of what it gives.

    Args:
        stage: the stage.
        inputs: name of a stage -> the folder with what it gave.
        output: an empty folder to fill.
        scratch: a folder for the stage to work in.
        listener: gets the events.
        stop: see :func:`evaluate`.
        surroundings: what the stage is lent.
    """
    context = StageContext(stage.name, listener, stop, surroundings)
    given = {slot: tuple(inputs[name] for name in names) for slot, names in stage.inputs.items()}
    with faults_explained(context, scratch, {name: inputs[name] for names in stage.inputs.values() for name in names}):
        context.emit("stage-start", again=True)
        with kernels_told(context):
            phases.run(stage.kind, Call(stage.name, stage.parameters, given, output, scratch, context))
    return tree_digest(output)


def some(
    stage: Stage,
    inputs: Mapping[str, Path],
    output: Path,
    scratch: Path,
    choose: Callable[[int], Sequence[int]],
    *,
    listener: Listener,
    stop: Stop,
    who: Choice | None = None,
    surroundings: Surroundings | None = None,
) -> tuple[int, ...]:
    """Make some of the parts of what a stage gives whose kind gives it in parts: see :func:`is_parted`.

    Args:
        stage: the stage.
        inputs: name of a stage -> the folder with what it gave.
        output: an empty folder, in which the parts lie as in the whole artifact.
        scratch: a folder for the stage to work in.
        choose: how many parts there are -> the indices of those that are wanted.
        listener: gets the events.
        stop: see :func:`evaluate`.
        who: who does what comes before the parts.
        surroundings: what the stage is lent.

    Returns:
        The indices.
    """
    context = StageContext(stage.name, listener, stop, surroundings)
    given = {slot: tuple(inputs[name] for name in names) for slot, names in stage.inputs.items()}
    with (
        faults_explained(context, scratch, {name: inputs[name] for name in stage.needs}),
        crew(who or Choice()) as they,
    ):
        context.emit("stage-start", again=True)
        call = Call(stage.name, stage.parameters, given, output, scratch, context)
        with kernels_told(context):
            # What others left at a location was not made here, so nothing of this goes by way of one.
            return phases.run_some(stage.kind, call, choose, Crew(they.runner if they.location is None else Here()))


def is_parted(stage: Stage) -> bool:
    """Whether each part of what a stage gives can be made without the others."""
    return phases.parted(stage.kind) is not None


def _key(stage: Stage, results: Mapping[str, StageResult]) -> tuple[dict[str, Any], str]:
    """The ingredients of a stage whose inputs are in ``results``, and their key."""
    digests = {slot: [results[name].digest for name in names] for slot, names in stage.inputs.items()}
    made_of = ingredients(stage, digests)
    return made_of, key_of(made_of)


def _places(stage: Stage, results: Mapping[str, StageResult]) -> dict[str, Path]:
    """Where the inputs of a stage lie."""
    return {name: results[name].path for names in stage.inputs.values() for name in names}


@dataclass(frozen=True)
class _Builder:
    store: Store | StoreReader
    scope: str
    listener: Listener
    stop: Stop
    surroundings: Surroundings | None
    crew: Crew
    checks: _Checks

    def build(self, stage: Stage, results: Mapping[str, StageResult]) -> StageResult:
        """The output of one stage whose inputs are in ``results``."""
        context = StageContext(stage.name, self.listener, self.stop, self.surroundings)
        explained = partial(faults_explained, context, self.store.root, _places(stage, results))
        started = time.monotonic()
        with explained():
            context.stop_if_asked()
            made_of, name = _key(stage, results)
            cached = (digest := self._cached(name, context)) is not None
        if digest is None:
            self.checks.make(results, but=stage.name)
            with explained():
                store = _writable(self.store)
                with store.lock(name, _Patience(context)):
                    cached = (digest := self._cached(name, context)) is not None  # somebody else may have built it
                    if digest is None:
                        digest = self._run(stage, store, name, made_of, results, context)
        seconds = time.monotonic() - started
        context.emit("stage-cached" if cached else "stage-done", key=name, digest=digest, duration=seconds)
        result = StageResult(stage.name, name, made_of, digest, self.store.path(digest), cached, seconds)
        if not cached:  # where stages run side by side, others may have begun when this one was not there
            self.checks.make({**results, stage.name: result}, but=stage.name)
        return result

    def _cached(self, name: str, context: StageContext) -> str | None:
        """The digest for a key if the store has the artifact, whole as far as the disk tells."""
        digest = self.store.lookup(name)
        if digest is None or (condition := self.store.condition(digest, read=False)) == "whole":
            return digest
        context.emit(condition, key=name, digest=digest)
        return None

    def _run(
        self,
        stage: Stage,
        store: Store,
        name: str,
        made_of: dict[str, Any],
        results: Mapping[str, StageResult],
        context: StageContext,
    ) -> str:
        """Run a stage and put what it gives into the store. The caller holds the lock of its key."""
        output = store.fresh()
        call = _call(stage, results, output, store.scratch(name), context)
        try:
            context.emit("stage-start", key=name)
            with kernels_told(context):
                phases.run(stage.kind, call, name, self.crew)
            _require_declared(stage, output)
            digest = store.put(output)
        finally:
            remove_tree(output)
        store.record(name, digest, stage.name, stage.kind.name, made_of)
        store.record_root(self.scope, {stage.name: (name, digest)})
        phases.clear(stage.kind, call, name, self.crew)
        store.clear_scratch(name)
        return digest


class _Checks:
    """Checks of what stages will be given: each is made once, before any work that is done when its inputs are there.

    Where there is no work, since the store has all, there is nothing to check either.
    """

    def __init__(self, stages: Iterable[Stage], listener: Listener, stop: Stop) -> None:
        self._left = {stage.name: stage for stage in stages if stage.kind.check is not None}
        self._listener, self._stop = listener, stop

    def make(self, results: Mapping[str, StageResult], but: str) -> None:
        """Make those whose inputs are in ``results``, but not for the stage that reads them next anyway.

        Raises:
            RegrowError: what is wrong, as the stage would have said it.
        """
        self._left.pop(but, None)
        for name in [name for name, stage in list(self._left.items()) if _checked(stage) <= results.keys()]:
            if (stage := self._left.pop(name, None)) is not None:  # several threads are here
                self._make(stage, results)

    def _make(self, stage: Stage, results: Mapping[str, StageResult]) -> None:
        assert stage.kind.check is not None
        names = {slot: names for slot, names in stage.inputs.items() if stage.kind.inputs[slot].checked}
        inputs = {slot: tuple(results[name].path for name in of) for slot, of in names.items()}
        context = StageContext(stage.name, self._listener, self._stop)
        with faults_explained(context, Path(), {name: results[name].path for name in _checked(stage)}):
            stage.kind.check(Given(stage.name, stage.parameters, inputs))


@dataclass(frozen=True)
class _Spared:
    """Builds stages as another does, and tells of those that fail; what needs their outputs is left."""

    build: _Build
    failed: Callable[[Stage, RegrowError], None]

    def __call__(self, stage: Stage, results: Mapping[str, StageResult]) -> StageResult | None:
        """The output of a stage; None if there is none."""
        if not stage.needs <= results.keys():
            return None
        try:
            return self.build(stage, results)
        except Interrupted:
            raise
        except RegrowError as error:
            self.failed(stage, error)
            return None


def _writable(store: Store | StoreReader) -> Store:
    """A store that takes what has to be built."""
    if not isinstance(store, Store):
        raise StageError(
            f"the store can only be read: {store.root}",
            why="it does not have what this stage gives, and cannot take it",
            hint=f"make the place writable, or set {STORE} to one that is",
        )
    return store


def _require_declared(stage: Stage, output: Path) -> None:
    """A file that a kind says is released has to be there before the output is kept."""
    for item in stage.kind.released:
        if "*" not in item.files and not all((part / item.files).is_file() for part in parts.folders(output)):
            raise StageError(
                f"the kind `{stage.kind.name}` has given no `{item.files}`",
                why="it declares that releases hold it",
                hint="let it write the file, or take it out of `released`",
            )


class _Patience:
    """Waits for another process that works on the same key: says so once, and gives up when asked to stop."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._said = False

    def __call__(self) -> None:
        if not self._said:
            self._context.emit("waiting", text="another process is building this stage")
            self._said = True
        self._context.stop_if_asked()


def _call(
    stage: Stage, results: Mapping[str, StageResult], output: Path, scratch: Path, context: StageContext
) -> Call[Any]:
    inputs = {slot: tuple(results[name].path for name in names) for slot, names in stage.inputs.items()}
    return Call(stage.name, stage.parameters, inputs, output, scratch, context)


def _wanted(graph: Graph, only: Collection[str] | None) -> list[Stage]:
    """The stages in ``only`` and all they need, in the order of the graph."""
    names = {stage.name for stage in graph.stages} if only is None else set(only)
    for stage in reversed(graph.stages):
        if stage.name in names:
            names |= _needs(stage)
    return [stage for stage in graph.stages if stage.name in names]


def _checked_first(stages: list[Stage]) -> list[Stage]:
    """The same, in an order in which what checks read, and what that is made from, comes before the rest."""
    first = set[str]().union(*map(_checked, stages))
    for stage in reversed(stages):
        if stage.name in first:
            first |= _needs(stage)
    return sorted(stages, key=lambda stage: stage.name not in first)


def _checked(stage: Stage) -> set[str]:
    """The names of the stages whose outputs are checked before it has all its inputs."""
    return {name for slot, names in stage.inputs.items() if stage.kind.inputs[slot].checked for name in names}


def _needs(stage: Stage) -> set[str]:
    return {name for names in stage.inputs.values() for name in names}


def _build_side_by_side(
    stages: list[Stage],
    jobs: int,
    build: _Build,
    switch: Switch,
    results: dict[str, StageResult],
) -> None:
    """Build each stage as soon as its inputs are there. When one fails, the others are asked to stop.

    Stages run in threads, in which context variables are the caller's.
    """
    order = TopologicalSorter({stage.name: _needs(stage) - results.keys() for stage in stages})
    order.prepare()
    by_name = {stage.name: stage for stage in stages}
    running: dict[Future[StageResult | None], str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while order.is_active():
                for name in order.get_ready():
                    running[pool.submit(copy_context().run, build, by_name[name], results)] = name
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    if (made := future.result()) is not None:
                        results[name] = made
                    order.done(name)
        except BaseException:
            switch.set()  # what runs saves its work, what waits does not begin
            raise
