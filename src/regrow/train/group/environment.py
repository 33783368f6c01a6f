"""What torchrun tells a process about the group that it belongs to, and what the process needs to know of its host."""

from __future__ import annotations

import os
import socket
import threading
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from regrow.errors import Interrupted, Note, RecipeError

EXIT_CODE = "REGROW_EXIT_CODE"
"""Set where ``regrow build --workers`` started the workers: the file that takes the first one's exit code."""

_MARK = "TORCHELASTIC_RUN_ID"  # torchrun sets it, whatever its options, and nothing else does
_ANYWHERE = "192.0.2.1"  # an address that nobody has (RFC 5737); the way there is the way out
_SIOCGIFADDR = 0x8915  # Linux: the address of an interface


@dataclass(frozen=True)
class WorkerEnvironment:
    """This process as one worker of a group.

    Attributes:
        rank: from 0.
        count: of the workers on all hosts.
        local_count: how many of them are on this host.
        hosts: how many hosts there are.
        address: host of torchrun's key-value store.
        port: of the store.
        restarts: how often torchrun has started the workers of this host again.
    """

    rank: int
    count: int
    local_count: int
    hosts: int
    address: str
    port: int
    restarts: int

    def copies(self, *, shard: bool) -> int:
        """How many copies of the parameters there are: one for each worker or, where they are shared out, each host,
        between whose workers the way is short; but one for all if hosts have not equally many.
        """
        if not shard:
            return self.count
        return self.hosts if self.count == self.hosts * self.local_count else 1


def worker_environment(variables: Mapping[str, str] = os.environ) -> WorkerEnvironment | None:
    """What torchrun says about this process; None if it was not started so, or is the only one.

    Platforms set some of the same variables in every process, and there nobody keeps the store at which workers meet:
    what they say is ignored, with a :class:`regrow.errors.Note` if it speaks of several.

    Raises:
        RecipeError: if only half of it is there, or it makes no sense.
    """
    if not started_by_torchrun(variables):
        if variables.get("WORLD_SIZE", "1") != "1":
            text = (
                "`WORLD_SIZE` is set, but not by torchrun, and is ignored: `docs/workers.md` says how to share a build"
            )
            warnings.warn(text, Note, stacklevel=2)
        return None
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if missing := [f"`{name}`" for name in names if not variables.get(name)]:
        raise _wrong_environment(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set")

    def number(name: str, default: str = "") -> int:
        value = variables.get(name, default)
        if (found := _whole(value)) is None:
            raise _wrong_environment(f"`{name}` is `{value}`")
        return found

    found = WorkerEnvironment(
        rank=number("RANK"),
        count=number("WORLD_SIZE"),
        local_count=max(1, number("LOCAL_WORLD_SIZE", "1")),
        hosts=number("GROUP_WORLD_SIZE", "1"),
        address=variables["MASTER_ADDR"],
        port=number("MASTER_PORT"),
        restarts=number("TORCHELASTIC_RESTART_COUNT", "0"),
    )
    if found.rank >= found.count:
        raise _wrong_environment(f"`RANK` is {found.rank} and `WORLD_SIZE` is {found.count}")
    if not 0 < found.port < 1 << 16:
        raise _wrong_environment(f"`MASTER_PORT` is {found.port}")
    return found if found.count > 1 else None


def started_by_torchrun(variables: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is a worker of torchrun, or of ``regrow build --workers``, which uses the same."""
    return _MARK in variables


def started_by_others() -> bool:
    """Whether this is a worker that somebody else than ``regrow build --workers`` started."""
    return started_by_torchrun() and EXIT_CODE not in os.environ


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_share(environment: WorkerEnvironment) -> int:
    """How many threads a worker of this host should compute with: what was asked for, or an even share."""
    return _whole(os.environ.get("NUMBA_NUM_THREADS", "")) or max(1, processors() // environment.local_count)


def network_interface(environment: WorkerEnvironment) -> str:
    """The network interface on which the other workers find this one; empty if that cannot be told.

    Left to itself gloo takes the address that the host's own name stands for, and on many hosts that is a loopback
    address, at which nobody else finds it.
    """
    name = _interface_towards(environment.address)
    return (name != "lo" and name) or (environment.hosts > 1 and _interface_towards(_ANYWHERE)) or name


def _interface_towards(host: str) -> str:
    import struct

    try:
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # sends nothing
            mine = probe.getsockname()[0]
            for _, name in socket.if_nameindex():
                with suppress(OSError):  # it has no address
                    found = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()))
                    if socket.inet_ntoa(found[20:24]) == mine:
                        return name
    except (ImportError, OSError):
        pass
    return ""


def end_with_parent() -> None:
    """End this process soon after the one that started it, which may be killed without a chance to see to that."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(Interrupted.exit_code)

    threading.Thread(target=watch, daemon=True).start()


def _whole(value: str) -> int | None:
    """A whole number of a reasonable size, or None."""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


def _wrong_environment(why: str) -> RecipeError:
    return RecipeError(
        "the environment speaks of a group of workers, but not as torchrun does",
        why=why,
        hint="start them with torchrun, or unset `RANK` and `WORLD_SIZE`",
    )
