"""``regrow verify``: build a release again and compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import (
    Place,
    example,
    json_option,
    offline_option,
    pass_console,
    release_argument,
    threads_option,
    who_option,
)

if TYPE_CHECKING:
    from regrow.engine import Choice


@click.command(epilog=example("  regrow verify build/bard\n  regrow verify build/tiny --source examples/tiny"))
@release_argument
@click.option(
    "--source",
    "sources",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder in which the `file:` sources of the recipe are.",
)
@click.option(
    "--store",
    type=Place(),
    metavar="DIR",
    help="Build in this store and believe what is in it; by default in an empty one.",
)
@click.option(
    "--segments",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of each training run repeat only N segments: the first, the last, and others that the nonce draws.",
)
@click.option("--nonce", metavar="WORD", help="With --segments: what draws them; by default nobody can foresee it.")
@click.option(
    "--states",
    metavar="PLACE",
    help="With --segments: a folder or URL with states of the runs, beside the release.",
)
@offline_option
@who_option
@threads_option
@json_option
@pass_console
def command(
    console: Console,
    release: Path,
    sources: Path | None,
    store: Path | None,
    segments: int | None,
    nonce: str | None,
    states: str | None,
    offline: bool,
    who: Choice,
) -> int:
    """Build a release again and compare.

    It is built from its own recipe and lock, and every stage is compared. With --segments all is built again but
    training, of which some parts are: the release committed to its states before anybody asked for them, and each part
    has to lead from one to the next. That takes less time and is no proof; it says how likely a lie is passed over.

    Exits with 0 if all is the same, with 3 if something differs, naming the first stage that does, and with 4 if two
    runs on this machine differ, so that nothing can be said.
    """
    from regrow.cli.interrupts import stop_on_interrupt
    from regrow.cli.progress import progress
    from regrow.train.memory import keep_freed_memory
    from regrow.verifying import draw
    from regrow.verifying.rebuild import rebuild, room_of
    from regrow.verifying.spot import Wanted, spot_check

    if segments is None and (nonce or states):
        raise click.UsageError("--nonce and --states are about a check of parts\nhint: add --segments, or leave it out")
    keep_freed_memory()
    if segments is not None:
        with stop_on_interrupt(console) as stop, progress(console) as listener, room_of(store) as room:
            wanted = Wanted(segments, nonce or draw.nonce(), states or "", sources, offline)
            found = spot_check(release, wanted, store=room, listener=listener, stop=stop, who=who)
        if console.json:
            console.document("verify-segments/1", found.to_json())
        else:
            console.result("\n".join(found.lines()))
        return found.exit_code
    with stop_on_interrupt(console) as stop, progress(console) as listener:
        report = rebuild(release, listener=listener, stop=stop, store=store, sources=sources, offline=offline, who=who)
    if console.json:
        document = report.to_json()
        console.document(document.pop("schema").removeprefix("regrow/"), document)
    else:
        console.result("\n".join(report.lines()))
    return report.exit_code
