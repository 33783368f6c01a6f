"""The lock: every input pinned and every default made explicit, so that a build can be repeated from it alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import Field, PrivateAttr, StringConstraints, ValidationInfo, field_validator

from regrow.errors import InputError, RecipeError
from regrow.recipe.differences import differences
from regrow.recipe.expand import Draft, assemble, expand
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import Kinds
from regrow.recipe.pin import FOLDER, WITHHELD, Pin, Pinned, Pins, list_path, withheld_path
from regrow.recipe.problems import CombinedRecipeError, Origin
from regrow.recipe.roles import TRAINING, Role
from regrow.recipe.schema import Model, Recipe, Source, check, distinct
from regrow.recipe.text import parsed, read
from regrow.recipe.values import Name, Texts
from regrow.sections import Section, fault
from regrow.words import shown

FILE = "regrow.lock"
ONLY_LINE_ENDS = "only line ends differ"
_HEADER = "# Written by regrow. Do not edit: change regrow.toml, then run `regrow lock`.\n\n"
_REMEDY = "take a whole version of the file, or delete it and run `regrow lock`; do not mend it by hand"
_LIST = f"take `{FOLDER}` from where the lock came from, or delete the lock and run `regrow lock`"
_HELD = (
    f"take `{WITHHELD}` from where the lock was made; without it the texts of that lock are not known to be the same"
)
_CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7})(?: .*)?$", re.MULTILINE)

_LISTS = ("file", "licences_found")
"""Keys of a source that hold a list even of one."""

_MOST_LISTED = 1 << 30
"""Bytes of a list; it has 150 for a file."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# As a name in a recipe; longer, since `documents-S` is the name of a stage for every source S.
StageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64 + len("documents-"))]


class OtherVersionError(RecipeError):
    """A lock is for another version of regrow.

    Args:
        what: is of another version.
        where: the lock.
        here: the version of this regrow.
    """

    def __init__(self, what: str, where: str, here: int) -> None:
        super().__init__(
            what,
            where=where,
            why=f"this regrow has version {here}",
            hint="use the regrow that made the lock, or run `regrow lock` to lock for this one",
        )


class LockedFile(Section):
    """A :class:`Pin` as the lock holds it."""

    file: str = Field(min_length=1)
    sha256: Digest
    size: int = Field(ge=0)
    licences_found: tuple[str, ...] = ()


class Withheld(Section):
    """Files that may not be shared: what others may know of them.

    Attributes:
        files: how many.
        bytes: of all.
        commitment: the sha256 of their list, which begins with a secret.
    """

    files: int = Field(ge=0)
    bytes: int = Field(ge=0)
    commitment: Digest


