"""Checking parts of a release: of each training run some segments, and of what the corpus comes in some parts.

A release commits to its runs before anybody asks: a chain of hashes names the complete state at every link, and binds
what each step read and gave. A segment is run from its first state, and has to end at the state that the chain names,
bit for bit. So it is with stages that give their output in parts: the digest of a stage binds every part, and where
the author keeps them, some are made again from what the stages before gave. All else is built again as a whole. What
was not run was not seen, and the report says so with a figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, TypeVar, cast

from regrow.building import rebuilds
from regrow.building.assemble import assemble
from regrow.building.contents import contents_of
from regrow.building.locking import Locked, as_locked
from regrow.engine import (
    Choice,
    Evaluation,
    Listener,
    StageResult,
    Stop,
    alone,
    evaluate,
    ingredients,
    is_parted,
    key_of,
    rerun,
    some,
)
from regrow.errors import InputError, StageError
from regrow.formats import parts
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import Workers
from regrow.recipe.pin import MOST_NAMED
from regrow.release import Release
from regrow.release.asked import said
from regrow.release.files import read_json
from regrow.release.layout import GIVEN, STATES, SUMS, UNCOVERED, statement_path
from regrow.release.statements import Statement
from regrow.release.sums import changed
from regrow.sections import Parameters
from regrow.sources import Site
from regrow.stages.training import SNAPSHOTS, Scheduled
from regrow.store import Store
from regrow.store.digest import files, sha256_bytes, sha256_file
from regrow.train.checkpoints import state_file
from regrow.train.records import first_other
from regrow.verifying.chain import BrokenChainError, Run, run_of
from regrow.verifying.cost import require_wanted
from regrow.verifying.draw import drawn, nonce
from regrow.verifying.files import check_files, there
from regrow.verifying.kept import Kept
from regrow.verifying.machines import machines
from regrow.verifying.rebuild import room_of
from regrow.verifying.seen import Looked, LookedParts, SpotReport

T = TypeVar("T")

_NOTED = ("nonce", "nonce_drawn_here", "same", "runs", "parts")
"""What is remembered of a check, for whoever signs it."""


class LieError(Exception):
    """Something is not as the release says."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(what)
        self.where = where


