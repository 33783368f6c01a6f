"""Runs a program as each worker of a group, in forks of a process that has loaded what workers need only once.

    python -m tests.forked WORKERS FILE.PY|MODULE [ARGUMENT ...]
    python -m tests.forked hosts FILE.PY [ARGUMENT ...]

To load torch, Numba and the package takes seconds of every process that torchrun starts, and of its own. What it says
to workers is said here too. The first starts nothing again; the second has the agents of torchrun do so, one for each
of two hosts, both of which are this one, with a worker each.
"""

from __future__ import annotations

import os
import runpy
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from typing import NoReturn

from torch.distributed import TCPStore
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import regrow.train.group.run
import regrow.train.loop  # noqa: F401
from regrow.exact import compiled  # noqa: F401


def _become(program: str, arguments: list[str], environment: Mapping[str, str]) -> NoReturn:
    """Do what a worker does, and end as it does."""
    code: object = 0
    os.environ.update(environment)
    sys.argv = [program, *arguments]
    try:
        run = runpy.run_path if program.endswith(".py") else runpy.run_module
        run(program, run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def main(workers: int, program: str, *arguments: str) -> bool:
    """Run all workers to their end, which is that of all if it is not a good one of each; whether it is."""
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    group = {
        "TORCHELASTIC_RUN_ID": "forked", "TORCHELASTIC_RESTART_COUNT": "0", "WORLD_SIZE": f"{workers}",
        "LOCAL_WORLD_SIZE": f"{workers}", "MASTER_ADDR": "localhost", "MASTER_PORT": f"{store.port}",
    }  # fmt: skip
    children = set()
    for rank in range(workers):
        if not (child := os.fork()):
            _become(program, list(arguments), {**group, "RANK": f"{rank}", "LOCAL_RANK": f"{rank}"})
        children.add(child)
    return _all_well(children)


def hosts(program: str, *arguments: str) -> bool:
    """Run a worker on each of two hosts, all of which are started again when one is lost; whether they end well."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    config = LaunchConfig(
        min_nodes=2, max_nodes=2, nproc_per_node=1, run_id="test", rdzv_backend="c10d", local_addr="localhost",
        rdzv_endpoint=f"localhost:{port}", max_restarts=2, start_method="fork",
    )  # fmt: skip
    children = set()
    for _ in range(2):
        if not (child := os.fork()):
            elastic_launch(config, _work)(program, list(arguments))
            os._exit(0)
        children.add(child)
    return _all_well(children)


def _work(program: str, arguments: list[str]) -> None:
    """Do what a worker does, for an agent that hears of the end from what returns."""
    sys.argv = [program, *arguments]
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise


def _all_well(children: set[int]) -> bool:
    """Wait for processes, all of which are ended if the end of one is not a good one; whether each was."""
    while children:
        child, status = os.wait()
        children.remove(child)
        if status:
            for other in children:
                os.kill(other, signal.SIGTERM)
            return False
    return True


if __name__ == "__main__":
    count, *rest = sys.argv[1:]
    sys.exit(not (hosts(*rest) if count == "hosts" else main(int(count), *rest)))