class LockedSource(Section):
    """A source, with all of its files: each in a table, or, if they are many, in a list beside the lock.

    Attributes:
        name: of the source.
        fetch: where from.
        select: patterns of its files.
        licence: of the source.
        attribution: whom to name.
        role: what it is for; empty if that is training.
        sums: the digest of the list.
        withheld: what is told of the files if they may not be shared; their list lies beside the texts.
        licences_found: what the files in the list say of their own licences, in their own words.
        files: the files, if there is no list.
    """

    name: Name
    fetch: str
    select: Texts
    licence: str
    attribution: str = ""
    role: Role | Literal[""] = ""
    sums: Digest | None = None
    withheld: Withheld | None = None
    licences_found: tuple[str, ...] = ()
    files: tuple[LockedFile, ...] = Field(alias="file", default=())

    _listed: Pins = PrivateAttr(default=Pins())

    @field_validator("files")
    @classmethod
    def _are_in_one_place(cls, value: tuple[LockedFile, ...], info: ValidationInfo) -> tuple[LockedFile, ...]:
        if value and (info.data.get("sums") or info.data.get("withheld")):
            raise fault("the files are both here and in a list", hint="")
        return value

    @cached_property
    def pins(self) -> Pins:
        """All of its files, wherever they are told; those of others that may not be shared are only described."""
        if self.withheld and not self._listed.withheld:
            return Pins.described(self.withheld.files, self.withheld.bytes, self.withheld.commitment)
        return self._listed if self.digest else Pins(Pin(**dict(file)) for file in self.files)

    @property
    def digest(self) -> str:
        """What stands for the list of its files; empty if there is none."""
        return self.withheld.commitment if self.withheld else self.sums or ""

    @property
    def list_path(self) -> str:
        """Where the list lies, beside the lock, or beside texts that may not be shared; empty if there is none."""
        place = withheld_path if self.withheld else list_path
        return place(self.name, self.digest) if self.digest else ""

    @classmethod
    def of(cls, source: Source, pins: Pins) -> Self:
        """A source as it is said, with its files as they are."""
        said = {key: getattr(source, key) for key in ("name", "fetch", "select", "licence", "attribution")}
        said["role"] = "" if source.role == TRAINING else source.role
        if pins.withheld:
            told = Withheld(files=pins.number, bytes=pins.size, commitment=pins.bare.sums)
            kept = cls(**said, withheld=told)
            kept._listed = pins.bare
            return kept
        if not pins.many:
            keys = ("file", "sha256", "size", "licences_found")
            return cls(**said, file=tuple(LockedFile(**{key: getattr(pin, key) for key in keys}) for pin in pins))
        words = sorted({word for pin in pins for word in pin.licences_found})
        found = cls(**said, sums=pins.bare.sums, licences_found=tuple(words))
        found._listed = pins.bare
        return found

    def take(self, text: str, file: str) -> None:
        """Take its files from the list that its digest names.

        Args:
            text: the list; empty if there is none.
            file: where it is.

        Raises:
            RecipeError: if it is another one, or missing.
            InputError: if it is another one, and its texts may not be shared.
        """
        what = f"the list of the files of source `{self.name}`"
        if self.withheld:
            if text:
                self._listed = self._secret(text, file)
            return
        if not text:
            raise RecipeError(f"{what} is missing", where=file, why="the lock names it by its digest", hint=_LIST)
        try:
            listed = Pins.parse(text)
        except ValueError as error:
            raise RecipeError(f"{what} is damaged", where=file, why=str(error), hint=_LIST) from None
        if listed.sums != self.sums:
            why = f"its sha256 is {listed.sums[:12]}..., and the lock names {self.list_path}"
            raise RecipeError(f"{what} is not the one of the lock", where=file, why=why, hint=_LIST)
        self._listed = listed

    def _secret(self, text: str, file: str) -> Pins:
        """The files of the list that lies beside texts that may not be shared."""
        what = f"the secret list of the files of source `{self.name}`"
        try:
            found = Pins.parse(text)
        except ValueError as error:
            raise InputError(f"{what} is damaged", where=file, why=str(error), hint=_HELD) from None
        if found.sums != self.digest or not found.secret:
            why = f"its sha256 is {found.sums[:12]}..., and the lock names {self.list_path}"
            raise InputError(f"{what} is not the one of the lock", where=file, why=why, hint=_HELD)
        return found


class LockedStage(Section):
    """A stage, with all of its parameters, but for the pins of a stage that brings in a source: the source has them."""

    name: StageName
    kind: str
    version: int
    inputs: dict[str, Texts] = Field(default={})
    parameters: dict[str, Any] = Field(default={})

    @property
    def source(self) -> str:
        """The name of the source that it belongs to, if there is one for each: ``S`` of ``documents-S``."""
        return self.name.removeprefix(f"{self.kind}-")


