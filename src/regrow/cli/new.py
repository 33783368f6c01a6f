"""``regrow new``: a folder with a recipe to start from."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console

if TYPE_CHECKING:
    from regrow.building.proposal import Figures


@click.command(
    epilog=example("  regrow new my-model && regrow build my-model\n  regrow new my-model --from ~/my-texts")
)
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "texts",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Copy the texts of a folder, or one file, look how they are written, and propose a model for them.",
)
@json_option
@pass_console
def command(console: Console, name: Path, texts: Path | None) -> None:
    """Write a folder with a recipe to start from.

    The folder NAME gets a recipe and a text, ready to build in seconds; with --from the texts are those of PATH, and
    the recipe says how they are read, and has a vocabulary, a model and a training of a size that fits them. Nothing
    that exists is overwritten. The folder is the only line on stdout.
    """
    from regrow.building.template import start, start_from
    from regrow.cli.progress import Lines

    figures = None
    if texts is None:
        files = start(name)
    else:
        files, figures = start_from(name, texts, Lines(console))
    if console.json:
        told = {} if figures is None else {"proposal": asdict(figures)}
        console.document("new/1", {"folder": str(name), "files": files, **told})
        return
    if figures is None:
        console.verb("Created", f"{name}: put your texts into {name / 'texts'}")
    else:
        console.verb("Created", f"{name}: {figures.about}, and {_model(figures)}")
        if figures.field:
            console.verb("Note", f"of rows, the field `{figures.field}` is read; another is named as `field`", "yellow")
        console.verb("Note", f"say in {name / 'regrow.toml'} under which licence the texts are", "yellow")
    console.verb("Next", f"regrow plan {shlex.quote(str(name))}", "cyan")
    console.result(str(name))


def _model(figures: Figures) -> str:
    size = figures.size
    return f"a model of {size.layers} layers of {size.width}, to be trained on {size.tokens:,} tokens"
