"""``regrow data``: what training saw at one step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console, readable, release_argument, store_option

if TYPE_CHECKING:
    from regrow.tracing.steps import Piece

_SHORT = 12


@click.command(epilog=example("  regrow data build/bard --step 100\n  regrow data build/bard --step 100 --text"))
@release_argument
@click.option("--step", type=click.IntRange(min=1), required=True, metavar="N", help="Optimizer step, from 1.")
@click.option("--stage", metavar="NAME", help="Of which training run, if there are several; by default the last.")
@click.option("--text", is_flag=True, help="Show the text too, if the store still has the tokens.")
@store_option
@json_option
@pass_console
def command(console: Console, release: Path, step: int, stage: str | None, text: bool, store: Path | None) -> None:
    """Show what training saw at a step.

    Which documents, and which tokens of them. The order is a pure function of the seed, the epoch and the place in
    it, so it is computed, not looked up. A token span counts from the first token of its document; the last token of
    a document marks its end.
    """
    from regrow.tracing.steps import pieces

    found = pieces(readable(release), step, stage=stage, text=text, store=store)
    if console.json:
        console.document("data/1", {"release": str(release), "step": step, "pieces": [one.to_json() for one in found]})
    else:
        for line in _lines(found):
            console.result(line)


def _lines(pieces: list[Piece]) -> Iterator[str]:
    from regrow.cli.table import table

    rows = [
        (str(one.sequence), one.document[:_SHORT], one.source, one.licence, one.locator, f"{one.start}-{one.end}")
        for one in pieces
    ]
    head, *lines = table(("sequence", "document", "source", "licence", "locator", "tokens"), rows, right="sequence")
    yield head
    for line, piece in zip(lines, pieces, strict=True):
        yield line
        if piece.text is not None:
            yield from (f"    {part}" for part in piece.text.splitlines())
