"""``regrow lock``: pin every input and write down every default."""

from __future__ import annotations

from pathlib import Path

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, offline_option, pass_console, recipe_argument


@click.command(epilog=example("  regrow lock my-model\n  regrow lock my-model --check"))
@recipe_argument
@click.option("--check", is_flag=True, help="Write nothing; exit with 2 if the lock is missing or out of date.")
@offline_option
@json_option
@pass_console
def command(console: Console, recipe: Path, check: bool, offline: bool) -> None:
    """Write regrow.lock, without building.

    Every source is pinned by sha256 and size, and every default is made explicit. Files beside the recipe are pinned
    as they are now. Pins of other sources stay if the recipe still fetches them in the same way. The path of the lock
    is the only line on stdout.
    """
    from regrow.building.preparing import relock
    from regrow.cli.progress import progress

    with progress(console) as listener:
        done = relock(recipe, check=check, offline=offline, listener=listener)
    for reason in done.reasons:
        console.verb("Locked", reason)
    if not done.reasons:
        console.verb("Unchanged", str(done.path), "cyan")
    if console.json:
        document = {"lock": str(done.path), "written": bool(done.reasons), "reasons": list(done.reasons)}
        console.document("lock/1", document)
    else:
        console.result(str(done.path))
