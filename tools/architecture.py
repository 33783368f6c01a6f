"""docs/architecture.md, drawn from the import contracts: ``python -m tools.architecture > docs/architecture.md``.

Rooms and their order are those of the contract in pyproject.toml, what they know is the first line of their docstrings,
so the page cannot say something else than the code and the test that holds it.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_CODE = ROOT / "src"
_CONTRACT = "Rooms only look downwards"
_WIDTH = 74

_HEAD = """\
# Architecture

<!-- Made by `python -m tools.architecture`. Do not edit. -->

Everything is a stage, and everything about a stage is in one file: its *kind*. A recipe is expanded into a graph of
stages, the engine evaluates the graph, a build assembles the outputs into a release, and everybody else reads releases:

    regrow.toml --recipe--> graph --engine, stages--> artifacts --building--> release
                                                                                 |
                                    report, verifying, auditing, trace, serve <--+

## Where to look

| for | go to |
|---|---|
| a key of the recipe, its default, bounds and description | the parameters of its kind, `stages/NAME.py` |
| the keys of `[architecture]` and `[train]` | `model/architecture.py`, `train/section.py` |
| a new kind of stage | one file: [Adding a stage](adding-a-stage.md); how kinds of others are found: `stages/` |
| how kinds become a graph | `recipe/expand.py` |
| what an error in a recipe says | `recipe/problems.py` |
| what decides whether a stage runs | `engine/key.py`; why it does: `engine/explain.py` |
| what a build would cost | the `cost` of the kinds; added up in `engine/plan.py` |
| where a source comes from | `sources/SCHEME.py` |
| which files a release holds | the `released` of the kinds; `building/selection.py`, `building/assemble.py` |
| what provenance says | `origin` and `on_documents` of the kinds; written in `building/provenance.py` |
| what the model card says | `building/card.py` |
| what a model is compared with | `building/manifest.py` |
| where the store and downloads lie | `store/store.py`, `sources/downloads.py` |
| reading a release | `release/release.py`, `Release.open` |
| a family of models | one file: `model/families/NAME.py` |
| the loss, and what is trained | `train/tasks/`; one step: `train/loop.py` |
| the bits of an operation | [Arithmetic](arithmetic.md); `exact/definition.py` |
| a fast kernel | `exact/compiled.py`, `exact/microkernels/`, `exact/gpu/` |
| several processes | `train/group/` |
| a file format | `formats/` |
| what an audit reads | `auditing/collectors/`; how it judges: `auditing/rules/`; what it writes: `auditing/outputs/` |
| a command | `cli/NAME.py`, which parses and prints; what other programs import: `interface.py` |

## Rooms

A room imports from those below it and from nothing above or beside it. The contracts in `pyproject.toml` say so, a test
checks them, and this drawing is made from them.

"""


def page() -> str:
    """The page, as Markdown."""
    layers = _layers()
    return "\n".join([_HEAD + "```", *_drawing(layers), "```", "", *_rooms(layers), *_inside()]).rstrip() + "\n"


def _contracts() -> list[dict[str, object]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found: list[dict[str, object]] = settings["tool"]["importlinter"]["contracts"]
    return found


def _layers() -> list[list[str]]:
    """The rooms, from top to bottom; those of one layer do not know each other."""
    (contract,) = (one for one in _contracts() if one["name"] == _CONTRACT)
    layers = contract["layers"]
    assert isinstance(layers, list)
    return [[name.strip().removeprefix("regrow.") for name in layer.split("|")] for layer in layers]


def _drawing(layers: list[list[str]]) -> Iterator[str]:
    for layer in layers:
        yield "+" + "-" * (_WIDTH - 2) + "+"
        yield "|" + "   ".join(layer).center(_WIDTH - 2) + "|"
    yield "+" + "-" * (_WIDTH - 2) + "+"


def _rooms(layers: list[list[str]]) -> Iterator[str]:
    for layer in layers:
        for room in layer:
            path = _CODE / "regrow" / room
            if path.is_dir():
                yield from (f"### `{room}`", "", _about(path / "__init__.py"), "", "| module | |", "|---|---|")
                yield from (f"| `{name}` | {_about(file)} |" for name, file in _modules(path))
                yield ""
            else:
                yield from (f"### `{room}`", "", _about(path.with_suffix(".py")), "")


def _modules(room: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(room.rglob("*.py")):
        name = path.relative_to(room).as_posix()
        if not path.name.startswith("__"):
            yield name, path
        elif path.name == "__init__.py" and path.parent != room:
            yield name.removesuffix("__init__.py"), path


def _about(file: Path) -> str:
    """The first sentence of a module's docstring."""
    said = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    first = " ".join(said.partition("\n\n")[0].split()).replace("``", "`")
    return first.replace("|", "\\|")


def _inside() -> Iterator[str]:
    yield from ("## Inside rooms", "", "Some rooms have contracts of their own, from top to bottom:", "")
    for contract in _contracts():
        containers = contract.get("containers")
        if isinstance(containers, list) and isinstance(layers := contract["layers"], list):
            rooms = ", ".join(f"`{name.removeprefix('regrow.')}`" for name in containers)
            yield f"* {rooms}. {contract['name']}: {' > '.join(layer.replace(' | ', ', ') for layer in layers)}."


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(page())
