"""``regrow inspect``: what is in a release."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console, readable, release_argument

if TYPE_CHECKING:
    from regrow.report import ReportData

_TOLD = ("name", "digest", "licence", "description", "facts", "measures", "sources", "exclusions", "stages", "files")


@click.command(epilog=example("  regrow inspect build/bard\n  regrow inspect build/bard --json | jq .sources"))
@release_argument
@json_option
@pass_console
def command(console: Console, release: Path) -> None:
    """Show what is in a release.

    The model, its sources and licences, what was dropped, the stages and the files. This is what the release says of
    itself; `regrow verify` finds out whether it is true.
    """
    from regrow.report import contents

    data = contents(readable(release))
    if console.json:
        told = asdict(data)
        console.document("inspect/1", {**{name: told[name] for name in _TOLD}, "warnings": told["doubts"]})
    else:
        console.result("\n".join(_lines(data)))


def _lines(data: ReportData) -> Iterator[str]:
    from regrow.cli.table import table
    from regrow.report.render import count, size

    yield f"{data.name}, {data.licence}" + (f": {data.description}" if data.description else "")
    yield ", ".join(f"{count(value)} {name}" for name, value in data.facts.items())
    yield from (f"{measure.bits_per_byte:.4f} bits per byte, {measure.name}" for measure in data.measures)
    yield from (f"warning: {doubt.what}" for doubt in data.doubts)
    yield ""
    yield from table(
        ("source", "licence", "availability", "documents", "bytes", "fetch"),
        [
            (one.name, one.licence, one.availability, count(one.documents), size(one.bytes), one.fetch)
            for one in data.sources
        ],
        right="documents bytes",
    )
    yield ""
    if data.exclusions:
        yield from table(
            ("dropped by", "reason", "documents", "characters"),
            [(one.stage, one.reason, count(one.documents), count(one.characters)) for one in data.exclusions],
            right="documents characters",
        )
        yield ""
    yield from table(("stage", "kind", "digest"), [(one.name, one.kind, one.digest) for one in data.stages])
    yield ""
    yield from table(("file", "size"), [(one.path, size(one.size)) for one in data.files], right="size")
    yield ""
    yield data.digest
