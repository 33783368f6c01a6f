"""``regrow plan``: what a build would do, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regrow.cli.console import Console
from regrow.cli.options import example, json_option, offline_option, pass_console, recipe_argument, store_option

if TYPE_CHECKING:
    from regrow.engine import Listener
    from regrow.recipe.graph import Graph
    from regrow.recipe.plan import Plan


@click.command(epilog=example("  regrow plan examples/bard"))
@recipe_argument
@offline_option
@store_option
@json_option
@pass_console
def command(console: Console, recipe: Path, offline: bool, store: Path | None) -> None:
    """Show what a build would do.

    For each stage: whether its output is in the store and, if it is not, why. Then what the rest costs: bytes to
    fetch, and estimates of arithmetic, time, memory and disk. Nothing is built and no lock is written; sources that
    no lock pins yet are looked up.
    """
    from regrow.cli.progress import progress

    with progress(console) as listener:
        found, reasons = _planned(recipe, offline, store, listener)
    if console.json:
        document = found.to_json()
        console.document(document.pop("schema").removeprefix("regrow/"), {**document, "lock_stale": reasons})
        return
    for line in found.lines():
        console.result(line)
    for reason in reasons:
        console.verb("Note", f"regrow.lock would be renewed: {reason}", "yellow")


def _planned(recipe: Path, offline: bool, store: Path | None, listener: Listener) -> tuple[Plan, list[str]]:
    """The plan, and why the lock is out of date, if it is."""
    from regrow.cli.progress import Reasons
    from regrow.engine import forecast
    from regrow.recipe.plan import plan
    from regrow.recipe.schema import load
    from regrow.release.locking import Mode, locked_recipe
    from regrow.store import Store, default_root

    reasons = Reasons(listener)
    graph = locked_recipe(recipe, Mode.RENEW, offline=offline, listener=reasons).graph
    with Store(store or default_root()) as opened:
        forecasts = forecast(graph, opened, str(recipe.resolve()))
    missing = {one.stage for one in forecasts if not one.cached}
    return plan(load(recipe).model.name, graph, forecasts, fetch_bytes=_to_fetch(graph, missing)), reasons.found


def _to_fetch(graph: Graph, missing: set[str]) -> int:
    """Bytes that have to come from elsewhere."""
    total = 0
    for stage in graph.stages:
        fetch: Any = stage.parameters
        if stage.kind.name == "fetch" and stage.name in missing and not fetch.fetch.startswith("file:"):
            total += sum(pin.size for pin in fetch.pins)
    return total