class Lock(Section):
    """All that a build needs to know, and what it gave.

    Attributes:
        lock: the version of this format.
        recipe: sha256 of the recipe, see :attr:`Recipe.digest`.
        arithmetic: the version of the arithmetic.
        release: the release digest, once there is one.
        model: what the release is called, and its terms.
        sources: the inputs.
        stages: each after its inputs.
        outputs: stage -> digest of what it gave; empty before the first build.
    """

    lock: int = 1
    recipe: Digest
    arithmetic: int
    release: Digest | None = None
    model: Model
    sources: tuple[LockedSource, ...] = Field(alias="source")
    stages: tuple[LockedStage, ...] = Field(alias="stage")
    outputs: dict[str, Digest] = Field(default={})

    _origin: Origin = PrivateAttr(default_factory=lambda: Origin(FILE))

    @field_validator("sources", "stages")
    @classmethod
    def _are_distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(value)

    @field_validator("outputs")
    @classmethod
    def _are_of_stages(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        names = {stage.name for stage in info.data.get("stages", ())}
        if strangers := [name for name in value if names and name not in names]:
            raise fault(f"there is no stage `{strangers[0]}`", hint="", at=(strangers[0],))
        return value

    @classmethod
    def of(cls, recipe: Recipe, graph: Graph, pins: Mapping[str, Sequence[Pin]], arithmetic: int) -> Lock:
        """The lock of a recipe, before a build.

        Args:
            recipe: the recipe.
            graph: its stages, expanded with ``pins``.
            pins: source -> its files.
            arithmetic: the version of the arithmetic here.
        """
        sources = tuple(LockedSource.of(source, Pins.of(pins.get(source.name, ()))) for source in recipe.sources)
        files = {said.stage: locked.pins.bare for said, locked in zip(recipe.sources, sources, strict=True)}
        lock = cls(
            recipe=recipe.digest,
            arithmetic=arithmetic,
            model=recipe.model,
            source=sources,
            stage=tuple(_locked_stage(stage, files) for stage in graph.stages),
        )
        again = lock.graph({stage.kind.name: stage.kind for stage in graph.stages})
        if list(map(_plain, again.stages)) != list(map(_plain, graph.stages)):
            raise ValueError("a stage has a parameter that the lock cannot hold")  # a mistake in a kind
        return lock

    @property
    def pins(self) -> dict[str, Pins]:
        """Source -> its files."""
        return {source.name: source.pins for source in self.sources}

    @property
    def lists(self) -> dict[str, str]:
        """Path beside the lock -> the list of files that lies there."""
        return {source.list_path: source.pins.text for source in self.sources if source.sums}

    @property
    def secrets(self) -> dict[str, str]:
        """Path beside the texts -> the list of files that may not be shared, of those sources whose list is here."""
        return {source.list_path: source.pins.text for source in self.sources if source.pins.secret}

    def with_outputs(self, outputs: Mapping[str, str], release: str | None) -> Self:
        """The lock after a build; the one inside a release does not have the release digest, which covers it."""
        ordered = {stage.name: outputs[stage.name] for stage in self.stages if stage.name in outputs}
        return self.model_copy(update={"outputs": ordered, "release": release})

    def text(self) -> str:
        """The file: equal locks give equal bytes."""
        value = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"outputs"})
        for table in (*value["source"], *(stage["inputs"] for stage in value["stage"])):
            table.update({key: item[0] for key, item in table.items() if key not in _LISTS and _alone(item)})
        for key in ("source", "stage"):
            value[key] = [{name: item for name, item in table.items() if item not in ("", {})} for table in value[key]]
        for source in value["source"]:
            listed = "sums" in source or "withheld" in source
            for name in ("file", "licences_found") if listed else ("licences_found",):
                if not source[name]:
                    del source[name]
        if self.outputs:
            value["outputs"] = dict(self.outputs)
        return _HEADER + tomli_w.dumps(value)

    def graph(self, kinds: Kinds) -> Graph:
        """The stages, without a look at the recipe.

        Raises:
            RecipeError: if they are not stages as they are known here.
        """
        for stage in self.stages:
            kind = kinds.get(stage.kind)
            if kind is None:
                raise RecipeError(
                    f"stage `{stage.name}` is of the kind `{stage.kind}`, which is not known here",
                    where=self._origin.file,
                    why="neither this regrow nor a package that is installed brings it",
                    hint="install the package that brings it; kinds of others come as entry points `regrow.kinds`",
                )
            if kind.version != stage.version:
                what = f"stage `{stage.name}` is of version {stage.version} of the kind `{stage.kind}`"
                raise OtherVersionError(what, self._origin.file, kind.version)
        pins = {source.name: {"pins": source.pins.bare} for source in self.sources}
        drafts = {}
        for i, stage in enumerate(self.stages):
            brought = pins.get(stage.source, {}) if issubclass(kinds[stage.kind].parameters, Pinned) else {}
            parameters = {**brought, **stage.parameters}
            drafts[stage.name] = Draft(stage.name, stage.kind, parameters, stage.inputs, ("stage", i))
        try:
            return assemble(drafts, kinds, self._origin)
        except RecipeError as error:
            raise _damaged(error) from None


