"""``regrow attest``: sign that this machine rebuilt a release, or parts of it, or that these are its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import Place, example, json_option, pass_console, readable, release_argument

if TYPE_CHECKING:
    from regrow.formats.keys import PrivateKey
    from regrow.release import Release


@click.command(epilog=example("  regrow verify build/bard\n  regrow attest build/bard --key ~/.config/regrow/alice"))
@release_argument
@click.option("--key", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Your private key.")
@click.option(
    "--as",
    "form",
    type=click.Choice(["provenance", "eval-result", "model-signing"]),
    default="provenance",
    show_default=True,
    help="The predicate: SLSA's, which `regrow verify --require` counts; in-toto's for evaluations; or a bundle of "
    "OpenSSF model signing, which says of the files that they are yours and nothing of a rebuild.",
)
@click.option(
    "--method",
    type=click.Choice(["full", "segments"]),
    help="What is signed: a full rebuild, or a check of parts; by default the most that this machine did.",
)
@click.option(
    "--output",
    "-o",
    type=Place(file=True),
    metavar="FILE",
    help="By default a file in attestations/, called by the key.",
)
@json_option
@pass_console
def command(console: Console, release: Path, key: Path, form: str, method: str | None, output: Path | None) -> None:
    """Sign that this machine built a release again, or parts of it, and got the same.

    It is signed only if this machine did, by `regrow verify`, or by `regrow build` from nothing. What was done is said
    as it was: a check of parts with its nonce, and what it looked at. The statement is in-toto's in an envelope of
    DSSE; what lies in attestations/ is not covered by the release digest, since it can only be made afterwards.

    With `--as model-signing` the files are signed, after they were compared with the list of the release; it takes a
    key of `regrow key new --kind p256`, and `model_signing verify key` of OpenSSF accepts it.
    """
    from regrow.formats import keys
    from regrow.release.layout import ATTESTATIONS
    from regrow.store import write_atomic

    if method and form == "model-signing":
        raise click.UsageError("--method is about a rebuild\nhint: a bundle of model signing says nothing of one")
    there = readable(release)
    private = keys.private_key(key)
    suffix, data = _bundle(there, private) if form == "model-signing" else _envelope(there, private, form, method)
    path = output or release / ATTESTATIONS / f"{keys.key_id(private.public_key())[:16]}{suffix}"
    write_atomic(path, data)
    if console.json:
        console.document("attest/1", {"release": str(release), "digest": there.digest, "file": str(path)})
        return
    console.verb("Signed", str(path))
    console.result(there.digest)


def _envelope(release: Release, key: PrivateKey, form: str, method: str | None) -> tuple[str, bytes]:
    """How the file ends, and what is in it."""
    from regrow.attesting.statements import FULL, IN_PART, most_done, signed, statement
    from regrow.formats import dsse

    done = {"full": FULL, "segments": IN_PART}[method] if method else most_done(release)
    told = statement(release, "eval-result" if form == "eval-result" else "provenance", done)
    suffix = f"{'.segments' if done == IN_PART else ''}{'' if form == 'provenance' else '.eval'}.dsse.json"
    return suffix, dsse.write(signed(told, key))


def _bundle(release: Release, key: PrivateKey) -> tuple[str, bytes]:
    from regrow.attesting.bundles import bundle_of
    from regrow.formats.model_signing import SUFFIX
    from regrow.verifying.files import require_whole

    require_whole(release)
    return SUFFIX, bundle_of(release, key)
