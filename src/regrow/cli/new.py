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
    from regrow.building.template import start

    files = start(name)
    if console.json:
        console.document("new/1", {"folder": str(name), "files": files})
        return
    console.verb("Created", f"{name}: put your texts into {name / 'texts'}, then `regrow build {name}`")
    console.result(str(name))
