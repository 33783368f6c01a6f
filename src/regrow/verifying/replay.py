"""Running again the step in which two builds part, by what each says of it, to see where the numbers part and who is
right on this machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from regrow.building.locking import Locked, as_locked
from regrow.engine import Choice, Evaluation, Listener, Stop, alone, evaluate
from regrow.errors import RecipeError
from regrow.recipe.graph import Graph, Stage
from regrow.release import Release
from regrow.release.layout import STATES
from regrow.sections import Parameters
from regrow.sources import Site
from regrow.stages.training import Scheduled
from regrow.store import Store
from regrow.train import part
from regrow.train.records import first_other
from regrow.verifying.chain import BrokenChainError, Run, records_of
from regrow.verifying.cost import require_wanted
from regrow.verifying.kept import Kept
from regrow.verifying.rebuild import room_of
from regrow.verifying.tensors import Element, compared, tensors_of, tensors_of_state


@dataclass(frozen=True)
class How:
    """What running again needs.

    Attributes:
        sources: the folders in which ``file:`` sources are found, of the first and the second.
        store: the root of a store to build in what training needs; by default an empty one that goes.
        offline: never use the network.
        confirmed: whether to begin however long it takes.
        listener: gets the events.
        stop: when it is set, :class:`regrow.errors.Interrupted` is raised.
        who: who prepares text.
    """

    sources: tuple[Path | None, Path | None]
    listener: Listener
    stop: Stop
    store: Path | None = None
    offline: bool = False
    confirmed: bool = False
    who: Choice | None = None


@dataclass(frozen=True)
class Replayed:
    """What running again showed.

    Attributes:
        start: the step of the state that it began with; 0 for the beginning of the run.
        end: the last step.
        as_said: whether the first, and the second, give here what they say, up to the last step.
        step: the step after which the states of the two differ first; 0 if they do not, on this machine.
        element: the first number that differs then, or in what one keeps of a later step.
        kept: the step of that state, which one of the two kept; 0 if there is none.
        tensors: how many tensors differ.
    """

    start: int
    end: int
    as_said: tuple[bool, bool]
    step: int = 0
    element: Element | None = None
    kept: int = 0
    tensors: tuple[str, ...] = ()

    @property
    def meaning(self) -> str:
        """What follows from it."""
        match self.as_said:
            case (True, True):
                return "this machine gives both as they are, so it is what they were told, and no machine"
            case (True, False):
                return "this machine gives what the first says; whatever made the second did not do what it says"
            case (False, True):
                return "this machine gives what the second says; whatever made the first did not do what it says"
            case _:
                return "this machine gives neither: see `regrow selftest`, or both were made otherwise than they say"

    @property
    def steps(self) -> str:
        """Which steps were run, in words."""
        first, last = self.start + 1, self.end
        return f"step {last:,}" if first == last else f"steps {first:,} to {last:,}"

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"  run again here, {self.steps}: {self.meaning}"
        if self.step:
            yield f"    the states differ first after step {self.step:,}"
        elif self.kept:
            yield f"    what is kept of step {self.kept:,} is not what follows here"
        if self.element:
            yield from (f"  {one}" for one in self.element.lines())
        yield from (f"    {one}" for one in self.tensors)


def replay(first: Release, second: Release, stage: str, step: int, how: How) -> Replayed:
    """Run a training stage of two releases up to a step, from the last state that both have, and compare.

    Args:
        first: a release.
        second: another one.
        stage: the name of the stage, which both have.
        step: that differs; 0 for the state before the first one.
        how: what it needs.

    Raises:
        InputError: if the texts cannot be had.
        RecipeError: if one of the two has no such run, or it would take very long and nobody confirmed it.
        StageError: if a state is not the one that its chain names.
    """
    with room_of(how.store) as store, TemporaryDirectory(prefix="regrow-replay-") as room:
        sides = (
            _Side(first, how.sources[0], stage, how, store, Path(room) / "first"),
            _Side(second, how.sources[1], stage, how, store, Path(room) / "second"),
        )
        return _replay(sides, max(1, step))


def _replay(sides: tuple[_Side, _Side], end: int) -> Replayed:
    start, values = _common(sides, end)
    runs = [side.run_to(start, values, end) for side in sides]
    as_said = tuple(side.said_so(run) for side, run in zip(sides, runs, strict=True))
    found = Replayed(start, end, cast(tuple[bool, bool], as_said))
    one, other = (run.states for run in runs)
    parted = next((step for step in range(start + 1, end + 1) if one.get(step) != other.get(step)), 0)
    if parted:
        runs = runs if parted == end else [side.run_to(start, values, parted) for side in sides]
        element, tensors = compared(*(tensors_of(run.state) for run in runs))
        return replace(found, step=parted, element=element, tensors=tensors)
    return _against_kept(found, sides, start, values)


def _common(sides: tuple[_Side, _Side], end: int) -> tuple[int, Path | None]:
    """The last state before a step that both runs had, and that one of them has kept."""
    one, other = ({int(link["step"]): link for link in side.said.links} for side in sides)
    same = (step for step in sorted(one.keys() & other.keys(), reverse=True) if 0 < step < end)
    for step in (step for step in same if one[step] == other[step]):
        for side in sides:
            if (values := side.kept.state(side.stage.name, step)) is not None:
                return step, values
    return 0, None


def _against_kept(found: Replayed, sides: tuple[_Side, _Side], start: int, values: Path | None) -> Replayed:
    """Compare with what the one has kept that does not do here what it says."""
    if found.as_said[0] == found.as_said[1]:
        return found
    true, false = sides if found.as_said[0] else sides[::-1]
    for step in (int(link["step"]) for link in false.said.links if link["step"] >= found.end):
        if (kept := false.kept.state(false.stage.name, step)) is not None:
            mine = tensors_of(true.run_to(start, values, step).state)
            element, tensors = compared(mine, tensors_of_state(kept, mine))
            return replace(found, kept=step, element=element, tensors=tensors)
    return found


@dataclass(frozen=True)
class _Ran:
    """A part of a run as it is here.

    Attributes:
        records: step -> its record.
        states: step -> the digest of the state after it.
        state: the file with the state at the end.
    """

    records: Mapping[int, Mapping[str, Any]]
    states: Mapping[int, str]
    state: Path


@dataclass(frozen=True)
class _Side:
    release: Release
    sources: Path | None
    name: str
    how: How
    store: Store
    room: Path

    @cached_property
    def locked(self) -> Locked:
        locked, reasons = as_locked(self.release.path, sources=self.sources, offline=self.how.offline)
        if reasons:
            raise self._no_run(f"its lock was not made from its recipe: {reasons[0]}")
        require_wanted(locked, self.store, self.how.confirmed)
        return locked

    @cached_property
    def stage(self) -> Stage:
        found = next((stage for stage in self.locked.graph.stages if stage.name == self.name), None)
        if found is None or not isinstance(found.parameters, Scheduled):
            raise self._no_run(f"it has no stage `{self.name}` that trains")
        if getattr(found.parameters, "optimizer", "new") == "continue":
            raise self._no_run(f"`{self.name}` goes on with a run of others, of which there is no step to begin with")
        return found

    @cached_property
    def said(self) -> Run:
        """The records and links that the release has; who compares two builds may well have one with a lie in it."""
        said = self.release.statement(self.name)
        try:
            if said is not None:
                return records_of(self.release, said)
        except BrokenChainError as error:
            raise self._no_run(str(error)) from error
        raise self._no_run(f"it says nothing of `{self.name}`")

    @cached_property
    def kept(self) -> Kept:
        places = (place for place in (self.release.path / STATES, self.locked.kept_at) if place)
        return Kept.at(places, self.room, Site(offline=self.how.offline))

    @cached_property
    def inputs(self) -> Evaluation:
        """What the run is made from, as this release says."""
        needed = tuple(self.locked.graph.ancestors(self.stage))
        return evaluate(
            Graph(needed),
            self.store,
            scope="verify",
            listener=self.how.listener,
            stop=self.how.stop,
            only=[stage.name for stage in needed],
            who=self.how.who,
            surroundings=self.locked.surroundings,
        )

    def run_to(self, start: int, values: Path | None, end: int) -> _Ran:
        """Run from a state to a step, with a link at each step and the state at the end."""
        output, scratch = self.room / f"{end}", self.room / f"{end}.scratch"
        for folder in (output, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        if not (output / "chain.jsonl").exists():
            if values is not None:
                part.prepare(scratch, values.absolute(), *self.said.before(start))
            part.ask(scratch)
            parameters = cast(Scheduled, self.stage.parameters).part(end, links=1)
            places = {name: result.path for name, result in self.inputs.results.items()}
            alone(
                replace(self.stage, parameters=cast(Parameters, parameters)),
                places,
                output,
                scratch,
                listener=self.how.listener,
                stop=self.how.stop,
                surroundings=self.locked.surroundings,
            )
        run = Run.read(output)
        records = {int(row["step"]): row for row in run.losses if row["step"] > start}
        states = {int(link["step"]): str(link["state"]) for link in run.links if link["step"] > start}
        return _Ran(records, states, scratch / part.STATE)

    def said_so(self, run: _Ran) -> bool:
        """Whether this release says of each step, and of each state on the way, what is so here."""
        said = {row.get("step"): row for row in self.said.losses}
        links = {link.get("step"): link.get("state") for link in self.said.links}
        records = all(not first_other(said.get(step, {}), row) for step, row in run.records.items())
        return records and all(links.get(step, state) == state for step, state in run.states.items())

    def _no_run(self, why: str) -> RecipeError:
        hint = "compare without --replay"
        return RecipeError("there is no run here to go through again", where=str(self.release.path), why=why, hint=hint)
