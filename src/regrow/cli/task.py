"""``regrow task``: a share of a build, for schedulers that start processes by themselves."""

from __future__ import annotations

from pathlib import Path

import click

from regrow.cli.console import Console
from regrow.cli.options import (
    example,
    json_option,
    offline_option,
    pass_console,
    required_recipe_argument,
    store_option,
    threads_option,
)


class Share(click.ParamType[tuple[int, int]]):
    """Which of how many, ``3/16``, from 0."""

    name = "share"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The two numbers."""
        if isinstance(value, tuple):
            return value
        index, _, of = value.partition("/")
        if not (index.isdecimal() and of.isdecimal() and int(index) < int(of)):
            self.fail(f"`{value}` is not a share\nhint: as `3/16`, from 0/16 to 15/16", param, ctx)
        return int(index), int(of)


@click.command(epilog=example("  regrow task my-model clean\n  regrow task my-model deduplicate hashes --share 3/16"))
@required_recipe_argument
@click.argument("stage")
@click.argument("phase", default="")
@click.option(
    "--share", type=Share(), default=(0, 1), metavar="K/N", help="Every Nth task, beginning with the Kth from 0."
)
@offline_option
@store_option
@threads_option
@json_option
@pass_console
def command(
    console: Console, recipe: Path, stage: str, phase: str, share: tuple[int, int], offline: bool, store: Path | None
) -> None:
    """Do one stage, or the tasks of one phase of it.

    This is what the jobs of `regrow plan --runner slurm` do, and anybody may do by hand, in its order. It takes
    regrow.lock for the truth, as `regrow build --frozen` does. What is done already is not done again.
    """
    from regrow.building.tasks import Piece, perform
    from regrow.cli.interrupts import stop_on_interrupt
    from regrow.cli.progress import progress

    if share[1] > 1 and not phase:
        raise click.UsageError("--share is of the tasks of a phase, and there is no PHASE")
    piece = Piece(stage, phase, *share)
    with stop_on_interrupt(console) as stop, progress(console) as listener:
        perform(recipe, piece, offline=offline, store=store, listener=listener, stop=stop)
    if console.json:
        console.document("task/1", {"stage": stage, "phase": phase, "share": list(share)})
    else:
        console.verb("Done", f"{stage} {phase}, share {share[0]} of {share[1]}" if phase else stage)
