"""What a release says of its model as a whole: what the recipe told the stages that write it down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from regrow.recipe.facts import Brought, Facts
from regrow.recipe.kind import MODELS
from regrow.release.release import Release
from regrow.release.statements import Statement


def facts(release: Release) -> Facts:
    """The facts, from the recipe and the statements of a release.

    Raises:
        DamagedError: if they cannot be read.
    """
    licences = {**_licences(release), **{str(one.get("name")): str(one.get("licence", "")) for one in release.sources}}
    brought = list(_brought(release, licences))
    return Facts.of(
        {**release.model, "name": release.name},
        (one for stage, one in brought if stage.artifact in MODELS),
        (one for stage, one in brought if stage.artifact not in MODELS and one.name not in release.beside_training),
    )


def _licences(release: Release) -> Mapping[str, str]:
    """Stage -> the licence that it says itself."""
    return {one.stage: str(one.parameters["licence"]) for one in release.statements if "licence" in one.parameters}


def _brought(release: Release, licences: Mapping[str, str]) -> Iterator[tuple[Statement, Brought]]:
    for one in release.statements:
        if "pins" not in one.parameters:
            continue
        name = one.stage.removeprefix(f"{one.kind}-")
        licence = licences.get(one.stage) or licences.get(name, "")
        yield one, Brought.of(name, str(one.parameters.get("fetch", "")), licence, release.pins(one))
