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
    from regrow.build.locking import Mode, locked_recipe
    from regrow.cli.progress import Reasons, progress
    from regrow.errors import RecipeError
    from regrow.release import is_release
    from regrow.store import write_atomic

    with progress(console) as listener:
        reasons = Reasons(listener)
        locked = locked_recipe(recipe, Mode.LOCKED if check else Mode.RENEW, offline=offline, listener=reasons)
    path = recipe / "regrow.lock"
    if reasons.found:
        if is_release(recipe):
            raise RecipeError(
                "the lock is part of a release",
                where=str(path),
                why="; ".join(reasons.found),
                hint="copy regrow.toml, and the files it speaks of, to a folder of their own and lock it there",
            )
        write_atomic(path, locked.text(locked.promised, locked.promised_release))
        for reason in reasons.found:
            console.verb("Locked", reason)
    else:
        console.verb("Unchanged", str(path), "cyan")
    if console.json:
        console.document("lock/1", {"lock": str(path), "written": bool(reasons.found), "reasons": reasons.found})
    else:
        console.result(str(path))
