"""What a release was asked and keeps the answers to: its prompts, and the tasks that it has scores of."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from regrow.evaluating.names import ANSWERS_FOLDER, SCORES_FOLDER
from regrow.release.files import DamagedError, read_json, read_json_lines
from regrow.release.release import Release

if TYPE_CHECKING:
    from regrow.evaluating.prompts import Answered

_DOCUMENT, _LINES = ".json", ".jsonl"


def answers(release: Release) -> Mapping[str, Answered]:
    """The prompts with their answers, by the names of the prompts; those of a file are called ``FILE/NAME``.

    Raises:
        DamagedError: if one cannot be read.
    """
    from regrow.evaluating.prompts import Answered  # not for those who only look at a release

    found = {}
    for name, path, said in _answers(release):
        try:
            found[name] = Answered.parse(said)
        except ValueError as error:
            raise DamagedError(release.path, path, str(error)) from error
    return found


def _answers(release: Release) -> Iterator[tuple[str, str, Any]]:
    """Each answer as it is written down, with what it is called and where it stands."""
    for name, path in _named(release, ANSWERS_FOLDER, _DOCUMENT):
        yield name, path, read_json(release.files, path)
    for name, path in _named(release, ANSWERS_FOLDER, _LINES):
        for number, said in enumerate(read_json_lines(release.files, path), 1):
            own = said.get("name") if isinstance(said, dict) else None
            yield f"{name}/{own or number}", path, said


def scores(release: Release) -> Mapping[str, Mapping[str, Any]]:
    """What it reached, as :meth:`regrow.evaluating.scores.Scores.document` has it, by the names in the recipe.

    Raises:
        DamagedError: if one cannot be read.
    """
    found = {}
    for name, path in _named(release, SCORES_FOLDER, _DOCUMENT):
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


def said(release: Release, stages: Container[str]) -> Iterator[str]:
    """What the model answered and reached in some stages, in short.

    Raises:
        DamagedError: if it cannot be read.
    """
    for name in answers(release):
        if f"prompt-{name}" in stages or f"prompts-{name.partition('/')[0]}" in stages:
            yield f"prompt {name}"
    for name, document in scores(release).items():
        for one in document["scores"] if f"score-{name}" in stages else ():
            measure, found = next(iter(one["measures"].items()))
            yield f"score {name}/{one['task']} ({measure} {found['value']:.4f})"


def items(release: Release, scores: str) -> Iterator[Path]:
    """The files of the tasks that do not come along and that some scores are of, as far as the release has them."""
    folder = f"{SCORES_FOLDER}/{scores}"
    yield from (release.path / path for _, path in _named(release, folder, _LINES, ".ndjson"))


def _named(release: Release, folder: str, *suffixes: str) -> Iterator[tuple[str, str]]:
    """The files of a folder, by what they are called."""
    for path in sorted(release.files.paths()):
        place = PurePosixPath(path)
        if place.parent == PurePosixPath(folder) and place.suffix in suffixes and release.files.has(path):
            yield place.stem, path
