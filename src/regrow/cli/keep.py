"""``regrow keep``: put what others need to check parts of a release where they find it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console, readable, release_argument, store_option


@click.command(epilog=example("  regrow keep build/bard s3://bucket/bard\n  regrow keep build/bard /tmp/kept"))
@release_argument
@click.argument("place", default="", metavar="[PLACE]")
@store_option
@json_option
@pass_console
def command(console: Console, release: Path, place: str, store: Path | None) -> None:
    """Put what others need to check parts where they find it.

    That is, for each training run the complete states that it kept, and of each stage of the corpus that gives several
    parts, all of them: whoever checks with `regrow verify --segments` makes some of these again. PLACE is a folder, or
    an address that fsspec knows; by default it is `kept_at` in `[model]` of the recipe. Texts that may not be shared
    are left out.
    """
    from regrow.building.keeping import keep
    from regrow.report.render import size
    from regrow.store import StoreReader, default_root
    from regrow.words import counted

    readable(release)
    with StoreReader(store or default_root(), must_exist=True) as opened:
        put = keep(release, place, opened, lambda stage: console.verb("Keeping", stage))
    if console.json:
        console.document("keep/1", asdict(put))
        return
    what = f"{counted(put.states, 'state')} of runs, and all parts of {counted(len(put.stages), 'stage')}"
    console.result(f"{size(put.bytes)} in {put.place}: {what}")
