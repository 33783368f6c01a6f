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
    readable,
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
@click.option(
    "--require",
    type=click.IntRange(min=1),
    metavar="N",
    help="Rebuild nothing: ask that N independent rebuilders of --trust have signed that they did.",
)
@click.option(
    "--trust", type=click.Path(path_type=Path), metavar="FILE", help="With --require: whose signatures count."
)
@click.option(
    "--attestations",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PLACE",
    help="With --require: more envelopes, beside those in the release.",
)
@click.option("--keep-going", is_flag=True, help="Build all stages, and name every one that differs.")
@click.option("--yes", "confirmed", is_flag=True, help="Begin even if it takes days, or more than this machine has.")
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
    require: int | None,
    trust: Path | None,
    attestations: tuple[Path, ...],
    keep_going: bool,
    confirmed: bool,
    offline: bool,
    who: Choice,
) -> int:
    """Build a release again and compare.

    It is built from its own recipe and lock, and every stage is compared. With --segments all is built again but
    training, of which some parts are: the release committed to its states before anybody asked for them, and each part
    has to lead from one to the next. That takes less time and is no proof; it says how likely a lie is passed over.

    With --require nothing is built, and the files are compared with what others have signed (exit code 5 if they are
    too few).

    What would take more than a day, or more memory or disk than this machine has, is begun only with --yes.

    Exits with 0 if all is the same, with 3 if something differs, naming the first stage that does, and with 4 if two
    runs on this machine differ, so that nothing can be said.
    """
    from regrow.cli.interrupts import stop_on_interrupt
    from regrow.cli.progress import progress
    from regrow.train.memory import keep_freed_memory
    from regrow.verifying import draw
    from regrow.verifying.rebuild import rebuild, room_of
    from regrow.verifying.spot import Wanted, spot_check

    if segments is not None and (require is not None or keep_going):
        other = "--keep-going" if require is None else "--require"
        raise click.UsageError(f"--segments and {other} are two ways to check\nhint: one after the other")
    if require is not None and keep_going:
        raise click.UsageError("with --require nothing is built\nhint: leave --keep-going out")
    if segments is None and (nonce or states):
        raise click.UsageError("--nonce and --states are about a check of parts\nhint: add --segments, or leave it out")
    if (require is None) is not (trust is None) or (attestations and require is None):
        raise click.UsageError("--require and --trust belong together\nhint: --require 2 --trust rebuilders.toml")
    if require is not None and trust is not None:
        return _trusted(console, release, require, trust, attestations)
    keep_freed_memory()
    if segments is not None:
        with stop_on_interrupt(console) as stop, progress(console) as listener, room_of(store) as room:
            wanted = Wanted(segments, nonce or draw.nonce(), states or "", sources, offline, confirmed)
            found = spot_check(release, wanted, store=room, listener=listener, stop=stop, who=who)
        if console.json:
            console.document("verify-segments/1", found.to_json())
        else:
            console.result("\n".join(found.lines()))
        return found.exit_code
    with stop_on_interrupt(console) as stop, progress(console) as listener:
        report = rebuild(
            release,
            listener=listener,
            stop=stop,
            store=store,
            sources=sources,
            offline=offline,
            who=who,
            confirmed=confirmed,
            keep_going=keep_going,
        )
    if console.json:
        document = report.to_json()
        console.document(document.pop("schema").removeprefix("regrow/"), document)
    else:
        console.result("\n".join(report.lines()))
    return report.exit_code


def _trusted(console: Console, release: Path, required: int, trust: Path, more: tuple[Path, ...]) -> int:
    """Count those who signed that they rebuilt a release, whose files are compared with its list first."""
    from dataclasses import asdict
    from datetime import UTC, datetime

    from regrow.attesting.statements import envelopes, recipe_of
    from regrow.attesting.trust import consent, trusted
    from regrow.errors import DifferentError
    from regrow.release.layout import ATTESTATIONS
    from regrow.verifying.files import check_files

    there = readable(release)
    believed = trusted(trust, datetime.now(UTC).date())
    files = check_files(there)
    if not files.whole:
        named = (*files.damaged, *files.missing, *files.extra)
        raise DifferentError(
            "the files are not the ones that anybody signed",
            where=str(release),
            why=f"{named[0]} is not as its list of checksums says"
            + (f", and {len(named) - 1} more" * (len(named) > 1)),
            hint="get the release again from where it came",
        )
    own = release / ATTESTATIONS
    found = list(envelopes(*((own,) if own.is_dir() else ()), *more))
    agreed = consent(files.digest, recipe_of(there), found, believed, required)
    if console.json:
        console.document("verify-trust/1", {"enough": agreed.enough, **asdict(agreed)})
    else:
        console.result("\n".join(agreed.lines()))
    return agreed.exit_code
