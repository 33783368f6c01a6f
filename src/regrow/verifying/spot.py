"""Checking parts of a release: everything but training is built again, and of each training run some segments.

A release commits to its runs before anybody asks: a chain of hashes names the complete state at every link, and binds
what each step read and gave. A segment is run from its first state, and has to end at the state that the chain names,
bit for bit. What was not run was not seen, and the report says so with a figure.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from regrow.building.assemble import assemble
from regrow.building.contents import contents_of
from regrow.building.locking import Locked, as_locked
from regrow.engine import Choice, Evaluation, Listener, StageResult, Stop, alone, evaluate, ingredients, key_of
from regrow.errors import InputError
from regrow.printable import one_line
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.pin import MOST_NAMED
from regrow.release import Release
from regrow.release.files import read_json
from regrow.release.layout import GIVEN, STATES, SUMS, UNCOVERED, statement_path
from regrow.release.statements import Statement
from regrow.release.sums import changed
from regrow.sections import Parameters
from regrow.stages.training import SNAPSHOTS, Scheduled
from regrow.store import Store
from regrow.store.digest import sha256_bytes, sha256_file
from regrow.train.checkpoints import state_file
from regrow.train.records import STEP
from regrow.verifying.chain import BrokenChainError, Run, Segment, run_of
from regrow.verifying.cost import require_wanted
from regrow.verifying.draw import drawn, missed
from regrow.verifying.files import check_files, there
from regrow.verifying.report import taken
from regrow.words import counted

_SHARE = 0.1
"""The share of a run that is changed where a figure says how likely that is passed over."""


@dataclass(frozen=True)
class Looked:
    """What was run of one training stage.

    Attributes:
        stage: its name.
        segments: how many there are.
        drawn: how many were drawn; the first and the last are among them.
        checked: which ones were run, as drawn or on the way from a kept state to them.
        root: the hash that binds the run.
        steps: how many optimizer steps were run, of how many.
    """

    stage: str
    segments: int
    drawn: int
    checked: tuple[Segment, ...]
    root: str
    steps: tuple[int, int]

    @property
    def changed(self) -> int:
        """How many changed segments the figure is about: a tenth, as far as so many were not run."""
        return min(max(1, round(_SHARE * self.segments)), self.segments - len(self.checked))

    @property
    def passed_over(self) -> float:
        """How likely, at most, this passes over a run with so many of its segments changed.

        What is run on the way does not count: it is known which states are kept, and so where nobody comes by.
        """
        return missed(self.segments, self.drawn, self.changed) if self.changed else 0.0

    def __str__(self) -> str:
        """In a sentence, which claims no more than was seen."""
        count, whole = len(self.checked), self.segments
        if count == whole:
            return f"{self.stage}: all {whole} segments were run, and each ends where the chain says"
        return (
            f"{self.stage}: {count} of {whole} segments were run ({self.steps[0]:,} of {self.steps[1]:,} steps), and "
            f"each ends where the chain says; a run with {counted(self.changed, 'other segment')} changed would have "
            f"passed with probability {self.passed_over:.2f}"
        )


@dataclass(frozen=True)
class SpotReport:
    """What a check of parts established.

    Attributes:
        release: the folder, as the user named it.
        digest: of the release as it is.
        nonce: by which the segments were drawn.
        lie: what is not as the release says; empty if nothing was found.
        where: the stage in which it was found.
        same: stages that were built again as a whole, and are the same.
        looked: what was run of the stages that train.
        given: files that are the makers' own words, which the check began with.
        unchecked: files that nothing was compared with.
        seconds: how long it took.
    """

    release: str
    digest: str
    nonce: str
    lie: str = ""
    where: str = ""
    same: tuple[str, ...] = ()
    looked: tuple[Looked, ...] = ()
    given: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """Of ``regrow verify``: 3 if something differs."""
        return 3 if self.lie else 0

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.lie:
            yield one_line(f"Different: {self.where + ': ' if self.where else ''}{self.lie}")
        else:
            yield "Nothing differs in what was looked at, which is not all: only a full rebuild is a proof."
        yield from (f"  {one}" for one in self.looked)
        if self.same:
            yield f"  built again as a whole, and the same: {', '.join(self.same)}"
        if not self.lie:
            yield from taken("taken as given", self.given)
            yield from taken("not looked at", self.unchecked)
        yield f"  nonce {self.nonce} (the same one draws the same segments; `--nonce` takes one)"
        yield self.digest

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "release": self.release,
            "digest": self.digest,
            "nonce": self.nonce,
            "verdict": "different" if self.lie else "same in part",
            "lie": self.lie,
            "stage": self.where,
            "same": list(self.same),
            "runs": [
                {
                    "stage": one.stage,
                    "segments": one.segments,
                    "drawn": one.drawn,
                    "checked": [segment.number + 1 for segment in one.checked],
                    "root": one.root,
                    "steps_run": one.steps[0],
                    "steps": one.steps[1],
                    "changed": one.changed,
                    "passed_over": one.passed_over,
                }
                for one in self.looked
            ],
            "given": list(self.given),
            "unchecked": list(self.unchecked),
            "seconds": round(self.seconds, 3),
        }


class LieError(Exception):
    """Something is not as the release says."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(what)
        self.where = where


