"""The kinds of stages a recipe may use: one module each, which tells everything about its kind as ``KIND``.

A module that is put into this folder is found, and so is a kind of another distribution that names it as an entry
point: ``[project.entry-points."regrow.kinds"]``, ``scale = "my_package.scale:KIND"`` (docs/adding-a-stage.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any

from regrow.errors import RecipeError
from regrow.recipe.expand import in_order
from regrow.recipe.kind import Kind, Kinds
from regrow.recipe.schema import shared_keys

__all__ = ["KINDS"]

_GROUP = "regrow.kinds"


def _own() -> Iterator[Kind[Any]]:
    """The kinds of this folder."""
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    yield from (module.KIND for module in modules if hasattr(module, "KIND"))


def _others() -> Iterator[Kind[Any]]:
    """The kinds that other distributions bring."""
    for point in sorted(entry_points(group=_GROUP), key=lambda point: point.value):
        where = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        hint = f"mend or uninstall {point.dist.name}" if point.dist else "mend or uninstall the package"
        try:
            kind = point.load()
        except Exception as error:  # whatever a stranger's module may do
            why = f"{type(error).__name__}: {error}"
            raise RecipeError(f"the kind `{point.name}` cannot be loaded", where=where, why=why, hint=hint) from error
        if not isinstance(kind, Kind) or kind.name != point.name:
            what = f"`{point.value}` is not the kind of stage `{point.name}`"
            raise RecipeError(what, where=where, why="its entry point says it is", hint=hint)
        yield kind


def _known() -> Kinds:
    found: dict[str, Kind[Any]] = {}
    for kind in (*_own(), *_others()):
        if found.setdefault(kind.name, kind) is not kind:
            why = f"{found[kind.name].parameters.__module__} and {kind.parameters.__module__} both bring it"
            raise RecipeError(f"there are two kinds called `{kind.name}`", why=why, hint="uninstall one of them")
    for name, keys in shared_keys(found).items():
        raise RecipeError(
            f"two kinds both bring the key `{keys[0]}` of the table `[{name}]`",
            why="one value would be taken for two things",
            hint="let one of them have another key, or a table of its own",
        )
    try:
        return MappingProxyType({kind.name: kind for kind in in_order(found)})
    except CycleError as error:
        raise RecipeError(
            f"the kinds come after each other in a circle: {' -> '.join(error.args[1])}",
            hint="mend `after` of one of them",
        ) from error


KINDS: Kinds = _known()
"""Name -> kind, each after those that give what it takes."""
