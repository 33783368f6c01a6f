"""From a recipe to a release: lock, evaluate, compare with the lock, assemble."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from regrow.building import rebuilds, speed
from regrow.building.assemble import Contents, assemble, json_text, licence_text, named_licence, paper_text
from regrow.building.compared import compared
from regrow.building.contents import contents_of
from regrow.building.documents import left_out
from regrow.building.environment import environment
from regrow.building.live import TRAINED, EventLog, Metrics
from regrow.building.locking import Locked, Mode, locked_recipe, write_lock
from regrow.building.place import refuse_another_model, refuse_to_replace
from regrow.building.planning import planned
from regrow.building.selection import released_weights
from regrow.building.without import NOTHING, Without, asked, require_left_out
from regrow.corpus.documents import Tally
from regrow.engine import Choice, Evaluation, Listener, StageResult, Stop, evaluate
from regrow.engine.plan import estimated
from regrow.errors import DifferentError, RecipeError
from regrow.recipe.beside import beside
from regrow.recipe.graph import Graph
from regrow.recipe.inherit import spoken
from regrow.recipe.kind import Workers
from regrow.recipe.lock import load as load_lock
from regrow.recipe.schema import load as load_recipe
from regrow.release import Release, is_release
from regrow.release.files import DamagedError, Directory, read_json
from regrow.release.layout import (
    DATES,
    ENVIRONMENT,
    EVENTS,
    FORK,
    LICENCE,
    LOCK,
    LOSSES,
    METRICS,
    RECIPE,
    REPORT,
    TIMINGS,
    WHOLE,
)
from regrow.release.release import Sample
from regrow.report import Doubt, Effect, Found, Measure, doubts, effects, evidence, measures
from regrow.sources import kept
from regrow.stages import KINDS
from regrow.store import Store, StoreReader, default_root, opened


@dataclass(frozen=True)
class Options:
    """How to build.

    Attributes:
        output: the release directory; by default ``build/`` and the name of the recipe's folder.
        store: the root of the store; by default the user's.
        mode: what to do about a lock that is not up to date.
        offline: never use the network.
        update_lock: take the new digests into the lock if they differ from those it has.
        who: who does the work, and how much at the same time; by default this process does all.
        sources: the folder in which ``file:`` sources are found; by default the recipe's.
        workers: who share the training; by default nobody does.
        recompute: whether training keeps less between forwards and backwards, and computes it once more.
        without: names of sources, ids of documents and files with such ids, to be left out. The lock of the recipe
            gives the pins and stays as it is; the release is that of a variant, which has a name of its own.
    """

    output: Path | None = None
    store: Path | None = None
    mode: Mode = Mode.RENEW
    offline: bool = False
    update_lock: bool = False
    who: Choice | None = None
    sources: Path | None = None
    workers: Workers | None = None
    recompute: bool = False
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildResult:
    """A finished build.

    Attributes:
        digest: of the release.
        matches_lock: True if the lock promised just this; None if it promised nothing yet.
        release: the directory.
        stages: what each gave, in the order of the graph.
        samples: what the model wrote: prompt and text.
        evaluation: as in ``evaluation.json``.
        measures: bits per byte of validation text, of the model and of what to compare it with.
        doubts: what speaks against the model.
        seconds: the build took.
        lock_written: True if ``regrow.lock`` is new or was changed.
        left_out: what was left out of sources because it could not be read; none for a source that was read whole.
        effects: what each change of weights did, in the order in which they were made.
        evidence: what checks of the text found, in their order.
        without: what was asked to be left out.
    """

    digest: str
    matches_lock: bool | None
    release: Path
    stages: tuple[StageResult, ...]
    samples: tuple[Sample, ...]
    evaluation: Mapping[str, Any]
    measures: tuple[Measure, ...]
    doubts: tuple[Doubt, ...]
    seconds: float
    lock_written: bool
    left_out: tuple[Tally, ...] = ()
    effects: tuple[Effect, ...] = ()
    evidence: tuple[Found, ...] = ()
    without: Without = NOTHING

    @property
    def report(self) -> Path:
        """The report to open."""
        return self.release / REPORT


def build(recipe: Path, options: Options, *, listener: Listener, stop: Stop) -> BuildResult:
    """Build the recipe in a folder into a release.

    Raises:
        DifferentError: if the lock is up to date but the result is not what it promises. Neither the lock nor a
            release that is there already is changed then.
        RegrowError: for whatever else is wrong; its ``exit_code`` says what.
    """
    started = time.monotonic()
    without = _without(recipe, options)
    output = _named(options.output or Path("build") / _called(recipe.resolve().name, without))
    name = _called(_model(recipe, options.mode), without)
    _refuse_the_recipe(output, recipe)
    _refuse_to_spoil(output)
    refuse_to_replace(output)
    refuse_another_model(output, name)
    (
        licence_text(recipe, ""),
        paper_text(recipe),
        _forked(recipe),
    )  # what must not be released is refused before the work, not after it
    with (
        EventLog(output, listener) as log,
        Metrics(output, log, listener) as metrics,
        opened(options.store or default_root()) as store,
    ):
        locked = locked_recipe(
            recipe,
            options.mode,
            sources=options.sources,
            offline=options.offline,
            without=without,
            listener=log,
            stop=stop,
        )
        locked.keep_secrets()
        require_left_out(locked.graph)
        released_weights(locked.graph)  # a recipe that makes none is told so before anything is built
        scope = str(output if without else recipe.resolve())
        plan = planned(locked, store, scope)
        for text in (*plan.warnings(), *_lacking_licence(locked)):
            log({"event": "warning", "text": text})
        if options.workers is None:
            plan.require_possible()
        made = evaluate(
            locked.graph,
            store,
            scope=scope,
            listener=metrics,
            stop=stop,
            who=options.who,
            surroundings=locked.lent(options.workers, recompute=options.recompute).surroundings,
        )
        for event in _trained_before(locked.graph, made):
            metrics(event)
        outputs = {name: result.digest for name, result in made.results.items()}
        promised = {} if options.update_lock else locked.promised
        compare(locked.graph, promised, outputs)
        beside = _compared(locked, made, store, scope, log, stop)
        digest = assemble(
            replace(contents(locked, made, log, metrics, output), comparison=beside),
            output,
            None if options.update_lock else locked.promised_release,
        )
        if locked.kept_at:
            text = f"what others need to check parts is for {locked.kept_at}: `regrow keep {output}` puts it there"
            listener({"event": "note", "text": text})
        log.remove()
        metrics.remove()
        if options.workers is None:
            speed.note(locked.graph, made.results.values(), metrics.tokens_per_second)
        if digest == locked.promised_release and not any(result.cached for result in made.results.values()):
            rebuilds.note(digest, "regrow build", time.monotonic() - started, _libraries(locked.graph))
        built = Release.at(output)
        return BuildResult(
            digest=digest,
            matches_lock=None if locked.promised_release is None else locked.promised_release == digest,
            release=output,
            stages=tuple(made.results.values()),
            samples=built.samples,
            evaluation=built.evaluation,
            measures=measures(built),
            doubts=doubts(built),
            seconds=time.monotonic() - started,
            lock_written=not without
            and _write_lock(recipe / LOCK, locked, locked.text(outputs, digest), options.mode, listener),
            without=without,
            effects=effects(built),
            evidence=evidence(built),
            left_out=left_out(locked.graph, {name: result.path for name, result in made.results.items()}),
        )


def _named(path: Path) -> Path:
    """An absolute path of which the last part is a name and not ``..``: the log lies beside it and is called after it.

    Where ``..`` leads is what the system says, which follows links first.
    """
    return path.resolve() if ".." in path.parts else path.absolute()


def _model(recipe: Path, mode: Mode) -> str:
    """What the model is called. A recipe or a lock that cannot be read is found out here, before a log is begun."""
    return (load_lock(recipe) if mode is Mode.FROZEN else load_recipe(recipe, KINDS)).model.name


def _without(recipe: Path, options: Options) -> Without:
    """What is asked to be left out.

    Raises:
        RecipeError: if that cannot be, or does not go together with the other options.
    """
    if not options.without:
        return NOTHING
    if options.mode is Mode.FROZEN or options.update_lock:
        option = "--frozen" if options.mode is Mode.FROZEN else "--update-lock"
        raise RecipeError(
            f"`--without` and `{option}` do not go together",
            why="the lock of the recipe is that of the model with everything, and stays as it is",
            hint="leave one of them out; `--locked` makes sure that the lock fits the recipe, and takes its pins",
        )
    return asked(options.without, spoken(recipe / RECIPE))


def _compared(
    locked: Locked, made: Evaluation, store: Store | StoreReader, scope: str, log: Listener, stop: Stop
) -> Mapping[str, Any]:
    """What the model with everything makes of the held-out text, if something was left out and that can be seen."""
    if locked.whole is None:
        return {}
    found = compared(locked.whole, locked.graph, made, store, scope, log, stop)
    for text in found.words():
        log({"event": "note", "text": text})
    return {WHOLE: found.cost} if found.cost else {}


def _called(name: str, without: Without) -> str:
    return without.called(name) if without else name


def _refuse_the_recipe(output: Path, recipe: Path) -> None:
    if output.resolve() == recipe.resolve():
        raise RecipeError(
            "the release would take the place of the recipe it is built from",
            where=str(output),
            hint="choose another directory with --output",
        )


def _refuse_to_spoil(output: Path) -> None:
    """Raise if ``output`` lies in a release, to which nothing may be added: not the new one, and no log beside it."""
    for folder in output.resolve().parents:
        if _is_release(folder):
            raise RecipeError(
                "a release cannot be built inside another one",
                where=str(output),
                why=f"{folder} is a release, and would not be whole any more with other files in it",
                hint="choose a directory elsewhere with --output",
            )


def _is_release(folder: Path) -> bool:
    with suppress(OSError, DamagedError):  # one that nobody may read is none that a build could spoil
        return is_release(folder)
    return False


def _trained_before(graph: Graph, made: Evaluation) -> Iterator[dict[str, Any]]:
    """Events that tell how training went whose outcome was in the store, for those who want to see it now."""
    costs = estimated(graph)
    for name, result in made.results.items():
        losses, training = result.path / Path(LOSSES).name, costs[name].training
        if result.cached and training is not None and losses.is_file():
            told = (json.loads(line) for line in losses.read_text("utf-8").splitlines())
            # A stage of somebody's own may note something else in a file of this name.
            records = [one for one in told if isinstance(one, dict) and type(one.get("step")) is int]
            facts = {"done": training.steps, "total": training.steps, "unit": "steps", "tokens": training.tokens}
            yield {"event": TRAINED, "stage": name, **facts, "records": records}


def compare(graph: Graph, promised: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Compare the outputs of the stages with what a lock promises.

    Raises:
        DifferentError: naming the first stage, in the order of the graph, that gave something else.
    """
    for stage in graph.stages:
        if (before := promised.get(stage.name)) is not None and outputs[stage.name] != before:
            inputs = ", ".join(other.name for other in graph.ancestors(stage)) or "none"
            raise DifferentError(
                f"stage `{stage.name}` gave {outputs[stage.name]}, the lock has {before}",
                why=f"all it was made from is as locked (stages before it: {inputs}), but its output is not",
                hint="`regrow selftest` looks for a fault of this machine; `regrow build --update-lock` takes the new "
                "digests",
            )


