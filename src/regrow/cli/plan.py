"""``regrow plan``: what a build would do, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regrow.cli.console import Console
from regrow.cli.options import (
    example,
    json_option,
    offline_option,
    pass_console,
    recipe_argument,
    recompute_option,
    shard_option,
    store_option,
)

if TYPE_CHECKING:
    from regrow.building.preparing import Prepared

_ARRAY = 16
"""Jobs of an array, where nobody says how many."""


@click.command(epilog=example("  regrow plan examples/bard\n  regrow plan examples/bard --workers 16 --hosts 2"))
@recipe_argument
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Say how to build with so many processes.")
@click.option("--hosts", type=click.IntRange(min=1), metavar="N", help="On so many machines; by default 1.")
@shard_option
@recompute_option
@click.option("--runner", type=click.Choice(["slurm"]), help="Show a script that has text prepared by array jobs.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Jobs of an array; by default 16.")
@offline_option
@store_option
@json_option
@pass_console
def command(
    console: Console,
    recipe: Path,
    workers: int | None,
    hosts: int | None,
    shard: bool,
    recompute: bool,
    runner: str | None,
    jobs: int | None,
    offline: bool,
    store: Path | None,
) -> None:
    """Show what a build would do.

    For each stage: whether its output is in the store and, if it is not, why. Then what the rest costs: bytes to
    fetch, and estimates of arithmetic, time, memory and disk. Nothing is built, fetched or written: files beside the
    recipe are looked up, and of sources elsewhere that no lock pins yet it says that their size is not known.

    With --workers it also shows what starts so many, for several machines as command lines for torchrun and Slurm; and
    where --shard or --recompute spare memory, how much each worker then needs. With --runner slurm, stdout has only a
    script to be run with bash, which submits jobs for all of the build.
    """
    if jobs is not None and runner is None:
        raise click.UsageError("--jobs is about array jobs\nhint: add --runner slurm, or leave it out")
    workers = workers or hosts
    if workers is not None and workers % (hosts or 1):
        raise click.UsageError(f"{workers} workers cannot be shared out evenly among {hosts} hosts")
    from regrow.building.preparing import prepare
    from regrow.cli.progress import progress
    from regrow.engine.machine import Hosts
    from regrow.train.group.launch import command_lines

    with progress(console) as listener:
        shared = Hosts(workers or 1, hosts or 1, shard, recompute)
        prepared = prepare(recipe, offline=offline, store=store, listener=listener, hosts=shared)
    found, reasons = prepared.plan, list(prepared.reasons)
    options = ["--shard"] * shard + ["--recompute"] * recompute
    command = ["regrow", "build", str(recipe), *options]
    lines = command_lines(command, workers, hosts or 1, name=found.model) if workers else {}
    if runner is not None:
        lines = {"array": _script(prepared, recipe, store, jobs, workers, hosts, options)}
    if console.json:
        document = {**found.to_json(), "lock_stale": reasons, **({"launch": lines} if lines else {})}
        console.document(document.pop("schema").removeprefix("regrow/"), document)
        return
    if runner is not None:
        console.result(lines["array"])
        return
    for line in found.lines():
        console.result(line)
    for warning in found.warnings():
        console.verb("Warning", warning, "yellow")
    for program, text in lines.items():
        console.result(f"\n# {_headings(workers or 1, hosts or 1)[program]}\n{text}")
    for reason in reasons:
        console.verb("Note", f"regrow.lock would be renewed: {reason}", "yellow")


def _script(
    prepared: Prepared,
    recipe: Path,
    store: Path | None,
    jobs: int | None,
    workers: int | None,
    hosts: int | None,
    options: list[str],
) -> str:
    """What submits array jobs under Slurm, and then a job for the rest, with workers if there are any."""
    from regrow.engine.runners.slurm import script
    from regrow.store import default_root
    from regrow.train.group.launch import slurm

    name, last = prepared.plan.model, ""
    if workers is not None:
        command = ["regrow", "build", str(recipe.absolute()), *options]
        last = slurm(command, workers // (hosts or 1), hosts or 1, name=name)
    return script(prepared.graph, recipe, store or default_root(), name=name, jobs=jobs or _ARRAY, last=last)


def _headings(workers: int, hosts: int) -> dict[str, str]:
    return {
        "regrow": f"{workers} workers on this machine",
        "torchrun": f"{workers} workers on {hosts} machines, HOST being one of them: run this on each",
        "slurm": f"{workers} workers on {hosts} machines under Slurm: a script for sbatch",
    }
