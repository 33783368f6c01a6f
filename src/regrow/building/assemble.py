"""Putting a release together: the directory that is shared.

It is assembled aside and takes its place in one move, so a release is there whole or not at all. What the release
digest covers depends on the recipe, the lock and the outputs of the stages, and on nothing else.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from regrow.building.card import model_card
from regrow.building.documents import require_every_document
from regrow.building.engines import equip
from regrow.building.manifest import write_manifest, xz
from regrow.building.place import explained, refuse_another_model, refuse_to_replace
from regrow.building.provenance import statement, to_json
from regrow.building.reported import report
from regrow.building.selection import last_of, released_files
from regrow.engine import Evaluation
from regrow.errors import DifferentError
from regrow.recipe.beside import beside
from regrow.recipe.graph import Graph
from regrow.release import Release
from regrow.release.files import DamagedError
from regrow.release.layout import (
    BUILDINFO,
    CARD,
    COMPARISON,
    LICENCE,
    LOCK,
    MANIFEST,
    PAPER,
    PROVENANCE,
    RECIPE,
    REPORT,
    STATES,
    SUMS,
    UNCOVERED,
    statement_path,
)
from regrow.release.sums import changed, parse
from regrow.store import new_directory, sha256_bytes, sha256_file, sums
from regrow.store.copying import copy

_LICENCES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "LICENCE.md", "LICENCE.txt")


# Git must not touch line ends, which the digest covers; and what is large belongs into large-file storage. Model hubs
# put a file of this name into every repository that lacks one, and a release must not change on its way there and back.
_GIT = """* -text
*.parquet filter=lfs diff=lfs merge=lfs -text
*.safetensors filter=lfs diff=lfs merge=lfs -text
"""
_GIT_GGUF = "*.gguf filter=lfs diff=lfs merge=lfs -text\n"
"""Where there are such files."""


@dataclass(frozen=True)
class Contents:
    """What a release is made of.

    Attributes:
        graph: the stages.
        evaluation: their outputs.
        recipe: the text of ``regrow.toml``, byte for byte.
        lock: the text of ``regrow.lock``, with the outputs of the stages but without the release digest.
        licence: the text of the licence of the weights.
        paper: what the makers write about the model at length, if they do.
        buildinfo: path -> text of what lies in ``buildinfo/``.
        lists: path -> text of the lists of files that the lock names.
        comparison: what other models make of the same text, by name.
        kept_at: where others find the states of the runs, which the release does not hold then.
    """

    graph: Graph
    evaluation: Evaluation
    recipe: bytes
    lock: str
    licence: bytes
    paper: bytes | None
    buildinfo: Mapping[str, str]
    lists: Mapping[str, str] = field(default_factory=dict)
    comparison: Mapping[str, Any] = field(default_factory=dict)
    kept_at: str = ""


def licence_text(recipe_folder: Path, expression: str) -> bytes:
    """The licence file beside a recipe, or else the full text of each licence that the expression names.

    Where a text is not known here, it is the one line of :func:`named_licence`.

    Raises:
        RecipeError: if it is a link to a file elsewhere, or no file.
    """
    found = (text for name in _LICENCES if (text := _beside_recipe(recipe_folder, name)) is not None)
    return next(found, _full_text(expression))


def named_licence(expression: str) -> bytes:
    """A line that names a licence, as SPDX does it."""
    return f"SPDX-License-Identifier: {expression}\n".encode()


def _full_text(expression: str) -> bytes:
    """The texts, headed by the expression if they are several."""
    names = [name for name in re.split(r"[\s()]+", expression) if name and name not in ("AND", "OR")]
    texts = [_texts().get(name.lower()) for name in dict.fromkeys(names)]
    known = [text for text in texts if text is not None]
    if not known or len(known) < len(texts):
        return named_licence(expression)
    return known[0] if len(known) == 1 else b"\n\n".join([named_licence(expression), *known])


@cache
def _texts() -> Mapping[str, bytes]:
    """The texts of licences that are shipped, by SPDX id in lower case; where one wants a name, it has the makers'."""
    places = (files("regrow.building") / "licences").iterdir()
    return {place.name.removesuffix(".txt").lower(): place.read_bytes() for place in places}


def paper_text(recipe_folder: Path) -> bytes | None:
    """The paper beside a recipe, if there is one.

    Raises:
        RecipeError: if it is a link to a file elsewhere, or no file.
    """
    return _beside_recipe(recipe_folder, PAPER)


def _beside_recipe(folder: Path, name: str) -> bytes | None:
    path = beside(folder, name)
    return path.read_bytes() if path is not None and path.is_file() else None


