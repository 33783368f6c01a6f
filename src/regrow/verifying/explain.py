"""Where and why two builds part: the first input, stage, step, tensor and number that differ, and a guess at the cause.

It reads what both say of themselves and runs nothing. Of two releases that is recipe, lock, statements, the records of
steps and the weights; of two models of anybody's it is the weights; of two logs of builds, their events.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError, RecipeError
from regrow.recipe.differences import ABSENT, Difference, differences
from regrow.release import Release, is_release
from regrow.release.files import DamagedError, Directory, read_json_lines
from regrow.release.layout import CHAIN, LOSSES
from regrow.release.statements import Statement
from regrow.words import shown

if TYPE_CHECKING:
    import torch

_MOST = 12
_FREE = ("validation_loss", "sample")
"""What was noted of a step on the way, on which nothing depends."""
_KINDS = {"float64": "int64", "float32": "int32", "float16": "int16", "bfloat16": "int16"}


@dataclass(frozen=True)
class Step:
    """The first step of a run in which two builds differ.

    Attributes:
        stage: that trains.
        step: its number; 0 for the state before the first one.
        field: what differs: ``state``, ``batch``, ``learning_rate``, ``loss`` or ``gradient_norm``.
        first: the value in one.
        second: the value in the other.
    """

    stage: str
    step: int
    field: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Element:
    """The first number of the first tensor in which two models differ.

    Attributes:
        tensor: its name.
        index: of the number, one for each dimension.
        first: its value in one.
        second: its value in the other.
        bits: both as hexadecimal digits.
        ulps: how many numbers of the type lie between them; None between numbers of other signs, or none at all.
        differing: how many numbers of the tensor differ.
        size: how many it has.
        largest: the largest difference in it.
    """

    tensor: str
    index: tuple[int, ...]
    first: float
    second: float
    bits: tuple[str, str]
    ulps: int | None
    differing: int
    size: int
    largest: float


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
            yield f"    {_value(self.step.first)}"
            yield f"    {_value(self.step.second)}"
        if self.element:
            yield from _element(self.element)
        yield from _listed("tensors", self.tensors)
        yield from _listed("files", self.files)
        yield from _listed("machines", self.machines)


def explain(first: Path, second: Path) -> Explanation:
    """Find where two builds part.

    Args:
        first: a release, a model's folder or file, or the log of a build.
        second: another one of the same sort.

    Raises:
        InputError: if there is nothing to compare.
    """
    for path in (first, second):
        if not path.exists():
            raise InputError(
                "there is nothing here", where=str(path), hint="name a release, a model, or a log of a build"
            )
    if is_release(first) and is_release(second):
        return _releases(Release.open(first), Release.open(second))
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
        "" if same else _guess(found),
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
        names = ("step", "batch", "learning_rate", "loss", "gradient_norm")
        for name in names:
            if mine.get(name) != yours.get(name):
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


def _guess(found: _Found) -> str:
    """The cause that fits what was seen first; what is not certain is called likely."""
    if found.stage and any("version" in one for one in found.because):
        return f"`{found.stage}` is of another version of regrow, or of a library that it depends on"
    if found.inputs:
        return f"the two were made from different instructions, first `{found.inputs[0]}`"
    if found.step is None:
        return (
            f"`{found.stage}` gives something else from the same inputs" if found.stage else "files beside the stages"
        )
    match found.step.field:
        case "state" if found.step.step == 0:
            return "the initial values: another seed, another base, or other random numbers"
        case "batch":
            return "the data or its order: the same step read other tokens"
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


def _models(first: Path, second: Path) -> Explanation:
    element, tensors = _weights(first, second)
    same = element is None and not tensors
    guess = "" if same else "the weights themselves; what they were made from is not told by both"
    return Explanation(str(first), str(second), same, element=element, tensors=tensors, guess=guess)


def _weights(first: Path, second: Path) -> tuple[Element | None, tuple[str, ...]]:
    """The first number that differs, and how many tensors do."""
    ours, theirs = _tensors(first), _tensors(second)
    if not ours or not theirs:
        lacking = first if not ours else second
        if is_release(first) and is_release(second):
            return None, ()
        raise InputError("there are no weights here", where=str(lacking), hint="safetensors files are compared")
    both, element, other = sorted(ours.keys() & theirs.keys()), None, 0
    for name in both:
        found = _compared(name, ours[name], theirs[name])
        other += found is not None
        element = element or (found if isinstance(found, Element) else None)
    told = [f"{other:,} of {len(both):,} differ"] if other else []
    for label, left, right in (("first", ours, theirs), ("second", theirs, ours)):
        if alone := sorted(left.keys() - right.keys()):
            told.append(
                f"only in the {label}: {', '.join(alone[:3])}" + (f" and {len(alone) - 3:,} more" * (len(alone) > 3))
            )
    return element, tuple(told)


def _tensors(path: Path) -> dict[str, tuple[Path, str]]:
    """Tensor -> the file that has it."""
    from safetensors import SafetensorError, safe_open

    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    found: dict[str, tuple[Path, str]] = {}
    for file in files:
        if file.name.startswith("optimizer."):
            continue
        try:
            with safe_open(file, "pt") as opened:
                found |= {name: (file, name) for name in opened.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise RecipeError("the weights cannot be read", where=str(file), why=str(error)) from error
    return found


def _read(place: tuple[Path, str]) -> torch.Tensor:
    from safetensors import safe_open

    with safe_open(place[0], "pt") as opened:
        found: torch.Tensor = opened.get_tensor(place[1])
    return found


def _compared(name: str, one: tuple[Path, str], other: tuple[Path, str]) -> Element | str | None:
    """None if two tensors are the same, bit for bit."""
    import torch

    left, right = _read(one), _read(other)
    if left.dtype != right.dtype or left.shape != right.shape:
        return f"{name}: {left.dtype} {tuple(left.shape)}, and {right.dtype} {tuple(right.shape)}"
    kind = _KINDS.get(str(left.dtype).removeprefix("torch."))
    numbers = [x.contiguous().view(getattr(torch, kind)) if kind else x for x in (left, right)]
    where = (numbers[0] != numbers[1]).reshape(-1)
    count = int(where.sum())
    if not count:
        return None
    place = int(where.to(torch.uint8).argmax())
    bits = [int(x.reshape(-1)[place]) for x in numbers]
    width = left.element_size()
    apart = (left.to(torch.float64) - right.to(torch.float64)).abs()
    return Element(
        name,
        tuple(int(one) for one in torch.unravel_index(torch.tensor(place), left.shape)) if left.dim() else (),
        float(left.reshape(-1)[place]),
        float(right.reshape(-1)[place]),
        (_hex(bits[0], width), _hex(bits[1], width)),
        abs(bits[0] - bits[1]) if kind and (bits[0] < 0) == (bits[1] < 0) else None,
        count,
        left.numel(),
        float(apart[apart.isfinite()].max()) if bool(apart.isfinite().any()) else math.nan,
    )


def _hex(bits: int, width: int) -> str:
    return f"{bits & (1 << 8 * width) - 1:0{2 * width}x}"


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
        names = [
            name
            for name in ("learning_rate", "loss", "gradient_norm")
            if steps[0][key].get(name) != steps[1][key].get(name)
        ]
        if names:
            values = (steps[0][key].get(names[0]), steps[1][key].get(names[0]))
            step = Step(str(key[0]), int(key[1]), names[0], *values)
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


def _element(one: Element) -> Iterator[str]:
    index = f"[{', '.join(map(str, one.index))}]" if one.index else ""
    yield f"  first number that differs: {one.tensor}{index}"
    ulps = "" if one.ulps is None else f", {one.ulps:,} apart in units of the last place"
    yield f"    {one.first!r} ({one.bits[0]}) and {one.second!r} ({one.bits[1]}){ulps}"
    yield f"    {one.differing:,} of its {one.size:,} numbers differ, by {one.largest:.3g} at most"


def _listed(what: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"  {what}:"
        yield from (f"    {line}" for line in lines)


def _value(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value) if not isinstance(value, str) else shown(value)
