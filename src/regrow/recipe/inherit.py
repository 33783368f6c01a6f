"""Recipes that extend others: a variant says only what is different.

A variant's tables are laid over those of the recipe that it extends, key by key, and entries of a list of tables by
their names. What comes out is a recipe like any other, with nothing left to look up: that text is what a lock is made
for and what a release holds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from regrow.nearby import meant
from regrow.recipe.problems import Origin
from regrow.recipe.text import parsed, read
from regrow.sections import Place

KEY = "extends"
_MISSING = "`regrow new NAME` makes a folder with a recipe to start from"
SYNTAX = "texts stand in quotes, and every key is followed by `=` and a value"
_ALONE = "extend a recipe that extends none"
_LONGEST_CHAIN = 8


@dataclass(frozen=True)
class Spoken:
    """What a recipe says, with all that it extends.

    Attributes:
        text: TOML; that of the file where it extends nothing, and else one that says it all.
        origin: the data, and where each key stands.
        root: the folder where the paths of sources begin: that of the recipe which extends nothing.
    """

    text: str
    origin: Origin
    root: Path


def spoken(file: Path, name: str = "regrow.toml") -> Spoken:
    """Read a recipe and those it extends.

    Args:
        file: the recipe.
        name: what a recipe is called in a folder.

    Raises:
        RecipeError: if one of them is not there, is not TOML, or extends itself.
    """
    near = meant(file.parent if file.name == name else file, lambda path: path.is_file() or (path / name).is_file())
    chain = [_opened(file, f"did you mean `{near}`?" if near else _MISSING)]
    while (parent := _parent(chain[-1].origin, chain[-1].root, name)) is not None:
        if _comes_back(parent, chain):
            raise chain[-1].origin.error((KEY,), "leads back to a recipe that extends this one", hint=_ALONE)
        if len(chain) == _LONGEST_CHAIN:
            raise chain[-1].origin.error((KEY,), f"is one of more than {_LONGEST_CHAIN} in a row", hint=_ALONE)
        chain.append(_opened(parent, "name a folder with a recipe, or a recipe"))
    if len(chain) == 1:
        return chain[0]
    if "name" not in _table(chain[0].origin.data.get("model")):
        raise chain[0].origin.error(
            ("model", "name"),
            "missing",
            why="two models of one name would take each other's place",
            hint='add a table `[model]` with a `name`, as in `name = "bard-wide"`',
        )
    return _together([one.origin for one in reversed(chain)], chain[-1].root)


def varied(said: Spoken, data: Mapping[str, Any]) -> Spoken:
    """What a variant of a recipe would come to that says these data, and that it extends the recipe.

    Args:
        said: the recipe, with all that it extends.
        data: of the variant.
    """
    return _together([said.origin, Origin(said.origin.file, dict(data))], said.root)


def _together(origins: Sequence[Origin], root: Path) -> Spoken:
    """A recipe with the changes of its variants, each laid over those before."""
    origin = origins[0]
    for one in origins[1:]:
        origin = laid_over(origin, one)
    data = {key: value for key, value in origin.data.items() if key != KEY}
    return Spoken(text_of(data), replace(origin, data=data), root)


def text_of(data: Mapping[str, Any]) -> str:
    """Data as TOML, with a line that says where they come from."""
    return "# Written by regrow: a variant together with what it extends.\n" + tomli_w.dumps(data)


def laid_over(base: Origin, variant: Origin) -> Origin:
    """A recipe with the changes of a variant."""
    data = dict(base.data)
    moved: dict[Place, Place] = {}
    for key, value in variant.data.items():
        before = data.get(key)
        if (old := _tables(before)) and (new := _tables(value)):
            data[key], places = _entries(old, new)
            moved |= {(key, said): (key, at) for said, at in places.items()}
        else:
            data[key] = _over(before, value)
    lines = {(*moved.get(place[:2], place[:2]), *place[2:]): line for place, line in variant.lines.items()}
    elsewhere = {place: base.files.get(place, base.file) for place in base.lines if place not in lines}
    return Origin(variant.file, data, {**base.lines, **lines}, elsewhere)


def _opened(file: Path, missing: str) -> Spoken:
    text = read(file, missing)
    return Spoken(text, parsed(text, str(file), SYNTAX), file.parent)


def _parent(origin: Origin, folder: Path, name: str) -> Path | None:
    """The recipe that one extends."""
    said = origin.data.get(KEY)
    if said is None:
        return None
    if not isinstance(said, str) or not said or "\0" in said:
        raise origin.error((KEY,), "must be a path", hint=f'write, for example, `{KEY} = "../bard"`')
    try:
        found = folder / said
        return Path(os.path.normpath(found / name if found.is_dir() else found))
    except OSError as error:
        raise origin.error((KEY,), "cannot be read", why=(error.strerror or str(error)).lower()) from None


def _comes_back(parent: Path, chain: Sequence[Spoken]) -> bool:
    return os.path.realpath(parent) in {os.path.realpath(one.origin.file) for one in chain}


def _over(before: Any, value: Any) -> Any:
    """A value in the place of another; tables are joined."""
    if not isinstance(before, dict) or not isinstance(value, dict):
        return value
    return {**before, **{key: _over(before.get(key), item) for key, item in value.items()}}


def _entries(before: list[dict[str, Any]], value: list[dict[str, Any]]) -> tuple[list[Any], dict[int, int]]:
    """Entries laid over those of the same name, the others behind, and where each one went."""
    entries = list(before)
    places: dict[int, int] = {}
    for i, entry in enumerate(value):
        name = entry.get("name")
        at = next((j for j, other in enumerate(before) if name is not None and other.get("name") == name), None)
        places[i] = len(entries) if at is None else at
        if at is None:
            entries.append(entry)
        else:
            entries[at] = _over(entries[at], entry)
    return entries, places


def _tables(value: Any) -> list[dict[str, Any]]:
    """The value, if it is a list of tables."""
    return value if isinstance(value, list) and all(isinstance(entry, dict) for entry in value) else []


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