def assemble(contents: Contents, destination: Path, expected: str | None = None, *, whole: bool = True) -> str:
    """Make the release at ``destination`` and return its digest.

    A release that is there already is replaced once the new one is complete, and only if it has the ``expected``
    digest where one is given.

    Args:
        contents: what it is made of.
        destination: where.
        expected: the digest that it has to have.
        whole: whether to write what the digest does not cover, too, which whoever compares has no use for.

    Raises:
        DifferentError: if the digest is another one (exit code 3).
        RecipeError: if ``destination`` cannot be written to, or holds anything but a release of this model (exit
            code 2).
        StageError: if the disk is full (exit code 1).
    """
    refuse_to_replace(destination)
    with explained(destination), new_directory(destination) as release:
        _covered(contents, release)
        refuse_another_model(destination, Release.at(release).name)
        text = sums(release, UNCOVERED)
        if expected is not None and sha256_bytes(text.encode()) != expected:
            raise _unexpected(text, expected, destination)
        (release / SUMS).write_text(text, "utf-8", newline="\n")
        if whole:
            _beside(contents, release, destination)
    return sha256_bytes(text.encode())


def _unexpected(text: str, expected: str, old: Path) -> DifferentError:
    """The stages gave what they should, but the release is another one."""
    before, now = Release.at(old).sums, parse(text.encode())
    known = before.digest == expected
    return DifferentError(
        f"the release digest is {now.digest}, the lock has {expected}",
        where=", ".join(changed(before.listed, now.listed)) if known else "",
        why="every stage gave what the lock has, so it is a file beside them: the licence, the recipe's text, or "
        "something regrow itself writes into releases",
        hint="`regrow build --update-lock` takes the new digest",
    )


def _covered(contents: Contents, release: Path) -> None:
    """Write everything the digest covers."""
    from regrow.report import contents as said

    (release / RECIPE).write_bytes(contents.recipe)
    (release / LOCK).write_text(contents.lock, "utf-8", newline="\n")
    for path, listed in contents.lists.items():
        (release / path).parent.mkdir(exist_ok=True)
        (release / path).write_text(listed, "utf-8", newline="\n")
    (release / LICENCE).write_bytes(contents.licence)
    outputs = _outputs(contents)
    require_every_document(contents.graph, outputs)
    for source, target in released_files(contents.graph, outputs):
        if contents.kept_at and target.startswith(f"{STATES}/"):
            continue
        (release / target).parent.mkdir(parents=True, exist_ok=True)
        copy(source, release / target)
    withheld = contents.graph.withheld
    shown = {sha256_file(path) for path in release.rglob("*") if path.is_file()} if withheld else frozenset()
    (release / PROVENANCE).mkdir()
    for stage in contents.graph.stages:
        text = to_json(statement(stage, contents.evaluation, shown if stage.name in withheld else None))
        (release / statement_path(stage.name)).write_text(text, "utf-8", newline="\n")
    large = _GIT_GGUF if any(release.rglob("*.gguf")) else ""
    (release / ".gitattributes").write_text(_GIT + large, "utf-8", newline="\n")
    equip(release)
    if contents.paper is not None:
        (release / PAPER).write_bytes(contents.paper)
    if (split := last_of(contents.graph, "split")) is not None:
        (release / MANIFEST).parent.mkdir(exist_ok=True)
        write_manifest(contents.evaluation.results[split.name].path, release / MANIFEST)
    (release / CARD).write_text(model_card(said(Release.at(release))), "utf-8", newline="\n")


def _outputs(contents: Contents) -> dict[str, Path]:
    return {name: result.path for name, result in contents.evaluation.results.items()}


def _beside(contents: Contents, release: Path, old: Path) -> None:
    """Write what the digest does not cover: facts about this build, and the report."""
    (release / BUILDINFO).mkdir()
    nothing_new = _is_old_build(contents, release, old)
    for name, text in contents.buildinfo.items():
        kept = old / name
        if nothing_new and kept.is_file():
            shutil.copyfile(kept, release / name)
        else:
            (release / name).write_text(text, "utf-8", newline="\n")
    comparison = {**_kept_comparison(old, release), **contents.comparison}
    if "xz" not in comparison and (split := last_of(contents.graph, "split")) is not None:
        comparison["xz"] = xz(contents.evaluation.results[split.name].path)
    (release / COMPARISON).write_text(json_text(comparison), "utf-8", newline="\n")
    (release / REPORT).write_bytes(report(release, old))


def _is_old_build(contents: Contents, release: Path, old: Path) -> bool:
    """True if nothing was built but what is there already, so that the record of its build stays the true one."""
    return all(result.cached for result in contents.evaluation.results.values()) and _same(old / SUMS, release / SUMS)


def _kept_comparison(old: Path, release: Path) -> Mapping[str, Any]:
    """A comparison with other ways to train takes long to make and stays true as long as the weights are the same."""
    with suppress(DamagedError):
        before, weights = Release.at(old), Release.at(release).weights
        if weights and before.weights == weights and all(_same(old / name, release / name) for name in weights):
            return before.comparison
    return {}


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and one.stat().st_size == other.stat().st_size and sha256_file(one) == sha256_file(other)


def json_text(value: Any) -> str:
    """JSON for people and tools alike."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
