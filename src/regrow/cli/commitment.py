"""``regrow commitment``: show that a text which may not be shared is part of a release, and check who shows it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console, readable, release_argument, store_option

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(
    epilog=example(
        "  regrow commitment open build/mine 4be0ea3e1c52 -o proof.json\n"
        "  regrow commitment check build/mine proof.json"
    )
)
def command() -> None:
    """Show that a text is part of a release that may not hold it.

    Of a source with `availability = "unshareable"` a release commits to every text, and holds none. Who holds the
    texts can open the commitment to any of them; that a text is not among them cannot be shown in this way.
    """


@command.command("open", epilog=example("  regrow commitment open build/mine 4be0ea3e1c52 -o proof.json"))
@release_argument
@click.argument("documents", nargs=-1, required=True, metavar="DOCUMENT...")
@click.option("-o", "--output", type=_FILE, help="By default stdout.")
@click.option("--text/--no-text", default=True, help="Whether the proof holds the texts; by default it does.")
@store_option
@json_option
@pass_console
def open_(
    console: Console, release: Path, documents: tuple[str, ...], output: Path | None, text: bool, store: Path | None
) -> None:
    """Write a proof that documents are in a release.

    A DOCUMENT is an id, or the beginning of one, as `regrow data` shows them. The proof tells of no other document.
    Without the texts in it, only who has them can check it; but it holds their salts, with which texts can be tried
    out. It is made from what the store has of the build.
    """
    from regrow.tracing.openings import opening

    made = opening(readable(release), documents, text=text, store=store)
    if output is not None:
        _write(output, made.to_json())
    if console.json or output is None:
        told = json.loads(made.to_json())
        console.document(told.pop("schema").removeprefix("regrow/"), told)


def _write(path: Path, text: str) -> None:
    from regrow.errors import StageError
    from regrow.store import write_atomic

    try:
        write_atomic(path, text)
    except OSError as error:
        why = error.strerror or str(error)
        raise StageError("the proof cannot be written", where=str(path), why=why) from error


@command.command("check", epilog=example("  regrow commitment check build/mine proof.json"))
@release_argument
@click.argument("proof", type=_FILE)
@click.option("--text", "texts", type=_FILE, multiple=True, metavar="FILE", help="A text that the proof does not hold.")
@json_option
@pass_console
def check(console: Console, release: Path, proof: Path, texts: tuple[Path, ...]) -> None:
    """Check a proof against a release.

    It needs nothing but the release and the proof. Exits with 0 if each document of the proof is in the release, and
    with 3 if one is not shown to be.
    """
    from regrow.tracing import openings

    there = readable(release)
    found = openings.check(there, openings.read(proof), [_text(path) for path in texts])
    if console.json:
        shown = [one.to_json() for one in found]
        console.document("commitment/1", {"release": str(release), "digest": there.digest, "documents": shown})
        return
    for one in found:
        console.result(str(one))
    console.result(there.digest)


def _text(path: Path) -> str:
    from regrow.errors import InputError

    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError("the text cannot be read", where=str(path), why=why) from error
