"""What of a release can be checked by who does not hold all of its texts, since some may not be shared.

A stage can be built again if nothing that it is made from is missing. Where something is, an artifact may still lie in
the release, every file of it: then it is taken from there, and what is made from it can be built again. Of the missing
texts, the manifest is held against the commitment to them; of the others, against what they give here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from regrow.building.engines import EQUIPPED, unequipped
from regrow.building.locking import Locked
from regrow.corpus.documents import columns
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import Call, Kind
from regrow.release import Release
from regrow.release.commitments import commitments, fault
from regrow.release.files import DamagedError, read_bytes
from regrow.release.layout import EXCLUDED, MANIFEST, statement_path
from regrow.release.sums import leaves
from regrow.sections import Parameters
from regrow.store.copying import copy
from regrow.store.digest import sha256_bytes

if TYPE_CHECKING:
    import pyarrow


class GivenParameters(Parameters):
    """The files of an artifact that lie in a release.

    Attributes:
        release: the folder.
        files: path in the artifact, sha256, and path in the release of what it is there, or was made.
    """

    release: str
    files: tuple[tuple[str, str, str], ...]


def _take(call: Call[GivenParameters]) -> None:
    release = Release.at(Path(call.parameters.release))
    for name, sha256, path in call.parameters.files:
        target = call.output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if release.listed.get(path) == sha256:
            copy(release.path / path, target)
        else:
            before = unequipped(target.name, read_bytes(release.files, path), sha256)
            assert before is not None  # it was seen when the release was asked what it has
            target.write_bytes(before)


@dataclass(frozen=True)
class Part:
    """A part of a graph that can be built.

    Attributes:
        graph: its stages.
        given: the names of those whose artifacts are taken from the release.
        missing: the sources whose texts are not here.
    """

    graph: Graph
    given: frozenset[str]
    missing: tuple[str, ...]


def part_of(release: Release, locked: Locked) -> Part:
    """What can be built of a release of which some texts are missing."""
    beyond = {stage.name for stage in locked.graph.made_from(locked.missing)}
    found: dict[str, Stage] = {}
    given = set()
    for stage in locked.graph.stages:
        if stage.name not in beyond or (stage.needs and stage.needs <= found.keys()):
            found[stage.name] = stage
        elif files := _whole(release, stage.name, locked.promised.get(stage.name, "")):
            found[stage.name] = _given(stage, release, files)
            given.add(stage.name)
    needed = {name for stage in found.values() for name in stage.needs}
    stages = tuple(stage for name, stage in found.items() if name not in given or name in needed)
    sources = (locked.graph[name] for name in locked.missing)
    missing = tuple(stage.name.removeprefix(f"{stage.kind.name}-") for stage in sources)
    return Part(Graph(stages), frozenset(given & needed), missing)


def _whole(release: Release, stage: str, promised: str) -> list[tuple[str, str, str]]:
    """Path in the artifact of a stage, sha256 and path in the release, if the release has every file of it."""
    said = release.statement(stage)
    if said is None or not said.files or any(leaves(name) or "\\" in name for name, _ in said.files):
        return []
    listing = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(said.files, key=lambda one: one[0].encode()))
    if sha256_bytes(listing.encode()) != promised:  # some of its files are not named
        return []
    places = {sha256: path for path, sha256 in release.listed.items()}
    found = [(name, sha256, places.get(sha256) or _changed(release, name, sha256)) for name, sha256 in said.files]
    return found if all(path for _, _, path in found) else []


def _changed(release: Release, name: str, sha256: str) -> str:
    """Where a file of an artifact lies that the release holds as other engines want it; empty if nowhere."""
    called = PurePosixPath(name).name
    for path in (path for path in release.listed if called in EQUIPPED and PurePosixPath(path).name == called):
        with suppress(ValueError, RecursionError, DamagedError):
            if unequipped(called, read_bytes(release.files, path), sha256) is not None:
                return path
    return ""


def _given(stage: Stage, release: Release, files: list[tuple[str, str, str]]) -> Stage:
    parameters = GivenParameters(release=str(release.path.resolve()), files=tuple(files))
    kind = Kind("given", 1, GivenParameters, {}, stage.kind.output, _take, summary="take it from the release")
    return Stage(stage.name, kind, parameters, {})


def contradictions(release: Release, locked: Locked, part: Part, made: Mapping[str, Path]) -> Iterator[str]:
    """What in a release does not fit together, as far as that is seen without building all of it again.

    Args:
        release: the release.
        locked: its recipe and lock.
        part: what was built of it.
        made: stage that was built -> its artifact.
    """
    for stage in locked.graph.stages:
        said = release.statement(stage.name)
        if said is None or said.digest != locked.promised.get(stage.name):
            path = statement_path(stage.name)
            yield f"the lock and the statement in {path} do not agree on what `{stage.name}` gave"
    promised, names = commitments(release), {stage.name for stage in locked.graph.stages}
    for source in part.missing:
        if source not in promised and f"commit-{source}" in names:
            yield f"there is no commitment to the texts of `{source}`"
        elif source in promised and (why := fault(release, promised[source])):
            yield why
    for stage in part.graph.stages:
        if stage.kind.output == "documents" and stage.name in made and _brings_in(stage, locked.graph):
            yield from _lost(release, stage.name.removeprefix(f"{stage.kind.name}-"), made[stage.name])


def _brings_in(stage: Stage, graph: Graph) -> bool:
    """Whether a stage gives documents that were not documents before."""
    return all(graph[name].kind.output != "documents" for name in stage.needs)


def _lost(release: Release, source: str, artifact: Path) -> Iterator[str]:
    """Documents that a source gives here and of which the release says nothing, and those that it does not give."""
    import pyarrow.compute as pc

    here = columns(["id"], artifact)["id"]
    used, left_out = (_ids(release, path, source) for path in (MANIFEST, EXCLUDED))
    if strange := pc.sum(pc.invert(pc.is_in(used, here))).as_py():
        yield f"{MANIFEST} has {strange:,} documents of `{source}` that it does not give here"
    known = pc.or_(pc.is_in(here, used), pc.is_in(here, left_out))
    if lost := pc.sum(pc.invert(known)).as_py():
        yield f"{lost:,} documents of `{source}` are neither in {MANIFEST} nor in {EXCLUDED}"


def _ids(release: Release, path: str, source: str) -> pyarrow.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    groups = release.groups(path, ["id", "source"], [])
    found = [one["id"].combine_chunks() for table in groups if (one := table.filter(pc.field("source") == source))]
    return pa.concat_arrays([pa.array([], pa.string()), *(one.cast(pa.string()) for one in found)])
