"""``regrow new``: a folder with a recipe to start from."""

from __future__ import annotations

from pathlib import Path

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console


@click.command(epilog=example("  regrow new my-model && regrow build my-model"))
@click.argument("name", type=click.Path(path_type=Path))
@json_option
@pass_console
def command(console: Console, name: Path) -> None:
    """Write a folder with a recipe to start from.

    The folder NAME gets a recipe and a text, ready to build in seconds. Nothing that exists is overwritten. The
    folder is the only line on stdout.
    """
    from regrow.errors import RecipeError
    from regrow.recipe.template import template
    from regrow.stages import KINDS
    from regrow.store import new_directory

    if name.exists() or name.is_symlink():
        raise RecipeError(
            f"`{name}` is there already", why="nothing is overwritten", hint="choose another name, or move it away"
        )
    files = template(name.resolve().name, KINDS)
    name.parent.mkdir(parents=True, exist_ok=True)
    with new_directory(name) as folder:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, "utf-8", newline="\n")
    if console.json:
        console.document("new/1", {"folder": str(name), "files": sorted(files)})
        return
    console.verb("Created", f"{name}: put your texts in it, then `regrow build {name}`")
    console.result(str(name))