@dataclass(frozen=True)
class Wanted:
    """What to look at.

    Attributes:
        segments: of each training run; the first and the last are always among them.
        nonce: draws the others.
        states: a folder or an fsspec URL with complete states, besides those of the release.
        sources: the folder in which ``file:`` sources are found.
        offline: never use the network.
        confirmed: whether to begin however long it takes.
    """

    segments: int
    nonce: str
    states: str = ""
    sources: Path | None = None
    offline: bool = False
    confirmed: bool = False


def spot_check(
    folder: Path, wanted: Wanted, *, store: Store, listener: Listener, stop: Stop, who: Choice | None = None
) -> SpotReport:
    """Check parts of a release.

    Args:
        folder: of the release.
        wanted: what to look at.
        store: in which to build what is not training.
        listener: gets the events.
        stop: when it is set, :class:`regrow.errors.Interrupted` is raised.
        who: who prepares text.

    Raises:
        InputError: if there is no release, or a source cannot be had (exit code 6).
        RecipeError: if it would take very long or more than this machine has, and nobody confirmed it.
    """
    started = time.monotonic()
    release = Release.open(folder)
    files = check_files(release)
    report = SpotReport(str(folder), files.digest, wanted.nonce)
    if not files.whole:
        named = (*files.damaged, *files.missing, *files.extra)
        lie = f"the files are not the ones that its list of checksums names, such as {named[0]}"
        return replace(report, lie=lie)
    locked, reasons = as_locked(folder, sources=wanted.sources, offline=wanted.offline)
    if reasons:
        return replace(report, lie=f"the lock was not made from the recipe: {'; '.join(reasons)}")
    if locked.missing:
        raise _texts_missing(folder, locked)
    require_wanted(locked, store, wanted.confirmed)
    check = _Check(release, locked, wanted, store, listener, stop, who)
    try:
        check.run()
    except LieError as lie:
        report = replace(report, lie=str(lie), where=lie.where)
    return replace(
        report,
        same=tuple(check.same),
        looked=tuple(check.looked),
        given=there(release, GIVEN),
        unchecked=_passed_by(release, check.begun),
        seconds=time.monotonic() - started,
    )


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
    same: list[str] = field(default_factory=list)
    looked: list[Looked] = field(default_factory=list)
    places: dict[str, Path] = field(default_factory=dict)
    begun: set[Path] = field(default_factory=set)

    @property
    def graph(self) -> Graph:
        """The stages."""
        return self.locked.graph

    def run(self) -> None:
        """Go through the stages in their order."""
        runs = {stage.name: self._committed(stage) for stage in self.graph.stages if _trains(stage)}
        self._build([stage for stage in self.graph.stages if not _follows_training(stage, self.graph)])
        with TemporaryDirectory(prefix="regrow-segments-") as room:
            for stage in self.graph.stages:
                if stage.name in runs:
                    self._segments(stage, runs[stage.name], Path(room))
                elif stage.name not in self.places:
                    self._alone(stage, Path(room))
            self._compare_release(Path(room) / "release")

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

    def _build(self, stages: Sequence[Stage]) -> None:
        """Build whatever does not follow from training, all of it."""
        made = evaluate(
            self.graph,
            self.store,
            scope="verify",
            listener=self.listener,
            stop=self.stop,
            only=[stage.name for stage in stages],
            who=self.who,
            surroundings=self.locked.surroundings,
        )
        for name, result in made.results.items():
            self._compare(self.graph[name], result.digest)
            self.places[name] = result.path

    def _compare(self, stage: Stage, digest: str) -> None:
        if digest != self.locked.promised.get(stage.name):
            raise LieError(stage.name, f"it gives {digest} here, and the lock has {self.locked.promised[stage.name]}")
        self.same.append(stage.name)

    def _alone(self, stage: Stage, room: Path) -> None:
        """Run a stage that follows from training on what the last segment gave."""
        output, scratch = room / stage.name, room / f"{stage.name}.scratch"
        output.mkdir()
        scratch.mkdir()
        given = self.locked.surroundings
        digest = alone(stage, self.places, output, scratch, listener=self.listener, stop=self.stop, surroundings=given)
        self._compare(stage, digest)
        self.places[stage.name] = output

    def _segments(self, stage: Stage, run: Run, room: Path) -> None:
        """Run the segments of a training stage that are drawn."""
        first = _begins(self.places, stage)
        segments = [one for one in run.segments if one.start >= first]
        numbers = drawn(run.root, self.wanted.nonce, len(segments), self.wanted.segments)
        # What a run begins with is made here, and never taken from whoever says what it was.
        kept = {step: path for step, path in self._kept(stage, run, room).items() if step > first}
        groups: dict[int, int] = {}  # the step of a state that there is -> the last step that is wanted from there
        for segment in (segments[number] for number in numbers):
            start = max((step for step in kept if step <= segment.start), default=first)
            groups[start] = max(groups.get(start, 0), segment.end)
        ran = sorted(groups.items())
        self.begun |= {kept[start] for start in groups if start in kept}
        for number, (start, end) in enumerate(ran):
            self.places[stage.name] = self._part(stage, run, kept.get(start), start, end, room, number)
        checked = [one for one in segments if any(start <= one.start and one.end <= end for start, end in ran)]
        count = sum(end - start for start, end in ran)
        steps = run.segments[-1].end - first
        self.looked.append(Looked(stage.name, len(segments), len(numbers), tuple(checked), run.root, (count, steps)))
        self._compare_weights(stage)

    def _kept(self, stage: Stage, run: Run, room: Path) -> dict[int, Path]:
        """The states that there are, by their steps."""
        places = [self.release.path / STATES / stage.name]
        if self.wanted.states:
            places.append(fetched(self.wanted.states, stage.name, room))
        names = {state_file(int(link["step"])): int(link["step"]) for link in run.links}
        return {
            names[path.name]: path
            for place in places
            for path in sorted(place.glob("step-*.f32"))
            if path.name in names and path.is_file() and not path.is_symlink()
        }

    def _part(self, stage: Stage, run: Run, values: Path | None, start: int, end: int, room: Path, number: int) -> Path:
        """Run a part of a stage from a state; gives what it gave."""
        from regrow.train import part
        from regrow.train.loop import DivergedError
        from regrow.train.state import StateError

        output, scratch = room / f"{stage.name}.{number}", room / f"{stage.name}.{number}.scratch"
        output.mkdir()
        scratch.mkdir()
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
        here = {name: _read(output / f"{name}.jsonl") for name in ("losses", "chain")}
        self._compare_states(stage, links[:1], here["chain"][:1])
        for before, link in pairwise(links):
            since = slice(before["step"], link["step"])
            self._compare_records(stage, losses[since], here["losses"][since])
            self._compare_states(stage, [link], [one for one in here["chain"] if one["step"] == link["step"]], before)

    def _compare_records(
        self, stage: Stage, said: Sequence[Mapping[str, Any]], here: Sequence[Mapping[str, Any]]
    ) -> None:
        for one, other in zip(said, here, strict=True):
            if names := sorted(name for name in {*one, *other} if one.get(name) != other.get(name)):
                name = next((known for known in STEP if known in names), names[0])
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
        assemble(contents_of(self.locked, self._evaluation()), room)
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
        promised, results = self.locked.promised, dict[str, StageResult]()
        for stage in self.graph.stages:
            digests = {slot: [promised[name] for name in names] for slot, names in stage.inputs.items()}
            made_of, path = ingredients(stage, digests), self.places[stage.name]
            results[stage.name] = StageResult(
                stage.name, key_of(made_of), made_of, promised[stage.name], path, cached=True, seconds=0.0
            )
        return Evaluation(results)

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