def _lacking_licence(locked: Locked) -> Iterator[str]:
    """That the release will only name its licence, if that is so: most licences ask that their text goes along."""
    if licence_text(locked.folder, locked.licence) == named_licence(locked.licence):
        yield f"regrow has no text of {locked.licence} for the release; put it beside the recipe as {LICENCE}"


def contents(
    locked: Locked, made: Evaluation, log: EventLog, metrics: Metrics | None = None, old: Path | None = None
) -> Contents:
    """What to assemble. Everything but ``buildinfo`` follows from the locked recipe and the outputs of its stages."""
    measured = metrics.text() if metrics else None
    told = {
        DATES: json_text(log.dates()),
        ENVIRONMENT: json_text(environment(_libraries(locked.graph))),
        TIMINGS: json_text(timings(made, _timed(old) if old else {})),
        EVENTS: log.text(),
        **({METRICS: measured} if measured is not None else {}),
        **_forked(locked.folder),
    }
    return contents_of(locked, made, told)


def _forked(recipe: Path) -> dict[str, str]:
    """What the folder of a fork says of the release that it was made from.

    Raises:
        RecipeError: if it is damaged.
    """
    place = f"{kept.FOLDER}/{Path(FORK).name}"
    if beside(recipe, place) is None:
        return {}
    try:
        told = read_json(Directory(recipe), place)
    except DamagedError as error:
        told = error.cause
    if not isinstance(told, dict):
        hint = "take it from where the fork was made, or delete it: the model stays the same"
        raise RecipeError("the record of the fork is damaged", where=str(recipe / place), hint=hint)
    return {FORK: json_text({key: told[key] for key in ("schema", "name", "digest", "outputs") if key in told})}


