"""``regrow attest``: sign that this machine rebuilt a release."""

from __future__ import annotations

from pathlib import Path

import click

from regrow.cli.console import Console
from regrow.cli.options import Place, example, json_option, pass_console, readable, release_argument


@click.command(epilog=example("  regrow verify build/bard\n  regrow attest build/bard --key ~/.config/regrow/alice"))
@release_argument
@click.option("--key", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Your private key.")
@click.option(
    "--as",
    "form",
    type=click.Choice(["provenance", "eval-result"]),
    default="provenance",
    show_default=True,
    help="The predicate: SLSA's, which `regrow verify --require` counts, or in-toto's for evaluations.",
)
@click.option(
    "--output",
    "-o",
    type=Place(file=True),
    metavar="FILE",
    help="By default attestations/KEY.dsse.json in the release.",
)
@json_option
@pass_console
def command(console: Console, release: Path, key: Path, form: str, output: Path | None) -> None:
    """Sign that this machine built a release again and got the same.

    It is signed only if this machine did, by `regrow verify`, or by `regrow build` from nothing. The statement is
    in-toto's in an envelope of DSSE; what lies in attestations/ is not covered by the release digest, since it can only
    be made afterwards.
    """
    from regrow.attesting.statements import signed, statement
    from regrow.formats import dsse, keys
    from regrow.release.layout import ATTESTATIONS
    from regrow.store import write_atomic

    there = readable(release)
    private = keys.private_key(key)
    name = keys.key_id(private.public_key())[:16]
    told = statement(there, "eval-result" if form == "eval-result" else "provenance")
    path = output or release / ATTESTATIONS / f"{name}{'' if form == 'provenance' else '.eval'}.dsse.json"
    write_atomic(path, dsse.write(signed(told, private)))
    if console.json:
        console.document("attest/1", {"release": str(release), "digest": there.digest, "file": str(path)})
        return
    console.verb("Signed", str(path))
    console.result(there.digest)
