"""Where the workers of a build find each other: a key-value store that torchrun keeps."""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch

from regrow.errors import RecipeError, StageError
from regrow.exact.version import ARITHMETIC
from regrow.train.group.environment import WorkerEnvironment
from regrow.version import __version__

_POLL_SECONDS = 0.05
_JOIN_SECONDS = 600.0  # until every worker must have registered
_CONNECTION = timedelta(seconds=60)

c10d: Any = torch.distributed  # not all of it is typed


class Closed(Exception):
    """The build is over: torchrun has left, or the leader."""

    def __init__(self, code: int) -> None:
        self.code = code


class Rendezvous:
    """This worker's connection to the store, through which the leader speaks to the others.

    The store outlives the processes when torchrun starts them again, so each time rank 0 opens a new *session*, and
    another worker takes part in it only if its registration was counted. (How often torchrun has started processes
    says nothing: every host counts for itself.)

    Attributes:
        environment: of this process.
        rank: as torchrun's, turned so that the leader has rank 0. Torchrun ranks hosts by their names, and the recipe
            may be on one of them only.
    """

    def __init__(self, environment: WorkerEnvironment) -> None:
        self.environment = environment
        self.rank = environment.rank
        self._session = ""
        self._store = _connect(environment)

    def elect(self, eligible: bool) -> None:
        """Wait until every worker has registered and settle who leads: the first one who is eligible.

        Raises:
            Closed: if all were started again although the build had come to its end.
            RecipeError: if they do not run the same programs.
            StageError: if a worker does not register.
        """
        leader = self._open_session(eligible) if self.environment.rank == 0 else self._register(eligible)
        self.rank = (self.environment.rank - leader) % self.environment.count

    def _open_session(self, eligible: bool) -> int:
        if (code := self._exit_code()) is not None:
            raise Closed(code)
        self._session = secrets.token_hex(8)
        self._store.set("session", self._session)
        deadline = time.monotonic() + _JOIN_SECONDS
        workers = [self._registration(rank, deadline) for rank in range(1, self.environment.count)]
        _require_same(workers)
        leader = 0 if eligible else next((worker["rank"] for worker in workers if worker["eligible"]), 0)
        self.publish("members", {"names": [worker["name"] for worker in workers], "leader": leader})
        return leader

    def _register(self, eligible: bool) -> int:
        name = secrets.token_hex(8)
        while True:
            if (session := self._read("session")) and session.decode() != self._session:
                self._session = session.decode()
                with _or_closed():
                    self.publish(f"worker {self.environment.rank}", {"name": name, "eligible": eligible, **_versions()})
            if (found := self._read(f"{self._session} members")) and name in (members := json.loads(found))["names"]:
                return int(members["leader"])
            time.sleep(_POLL_SECONDS)

    def publish(self, key: str, value: Any) -> None:
        """Set a key of this session, for every worker to read."""
        self._store.set(f"{self._session} {key}", json.dumps(value))

    def wait(self, key: str) -> Any:
        """Wait for the value of a key of this session.

        Raises:
            Closed: if the build ends instead.
        """
        while (found := self._read(f"{self._session} {key}")) is None:
            time.sleep(_POLL_SECONDS)
        return json.loads(found)

    def close(self, code: int) -> None:
        """Tell the others to leave with an exit code."""
        with suppress(RuntimeError):  # torchrun has left before
            self._store.set("closed", str(code))

    def store(self, name: str) -> Any:
        """A store for a single purpose of this session."""
        return c10d.PrefixStore(f"{self._session} {name}", self._store)

    def _read(self, key: str) -> bytes | None:
        """The value of a key, if it has one; for those who do not lead."""
        with _or_closed():
            code = self._exit_code()
            if code is None:
                return bytes(self._store.get(key)) if self._store.check([key]) else None
        raise Closed(code)

    def _exit_code(self) -> int | None:
        return int(self._store.get("closed")) if self._store.check(["closed"]) else None

    def _registration(self, rank: int, deadline: float) -> dict[str, Any]:
        key = f"{self._session} worker {rank}"
        while not self._store.check([key]):
            if time.monotonic() > deadline:
                raise StageError(
                    f"worker {rank} of {self.environment.count} has not come",
                    why=f"nothing was heard of it for {_JOIN_SECONDS:.0f} seconds",
                    hint="see whether `regrow build` runs there, in the same version",
                )
            time.sleep(_POLL_SECONDS)
        worker: dict[str, Any] = json.loads(self._store.get(key))
        return {"rank": rank, **worker}


def _connect(environment: WorkerEnvironment) -> Any:
    """A connection to the store.

    Raises:
        StageError: if there is none.
    """
    address, port = environment.address, environment.port
    try:
        socket.create_connection((address, port), _CONNECTION.total_seconds()).close()
        store = c10d.TCPStore(address, port, is_master=False, timeout=_CONNECTION)
    except (OSError, RuntimeError) as error:
        raise StageError(
            f"worker {environment.rank} cannot reach torchrun at {address}, port {port}",
            why=str(error).partition("\n")[0],
            hint="start the workers with torchrun, and give it an address that every host can reach; "
            "`docs/workers.md` shows how",
        ) from error
    return c10d.PrefixStore("regrow", store)


@contextmanager
def _or_closed() -> Iterator[None]:
    """Without torchrun there is no store."""
    try:
        yield
    except RuntimeError:
        raise Closed(StageError.exit_code) from None


def _versions() -> dict[str, Any]:
    """What every worker must have in common, and where this one is."""
    torch_version = str(torch.__version__).partition("+")[0]
    return {
        "host": socket.gethostname(),
        "versions": {"regrow": __version__, "arithmetic": ARITHMETIC, "torch": torch_version},
    }


def _require_same(workers: list[dict[str, Any]]) -> None:
    here = _versions()
    for worker in workers:
        if worker["versions"] != here["versions"]:
            raise RecipeError(
                "the workers do not run the same programs",
                where=f"worker {worker['rank']} on {worker['host']}",
                why=f"it has {_listed(worker['versions'])}, and worker 0 on {here['host']} {_listed(here['versions'])}",
                hint="install the same versions on every host",
            )


def _listed(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