def load(path: Path, texts: Path | None = None) -> Lock:
    """Read a lock.

    Args:
        path: the file, or the folder with a ``regrow.lock``.
        texts: the folder beside whose texts the lists of those lie that may not be shared; by default that of the lock.

    Raises:
        RecipeError: if it is not there or not whole.
        InputError: if a list of files that may not be shared is another one.
    """
    file = path / FILE if path.is_dir() else path

    def place(name: str) -> Path:
        return (texts or file.parent if name.startswith(f"{WITHHELD}/") else file.parent) / name

    def beside(name: str) -> str:
        found = place(name)
        if name.startswith(f"{WITHHELD}/") and not found.exists():
            return ""
        return read(found, _LIST, _MOST_LISTED)

    return parse(read(file, "run `regrow lock` or `regrow build` first"), str(file), beside, place)


def parse(
    text: str,
    file: str = FILE,
    beside: Callable[[str], str] = lambda _: "",
    place: Callable[[str], Path] | None = None,
) -> Lock:
    """The lock that a text holds.

    Args:
        text: the file.
        file: where it is.
        beside: path -> the text of a list beside it; empty if it is missing.
        place: path -> where that is, for errors; by default beside the file.

    Raises:
        RecipeError: if it is damaged, or a list that it names is.
    """
    if conflict := _CONFLICT.search(text):
        line = text.count("\n", 0, conflict.start()) + 1
        hint = "take either side whole, then run `regrow lock`"
        raise RecipeError("the lock has a merge conflict", where=f"{file}:{line}", hint=hint)
    origin = parsed(text, file, _REMEDY)
    if "lock" not in origin.data:
        why = "the key `lock` is missing, with which each begins" if text.strip() else "the file is empty"
        raise RecipeError("this is not a lock", where=file, why=why, hint=_REMEDY)
    if (version := origin.data["lock"]) != 1:
        what = f"the lock has the format {shown(version)}"
        hint = "upgrade regrow, or delete the file and run `regrow lock`"
        raise RecipeError(what, where=file, why="this regrow knows the format 1", hint=hint)
    try:
        lock = check(Lock, origin.data, origin)
    except RecipeError as error:
        raise _damaged(error) from None
    lock._origin = origin
    for source in lock.sources:
        if source.digest:
            where = place(source.list_path) if place else Path(file).parent / source.list_path
            source.take(beside(source.list_path), str(where))
    return lock


def kept_pins(lock: Lock, recipe: Recipe) -> dict[str, tuple[Pin, ...]]:
    """The pins of those sources that the recipe still fetches as it did, so that they need not be found again."""
    locked = {source.name: source for source in lock.sources}
    now = ((source.name, source.fetch, source.select, source.withheld) for source in recipe.sources)
    before = {name: [one.fetch, one.select, one.withheld is not None] for name, one in locked.items()}
    same = [name for name, *how in now if before.get(name) == how]
    return {name: lock.pins[name] for name in same}


def reasons_stale(
    lock: Lock,
    recipe: Recipe,
    arithmetic: int,
    found: Mapping[str, Sequence[Pin]] | None = None,
    only_line_ends: Callable[[Source, Pin], bool] = lambda *_: False,
) -> tuple[str, ...]:
    """Why a lock is not the recipe's, field by field; empty if it is.

    Args:
        lock: the lock.
        recipe: the recipe as it is now, with the kinds as they are now.
        arithmetic: the version of the arithmetic now.
        found: source -> its files as they are now, where somebody looked.
        only_line_ends: told a source and a file that is pinned, says of one that changed whether that is all.

    Raises:
        RecipeError: if the recipe's stages do not fit together.
    """
    pins = {**lock.pins, **(found or {})}
    fresh = Lock.of(recipe, expand(recipe, pins), pins, arithmetic)
    sources = {source.name: source for source in recipe.sources}
    reasons = tuple(_differences(lock, fresh, lambda name, pin: only_line_ends(sources[name], pin)))
    if not reasons and lock.recipe != fresh.recipe:
        return ("the text of the recipe changed, in nothing that a stage depends on",)
    return reasons


