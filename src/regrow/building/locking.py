"""A recipe made explicit: its stages, with every input pinned, and what its lock promises they give.

The modes are those of package managers: a plain build renews a lock that is out of date and keeps the pins of what did
not change; ``--locked`` refuses instead; ``--frozen`` takes the lock for the truth and does not look at the recipe.
Files beside the recipe are as much the author's as the recipe is, so they are looked at whenever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from pathlib import Path
from threading import Event

from regrow.building.secrets import keep, secret_of
from regrow.building.without import NOTHING, Without, variant
from regrow.engine import Listener, StageContext, Stop
from regrow.errors import InputError, RecipeError, RegrowError
from regrow.exact.version import ARITHMETIC
from regrow.recipe.expand import expand
from regrow.recipe.graph import Graph
from regrow.recipe.inherit import Spoken, spoken
from regrow.recipe.kind import Surroundings, Workers
from regrow.recipe.lock import ONLY_LINE_ENDS, Lock, LockedSource, OtherVersionError, kept_pins, reasons_stale
from regrow.recipe.lock import load as load_lock
from regrow.recipe.pin import FOLDER, Pin, Pinned, Pins
from regrow.recipe.schema import Source, understood
from regrow.release import is_release
from regrow.release.layout import ENVIRONMENT, LOCK, RECIPE
from regrow.sources import LINE_ENDS, SCHEMES, cautions, check, is_local, only_line_ends
from regrow.stages import KINDS
from regrow.store import sha256_bytes, write_atomic
from regrow.words import shown, some

_NAMED = 10
"""Sources that a message names at the most."""


class Mode(Enum):
    """What to do about the lock. ``DRAFT`` renews it as far as nothing has to be fetched for it: enough for a plan."""

    RENEW = "renew"
    DRAFT = "draft"
    LOCKED = "locked"
    FROZEN = "frozen"


@dataclass(frozen=True)
class Locked:
    """A recipe with its lock.

    Attributes:
        folder: the folder of the recipe.
        recipe: the text of ``regrow.toml``, with all that it extends.
        model: what the release is called.
        licence: of the weights, as an SPDX expression.
        graph: the stages, every input pinned and every default made explicit.
        surroundings: where and how the stages fetch.
        promised: stage -> digest, as the lock has them; empty if the lock is new.
        promised_release: the release digest the lock has, if any.
        text: (outputs of the stages, release digest) -> the text of the lock with these.
        lists: path beside the lock -> the list of files that it names by its digest.
        secrets: path beside the texts -> the list of files that may not be shared.
        pins: source -> its files.
        whole: the stages of the recipe that this is a variant of, where something is left out.
        kept_at: where others find complete states of the runs; empty for the release itself.
    """

    folder: Path
    recipe: bytes
    model: str
    licence: str
    graph: Graph
    surroundings: Surroundings
    promised: Mapping[str, str]
    promised_release: str | None
    text: Callable[[Mapping[str, str], str | None], str]
    lists: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[str, ...]:
        """The stages that would bring in texts that may not be shared and that nobody here holds."""
        brought = ((stage.name, stage.parameters) for stage in self.graph.stages)
        return tuple(name for name, it in brought if isinstance(it, Pinned) and Pins.of(it.pins).missing)

    def lent(self, workers: Workers | None, *, recompute: bool) -> Locked:
        """The same, whose training is shared by others, or keeps less and computes it once more."""
        return replace(self, surroundings=replace(self.surroundings, workers=workers, recompute=recompute))

    def keep_secrets(self) -> None:
        """Write the secrets of texts that may not be shared, before anything is made that depends on them."""
        keep(self.secrets, self.surroundings.base)

    pins: Mapping[str, Sequence[Pin]] = field(default_factory=dict)
    whole: Graph | None = None
    kept_at: str = ""


def locked_recipe(
    folder: Path,
    mode: Mode,
    *,
    sources: Path | None = None,
    offline: bool = False,
    without: Without = NOTHING,
    listener: Listener,
    stop: Stop | None = None,
) -> Locked:
    """A recipe with its lock, renewed where the mode says so and it is needed. Nothing is written.

    Args:
        folder: of the recipe.
        mode: what to do about its lock.
        sources: where paths after ``file:`` begin; by default at the recipe.
        offline: never use the network.
        without: what to leave out; then it is the variant that does so, which has the pins of the recipe's lock.
        listener: is told what is done.
        stop: see below.

    Raises:
        RecipeError: if recipe or lock are wrong, or the lock is missing or out of date and must not be renewed.
        InputError: if a source beside the recipe, or one that is not pinned yet, cannot be had.
        Interrupted: if ``stop`` is set before all sources are pinned.
    """
    said = spoken(folder / RECIPE)
    place = _Place(folder, (sources or said.root).absolute(), offline)
    locked = _locked_recipe(said, place, mode, listener, stop or Event())
    if without:
        locked = _varied(variant(said, without), locked, place)
    fetched = (stage.parameters.fetch for stage in locked.graph.stages if isinstance(stage.parameters, Pinned))
    for caution in dict.fromkeys(caution for fetch in fetched for caution in cautions(fetch)):
        listener({"event": "note", "text": caution})
    return locked


def _locked_recipe(said: Spoken, place: _Place, mode: Mode, listener: Listener, stop: Stop) -> Locked:
    folder = place.folder
    if mode is Mode.FROZEN:
        frozen = load_lock(folder, place.base)
        _require_arithmetic(frozen, folder / LOCK)
        locked = _locked(frozen, said, place)
        if sha256_bytes(locked.recipe) != frozen.recipe:
            raise RecipeError(
                "the recipe is not the one that was locked",
                where=str(folder / RECIPE),
                why="a release holds both, and would contradict itself",
                hint="build without --frozen, which renews the lock",
            )
        return locked
    recipe = understood(said, KINDS)
    _require_place(recipe.model.kept_at, folder / RECIPE)
    expand(recipe, {})  # what does not fit together is told before anything is looked up
    # Files of the author's may have changed since. Those of a release are not in it, and its lock is a promise.
    lock = load_lock(folder, place.base) if (folder / LOCK).exists() else None
    look = _Look(place, listener, stop, lock)
    own = () if is_release(folder) else (source for source in recipe.sources if is_local(source.fetch))
    found = {source.name: look(source) for source in own}
    reasons = ("there is no lock yet",) if lock is None else reasons_stale(lock, recipe, ARITHMETIC, found, look.again)
    if lock is not None and not reasons:
        return _locked(lock, said, place)
    if mode is Mode.LOCKED:
        raise RecipeError(
            "the lock is not up to date",
            where=str(folder / LOCK),
            why="; ".join(reasons),
            hint=LINE_ENDS
            if any(reason.endswith(ONLY_LINE_ENDS) for reason in reasons)
            else f"run `regrow lock {folder}`, or build without --locked",
        )
    listener({"event": "lock", "reasons": list(reasons)})
    known = {**(kept_pins(lock, recipe) if lock is not None else {}), **found}
    unknown = [source for source in recipe.sources if not Pins.of(known.get(source.name, ())).number]
    missing = unknown if mode is not Mode.DRAFT else []
    pins = {**known, **{source.name: look(source) for source in missing}}
    return _locked(Lock.of(recipe, expand(recipe, pins), pins, ARITHMETIC), said, place)


def stages_of(
    said: Spoken,
    lock: Lock | None,
    base: Path,
    bases: Mapping[str, Path],
    offline: bool,
    listener: Listener,
    stop: Stop,
) -> tuple[Graph, Mapping[str, str]]:
    """The stages of a recipe of which nothing is kept, every input pinned.

    Args:
        said: the recipe.
        lock: has pins of sources, which are not looked up then.
        base: the folder in which the paths of ``file:`` sources begin.
        bases: the same for sources that lie elsewhere, by name.
        offline: never use the network.
        listener: gets the events of looking up sources.
        stop: when it is set, :class:`regrow.errors.Interrupted` is raised.

    Returns:
        The stages; and of each source the one that brings it in.

    Raises:
        RecipeError: if the recipe is wrong.
        InputError: if a source cannot be had.
    """
    recipe = understood(said, KINDS)
    expand(recipe, {})
    known = kept_pins(lock, recipe) if lock is not None else {}
    pins = {
        source.name: known.get(source.name)
        or _Look(_Place(said.root, bases.get(source.name, base), offline), listener, stop)(source)
        for source in recipe.sources
    }
    return expand(recipe, pins), {source.name: source.stage for source in recipe.sources}


def _varied(said: Spoken, locked: Locked, place: _Place) -> Locked:
    """A variant of a locked recipe that fetches what that one does."""
    recipe = understood(said, KINDS)
    lock = Lock.of(recipe, expand(recipe, locked.pins), locked.pins, ARITHMETIC)
    return replace(_locked(lock, said, place), whole=locked.graph)


def as_locked(release: Path, *, sources: Path | None, offline: bool) -> tuple[Locked, tuple[str, ...]]:
    """The recipe and the lock in a release, and the reasons, if any, why they do not belong together.

    Raises:
        RecipeError: if the lock is for another version of regrow.
        InputError: if the release was made from files that are not in it, and nobody said where they are.
    """
    lock, said = load_lock(release, sources), spoken(release / RECIPE)
    try:
        locked = _locked(lock, said, _Place(release, (sources or release).absolute(), offline))
        _require_arithmetic(lock, release / LOCK)
    except OtherVersionError as error:
        error.hint = f"use the regrow that made the release, which `{ENVIRONMENT}` in it names"
        raise
    reasons = reasons_stale(lock, understood(said, KINDS), ARITHMETIC)
    missing = [stage.name for stage in lock.stages if stage.name not in lock.outputs]
    if not reasons and sources is None:
        _require_files(lock, release)
    return locked, (*reasons, *(f"the lock does not say what stage {name} gave" for name in missing))


def write_lock(path: Path, text: str, lists: Mapping[str, str]) -> None:
    """Write a lock and the lists that it names: first the new lists, so that it never names one that is not there.

    Args:
        path: of the lock.
        text: the lock.
        lists: path beside it -> text.
    """
    for name, listed in lists.items():
        write_atomic(path.with_name(FOLDER) / Path(name).name, listed)
    write_atomic(path, text)
    if (folder := path.with_name(FOLDER)).is_dir():
        for old in [one for one in folder.glob("*.sha256") if f"{FOLDER}/{one.name}" not in lists]:
            old.unlink()
        with suppress(OSError):  # there may be something of somebody's own in it
            folder.rmdir()


def _require_place(kept_at: str, file: Path) -> None:
    """Refuse an address at which nobody finds what a check of parts begins with."""
    if not kept_at:
        return
    where = f"{file}: model.kept_at"
    if kept_at.partition(":")[0] in {*SCHEMES} - {"https", "hf"}:
        raise RecipeError(
            f"{shown(kept_at)} is no folder that others can read",
            where=where,
            hint='write "s3://bucket/bard" or the like, "hf:owner/name@COMMIT" or "https://..."',
        )
    try:
        check(kept_at)
    except RecipeError as error:
        error.where = where
        raise


def _require_arithmetic(lock: Lock, file: Path) -> None:
    if lock.arithmetic != ARITHMETIC:
        what = f"the lock is for version {lock.arithmetic} of the arithmetic"
        raise OtherVersionError(what, str(file), ARITHMETIC)


@dataclass(frozen=True)
class _Place:
    """Where a recipe is, where its ``file:`` sources are, and whether to leave the network alone."""

    folder: Path
    base: Path
    offline: bool


def _locked(lock: Lock, said: Spoken, place: _Place) -> Locked:
    return Locked(
        folder=place.folder,
        recipe=said.text.encode(),
        model=lock.model.name,
        licence=lock.model.licence,
        kept_at=lock.model.kept_at,
        graph=lock.graph(KINDS),
        surroundings=Surroundings(place.base, place.offline),
        promised=lock.outputs,
        promised_release=lock.release,
        text=lambda outputs, release: lock.with_outputs(outputs, release).text(),
        lists=lock.lists,
        secrets=lock.secrets,
        pins=lock.pins,
    )


@dataclass(frozen=True)
class _Look:
    """Finds out which files a source has now; of texts that may not be shared, with their secret."""

    place: _Place
    listener: Listener
    stop: Stop
    lock: Lock | None = None

    def __call__(self, source: Source) -> Pins:
        from regrow.sources import resolve

        context = StageContext(source.stage, self.listener, self.stop)
        secret = secret_of(source.name, self.lock, self.place.base) if source.withheld else ""
        try:
            found = resolve(
                source.fetch,
                self.place.base,
                source.select,
                source.exclude,
                emit=partial(context.emit, source=source.name),
                offline=self.place.offline,
                poll=context.stop_if_asked,
                known=None if self.lock is None else self.lock.pins.get(source.name),
            )
            return Pins.kept_back(found, secret) if secret else Pins.of(found)
        except RegrowError as error:
            error.where = error.where or f"source `{source.name}`"
            raise

    def again(self, source: Source, pin: Pin) -> bool:
        """Whether a file of a source differs from what was pinned in nothing but the ends of its lines."""
        return only_line_ends(source.fetch, self.place.base, pin)


def _require_files(lock: Lock, release: Path) -> None:
    """Raise if files that a release was made from lie neither in it nor where somebody said."""
    lacking = [source for source in lock.sources if not _is_there(source, release)]
    if not lacking:
        return
    names = some((source.name for source in lacking), _NAMED)
    places = some(dict.fromkeys(source.fetch for source in lacking), _NAMED)
    raise InputError(
        f"the files of source{'s' if len(lacking) > 1 else ''} {names} are not part of the release",
        where=str(release / RECIPE),
        why=f"it was made from {places}, beside the recipe",
        hint="`regrow verify --source DIR` says in which folder they are",
    )


def _is_there(source: LockedSource, release: Path) -> bool:
    if not is_local(source.fetch) or source.pins.missing:
        return True
    place = release / source.fetch.partition(":")[2]
    return place.is_file() or all((place / pin.file).exists() for pin in source.pins)
