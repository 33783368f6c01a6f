"""Runs a program as each worker of a group, in forks of a process that has loaded what workers need only once.

    python -m tests.forked WORKERS FILE.PY|MODULE [ARGUMENT ...]

To load torch, Numba and the package takes seconds of every process that torchrun starts, and of its own. What it says
to workers is said here too; it starts nothing again, so a test of that takes torchrun itself.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import NoReturn

from torch.distributed import TCPStore

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
    while children:
        child, status = os.wait()
        children.remove(child)
        if status:
            for other in children:
                os.kill(other, signal.SIGTERM)
            return False
    return True


if __name__ == "__main__":
    sys.exit(not main(int(sys.argv[1]), *sys.argv[2:]))
