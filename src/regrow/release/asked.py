"""What a release was asked and keeps the answers to: its prompts, and the tasks that it has scores of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from regrow.evaluating.names import ANSWERS_FOLDER, SCORES_FOLDER
from regrow.release.files import DamagedError, read_json
from regrow.release.release import Release

if TYPE_CHECKING:
    from regrow.evaluating.prompts import Answered

_SUFFIX = ".json"


def answers(release: Release) -> Mapping[str, Answered]:
    """The prompts with their answers, by the names of the prompts.

    Raises:
        DamagedError: if one cannot be read.
    """
    from regrow.evaluating.prompts import Answered  # not for those who only look at a release

    found = {}
    for name, path in _named(release, ANSWERS_FOLDER):
        try:
            found[name] = Answered.parse(read_json(release.files, path))
        except ValueError as error:
            raise DamagedError(release.path, path, str(error)) from error
    return found


def scores(release: Release) -> Mapping[str, Mapping[str, Any]]:
    """What it reached, as :meth:`regrow.evaluating.scores.Scores.document` has it, by the names in the recipe.

    Raises:
        DamagedError: if one cannot be read.
    """
    found = {}
    for name, path in _named(release, SCORES_FOLDER):
        said = read_json(release.files, path)
        if not _are_scores(said):
            raise DamagedError(release.path, path, "it has no scores as regrow writes them")
        found[name] = said
    return found


def _are_scores(said: Any) -> bool:
    """Whether it has what everybody relies on who reads it."""
    try:
        return isinstance(said["arithmetic"]["inference"], int) and all(map(_is_score, said["scores"]))
    except (TypeError, LookupError):
        return False


def _is_score(said: Any) -> bool:
    texts = all(isinstance(said[key], str) for key in ("task", "asked", "digest"))
    values = (one["value"] for one in said["measures"].values())
    return texts and type(said["items"]) is int and all(isinstance(value, float) for value in values)


def _named(release: Release, folder: str) -> Iterator[tuple[str, str]]:
    """The files of a folder, by what they are called."""
    for path in sorted(release.files.paths()):
        place = PurePosixPath(path)
        if place.parent == PurePosixPath(folder) and place.suffix == _SUFFIX and release.files.has(path):
            yield place.stem, path
