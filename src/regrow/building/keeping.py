"""Putting what others need to check parts where they find it: states of runs, and what stages of the corpus gave."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.building.locking import Locked, as_locked
from regrow.engine import is_parted
from regrow.errors import InputError, RecipeError
from regrow.formats import parts
from regrow.recipe.graph import Stage
from regrow.release.layout import SUMS
from regrow.stages.training import STATES, Scheduled
from regrow.store import StoreReader, seals


@dataclass(frozen=True)
class Put:
    """What was put somewhere.

    Attributes:
        place: where.
        states: how many complete states of runs.
        stages: of which stages all parts were.
        bytes: of all.
    """

    place: str
    states: int
    stages: tuple[str, ...]
    bytes: int


def keep(release: Path, place: str, store: StoreReader, tell: Callable[[str], None]) -> Put:
    """Put what a check of parts begins with into a folder, or to an address that fsspec knows.

    Each stage has a folder. What a stage of the corpus gave lies there with a list of checksums, whose sha256 is the
    digest that the lock has; it is put there if it is in several parts, and may be shared.

    Args:
        release: the folder of the release.
        place: where; by default where its recipe says.
        store: has what the stages gave.
        tell: is told the name of each stage.

    Raises:
        InputError: if the store does not have it any more, or the place cannot be written to.
        RecipeError: if nobody said where.
    """
    locked, _ = as_locked(release, sources=release, offline=True)
    there = _Target.at(place or locked.kept_at)
    states, stages, count = 0, list[str](), 0
    for stage in locked.graph.stages:
        artifact = _artifact(stage, locked, store)
        files = [] if artifact is None else [(path, path.relative_to(artifact)) for path in _files(stage, artifact)]
        if artifact is None or not files:
            continue
        tell(stage.name)
        if _is_run(stage):
            states += len(files)
        else:
            listed = seals.listed(artifact, locked.promised[stage.name])
            there.write(f"{stage.name}/{SUMS}", "".join(f"{sha256}  {name}\n" for name, sha256 in listed.items()))
            stages.append(stage.name)
        for path, name in files:
            there.put(path, f"{stage.name}/{name.as_posix()}")
            count += path.stat().st_size
    return Put(there.name, states, tuple(stages), count)


def _is_run(stage: Stage) -> bool:
    return isinstance(stage.parameters, Scheduled)


def _artifact(stage: Stage, locked: Locked, store: StoreReader) -> Path | None:
    """What a stage gave, if others can begin with something of it when they check parts."""
    if not (is_parted(stage) or _is_run(stage)) or (not _is_run(stage) and stage.name in locked.graph.withheld):
        return None
    digest = locked.promised.get(stage.name, "")
    if not digest or store.condition(digest) != "whole":
        raise InputError(
            f"what stage `{stage.name}` gave is not in the store",
            where=str(store.root),
            why="it was removed, or built elsewhere",
            hint="build the recipe, or name the store that it was built in with --store",
        )
    return store.path(digest)


def _files(stage: Stage, artifact: Path) -> Iterator[Path]:
    """Those of the states of a run; those of an artifact in several parts."""
    if _is_run(stage):
        yield from sorted(artifact.glob(STATES))
    elif len(parts.folders(artifact)) > 1:
        yield from sorted(path for path in artifact.rglob("*") if path.is_file())


@dataclass(frozen=True)
class _Target:
    """A folder, here or at an address.

    Attributes:
        name: as the user has it.
        files: the file system, as fsspec has it.
        root: the path in it.
    """

    name: str
    files: Any
    root: str

    @staticmethod
    def at(place: str) -> _Target:
        """The folder of a path or an address.

        Raises:
            RecipeError: if it is none, or nothing can be put there.
        """
        from fsspec.core import url_to_fs

        if not place or place.startswith(("https:", "hf:")):
            raise RecipeError(
                f"nothing can be put to {place}" if place else "nobody said where to",
                why="that is an address to read from" if place else "the recipe has no `kept_at` in `[model]`",
                hint="name a folder, and take it there by the means of that place",
            )
        try:
            files, root = url_to_fs(place)
        except Exception as error:  # a library for each kind of place, and each has errors of its own
            raise RecipeError("this is no place", where=place, why=str(error) or type(error).__name__) from error
        return _Target(place, files, root.rstrip("/"))

    def put(self, path: Path, name: str) -> None:
        """Put a file there."""
        with path.open("rb") as source:
            self._write(name, lambda target: shutil.copyfileobj(source, target, 1 << 20))

    def write(self, name: str, text: str) -> None:
        """Put a text there."""
        self._write(name, lambda target: target.write(text.encode()))

    def _write(self, name: str, write: Callable[[Any], object]) -> None:
        path = f"{self.root}/{name}"
        try:
            self.files.makedirs(path.rpartition("/")[0], exist_ok=True)
            with self.files.open(path, "wb") as target:
                write(target)
        except Exception as error:
            why = str(error) or type(error).__name__
            raise InputError("it cannot be written there", where=f"{self.name}/{name}", why=why) from error