def _differences(old: Lock, new: Lock, only_line_ends: Callable[[str, Pin], bool]) -> Iterator[str]:
    yield from _changes("", {"arithmetic": old.arithmetic}, {"arithmetic": new.arithmetic})
    yield from _changes("", {"model": old.model.model_dump()}, {"model": new.model.model_dump()})
    before, now = ({source.name: source for source in lock.sources} for lock in (old, new))
    others = before.keys() ^ now.keys()
    for name in _names(before, now):
        if name in others:
            yield f"source {name} {'added' if name in now else 'removed'}"
        else:
            said = ({"attribution": source.attribution} for source in (before[name], now[name]))
            yield from _changes(f"source {name}: ", *said)
            yield from _file_changes(before[name], now[name], only_line_ends)
    yield from _stage_changes(old, new, others)


def _file_changes(old: LockedSource, new: LockedSource, only_line_ends: Callable[[str, Pin], bool]) -> Iterator[str]:
    prefix = f"source {new.name}: "
    if old.withheld or new.withheld:  # what is told of them is no secret
        if old.digest != new.digest:
            yield f"{prefix}its files changed"
        return
    if old.pins == new.pins:
        return
    before, now = ({pin.file: pin for pin in source.pins} for source in (old, new))
    for name in _names(before, now):
        if name not in before or name not in now:
            yield f"{prefix}file `{name}` {'added' if name in now else 'removed'}"
        elif before[name].sha256 != now[name].sha256:
            if only_line_ends(new.name, before[name]):
                yield f"{prefix}file `{name}` changed: {ONLY_LINE_ENDS}"
            else:
                yield f"{prefix}file `{name}` changed: sha256 {before[name].sha256[:12]} -> {now[name].sha256[:12]}"
        elif before[name] != now[name]:
            yield f"{prefix}what is known of file `{name}` changed"


def _stage_changes(old: Lock, new: Lock, sources: Set[str]) -> Iterator[str]:
    """The stages that differ, but for those that came or went with their source."""
    before, now = ({stage.name: stage for stage in lock.stages} for lock in (old, new))
    for name in _names(before, now):
        if name in before and name in now:
            yield from _stage_change(before[name], now[name])
        elif (now.get(name) or before[name]).source not in sources:
            yield f"stage {name} {'added' if name in now else 'removed'}"


def _stage_change(old: LockedStage, new: LockedStage) -> Iterator[str]:
    prefix = f"stage {old.name}: "
    yield from _changes(prefix, {"kind": old.kind}, {"kind": new.kind})
    if old.kind == new.kind:
        yield from _changes(f"{prefix}kind ", {"version": old.version}, {"version": new.version})
        yield from _changes(prefix, old.parameters, new.parameters)
    yield from _changes(f"{prefix}input ", old.inputs, new.inputs)


def _changes(prefix: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """The fields in which two tables differ, in words."""
    yield from (f"{prefix}{'.'.join(one.path)} {one.words()}" for one in differences(old, new))


def _names(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The names in either, those of the new one first."""
    return [*new, *(name for name in old if name not in new)]


def _locked_stage(stage: Stage, files: Mapping[str, Pins]) -> LockedStage:
    parameters = stage.parameters.model_dump(mode="json", exclude_none=True)
    if isinstance(stage.parameters, Pinned):
        pins = stage.parameters.pins
        if pins == files.get(stage.name):
            del parameters["pins"]  # the source has them
        else:
            parameters["pins"] = [asdict(pin) for pin in pins]  # no list of a source has them
    inputs = {slot: tuple(names) for slot, names in stage.inputs.items()}
    return LockedStage(
        name=stage.name, kind=stage.kind.name, version=stage.kind.version, inputs=inputs, parameters=parameters
    )


def _plain(stage: Stage) -> tuple[Any, ...]:
    """All of a stage that counts; its parameters may hold more, which they exclude."""
    return stage.name, stage.kind.name, stage.parameters.model_dump(mode="json"), dict(stage.inputs)


def _alone(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1


def _damaged(error: RecipeError) -> RecipeError:
    first = error.problems[0] if isinstance(error, CombinedRecipeError) else error
    return RecipeError("the lock is damaged", where=first.where, why=f"of this: {first.what}", hint=_REMEDY)
