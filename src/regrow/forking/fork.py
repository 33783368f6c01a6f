"""Forking: from a release to a folder in which anyone can go on without its owner.

The folder has the recipe and the lock of the release, so that where nothing is missing it builds to the same digest.
Beside them lies all that may be passed on: texts of the author's own where the recipe looks for them, and whatever
would have to be fetched in ``regrow.fork/files``, by its hash, where every build of that recipe looks first. What may
not be passed on, or is not on this machine, is named. Texts that are missing for good are taken out of the recipe,
which is then another one and has a name of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import tomli_w

from regrow import sources
from regrow.corpus.removal import WENT_ALONG
from regrow.engine import Listener
from regrow.errors import InputError, RecipeError
from regrow.evidence import FOLDER as EVIDENCE
from regrow.exact.version import ARITHMETIC
from regrow.forking.bytes import Bytes
from regrow.forking.page import page
from regrow.forking.terms import Duty, duties, refusal
from regrow.recipe.expand import expand
from regrow.recipe.inherit import KEY as EXTENDS
from regrow.recipe.lock import Lock
from regrow.recipe.pin import FOLDER as SUMS_FOLDER
from regrow.recipe.pin import Pin
from regrow.recipe.schema import Recipe, Source, parse
from regrow.release import Release, is_release
from regrow.release.files import DamagedError, read_text
from regrow.release.layout import FORK, LICENCE, LOCK, PAPER, RECIPE, SUMS, UNCOVERED
from regrow.release.sums import leaves
from regrow.sources.archives import is_archive
from regrow.sources.kept import FOLDER, place
from regrow.stages import KINDS
from regrow.store import new_directory, sha256_bytes
from regrow.store.copying import copy_hashed
from regrow.verifying.files import check_files
from regrow.words import counted, listed, some

RECORD = f"{FOLDER}/{PurePosixPath(FORK).name}"
"""Beside the recipe of a fork: what it was forked from, for whatever is built of it."""

_RELEASE, _PAGE = f"{FOLDER}/release", f"{FOLDER}/README.md"
_OWN = (RECIPE, LOCK, SUMS_FOLDER, FOLDER, LICENCE, PAPER)
_SCHEMA = "regrow/fork/1"
_GIT = "* -text\n"  # a lock pins bytes, so Git must not change the ends of lines


@dataclass(frozen=True)
class Part:
    """Something that a model was made from: a source of texts, or another model.

    Attributes:
        name: as the recipe calls it.
        fetch: where the recipe gets it.
        licence: as declared.
        availability: of texts, as declared; empty for models.
        files: how many; None if the release does not say which.
        bytes: of all of them.
        standing: ``copied`` into the fork; ``elsewhere``, to be fetched when it is built; or ``missing``.
        why: it is not copied.
        attribution: whom to name.
        found: what the files say of their own licences, in their own words.
        packed: whether they are archives, which hold more than the recipe reads, perhaps.
    """

    name: str
    fetch: str
    licence: str
    availability: str
    files: int | None
    bytes: int | None
    standing: str
    why: str
    attribution: str = ""
    found: tuple[str, ...] = ()
    packed: bool = False

    @property
    def size(self) -> str:
        """How much it is, in words."""
        if self.files is None or self.bytes is None:
            return "files that the release does not name"
        return f"{counted(self.files, 'file')}, {self.bytes:,} bytes"


@dataclass(frozen=True)
class Fork:
    """A fork that was made.

    Attributes:
        folder: where it is.
        name: of the model that it was made from.
        digest: of its release.
        licence: of its weights.
        parts: what it was made from.
        weights: why the release, weights included, was not copied; empty if it was.
        changed: the sources that its recipe does not have any more, because they are missing.
        stuck: why its recipe cannot be built as it is; empty if it can.
        duties: what licences ask of whoever passes it on.
    """

    folder: str
    name: str
    digest: str
    licence: str
    parts: tuple[Part, ...]
    weights: str
    changed: tuple[str, ...]
    stuck: str
    duties: tuple[Duty, ...]

    @property
    def same(self) -> bool:
        """Whether its recipe is that of the release, and can be built."""
        return not self.changed and not self.stuck

    @property
    def alone(self) -> bool:
        """Whether it can be built with what lies in it."""
        return self.same and all(one.standing == "copied" for one in self.parts)


def fork(
    path: Path,
    folder: Path,
    *,
    texts: Path | None = None,
    store: Path | None = None,
    offline: bool = False,
    listener: Listener,
) -> Fork:
    """Make a fork of a release; whole or not at all.

    Args:
        path: the release.
        folder: to make; nothing may be there.
        texts: a folder in which its ``file:`` sources may lie.
        store: the root of a store that may have them; by default the user's.
        offline: never use the network.
        listener: is told of what is fetched.

    Raises:
        InputError: if there is no release, or it is not whole.
        RecipeError: if the folder is there already, or the release contradicts itself.
    """
    if folder.exists() or folder.is_symlink():
        what = f"`{folder}` is there already"
        raise RecipeError(what, why="nothing is overwritten", hint="name another folder, or move that one away")
    _refuse_to_spoil(folder)
    release = _whole(path)
    recipe, lock = _recipe(release)
    folder.parent.mkdir(parents=True, exist_ok=True)
    places = [path, *([texts] if texts else [])]
    with new_directory(folder) as made, Bytes.open(lock.outputs, places, store, offline, listener) as found:
        parts = tuple(_part(source, lock, _availability(release, source), made, found) for source in recipe.sources)
        weights = refusal(str(release.model.get("licence", "")))
        _copy_release(release, made, LICENCE, PAPER, into="")
        if not weights:
            covered = (path for path in release.listed if path.partition("/")[0] not in UNCOVERED)
            _copy_release(release, made, *covered, SUMS, into=_RELEASE)
        else:
            _copy_release(release, made, RECIPE, LOCK, *lock.lists, into=_RELEASE)
        changed, stuck = _write_recipe(release, recipe, lock, parts, made)
        result = Fork(
            str(folder),
            recipe.model.name,
            release.digest,
            recipe.model.licence,
            parts,
            weights,
            changed,
            stuck,
            duties([("the weights", recipe.model.licence), *((one.name, one.licence) for one in parts)]),
        )
        (made / ".gitattributes").write_text(_GIT, "utf-8", newline="\n")
        (made / RECORD).write_text(_record(result, lock), "utf-8", newline="\n")
        (made / _PAGE).write_text(page(result), "utf-8", newline="\n")
    return result


def _refuse_to_spoil(folder: Path) -> None:
    """Raise if a folder lies in a release, which would not be whole any more with other files in it."""
    for parent in folder.resolve().parents:
        with suppress(OSError, DamagedError):
            if is_release(parent):
                what = "a fork cannot be made inside a release"
                why = f"{parent} is one, and would not be whole any more with other files in it"
                raise RecipeError(what, where=str(folder), why=why, hint="name a folder elsewhere")


def _whole(path: Path) -> Release:
    release = Release.open(path)
    release.require_plain()
    check = check_files(release)
    if not check.whole:
        wrong = some([*check.damaged, *check.missing, *check.extra])
        raise InputError(
            "the release is not as it was released",
            where=str(path),
            why=f"these files are damaged, missing or not listed: {wrong}",
            hint="get it again from where it came; `regrow verify` names all of them",
        )
    return release


def _recipe(release: Release) -> tuple[Recipe, Lock]:
    """Recipe and lock, if they belong together."""
    where = str(release.path / RECIPE)
    if EXTENDS in release.recipe:
        why = "a release has the whole of its recipe, with nothing left to look up"
        raise RecipeError(f"the recipe says `{EXTENDS}`", where=where, why=why, hint="get the release again")
    recipe, lock = parse(release.recipe_text, KINDS, where), release.lock
    names = {source.name for source in lock.sources}
    if lock.recipe != sha256_bytes(release.recipe_text.encode()) or {one.name for one in recipe.sources} != names:
        why = "the lock is that of another recipe"
        raise RecipeError("the release contradicts itself", where=where, why=why, hint="get it again")
    return recipe, lock


def _availability(release: Release, source: Source) -> str:
    tables = release.recipe.get("source", ())
    told = (one for one in tables if isinstance(one, dict) and one.get("name") == source.name)
    return next((str(one.get("availability", "")) for one in told), "")


def _part(source: Source, lock: Lock, availability: str, made: Path, found: Bytes) -> Part:
    """Copy the files of a source, if that may be and can be."""
    pins = lock.pins[source.name]
    why = refusal(source.licence, availability)
    why = why or found.copy(source, pins, {pin: _target(made, source, pin, len(pins)) for pin in pins})
    copied = not why and bool(pins)
    away = "missing" if sources.is_local(source.fetch) else "elsewhere"
    return Part(
        source.name,
        sources.name_of(source.fetch),
        source.licence,
        availability,
        len(pins) or None,
        sum(pin.size for pin in pins) if pins else None,
        "copied" if copied else away,
        why or ("" if copied else "the release does not say which files it has"),
        source.attribution,
        tuple(sorted({word for pin in pins for word in pin.licences_found})),
        any(is_archive(pin.file) for pin in pins),
    )


def _target(made: Path, source: Source, pin: Pin, count: int) -> Path:
    """Where a file of a source goes.

    Raises:
        RecipeError: if that is outside of the fork, or in the place of what regrow writes.
    """
    if not sources.is_local(source.fetch):
        return made / place(pin)
    locator = source.fetch.partition(":")[2]
    path = PurePosixPath(locator)
    path = path if count == 1 and pin.file == path.name else path / pin.file
    if leaves(str(path)) or "\\" in str(path) or path.parts[0] in _OWN:
        raise RecipeError(
            f"the file `{pin.file}` of source `{source.name}` would be put where it does not belong",
            where=str(path),
            why="it leads out of the folder, or takes the place of the recipe's own files",
            hint="do not trust this release",
        )
    return made / path


def _copy_release(release: Release, made: Path, *paths: str, into: str) -> None:
    """Copy files of a release that are as they are listed."""
    for path in (one for one in paths if release.files.has(one)):
        target = made / into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        promised = release.digest if path == SUMS else release.listed.get(path)
        if copy_hashed(release.path / path, target) != promised:
            raise DamagedError(release.path, path, "it has changed since it was looked at")


def _write_recipe(
    release: Release, recipe: Recipe, lock: Lock, parts: Sequence[Part], made: Path
) -> tuple[tuple[str, ...], str]:
    """Write recipe and lock: those of the release, or, if texts are missing, a recipe without their sources.

    Returns:
        the sources that were taken out, and why it cannot be built; or nothing.
    """
    missing = tuple(one.name for one in parts if one.standing == "missing")
    text, locked, stuck = release.recipe_text, lock.with_outputs(lock.outputs, release.digest), ""
    if missing:
        try:
            text, locked = _without(release, recipe, lock, missing, parts)
        except RecipeError as error:
            why = error.cause if isinstance(error, DamagedError) else error.what
            missing, stuck = (), f"without {listed(missing)} no recipe is left: {why}"
    (made / RECIPE).write_text(text, "utf-8", newline="")
    for path, told in {LOCK: locked.text(), **locked.lists}.items():
        (made / path).parent.mkdir(exist_ok=True)
        (made / path).write_text(told, "utf-8", newline="\n")
    (made / FOLDER).mkdir(exist_ok=True)
    return missing, stuck


def _without(
    release: Release, recipe: Recipe, lock: Lock, missing: Sequence[str], parts: Sequence[Part]
) -> tuple[str, Lock]:
    """A recipe that goes on without some sources, and its lock.

    Raises:
        RecipeError: if there is none.
    """
    models = {one.name for one in recipe.sources} - {str(one.get("name")) for one in release.recipe.get("source", ())}
    if lacking := [name for name in missing if name in models]:
        raise RecipeError(f"it begins with {listed(lacking)}")
    data: dict[str, Any] = {**release.recipe}
    if all(one["name"] in missing for one in data["source"]):
        raise RecipeError("there is nothing else to learn from")
    data["source"] = [one for one in data["source"] if one["name"] not in missing]
    data["model"] = {**data["model"], "name": f"{recipe.model.name}-fork"}
    if table := _left_out(release, recipe, missing):
        data["without"] = table
    else:
        data.pop("without", None)
    text = _said(release, missing, parts) + tomli_w.dumps(data)
    changed = parse(text, KINDS)
    pins = {name: found for name, found in lock.pins.items() if name not in missing}
    return text, Lock.of(changed, expand(changed, pins), pins, ARITHMETIC)


def _left_out(release: Release, recipe: Recipe, missing: Sequence[str]) -> dict[str, Any]:
    """The table ``[without]`` of a recipe that lacks some of the sources that it left out: it names what went along.

    Raises:
        DamagedError: if the release does not say what that is.
    """
    table = dict(release.recipe.get("without") or {})
    named = {one.name for one in recipe.left_out}
    if gone := named & {*missing}:
        path = f"{EVIDENCE}/removed/{WENT_ALONG}"
        if not release.files.has(path):
            raise DamagedError(
                release.path, path, f"it does not say what was left out along with {listed(sorted(gone))}"
            )
        told = (line.strip() for line in read_text(release.files, path).splitlines())
        table["documents"] = [line for line in told if line and not line.startswith("#")]
        table["sources"] = sorted(named - gone)  # `[]` means what a missing key does
    kept = {key: table[key] for key in ("sources", "documents") if table.get(key)}
    return {**table, **kept} if kept else {}


def _said(release: Release, missing: Sequence[str], parts: Sequence[Part]) -> str:
    """What stands in a recipe in the place of sources that it does not have any more."""
    lacking = (
        f"  {one.name}: {one.size}, {one.licence}, {one.availability}: {one.why}"
        for one in parts
        if one.name in missing
    )
    lines = [
        f"Forked by regrow from {release.name}, {release.digest}.",
        "It lacks what could not be copied:",
        *lacking,
        f"Whoever has it puts it where `{_RELEASE}/{RECIPE}` looks for it, and builds that recipe.",
    ]
    return "".join(f"# {line}\n" for line in lines) + "\n"


def _record(made: Fork, lock: Lock) -> str:
    told = {
        "schema": _SCHEMA,
        **{key: value for key, value in asdict(made).items() if key != "folder"},
        "outputs": dict(lock.outputs),
    }
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"
