"""What torchrun tells a process about the group that it belongs to, and what the process needs to know of its host."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from regrow.errors import Interrupted, RecipeError

_ANYWHERE = "192.0.2.1"  # an address that nobody has (RFC 5737); the way there is the way out
_SIOCGIFADDR = 0x8915  # Linux: the address of an interface


@dataclass(frozen=True)
class Member:
    """This process as one of a group.

    Attributes:
        rank: from 0.
        count: of the processes on all hosts.
        neighbours: how many of them are on this host.
        hosts: how many hosts there are.
        address: host of the board.
        port: of the board.
        attempt: how often torchrun has started the processes of this host again.
    """

    rank: int
    count: int
    neighbours: int
    hosts: int
    address: str
    port: int
    attempt: int


def member(environment: Mapping[str, str] = os.environ) -> Member | None:
    """What torchrun says about this process; None if it was not started so, or is the only one.

    Raises:
        RecipeError: if only half of it is there, or it makes no sense.
    """
    if "RANK" not in environment and "WORLD_SIZE" not in environment:
        return None
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if missing := [f"`{name}`" for name in names if not environment.get(name)]:
        raise _wrong_environment(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set")

    def number(name: str, default: str = "") -> int:
        value = environment.get(name, default)
        if not value.isascii() or not value.isdigit():
            raise _wrong_environment(f"`{name}` is `{value}`")
        return int(value)

    found = Member(
        rank=number("RANK"),
        count=number("WORLD_SIZE"),
        neighbours=max(1, number("LOCAL_WORLD_SIZE", "1")),
        hosts=number("GROUP_WORLD_SIZE", "1"),
        address=environment["MASTER_ADDR"],
        port=number("MASTER_PORT"),
        attempt=number("TORCHELASTIC_RESTART_COUNT", "0"),
    )
    if found.rank >= found.count:
        raise _wrong_environment(f"`RANK` is {found.rank} and `WORLD_SIZE` is {found.count}")
    return found if found.count > 1 else None


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def interface(member: Member) -> str:
    """The network interface on which the other workers find this one; empty if that cannot be told.

    Left to itself gloo takes the address that the host's own name stands for, and on many hosts that is a loopback
    address, at which nobody else finds it.
    """
    name = _interface_towards(member.address)
    return (name != "lo" and name) or (member.hosts > 1 and _interface_towards(_ANYWHERE)) or name


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


def leave_with_parent() -> None:
    """End this process soon after the one that started it, which may be killed without a chance to see to that."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(Interrupted.exit_code)

    threading.Thread(target=watch, daemon=True).start()


def _wrong_environment(why: str) -> RecipeError:
    return RecipeError(
        "the environment speaks of a group of workers, but not as torchrun does",
        why=why,
        hint="start them with torchrun, or unset `RANK` and `WORLD_SIZE`",
    )
