"""Which stages a release is made of, and which of their files it holds: as their kinds declare it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from regrow.errors import RecipeError, StageError
from regrow.formats import parts
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import Released
from regrow.recipe.pin import FOLDER, WITHHELD
from regrow.release.layout import BUILDINFO, CARD, LICENCE, LOCK, MANIFEST, PAPER, PROVENANCE, RECIPE, REPORT, SUMS

_OURS = (".gitattributes", CARD, LICENCE, LOCK, MANIFEST, PAPER, RECIPE, REPORT, SUMS)
_OUR_FOLDERS = (BUILDINFO, FOLDER, PROVENANCE, WITHHELD)


def released_weights(graph: Graph) -> Stage:
    """The stage whose weights are released: the last one that gives any.

    Raises:
        RecipeError: if there is none.
    """
    found = [stage for stage in graph.stages if stage.kind.output == "weights"]
    if not found:
        raise RecipeError(
            "nothing to release: no stage gives weights",
            hint="a release needs weights that were trained on tokens; add the usual sections, or the stage",
        )
    return found[-1]


def members(graph: Graph) -> tuple[Stage, ...]:
    """The stages that the released weights were made by, those that were made from them, and those that watch these;
    and those that keep a record of what any of them gave.
    """
    weights = released_weights(graph)
    before = {stage.name for stage in graph.ancestors(weights)} | {weights.name}
    after = {stage.name for stage in graph.made_from([weights.name])}
    found = {stage.name for stage in graph.stages if {stage.name, *stage.watched} & (before | after)}
    records = [stage for stage in graph.stages if _is_record(stage) and stage.needs & found]
    theirs = {one.name for stage in records for one in (stage, *graph.ancestors(stage))}
    return tuple(stage for stage in graph.stages if stage.name in found | theirs)


def _is_record(stage: Stage) -> bool:
    """Whether what a stage gives is released whatever comes after it."""
    return bool(stage.needs) and any(item.always for item in stage.kind.released)


def last_of(graph: Graph, output: str) -> Stage | None:
    """The last of the release's stages that gives a type of artifact."""
    return next((stage for stage in reversed(members(graph)) if stage.kind.output == output), None)


def released_files(graph: Graph, outputs: Mapping[str, Path]) -> Iterator[tuple[Path, str]]:
    """Files of artifacts that a release holds as they are, each with its path there.

    Where records of two stages would have the same path, the later stage's have it, and all records that the earlier
    one has in that folder lie in a folder of its own there, which is called after it.

    Args:
        graph: the stages.
        outputs: stage -> the directory of its artifact.

    Raises:
        StageError: if a stage has not given a file that its kind declares, or its kind would put one in the place of
            what regrow itself writes.
    """
    taken: set[str] = set()
    for stage in reversed(members(graph)):
        stands_for_its_type = last_of(graph, stage.kind.output) is stage
        for folder, items in _by_folder(stage, stands_for_its_type, stage.name in graph.withheld).items():
            files = [found for item in items for found in _files(item, outputs[stage.name], stage.name)]
            if taken & {target for _, target in files}:
                files = [(path, f"{folder}/{stage.name}/{target.removeprefix(f'{folder}/')}") for path, target in files]
            for path, target in files:
                _require_free(target, taken, stage)
                taken.add(target)
                yield path, target


def _by_folder(stage: Stage, stands_for_its_type: bool, withheld: bool) -> dict[str, list[Released]]:
    found: dict[str, list[Released]] = {}
    for item in (one.of(stage.kind.name, stage.name) for one in stage.kind.released):
        if (item.always or stands_for_its_type) and not (item.verbatim and withheld):
            found.setdefault(item.folder, []).append(item)
    return found


def _require_free(target: str, taken: set[str], stage: Stage) -> None:
    if target in taken or target in _OURS or target.partition("/")[0] in _OUR_FOLDERS:
        raise StageError(
            f"the kind `{stage.kind.name}` would release `{target}`, which is there already",
            where=f"stage `{stage.name}`",
            why="regrow writes it, or another stage does",
            hint="let its `released` name another file",
        )


def _files(item: Released, artifact: Path, stage: str) -> Iterator[tuple[Path, str]]:
    """The files, each with its path in the release; those of a part lie there in a folder of its name."""
    is_of_all = any(path.is_file() for path in artifact.glob(item.files))
    for part in (artifact,) if is_of_all else parts.folders(artifact):
        found = sorted(path for path in part.glob(item.files) if path.is_file())
        if not found and "*" not in item.files:
            raise StageError(f"stage `{stage}` has given no `{item.files}`", where=str(part))
        for path in found:
            name = item.name or path.relative_to(part).as_posix()
            yield path, (PurePosixPath(item.folder) / part.relative_to(artifact) / name).as_posix()