def fetched(place: str, stage: str, room: Path) -> Path:
    """States that lie elsewhere, brought to this machine.

    Raises:
        InputError: if the place cannot be read.
    """
    import fsspec

    local = Path(place)
    if local.is_dir():
        return local / stage if (local / stage).is_dir() else local
    target = room / "states" / stage
    try:
        there, path = fsspec.core.url_to_fs(place)
        found = there.glob(f"{path.rstrip('/')}/{stage}/step-*.f32") or there.glob(f"{path.rstrip('/')}/step-*.f32")
        target.mkdir(parents=True)
        for one in found:
            there.get_file(one, str(target / str(one).rpartition("/")[2]))
    except Exception as error:  # a library for each kind of place, and each has errors of its own
        raise InputError("the states cannot be had", where=place, why=str(error) or type(error).__name__) from error
    return target


def _trains(stage: Stage) -> bool:
    return isinstance(stage.parameters, Scheduled)


def _scheduled(stage: Stage) -> Scheduled:
    assert isinstance(stage.parameters, Scheduled)
    return stage.parameters


def _is_kept(name: str) -> bool:
    """Whether a file of a training stage was kept on the way, and does not come from its end."""
    return name.startswith((f"{SNAPSHOTS}/", "step-"))


def _follows_training(stage: Stage, graph: Graph) -> bool:
    return _trains(stage) or any(map(_trains, graph.ancestors(stage)))


def _begins(places: Mapping[str, Path], stage: Stage) -> int:
    """The step after which a stage's own part of a run begins: 0, unless it goes on with a run of others."""
    if getattr(stage.parameters, "optimizer", "new") != "continue":
        return 0
    from regrow.train.former import step_of

    return step_of(places[stage.inputs["weights"][0]])


def _read(path: Path) -> list[dict[str, Any]]:
    import json

    return [json.loads(row) for row in path.read_text("utf-8").splitlines()]


def _short(value: Any) -> str:
    return "nothing" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)[:40]
