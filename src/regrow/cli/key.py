"""``regrow key``: keys to sign with."""

from __future__ import annotations

from pathlib import Path

import click

from regrow.cli.console import Console
from regrow.cli.options import Place, example, json_option, pass_console


@click.group(epilog=example("  regrow key new ~/.config/regrow/alice"))
def command() -> None:
    """Make keys to sign with."""


@command.command(epilog=example("  regrow key new ~/.config/regrow/alice"))
@click.argument("file", type=Place(file=True))
@click.option(
    "--kind",
    type=click.Choice(["ed25519", "p256"]),
    default="ed25519",
    show_default=True,
    help="Ed25519 for attestations, or ECDSA on P-256, which OpenSSF model signing takes.",
)
@json_option
@pass_console
def new(console: Console, file: Path, kind: str) -> None:
    """Make a key: FILE, which only you may read, and FILE.pub, which is for others.

    The private key has no passphrase. Whoever has it can sign in your name, and if it is lost nobody can.
    """
    from regrow.formats import keys

    public = keys.new(file, "p256" if kind == "p256" else "ed25519")
    if console.json:
        console.document("key/1", {"private": str(file), "public": f"{file}.pub", "id": keys.key_id(public)})
        return
    console.verb("Made", f"{file} (keep it to yourself) and {file}.pub (for those who shall trust you)")
    console.result(keys.key_id(public))
