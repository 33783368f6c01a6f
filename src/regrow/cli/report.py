"""``regrow report``: the report of a release, made again."""

from __future__ import annotations

from pathlib import Path

import click

from regrow.cli.console import Console
from regrow.cli.options import Place, example, json_option, pass_console, readable, release_argument


@click.command(epilog=example("  regrow report build/bard --open"))
@release_argument
@click.option("--output", "-o", type=Place(file=True), metavar="FILE", help="By default report.html in it.")
@click.option("--open", "show", is_flag=True, help="Open it in a browser.")
@json_option
@pass_console
def command(console: Console, release: Path, output: Path | None, show: bool) -> None:
    """Write the report of a release again.

    It is one HTML file that needs nothing else. It shows the loss, where every byte came from and under which
    licence, what was dropped and why, what the model writes, and every hash. Its path is the only line on stdout.
    """
    from regrow.building.place import explained
    from regrow.release.layout import REPORT
    from regrow.report import contents, render
    from regrow.store import write_atomic

    path = output or release / REPORT
    page = render(contents(readable(release)))
    with explained(path):
        write_atomic(path, page)
    if show:
        click.launch(str(path.absolute()))
    if console.json:
        console.document("report/1", {"report": str(path)})
    else:
        console.result(str(path))
