"""Several processes of one command: on this machine under torch's elastic agent, or the lines that start it on others.

The agent is what ``torchrun`` runs. When one of the processes dies it ends the rest and starts all of them again.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from regrow.errors import Interrupted, StageError
from regrow.train.group.environment import EXIT_CODE

PORT = 29400
"""Where the first host keeps the rendezvous, as torchrun does by default."""

RESTARTS = 3
"""How often lost workers are started again."""

_A_LONG_TIME = 7 * 24 * 3600


def launch(module: Sequence[str], workers: int, *, restarts: int) -> int:
    """Run ``python -m MODULE ...`` in several processes of this machine and return the first one's exit code.

    The first process writes its exit code to the file that ``EXIT_CODE`` names, and exits with 0: to the agent anything
    else is a reason to start all of them again.

    Args:
        module: the module and its arguments.
        workers: how many processes.
        restarts: how often they are started again when one of them dies.

    Raises:
        StageError: if a process died and they could not be started again.
    """
    for name in [name for name in os.environ if name.startswith(("TORCHELASTIC_", "PET_"))]:
        del os.environ[name]  # somebody else's agent
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what matters is said below
    with TemporaryDirectory(prefix="regrow-") as folder:
        code = Path(folder, "exit-code")
        os.environ[EXIT_CODE] = str(code)
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=workers,
            run_id=str(uuid.uuid4()),
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",  # a free port
            local_addr="localhost",
            max_restarts=restarts,
            shutdown_timeout=_A_LONG_TIME,  # after Ctrl-C the first process finishes its step
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)("-m", *module)
        except SignalException as stopped:
            if not code.is_file():
                return Interrupted.exit_code if stopped.sigval == signal.SIGINT else 128 + stopped.sigval
        except ChildFailedError as error:
            raise _lost(error) from error
        return int(code.read_text("utf-8"))


def command_lines(command: Sequence[str], workers: int, hosts: int, *, name: str) -> dict[str, str]:
    """The lines that start workers, by the program that does it.

    Args:
        command: the command without its workers, such as ``regrow build RECIPE``.
        workers: on all hosts together, shared out evenly.
        hosts: how many.
        name: what a job is called.
    """
    if hosts == 1:
        return {"regrow": shlex.join([*command, "--workers", str(workers)])}
    each = workers // hosts
    return {
        "torchrun": torchrun(command, each, hosts, head="HOST", job=shlex.quote(name)),
        "slurm": slurm(command, each, hosts, name=name),
    }


def torchrun(command: Sequence[str], workers: int, hosts: int, *, head: str, job: str) -> str:
    """The line that starts workers, to be run on each host.

    Args:
        command: the module and its arguments.
        workers: on each host.
        hosts: how many.
        head: the first host, as a word of a shell.
        job: what the group of hosts is known by, likewise.
    """
    options = f"--nnodes {hosts} --nproc-per-node {workers} --max-restarts {RESTARTS}"
    rendezvous = f"--rdzv-backend c10d --rdzv-endpoint {head}:{PORT} --rdzv-id {job}"
    return f"torchrun {options} {rendezvous} -m {shlex.join(command)}"


def slurm(command: Sequence[str], workers: int, hosts: int, *, name: str) -> str:
    """A script for ``sbatch`` that does the same under Slurm."""
    line = torchrun(command, workers, hosts, head='"$head"', job='"$SLURM_JOB_ID"')
    return "\n".join(
        (
            "#!/bin/bash",
            f"#SBATCH --job-name={shlex.quote(name)}",
            f"#SBATCH --nodes={hosts}",
            "#SBATCH --ntasks-per-node=1",
            "#SBATCH --exclusive",
            'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
            f"srun --cpu-bind=none {line}",
        )
    )


def _lost(error: Any) -> StageError:
    rank, failure = error.get_first_failure()
    how = (
        f"exit code {failure.exitcode}" if failure.exitcode > 0 else f"signal {signal.Signals(-failure.exitcode).name}"
    )
    return StageError(
        f"worker {rank} was lost",
        why=f"it ended with {how}, and so often that all were not started again",
        hint="the same command continues; if memory is short, fewer workers or a smaller `micro_batch` need less",
    )
