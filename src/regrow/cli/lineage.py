"""``regrow lineage``: where the weights of a model came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, pass_console

if TYPE_CHECKING:
    from regrow.release.lineage import Model

_SHORT = 12


@click.command(
    epilog=example("  regrow lineage build/my-tune\n  regrow lineage model.gguf\n  regrow lineage build/my-tune --json")
)
@click.argument("model", metavar="PATH-OR-ID")
@json_option
@pass_console
def command(console: Console, model: str) -> None:
    """Show where every weight of a model came from.

    PATH-OR-ID is one of our releases, or whatever `regrow audit` takes. Of each ancestor it says whether this machine
    has rebuilt it, whether it can be rebuilt, or whether only its bytes are pinned and nobody knows how it was made. Of
    a release it says what the statements about its stages show; of any other model, what its card and files name.
    """
    found = _lineage(model)
    if console.json:
        console.document("lineage/1", asdict(found))
    else:
        console.result("\n".join(_tree(found)))


def _lineage(model: str) -> Model:
    from regrow.auditing.ancestry import ancestry
    from regrow.building import rebuilds
    from regrow.release import Release
    from regrow.release.layout import PROVENANCE, SUMS
    from regrow.release.lineage import lineage

    folder = Path(model)
    if (folder / SUMS).is_file() and (folder / PROVENANCE).is_dir():
        return lineage(Release.open(folder), lambda digest: rebuilds.is_noted(rebuilds.place(digest), digest))
    return ancestry(model)


def _tree(model: Model) -> Iterator[str]:
    """A model in some lines, and below it, further to the right, those that it was made from."""
    yield from _lines(model)
    for i, parent in enumerate(model.parents):
        last = i == len(model.parents) - 1
        first, *others = _tree(parent)
        yield f"{'└─' if last else '├─'} {first}"
        yield from (f"{'   ' if last else '│  '}{line}" for line in others)


def _lines(model: Model) -> Iterator[str]:
    digest = f"  {model.digest[:_SHORT]}" if model.digest else ""
    yield f"{model.name}{digest}  [{model.standing}]"
    bar = "│  " if model.parents else "   "
    if model.fetch and model.fetch != model.name:
        yield f"{bar}from {model.fetch}"
    if model.licence:
        yield f"{bar}under {model.licence}"
    yield f"{bar}{model.why}"
    if model.forked:
        yield f"{bar}forked from {model.forked}"
    for step in model.steps:
        yield f"{bar}{step.said}, {step.digest[:_SHORT]}"
    if model.parents:
        yield "│"
