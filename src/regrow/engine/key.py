"""The key of a stage: everything its output depends on, as one sha256.

The ingredients are kept beside the key so that a rebuild can be explained field by field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import Any

from regrow.errors import RecipeError, StageError
from regrow.exact.version import ARITHMETIC, INFERENCE
from regrow.recipe.graph import Stage
from regrow.store import canonical_json, sha256_bytes


def ingredients(stage: Stage, inputs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """All that decides a stage's output, as plain JSON.

    Args:
        stage: the stage. Its name is not an ingredient: the same work under another name is the same work.
        inputs: slot -> digests of the artifacts in it.
    """
    found: dict[str, Any] = {
        "kind": stage.kind.name,
        "version": stage.kind.version,
        "parameters": stage.parameters.model_dump(mode="json"),
        "inputs": {slot: list(digests) for slot, digests in inputs.items() if digests},
        "libraries": {name: library_version(name, f"stage `{stage.name}`") for name in stage.kind.libraries},
    }
    if stage.kind.exact:
        found["arithmetic"] = ARITHMETIC
    if stage.kind.infers:
        found["inference"] = INFERENCE
    return found


def key_of(ingredients: Mapping[str, Any]) -> str:
    """The sha256 of the ingredients as canonical JSON.

    Raises:
        RecipeError: if they have no canonical JSON.
    """
    try:
        return sha256_bytes(canonical_json(ingredients))
    except ValueError as error:
        raise RecipeError(
            f"a stage of kind `{ingredients.get('kind')}` has a parameter that cannot be part of a key", why=str(error)
        ) from error


def library_version(name: str, where: str = "") -> str:
    """The installed version of a distribution, without the local part that tells builds of one version apart.

    Args:
        name: of the distribution.
        where: who needs it, for the error.

    Raises:
        StageError: if it is not installed.
    """
    try:
        return _installed(name).partition("+")[0]
    except metadata.PackageNotFoundError as error:
        hint = f"python -m pip install {name}"
        raise StageError(f"the library `{name}` is not installed", where=where, hint=hint) from error


@cache
def _installed(name: str) -> str:
    return metadata.version(name)