class MoodyError(Exception):
    """A stage gave two different outputs on this machine, so nothing is said about the release."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


@dataclass(frozen=True)
class Wanted:
    """What to look at.

    Attributes:
        segments: of each training run, and parts of each stage of the corpus; the first and the last are always among
            them.
        nonce: draws the others; by default one that is made up for this.
        kept: a folder or an address where the author keeps states and parts, besides what the release says.
        sources: the folder in which ``file:`` sources are found.
        offline: never use the network.
        confirmed: whether to begin however long it takes.
        workers: who share the training; by default nobody does.
        recompute: whether training keeps less between forwards and backwards, and computes it once more.
    """

    segments: int
    nonce: str = ""
    kept: str = ""
    sources: Path | None = None
    offline: bool = False
    confirmed: bool = False
    workers: Workers | None = None
    recompute: bool = False


def spot_check(
    folder: Path,
    wanted: Wanted,
    *,
    listener: Listener,
    stop: Stop,
    store: Path | None = None,
    who: Choice | None = None,
) -> SpotReport:
    """Check parts of a release. If nothing differs, that is noted on this machine, as a check of parts.

    Args:
        folder: of the release.
        wanted: what to look at.
        listener: gets the events.
        stop: when it is set, :class:`regrow.errors.Interrupted` is raised.
        store: the root of a store to build in what is not training; what is in it already is believed. By default an
            empty one that goes.
        who: who prepares text.

    Raises:
        InputError: if there is no release, or a source cannot be had (exit code 6).
        RecipeError: if it would take very long or more than this machine has, and nobody confirmed it.
    """
    started, drawn_here = time.monotonic(), not wanted.nonce
    release = Release.open(folder)
    found = check_files(release)
    wanted = replace(wanted, nonce=wanted.nonce or nonce())
    report = SpotReport(str(folder), found.digest, wanted.nonce, drawn_here)
    if not found.whole:
        named = (*found.damaged, *found.missing, *found.extra)
        lie = f"the files are not the ones that its list of checksums names, such as {named[0]}"
        return replace(report, lie=lie)
    locked, reasons = as_locked(folder, sources=wanted.sources, offline=wanted.offline)
    locked = locked.lent(wanted.workers, recompute=wanted.recompute)
    if reasons:
        return replace(report, lie=f"the lock was not made from the recipe: {'; '.join(reasons)}")
    if locked.missing:
        raise _texts_missing(folder, locked)
    with room_of(store) as room, TemporaryDirectory(prefix="regrow-segments-") as place:
        require_wanted(locked, room, wanted.confirmed, dict(_shares(release, locked, wanted.segments)))
        check = _Check(release, locked, wanted, room, listener, stop, who, Path(place))
        try:
            check.run()
        except LieError as lie:
            report = replace(report, lie=str(lie), where=lie.where)
        except MoodyError as moody:
            report = replace(report, moody=True, where=moody.where)
    report = replace(
        report,
        same=tuple(check.same),
        looked=tuple(check.looked),
        parts=tuple(check.parts),
        asked=() if report.lie else tuple(said(release, check.same)),
        unkept=tuple(check.unkept),
        given=there(release, GIVEN),
        unchecked=_passed_by(release, check.begun),
        machines=machines(release, locked),
        seconds=time.monotonic() - started,
    )
    if not report.exit_code and store is None:
        told = {name: value for name, value in report.to_json().items() if name in _NOTED}
        libraries = {name for stage in locked.graph.stages for name in stage.kind.libraries}
        rebuilds.note(found.digest, "regrow verify --segments", report.seconds, libraries, told)
    return report


def _shares(release: Release, locked: Locked, segments: int) -> Iterator[tuple[str, float]]:
    """Of each training stage how much of its run is expected to be run: to each segment one comes from a kept state,
    which is half of the way between two on average.
    """
    for stage in (stage for stage in locked.graph.stages if _trains(stage)):
        schedule, said = _scheduled(stage).schedule, release.statement(stage.name)
        kept = sum(_is_state(name) for name, _ in said.files) if said else 0
        each = schedule.links + schedule.steps / (kept + 1) / 2
        yield stage.name, min(1.0, segments * each / schedule.steps) if kept else 1.0


def _passed_by(release: Release, begun: Set[Path]) -> tuple[str, ...]:
    """The files that a check of parts compares with nothing: of the states, those that no part began with."""
    found = there(release, (*(set(UNCOVERED) - {SUMS}), SNAPSHOTS))
    return tuple(path for path in found if release.path / path not in begun)


def _texts_missing(folder: Path, locked: Locked) -> InputError:
    sources = (locked.graph[name] for name in locked.missing)
    names = ", ".join(f"`{stage.name.removeprefix(f'{stage.kind.name}-')}`" for stage in sources)
    return InputError(
        f"the texts of {names} may not be shared, and are not here",
        where=str(folder),
        why="a segment can only be run by who holds what it read",
        hint=f"`regrow verify {folder}` checks what can be without them; who holds them adds --source DIR",
    )


@dataclass
class _Check:
    release: Release
    locked: Locked
    wanted: Wanted
    store: Store
    listener: Listener
    stop: Stop
    who: Choice | None
    room: Path
    same: list[str] = field(default_factory=list)
    looked: list[Looked] = field(default_factory=list)
    parts: list[LookedParts] = field(default_factory=list)
    unkept: list[str] = field(default_factory=list)
    places: dict[str, Path] = field(default_factory=dict)
    begun: set[Path] = field(default_factory=set)

    @property
    def graph(self) -> Graph:
        """The stages."""
        return self.locked.graph

    def run(self) -> None:
        """Go through the stages in their order."""
        runs = {stage.name: self._committed(stage) for stage in self.graph.stages if _trains(stage)}
        before = [stage for stage in self.graph.stages if not _follows_training(stage, self.graph)]
        parted = {stage.name: folder for stage in before if (folder := self._kept_parts(stage)) is not None}
        self.places.update(parted)
        self._build([stage for stage in before if stage.name not in parted], parted)
        for name, folder in parted.items():
            self.parts.append(self._twice(partial(self._parts, self.graph[name], folder)))
        for stage in self.graph.stages:
            if stage.name in runs:
                self._segments(stage, runs[stage.name])
            elif stage.name not in self.places:
                self.places[stage.name] = self._twice(partial(self._alone, stage))
                self.same.append(stage.name)
        self._compare_release(self.room / "release")

    @cached_property
    def kept(self) -> Kept:
        """What the author keeps: in the release, and where the user or the recipe says."""
        places = (self.release.path / STATES, self.wanted.kept, self.locked.kept_at)
        site = Site(offline=self.wanted.offline)
        return Kept.at((place for place in places if place), self.room, site)

    def _kept_parts(self, stage: Stage) -> Path | None:
        """What a stage gave, if it is kept and in several parts that can be made one by one."""
        if not is_parted(stage) or stage.name in self.graph.withheld:
            return None
        folder = self.kept.artifact(stage.name, self.locked.promised[stage.name])
        with suppress(StageError):  # a part is missing: then it is made as a whole, and compared
            return folder if folder is not None and len(parts.folders(folder)) > 1 else None
        return None

    def _said(self, stage: Stage) -> Statement:
        """The statement about a stage, which has to agree with the lock."""
        said = self.release.statement(stage.name)
        if said is None or said.digest != self.locked.promised.get(stage.name):
            raise LieError(stage.name, "lock and provenance do not agree on what it gave")
        return said

    def _committed(self, stage: Stage) -> Run:
        try:
            return run_of(self.release, self._said(stage), _scheduled(stage).schedule)
        except BrokenChainError as error:
            raise LieError(stage.name, str(error)) from error

    def _twice(self, run: Callable[[], T]) -> T:
        """What running a stage or a part of one gives. What differs is run once more: does this machine agree with
        itself?
        """
        try:
            return run()
        except LieError as lie:
            try:
                run()
            except LieError as again:
                if str(again) == str(lie):
                    raise
            raise MoodyError(lie.where) from lie

    def _build(self, stages: Sequence[Stage], given: Collection[str]) -> None:
        """Build whatever does not follow from training as a whole, with what is kept of other stages."""
        made = evaluate(
            Graph(tuple(stages)),
            self.store,
            scope="verify",
            listener=self.listener,
            stop=self.stop,
            given={name: self._result(self.graph[name]) for name in given},
            who=self.who,
            surroundings=self.locked.surroundings,
        )
        for name, result in made.results.items():
            self._compare_built(self.graph[name], made)
            self.same.append(name)
            self.places[name] = result.path
            if is_parted(self.graph[name]) and len(parts.folders(result.path)) > 1:
                self.unkept.append(name)

    def _compare(self, stage: Stage, digest: str) -> None:
        if digest != self.locked.promised.get(stage.name):
            raise LieError(stage.name, f"it gives {digest} here, and the lock has {self.locked.promised[stage.name]}")

    def _compare_built(self, stage: Stage, made: Evaluation) -> None:
        """As :meth:`_twice` does, but that the first output is in the store."""
        digest = made.results[stage.name].digest
        try:
            self._compare(stage, digest)
        except LieError as lie:
            given = self.locked.surroundings
            if digest != rerun(stage, made, self.store, listener=self.listener, stop=self.stop, surroundings=given):
                raise MoodyError(stage.name) from lie
            raise

    def _parts(self, stage: Stage, folder: Path) -> LookedParts:
        """Make those parts of what a stage gave that are drawn."""
        count, root = len(parts.folders(folder)), self.locked.promised[stage.name]
        output, scratch = self._rooms(stage.name)
        chosen = some(
            stage,
            self.places,
            output,
            scratch,
            lambda number: drawn(root, self.wanted.nonce, count, self.wanted.segments) if number == count else (),
            listener=self.listener,
            stop=self.stop,
            who=self.who,
            surroundings=self.locked.surroundings,
        )
        if not chosen:
            raise LieError(stage.name, f"it gives another number of parts here, and the lock names {count}")
        for index in chosen:
            here, there = (_sums(parts.folder(one, index, count)) for one in (output, folder))
            if other := changed(here, there):
                raise LieError(
                    stage.name, f"part {index + 1:,} of {count:,} gives another {other[0]} here than the lock names"
                )
        own = {parts.folder(folder, index, count).name for index in range(count)}
        if strange := [path for path in files(folder) if path.partition("/")[0] not in own]:
            raise LieError(stage.name, f"{strange[0]} is in no part of what it gave")
        return LookedParts(stage.name, count, chosen, root)

    def _rooms(self, name: str) -> tuple[Path, Path]:
        """A folder for what a stage gives, and one in which it works."""
        output, scratch = (Path(mkdtemp(prefix=f"{name}.", dir=self.room)) for _ in range(2))
        return output, scratch

    def _alone(self, stage: Stage) -> Path:
        """Run a stage that follows from training on what the last segment gave."""
        output, scratch = self._rooms(stage.name)
        given = self.locked.surroundings
        digest = alone(stage, self.places, output, scratch, listener=self.listener, stop=self.stop, surroundings=given)
        self._compare(stage, digest)
        return output

    def _segments(self, stage: Stage, run: Run) -> None:
        """Run the segments of a training stage that are drawn."""
        first = _begins(self.places, stage)
        segments = [one for one in run.segments if one.start >= first]
        numbers = drawn(run.root, self.wanted.nonce, len(segments), self.wanted.segments)
        kept: dict[int, Path] = {}
        groups: dict[int, int] = {}  # the step of a state that there is -> the last step that is wanted from there
        for segment in (segments[number] for number in numbers):
            start = self._nearest(stage, segment.start, first, kept)
            groups[start] = max(groups.get(start, 0), segment.end)
        ran = sorted(groups.items())
        self.begun |= {*kept.values()}
        if not kept and any(map(_is_state, dict(self._said(stage).files))):
            self.unkept.append(stage.name)
        for start, end in ran:
            self.places[stage.name] = self._twice(partial(self._part, stage, run, kept.get(start), start, end))
        checked = [one for one in segments if any(start <= one.start and one.end <= end for start, end in ran)]
        count = sum(end - start for start, end in ran)
        steps = run.segments[-1].end - first
        self.looked.append(Looked(stage.name, len(segments), len(numbers), tuple(checked), run.root, (count, steps)))
        self._compare_weights(stage)

    def _nearest(self, stage: Stage, start: int, first: int, kept: dict[int, Path]) -> int:
        """The step of the last state before a segment that there is; what is found is put into ``kept``.

        What a run begins with is made here, and never taken from whoever says what it was.
        """
        said = {name for name, _ in self._said(stage).files}
        links = range(start, first, -1)
        for step in (step for step in links if state_file(step) in said):
            if step in kept:
                return step
            if (found := self.kept.state(stage.name, step)) is not None:
                kept[step] = found
                return step
        return first

    def _part(self, stage: Stage, run: Run, values: Path | None, start: int, end: int) -> Path:
        """Run a part of a stage from a state; gives what it gave."""
        from regrow.train import part
        from regrow.train.loop import DivergedError
        from regrow.train.state import StateError

        output, scratch = self._rooms(stage.name)
        if values is not None:
            part.prepare(scratch, values.absolute(), *run.before(start))
        shorter = replace(stage, parameters=cast(Parameters, _scheduled(stage).part(end)))
        try:
            alone(
                shorter,
                self.places,
                output,
                scratch,
                listener=self.listener,
                stop=self.stop,
                surroundings=self.locked.surroundings,
            )
        except StateError as error:
            raise LieError(
                stage.name, f"the state that is kept of step {start:,} is another one: {error.what}"
            ) from error
        except DivergedError as error:
            raise LieError(stage.name, f"{error.what}, when it is run from step {start:,}") from error
        self._compare_run(stage, run, output, end)
        return output

    def _compare_run(self, stage: Stage, run: Run, output: Path, end: int) -> None:
        """In the order in which things happened, so that the first that differs is named."""
        losses, links = run.before(end)
        here = Run.read(output)
        self._compare_states(stage, links[:1], here.links[:1])
        for before, link in pairwise(links):
            since = slice(before["step"], link["step"])
            self._compare_records(stage, losses[since], here.losses[since])
            self._compare_states(stage, [link], [one for one in here.links if one["step"] == link["step"]], before)

    def _compare_records(
        self, stage: Stage, said: Sequence[Mapping[str, Any]], here: Sequence[Mapping[str, Any]]
    ) -> None:
        for one, other in zip(said, here, strict=True):
            # What was noted on the way depends on the state, too, so it has to be the same here.
            names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
            if names:
                name = first_other(one, other) or names[0]
                raise LieError(
                    stage.name,
                    f"step {one['step']:,} is the first that differs: its {name.replace('_', ' ')} is "
                    f"{_short(other.get(name))} here, and the release has {_short(one.get(name))}",
                )

    def _compare_states(
        self,
        stage: Stage,
        said: Sequence[Mapping[str, Any]],
        here: Sequence[Mapping[str, Any]],
        before: Mapping[str, Any] | None = None,
    ) -> None:
        for one, other in zip(said, here, strict=True):
            if one["state"] != other["state"]:
                what = (
                    f"does not follow from that at step {before['step']:,}" if before else "is not what it begins with"
                )
                raise LieError(
                    stage.name,
                    f"the state at step {one['step']:,} {what}: it has the digest {other['state']} here, and the "
                    f"chain has {one['state']}",
                )

    def _compare_release(self, room: Path) -> None:
        """What is made of all this is the release, but for what a run keeps on its way."""
        assemble(contents_of(self.locked, self._evaluation()), room, whole=False)
        made = Release.at(room)
        on_the_way = {*made.listed.values()}  # a snapshot has a tokenizer and settings, too, as the release has
        for stage in (stage for stage in self.graph.stages if _trains(stage)):
            self._compare_statement(stage, made)
            on_the_way |= {sha256 for name, sha256 in self._said(stage).files if _is_kept(name)}
        kept = {statement_path(stage.name) for stage in self.graph.stages if _trains(stage)}
        for path in changed(self.release.listed, made.listed):
            snapshot = path.startswith(f"{SNAPSHOTS}/") and self.release.listed.get(path) in on_the_way
            if path not in kept and not snapshot:
                raise LieError("", f"{path} is not what follows from the stages")

    def _compare_statement(self, stage: Stage, made: Release) -> None:
        """A statement is what follows from the stages, but for the files that were kept on the way, which it adds."""
        path, said = statement_path(stage.name), self._said(stage)
        released, here = (read_json(one.files, path) for one in (self.release, made))
        whole, *named = released.pop("subject")
        if [whole] != here.pop("subject")[:1] or released != here:
            raise LieError(stage.name, f"{path} is not what follows from the stages")
        listing = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(said.files, key=lambda one: one[0].encode()))
        if len(named) < MOST_NAMED and sha256_bytes(listing.encode()) != said.digest:
            raise LieError(stage.name, f"the files that {path} names are not those of {said.digest}")

    def _evaluation(self) -> Evaluation:
        """The stages as they would have been evaluated, each of which gave what the lock promises."""
        return Evaluation({stage.name: self._result(stage) for stage in self.graph.stages})

    def _result(self, stage: Stage) -> StageResult:
        promised = self.locked.promised
        digests = {slot: [promised[name] for name in names] for slot, names in stage.inputs.items()}
        made_of, path = ingredients(stage, digests), self.places[stage.name]
        return StageResult(stage.name, key_of(made_of), made_of, promised[stage.name], path, cached=True, seconds=0.0)

    def _compare_weights(self, stage: Stage) -> None:
        """What the last segment gave is what the statement names."""
        said = dict(self._said(stage).files)
        if len(said) >= MOST_NAMED:
            return
        output = self.places[stage.name]
        here = {path.relative_to(output).as_posix(): path for path in output.rglob("*") if path.is_file()}
        whole = {name for name in said if not _is_kept(name)}
        for name in sorted({*here, *whole}):
            if name not in here or name not in said or sha256_file(here[name]) != said[name]:
                raise LieError(stage.name, f"{name} is not what the last segment gives")


def _trains(stage: Stage) -> bool:
    return isinstance(stage.parameters, Scheduled)


def _scheduled(stage: Stage) -> Scheduled:
    assert isinstance(stage.parameters, Scheduled)
    return stage.parameters


def _is_state(name: str) -> bool:
    return name.startswith("step-")


def _is_kept(name: str) -> bool:
    """Whether a file of a training stage was kept on the way, and does not come from its end."""
    return name.startswith(f"{SNAPSHOTS}/") or _is_state(name)


def _follows_training(stage: Stage, graph: Graph) -> bool:
    return _trains(stage) or any(map(_trains, graph.ancestors(stage)))


def _begins(places: Mapping[str, Path], stage: Stage) -> int:
    """The step after which a stage's own part of a run begins: 0, unless it goes on with a run of others."""
    if getattr(stage.parameters, "optimizer", "new") != "continue":
        return 0
    from regrow.train.former import step_of

    return step_of(places[stage.inputs["weights"][0]])


def _sums(directory: Path) -> dict[str, str]:
    return {path: sha256_file(directory / path) for path in files(directory)} if directory.is_dir() else {}


def _short(value: Any) -> str:
    return "nothing" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)[:40]
