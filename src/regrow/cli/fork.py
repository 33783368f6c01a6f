"""``regrow fork``: from a release to a folder in which one can go on without its owner."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import Place, example, json_option, offline_option, pass_console, release_argument, store_option

if TYPE_CHECKING:
    from regrow.forking.fork import Fork

_VERBS = {"copied": ("Copied", "green"), "elsewhere": ("Elsewhere", "yellow"), "missing": ("Missing", "yellow")}


@click.command(
    epilog=example("  regrow fork build/bard my-bard && regrow build my-bard --offline\n  regrow fork build/bard")
)
@release_argument
@click.argument("folder", type=Place(), required=False)
@click.option(
    "--source",
    "texts",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A folder in which the `file:` sources of the recipe are, if the store does not have them.",
)
@store_option
@offline_option
@json_option
@pass_console
def command(
    console: Console, release: Path, folder: Path | None, texts: Path | None, store: Path | None, offline: bool
) -> None:
    """Make a folder in which one can go on without the owner of a release.

    FOLDER, by default called like the release and in the current directory, gets its recipe and lock, its weights, and
    whatever of its texts and models may be passed on and is found in the release, the store, the downloads or, unless
    told to stay offline, where the recipe fetches it. It builds to the same digest where nothing is missing. What is
    missing is named, with what that means, and what licences ask. Nothing that exists is overwritten. The folder is the
    only line on stdout.
    """
    from regrow.cli.progress import Lines
    from regrow.forking.fork import fork

    place = folder or Path(release.resolve().name)
    made = fork(release, place, texts=texts, store=store, offline=offline, listener=Lines(console))
    if console.json:
        console.document("fork/1", {**asdict(made), "same": made.same, "alone": made.alone})
        return
    _tell(console, made)
    console.result(str(place))


def _tell(console: Console, made: Fork) -> None:
    from regrow.forking.page import outcome, words

    console.verb("Forked", f"{made.name} ({made.digest[:12]}) into {made.folder}")
    for part in made.parts:
        verb, colour = _VERBS[part.standing]
        console.verb(verb, words(part), colour)
    if made.weights:
        console.verb("Missing", f"the weights: {made.weights}", "yellow")
    for duty in made.duties:
        if duty.asks:
            console.verb("Licence", f"{duty.licence} ({', '.join(duty.of)}): {'; '.join(duty.asks)}")
    for part in made.parts:
        if part.packed and part.standing == "copied":
            says = f", under terms of its own ({', '.join(part.found)})" if part.found else ""
            console.verb("Note", f"{part.name} is copied as it is published, and may hold more than is read{says}")
        if part.attribution:
            console.verb("Name", f"for {part.name}: {part.attribution}")
    console.verb("Outcome", outcome(made), "green" if made.same else "yellow")
    folder = shlex.quote(made.folder)
    if made.stuck:
        console.verb("Next", f"regrow new NAME --from {folder}/regrow.fork/release", "cyan")
    else:
        console.verb("Next", f"regrow build {folder}{' --offline' if made.alone else ''}", "cyan")