def _timed(old: Path) -> Mapping[str, Mapping[str, Any]]:
    """Keys and times of the stages of a release that is there already, if it tells them."""
    with suppress(DamagedError):
        return Release.at(old).timings
    return {}


def timings(made: Evaluation, before: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Keys and times of the stages; a stage that was not run now keeps the time it took when it was."""
    stages = {}
    for name, result in made.results.items():
        known = before.get(name, {})
        seconds = known.get("seconds") if known.get("key") == result.key else None
        stages[name] = {
            "key": result.key,
            "cached": result.cached,
            "seconds": seconds if result.cached else round(result.seconds, 3),
        }
    return {"schema": "regrow/timings/1", "stages": stages}


def _libraries(graph: Graph) -> set[str]:
    return {name for stage in graph.stages for name in stage.kind.libraries}


def _write_lock(path: Path, locked: Locked, text: str, mode: Mode, listener: Listener) -> bool:
    """Write the lock if it says something new and may be written; a build does not fail for it any more."""
    if mode is not Mode.RENEW or (path.is_file() and path.read_text("utf-8") == text):
        return False
    if is_release(path.parent):
        listener({"event": "note", "text": f"{path} is part of a release and stays as it is"})
        return False
    try:
        write_lock(path, text, locked.lists)
    except OSError as error:
        listener({"event": "note", "text": f"{path.name} could not be written: {error.strerror}"})
        return False
    return True
