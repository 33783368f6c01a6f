"""``regrow explain``: where and why two builds part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import Place, example, json_option, offline_option, pass_console, threads_option

if TYPE_CHECKING:
    from regrow.verifying.explain import Explanation


@click.command(epilog=example("  regrow explain build/bard their/bard\n  regrow explain a.safetensors b.safetensors"))
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--replay",
    is_flag=True,
    help="Of two releases, run the first step again that differs, from the last state that both had.",
)
@click.option(
    "--source",
    "sources",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="With --replay: the folder in which the `file:` sources are; twice if they are two.",
)
@click.option("--store", type=Place(), metavar="DIR", help="With --replay: build in this store, and believe it.")
@click.option("--yes", "confirmed", is_flag=True, help="With --replay: begin even if it takes days.")
@click.option("--html", type=Place(file=True), metavar="FILE", help="Write a page as well.")
@offline_option
@threads_option
@json_option
@pass_console
def command(
    console: Console,
    first: Path,
    second: Path,
    replay: bool,
    sources: tuple[Path, ...],
    store: Path | None,
    confirmed: bool,
    html: Path | None,
    offline: bool,
) -> int:
    """Show where two builds part, and guess why.

    FIRST and SECOND are releases, folders or files of weights, or logs of builds. It names the first input, stage,
    step, tensor and number that differ, with the bits, and what is different about the machines. Of models without
    records of their steps, the weights on the way are halved until it is known between which of them they part.

    Nothing is run, unless --replay is given: then what both were trained on is made here, and the first step that
    differs is run again as either says, so that the first numbers that differ are named, and who of the two is right.

    Exits with 0 if nothing differs, and with 3 if something does.
    """
    if not replay and (sources or store or confirmed):
        raise click.UsageError("--source, --store and --yes are about running a step again\nhint: add --replay")
    if len(sources) > 2:
        raise click.UsageError("--source is given once or twice\nhint: the first is that of FIRST")
    found = _explained(console, first, second, sources, store, confirmed, offline) if replay else _read(first, second)
    if html is not None:
        from regrow.store import write_atomic
        from regrow.verifying.page import explained

        write_atomic(html, explained(found))
    if console.json:
        console.document("explain/1", found.to_json())
    else:
        console.result("\n".join(found.lines()))
    return found.exit_code


def _read(first: Path, second: Path) -> Explanation:
    from regrow.verifying.explain import explain

    return explain(first, second)


def _explained(
    console: Console,
    first: Path,
    second: Path,
    sources: tuple[Path, ...],
    store: Path | None,
    confirmed: bool,
    offline: bool,
) -> Explanation:
    """Compare, and run a step again."""
    from regrow.cli.interrupts import stop_on_interrupt
    from regrow.cli.progress import progress
    from regrow.train.memory import keep_freed_memory
    from regrow.verifying.explain import explain
    from regrow.verifying.replay import How

    keep_freed_memory()
    places = (sources[0], sources[-1]) if sources else (None, None)
    with stop_on_interrupt(console) as stop, progress(console) as listener:
        return explain(first, second, How(places, listener, stop, store, offline, confirmed))
