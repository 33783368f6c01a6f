"""``regrow fingerprint``: hash the runs of words of works, so that others can look for them without having them."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console
from regrow.errors import InputError
from regrow.words import counted

_NAME = "works"


@click.command(epilog=example("  regrow fingerprint novels/ --output novels.fingerprints"))
@click.argument("texts", type=click.Path(path_type=Path), metavar="TEXTS")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="The list to write; its name ends in .fingerprints.",
)
@json_option
@pass_console
def command(console: Console, texts: Path, output: Path) -> None:
    """Make a list of hashes of works, to be looked for in what models are trained on.

    TEXTS is a file or a folder, of which each text is a work. The list has a number of 64 bits for every run of 50
    words and the names of the works, and nothing of their text: who makes it can hand it over. A recipe looks for it as
    a source with role = "reference".
    """
    from regrow.engine.context import StageContext
    from regrow.evidence.fingerprints import SUFFIX
    from regrow.stages.documents import DocumentsParameters
    from regrow.stages.fingerprint import fingerprints

    if output.suffix != SUFFIX:
        raise click.UsageError(f"the name of a list ends in {SUFFIX}, and `{output.name}` does not")
    if not texts.exists():
        raise InputError(f"there is no {texts}", hint="name a file with a text, or a folder of such files")
    folder, select = (texts, "**/*") if texts.is_dir() else (texts.parent, texts.name)
    wanted = DocumentsParameters(name=_NAME, licence="LicenseRef-Unknown", availability="obtainable", select=(select,))
    context = StageContext(_NAME, lambda event: None, threading.Event())
    found, tally = fingerprints(folder, wanted, context)
    found.write(output)
    told = {"output": str(output), "works": len(found.works), "windows": len(found.hashes)}
    left_out = tally.words() if tally and tally.losses else ""
    if console.json:
        console.document("fingerprint/1", {**told, "left_out": left_out})
        return
    if left_out:
        console.verb("Left out", left_out, "yellow")
    console.result(f"{output}: {len(found.hashes):,} windows of {counted(len(found.works), 'work')}")
