"""Commands that several processes share, which all run the same one: who starts them, who leads, and who follows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regrow.cli.console import Console

if TYPE_CHECKING:
    from regrow.stages.rows import Rows
    from regrow.train.group.environment import WorkerEnvironment
    from regrow.train.group.rendezvous import Rendezvous
    from regrow.train.loop import WorkerGroup


def named(workers: int | None, *, shard: bool) -> WorkerEnvironment | None:
    """What this process is told of the others, if it is one of several.

    Raises:
        UsageError: if options say something else.
    """
    from regrow.train.group.environment import started_by_others, worker_environment

    environment = worker_environment()
    if shard and workers is None and environment is None:
        raise click.UsageError("--shard is about several workers\nhint: add --workers N, or leave it out")
    if workers is not None and started_by_others():
        raise click.UsageError("torchrun has started the workers\nhint: leave --workers out")
    return environment


def launch(console: Console, workers: int, restarts: int | None = None) -> int:
    """Run this same command in several processes."""
    from regrow.train.group.environment import processors
    from regrow.train.group.launch import RESTARTS, launch

    if workers > processors():
        console.verb("Note", f"{workers} workers share {processors()} processors; that is slower than fewer", "yellow")
    restarts = RESTARTS if restarts is None else restarts
    return launch(["regrow.cli.worker", *sys.argv[1:]], workers, restarts=restarts)


def join(environment: WorkerEnvironment, eligible: bool) -> Rendezvous:
    """Find the other workers. Whoever has what the command is about may lead them."""
    from regrow.train.group.environment import end_with_parent
    from regrow.train.group.run import join

    end_with_parent()
    return join(environment, eligible=eligible)


def follow(rendezvous: Rendezvous) -> int:
    """Help to train; Ctrl-C reaches every worker, and the one that leads decides."""
    import signal

    from regrow.train.group.environment import processor_share
    from regrow.train.group.run import follow

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return follow(rendezvous, threads=processor_share(rendezvous.environment), reading=reading)


@contextmanager
def reading(told: Mapping[str, Any]) -> Iterator[Rows]:
    """Where this worker reads the tokens of a run."""
    from regrow.engine.runners import borrowed
    from regrow.stages.rows import Rows

    with borrowed(told["location"], Path(told["shards"]["directory"])) as files:
        yield Rows.elsewhere(told, files)


def leading(rendezvous: Rendezvous | None, *, shard: bool) -> AbstractContextManager[WorkerGroup | None]:
    """The workers to lend, if there are any besides this process."""
    if rendezvous is None:
        return nullcontext()
    from regrow.train.group.environment import processor_share
    from regrow.train.group.run import leading

    return leading(rendezvous, threads=processor_share(rendezvous.environment), shard=shard)
