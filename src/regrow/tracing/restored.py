"""The index that a release brings along, with the text that it is of: a sorted table of places tells what stands there.

So a release that has its index can be traced where its corpus is not, and by another version of regrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.corpus import suffixes
from regrow.recipe.graph import Stage
from regrow.recipe.kind import Call, Kind, Slot
from regrow.release.files import DamagedError
from regrow.sections import Parameters
from regrow.store import sha256_bytes
from regrow.store.copying import copy

if TYPE_CHECKING:
    from regrow.release import Release

_FOLDER = "index/"


@dataclass(frozen=True)
class ReleasedIndex:
    """The artifact ``index`` as a release has it.

    Attributes:
        folder: where it lies.
        stage: that gave it.
        digest: of it, by the lock.
        files: its files.
    """

    folder: Path
    stage: str
    digest: str
    files: tuple[str, ...]


class RestoredParameters(Parameters):
    """There is nothing to choose."""


def released(release: Release, tokens: str) -> ReleasedIndex | None:
    """The index in a release of the tokens that a stage gave; None if it has none.

    Raises:
        DamagedError: if it is not the one that the stage gave.
    """
    listed = {path: digest for path, digest in release.listed.items() if path.startswith(_FOLDER)}
    made = [one for one in release.lock.stages if one.kind == "index" and tokens in one.inputs.get("tokens", ())]
    digest = release.lock.outputs.get(made[-1].name, "") if made else ""
    if not listed or not digest:
        return None
    names = {path.removeprefix(_FOLDER): digest for path, digest in listed.items()}
    if sha256_bytes("".join(f"{names[name]}  {name}\n" for name in sorted(names)).encode()) != digest:
        raise DamagedError(release.path, _FOLDER, f"it is not what the stage `{made[-1].name}` gave, by the lock")
    return ReleasedIndex(release.path / _FOLDER, made[-1].name, digest, tuple(names))


def stage(release: Release, index: ReleasedIndex) -> Stage:
    """What gives the index of a release, its files looked at, and its row."""
    kind = Kind(
        name="restored-index",
        version=1,
        parameters=RestoredParameters,
        inputs={"index": Slot("index")},
        output="index",
        run=partial(_run, release, index),
        summary="put the tokens of an index back into their order",
    )
    return Stage(kind.name, kind, RestoredParameters(), {"index": (index.stage,)})


def _run(release: Release, index: ReleasedIndex, call: Call[RestoredParameters]) -> None:
    for name in index.files:
        path = f"{_FOLDER}{name}"
        release.require(path)
        if not release.files.has(path):
            raise DamagedError(release.path, path, "it is listed, and is not there")
        copy(index.folder / name, call.output / name)
    suffixes.restore(call.output)
