"""Where and why two builds part: the first input, stage, step, tensor and number that differ, and a guess at the cause.

It reads what both say of themselves. Of two releases that is recipe, lock, statements, the records of steps and the
weights; of two models of anybody's it is the weights, and those on the way where there are no records; of two logs of
builds, their events. If it is asked to, it runs the first step again that differs.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from regrow.errors import InputError, RecipeError
from regrow.recipe.differences import ABSENT, Difference, differences
from regrow.release import Release, is_release
from regrow.release.files import DamagedError, Directory, read_json_lines
from regrow.release.layout import CHAIN, LOSSES
from regrow.release.statements import Statement
from regrow.train.records import first_other
from regrow.verifying.replay import How, Replayed, replay
from regrow.verifying.tensors import Element, compared, tensors_of
from regrow.words import shown

_MOST = 12


@dataclass(frozen=True)
class Step:
    """The first step of a run in which two builds differ.

    Attributes:
        stage: that trains.
        step: its number; 0 for the state before the first one.
        field: what differs: ``state``, ``batch``, ``learning_rate``, ``loss`` or ``gradient_norm``; or ``weights``,
            where those on the way are all that there is.
        first: the value in one.
        second: the value in the other.
    """

    stage: str
    step: int
    field: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Explanation:
    """Where two builds part.

    Attributes:
        first: what was compared.
        second: with what.
        same: whether nothing differs that was compared.
        inputs: what the makers said otherwise: recipe, parameters, sources, versions.
        stage: the first stage that gives something else; empty if none does, or nobody tells.
        because: why it does, as far as the statements tell.
        step: the first step that differs.
        element: the first number that differs.
        tensors: how many tensors differ, of how many that both have; and those that only one has.
        machines: what is different about the machines.
        guess: what the cause is likely to be, and why.
        files: what differs, where nothing else could be compared.
        replayed: what running the step again showed, if that was asked for.
    """

    first: str
    second: str
    same: bool
    inputs: tuple[str, ...] = ()
    stage: str = ""
    because: tuple[str, ...] = ()
    step: Step | None = None
    element: Element | None = None
    tensors: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    guess: str = ""
    files: tuple[str, ...] = ()
    replayed: Replayed | None = None

    @property
    def exit_code(self) -> int:
        """3 if something differs."""
        return 0 if self.same else 3

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.same:
            yield "Same: nothing differs in what was compared."
            return
        if self.guess:
            yield f"Likely cause: {self.guess}"
        yield from _listed("said otherwise", self.inputs)
        if self.stage:
            yield f"  first stage that differs: {self.stage}"
            yield from (f"    {one}" for one in self.because)
        if self.step:
            where = f"step {self.step.step:,}" if self.step.step else "the state before the first step"
            yield f"  first step that differs: {where} of {self.step.stage}, in its {self.step.field.replace('_', ' ')}"
            yield f"    {value(self.step.first)}"
            yield f"    {value(self.step.second)}"
        if self.element:
            yield from self.element.lines()
        yield from _listed("tensors", self.tensors)
        if self.replayed:
            yield from self.replayed.lines()
        yield from _listed("files", self.files)
        yield from _listed("machines", self.machines)


def explain(first: Path, second: Path, how: How | None = None) -> Explanation:
    """Find where two builds part.

    Args:
        first: a release, a model's folder or file, or the log of a build.
        second: another one of the same sort.
        how: what it takes to run the first step again that differs, of two releases; by default nothing is run.

    Raises:
        InputError: if there is nothing to compare.
    """
    for path in (first, second):
        if not path.exists():
            raise InputError(
                "there is nothing here", where=str(path), hint="name a release, a model, or a log of a build"
            )
    if is_release(first) and is_release(second):
        releases = Release.open(first), Release.open(second)
        found = _releases(*releases)
        if how is not None and found.step is not None:
            found = replace(found, replayed=replay(*releases, found.step.stage, found.step.step, how))
        return found
    if first.name.endswith(".jsonl") and second.name.endswith(".jsonl"):
        return _logs(first, second)
    return _models(first, second)


@dataclass
class _Found:
    inputs: list[str] = field(default_factory=list)
    stage: str = ""
    because: list[str] = field(default_factory=list)
    step: Step | None = None


def _releases(first: Release, second: Release) -> Explanation:
    ours, theirs = ({one.stage: one for one in release.statements} for release in (first, second))
    found = _Found(inputs=[*_inputs(first, second)])
    for name in [*theirs, *(name for name in ours if name not in theirs)]:
        one, other = ours.get(name), theirs.get(name)
        if one is None or other is None:
            found.stage, found.because = name, [f"only the {'second' if one is None else 'first'} has it"]
            break
        if one.digest != other.digest:
            found.stage, found.because = name, [*_made_of(one, other)] or ["made of the same, and not the same"]
            break
    for name in (name for name in ours if name in theirs):
        found.step = found.step or _steps(first, second, ours[name], theirs[name])
    element, tensors = _weights(first.path, second.path)
    files = _files(first, second)
    same = not (found.inputs or found.stage or found.step or element or tensors or files)
    return Explanation(
        str(first.path),
        str(second.path),
        same,
        tuple(found.inputs[:_MOST]),
        found.stage,
        tuple(found.because[:_MOST]),
        found.step,
        element,
        tensors,
        tuple(_machines(first, second)),
        "" if same else _guess(found, tuple(_machines(first, second))),
        files if not found.stage else (),
    )


def _inputs(first: Release, second: Release) -> Iterator[str]:
    """What recipe and lock say otherwise, without what the stages gave."""
    left, right = ({**one.lock_data} for one in (first, second))
    for one in (left, right):
        for key in ("outputs", "release", "recipe"):
            one.pop(key, None)
        for key in ("stage", "source"):  # by their names, and not by their places
            rows = one.get(key)
            named = rows if isinstance(rows, list) else []
            one[key] = {str(row.get("name")): row for row in named if isinstance(row, dict)}
    yield from (f"{'.'.join(one.path)} {one.words()}" for one in differences(left, right))


def _made_of(one: Statement, other: Statement) -> Iterator[str]:
    if (one.kind, one.version) != (other.kind, other.version):
        yield f"{one.kind} in version {one.version}, and {other.kind} in version {other.version}"
    yield from (
        f"{'.'.join(one.path)} {one.words()}" for one in differences(dict(one.parameters), dict(other.parameters))
    )
    if one.inputs != other.inputs:
        yield "fed from other stages"
    mine, yours = dict(one.files), dict(other.files)
    for name in sorted({*mine, *yours}):
        if mine.get(name) != yours.get(name):
            lacks = "" if name in mine and name in yours else ", which only one has"
            yield f"its file {name} differs{lacks}"
            return


def _steps(first: Release, second: Release, one: Statement, other: Statement) -> Step | None:
    """The first step of a training stage in which two releases differ."""
    chains, losses = (
        [_rows(release, said, path) for release, said in ((first, one), (second, other))] for path in (CHAIN, LOSSES)
    )
    starts = [rows[0].get("state") for rows in chains if rows and rows[0].get("step") == 0]
    if len(starts) == 2 and starts[0] != starts[1]:
        return Step(one.stage, 0, "state", *starts)
    for mine, yours in zip_longest(*losses, fillvalue={}):
        if name := first_other(mine, yours):
            return Step(one.stage, _number(mine, yours), name, mine.get(name), yours.get(name))
    for mine, yours in zip_longest(*chains, fillvalue={}):
        if mine.get("state") != yours.get("state"):
            return Step(one.stage, _number(mine, yours), "state", mine.get("state"), yours.get("state"))
    return None


def _number(*records: Mapping[str, Any]) -> int:
    """The step that records are of, as the first says that does; whoever wrote them may have written anything."""
    steps = (record.get("step") for record in records)
    return next((step for step in steps if type(step) is int), 0)


def _rows(release: Release, said: Statement, path: str) -> list[Mapping[str, Any]]:
    folder, _, name = path.rpartition("/")
    if name not in dict(said.files):
        return []
    own = f"{folder}/{said.stage}/{name}"
    place = own if release.files.has(own) else path
    with suppress(DamagedError):
        return [row for row in read_json_lines(release.files, place) if isinstance(row, dict)]
    return []


def _guess(found: _Found, machines: Sequence[str] = ()) -> str:
    """The cause that fits what was seen first; what is not certain is called likely."""
    if found.stage and any("version" in one for one in found.because):
        return f"`{found.stage}` is of another version of regrow, or of a library that it depends on"
    if found.inputs:
        return f"the two were made from different instructions, first `{found.inputs[0]}`"
    if found.step is None:
        if not found.stage:
            return "files beside the stages"
        library = next((one.removeprefix("libraries.") for one in machines if one.startswith("libraries.")), "")
        other = f", and a library is another one: {library}" if library else ""
        return f"`{found.stage}` gives something else from the same inputs{other}"
    match found.step.field:
        case "state" if found.step.step == 0:
            return "the initial values: another seed, another base, or other random numbers"
        case "batch" if found.stage == found.step.stage:
            return "the order of the data: the same step read other tokens of the same corpus"
        case "batch" if not found.stage:
            return "the data or its order: the same step read other tokens"
        case "batch":
            return f"the data: the same step read other tokens, and `{found.stage}` gave something else before it"
        case "learning_rate":
            return "the schedule of the learning rate"
        case "loss" if found.step.step == 1:
            return "a kernel of the forward pass: the first step read the same tokens with the same weights"
        case "loss":
            return f"the update of step {found.step.step - 1:,}: the optimizer, or a kernel of the backward pass"
        case "gradient_norm":
            return "a kernel of the backward pass: the loss of the step is still the same"
        case "state":
            return "the optimizer, or a change of the state that no step made"
        case _:
            return "one of the two runs has more steps"


def _machines(first: Release, second: Release) -> Iterator[str]:
    with suppress(DamagedError):
        for one in differences(dict(first.environment), dict(second.environment)):
            if _plain(one):
                yield f"{'.'.join(one.path)} {one.words()}"


def _plain(one: Difference) -> bool:
    return all(value is ABSENT or isinstance(value, str | int | list) for value in (one.old, one.new))


def _files(first: Release, second: Release) -> tuple[str, ...]:
    left, right = first.listed, second.listed
    return tuple(sorted(name for name in {*left, *right} if left.get(name) != right.get(name)))[:_MOST]


def _weights(first: Path, second: Path) -> tuple[Element | None, tuple[str, ...]]:
    """The first number that differs, and how many tensors do."""
    ours, theirs = tensors_of(first), tensors_of(second)
    if ours and theirs:
        return compared(ours, theirs)
    if is_release(first) and is_release(second):
        return None, ()
    lacking = first if not ours else second
    raise InputError("there are no weights here", where=str(lacking), hint="safetensors files are compared")


def _models(first: Path, second: Path) -> Explanation:
    """What differs of two models, and since when, as far as both have weights from on the way."""
    element, tensors = _weights(first, second)
    same = element is None and not tensors
    if same:
        return Explanation(str(first), str(second), same)
    ways = [_on_the_way(path) for path in (first, second)]
    steps = sorted(ways[0].keys() & ways[1].keys())
    place = bisect_left(steps, True, key=lambda step: _differ(ways[0][step], ways[1][step]))
    since = steps[place - 1] if place else 0
    guess = "the weights themselves; what they were made from is not told by both"
    if not steps:
        return Explanation(str(first), str(second), same, element=element, tensors=tensors, guess=guess)
    if place == len(steps):
        guess = f"what came after step {since:,}, up to which the weights on the way are the same"
        return Explanation(str(first), str(second), same, element=element, tensors=tensors, guess=guess)
    element, tensors = _weights(ways[0][steps[place]], ways[1][steps[place]])
    guess = (
        f"one of the steps {since + 1:,} to {steps[place]:,}: the weights of step {since:,} are the same"
        if place
        else f"the beginning, or one of the first {steps[place]:,} steps"
    )
    step = Step("the run", steps[place], "weights", str(ways[0][steps[place]]), str(ways[1][steps[place]]))
    return Explanation(str(first), str(second), same, step=step, element=element, tensors=tensors, guess=guess)


def _on_the_way(path: Path) -> dict[int, Path]:
    """Step -> the folder with the weights of it, as regrow and the trainers of others call these."""
    found = dict[int, Path]()
    for pattern in ("checkpoints/step-*", "step-*", "checkpoint-*", "checkpoints/checkpoint-*"):
        for folder in path.glob(pattern) if path.is_dir() else ():
            number = folder.name.rpartition("-")[2]
            if number.isdecimal() and any(folder.glob("*.safetensors")):
                found.setdefault(int(number), folder)
    return found


def _differ(first: Path, second: Path) -> bool:
    """Whether the weights in two folders differ; once they do, they stay so."""
    return _weights(first, second) != (None, ())


def _logs(first: Path, second: Path) -> Explanation:
    """The first stage of which two logs tell another digest, and the first step with another loss."""
    logs = [_events(path) for path in (first, second)]
    given = [
        {str(e.get("stage")): e.get("digest") for e in log if e.get("event") in ("stage-done", "stage-cached")}
        for log in logs
    ]
    stage = next((name for name in given[1] if name in given[0] and given[0][name] != given[1][name]), "")
    steps = [
        {
            (str(e.get("stage")), e["done"]): e
            for e in log
            if e.get("event") == "progress" and "loss" in e and type(e.get("done")) is int
        }
        for log in logs
    ]
    step = None
    for key in sorted(steps[0].keys() & steps[1].keys(), key=lambda one: one[1]):
        if name := first_other(steps[0][key], steps[1][key]):
            step = Step(str(key[0]), int(key[1]), name, steps[0][key].get(name), steps[1][key].get(name))
            break
    same = not stage and step is None
    found = _Found(stage=stage, step=step)
    return Explanation(str(first), str(second), same, stage=stage, step=step, guess="" if same else _guess(found))


def _events(path: Path) -> Sequence[dict[str, Any]]:
    try:
        rows = list(read_json_lines(Directory(path.parent), path.name))
    except DamagedError as error:
        raise RecipeError("the log cannot be read", where=str(path), why=error.cause) from error
    return [row for row in rows if isinstance(row, dict)]


def _listed(what: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"  {what}:"
        yield from (f"    {line}" for line in lines)


def value(said: Any) -> str:
    """A value of a record, for people."""
    return "nothing" if said is None else json.dumps(said) if not isinstance(said, str) else shown(said)
