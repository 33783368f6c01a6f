"""Where the process that builds puts its words for the others: a key-value store that torchrun keeps."""

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

import regrow
from regrow.errors import RecipeError, StageError
from regrow.exact.version import ARITHMETIC
from regrow.train.group.environment import Member

_GLANCE = 0.05  # seconds between two looks at the board
_ARRIVAL = 600.0  # until everybody must have come
_CONNECTION = timedelta(seconds=60)

c10d: Any = torch.distributed  # not all of it is typed


class Closed(Exception):
    """The build is over: torchrun has left, or the process that builds."""

    def __init__(self, code: int) -> None:
        self.code = code


class Board:
    """Where the process that builds puts its words for the others.

    The board outlives the processes when torchrun starts them again, so each time rank 0 opens a new *session*, and
    another process takes part in it only if its answer was counted. (How often torchrun has started processes says
    nothing: every host counts for itself.)

    Attributes:
        member: this process.
        rank: as torchrun's, turned so that the process that builds has rank 0. Torchrun ranks hosts by their names,
            and the recipe may be on one of them only.
    """

    def __init__(self, member: Member) -> None:
        self.member = member
        self.rank = member.rank
        self._session = ""
        self._store = _open(member)

    def meet(self, able: bool) -> None:
        """Wait until everybody is here and settle who builds: the first one who is able to.

        Raises:
            Closed: if all were started again although the build had come to its end.
            RecipeError: if they do not run the same programs.
            StageError: if somebody does not come.
        """
        builder = self._call(able) if self.member.rank == 0 else self._answer(able)
        self.rank = (self.member.rank - builder) % self.member.count

    def _call(self, able: bool) -> int:
        if (code := self._closed()) is not None:
            raise Closed(code)
        self._session = secrets.token_hex(8)
        self._store.set("session", self._session)
        deadline = time.monotonic() + _ARRIVAL
        answers = [self._arrival(rank, deadline) for rank in range(1, self.member.count)]
        _require_same(answers)
        builder = 0 if able else next((answer["rank"] for answer in answers if answer["able"]), 0)
        self.put("heard", {"names": [answer["name"] for answer in answers], "builder": builder})
        return builder

    def _answer(self, able: bool) -> int:
        name = secrets.token_hex(8)
        while True:
            if (session := self._look("session")) and session.decode() != self._session:
                self._session = session.decode()
                with _or_closed():
                    self.put(f"answer {self.member.rank}", {"name": name, "able": able, **_versions()})
            if (found := self._look(f"{self._session} heard")) and name in (heard := json.loads(found))["names"]:
                return int(heard["builder"])
            time.sleep(_GLANCE)

    def put(self, key: str, value: Any) -> None:
        """Put up something in this session."""
        self._store.set(f"{self._session} {key}", json.dumps(value))

    def wait(self, key: str) -> Any:
        """Wait for something in this session.

        Raises:
            Closed: if the build ends instead.
        """
        while (found := self._look(f"{self._session} {key}")) is None:
            time.sleep(_GLANCE)
        return json.loads(found)

    def close(self, code: int) -> None:
        """Tell the others to leave with an exit code."""
        with suppress(RuntimeError):  # torchrun has left before
            self._store.set("closed", str(code))

    def corner(self, name: str) -> Any:
        """A store for a single purpose of this session."""
        return c10d.PrefixStore(f"{self._session} {name}", self._store)

    def _look(self, key: str) -> bytes | None:
        """What is there for a follower, if anything."""
        with _or_closed():
            code = self._closed()
            if code is None:
                return bytes(self._store.get(key)) if self._store.check([key]) else None
        raise Closed(code)

    def _closed(self) -> int | None:
        return int(self._store.get("closed")) if self._store.check(["closed"]) else None

    def _arrival(self, rank: int, deadline: float) -> dict[str, Any]:
        key = f"{self._session} answer {rank}"
        while not self._store.check([key]):
            if time.monotonic() > deadline:
                raise StageError(
                    f"worker {rank} of {self.member.count} has not come",
                    why=f"nothing was heard of it for {_ARRIVAL:.0f} seconds",
                    hint="see whether `regrow build` runs there, in the same version",
                )
            time.sleep(_GLANCE)
        answer: dict[str, Any] = json.loads(self._store.get(key))
        return {"rank": rank, **answer}


def _open(member: Member) -> Any:
    """A connection to the board.

    Raises:
        StageError: if there is none.
    """
    try:
        socket.create_connection((member.address, member.port), _CONNECTION.total_seconds()).close()
        store = c10d.TCPStore(member.address, member.port, is_master=False, timeout=_CONNECTION)
    except (OSError, RuntimeError) as error:
        raise StageError(
            f"worker {member.rank} cannot reach torchrun at {member.address}, port {member.port}",
            why=str(error).partition("\n")[0],
            hint="start the workers with torchrun, and give it an address that every host can reach; "
            "`docs/workers.md` shows how",
        ) from error
    return c10d.PrefixStore("regrow", store)


@contextmanager
def _or_closed() -> Iterator[None]:
    """Without torchrun there is no board."""
    try:
        yield
    except RuntimeError:
        raise Closed(StageError.exit_code) from None


def _versions() -> dict[str, Any]:
    """What every worker must have in common, and where this one is."""
    torch_version = str(torch.__version__).partition("+")[0]
    return {
        "host": socket.gethostname(),
        "versions": {"regrow": regrow.__version__, "arithmetic": ARITHMETIC, "torch": torch_version},
    }


def _require_same(answers: list[dict[str, Any]]) -> None:
    here = _versions()
    for answer in answers:
        if answer["versions"] != here["versions"]:
            raise RecipeError(
                "the workers do not run the same programs",
                where=f"worker {answer['rank']} on {answer['host']}",
                why=f"it has {_listed(answer['versions'])}, and worker 0 on {here['host']} {_listed(here['versions'])}",
                hint="install the same versions on every host",
            )


def _listed(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
