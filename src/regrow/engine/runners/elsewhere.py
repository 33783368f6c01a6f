"""Work done on another machine, which has to have the same program and look at the same shelf: that is seen first."""

from __future__ import annotations

import hashlib
import pickle
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from regrow.engine.context import kernels_told
from regrow.engine.key import library_version
from regrow.engine.runners.faults import plain
from regrow.engine.runners.work import Tasks
from regrow.errors import Interrupted, RegrowError, StageError
from regrow.recipe.kind import Surroundings
from regrow.version import __version__

Answer = tuple[str, Any, list[dict[str, Any]]]
"""``done`` or ``failed``, the error, and what was told on the way."""


def identity(work: Tasks) -> dict[str, str]:
    """What has to be the same wherever the tasks are done."""
    return _identity(work.module, work.libraries)


def perform(order: Mapping[str, Any], index: int) -> Answer:
    """Do a task for another machine.

    Args:
        order: ``module`` and ``libraries`` of the kind, ``identity`` as the other machine has it, the ``token`` that it
            left on the shelf, and the ``work``, which is not looked at before.
        index: of the task.
    """
    told: list[dict[str, Any]] = []
    host = socket.gethostname()
    where = f"{order['words']}, on {host}"
    try:
        _require_same(order["identity"], _identity(order["module"], tuple(order["libraries"])), host)
        work: Tasks = pickle.loads(order["work"])
        if work.shelf.hear() != order["token"]:
            raise StageError(
                f"{host} does not see what this build has written",
                where=str(work.shelf.folder("")),
                why="the machines do not share this place, or not yet",
                hint="name one that all of them reach with --location, or set REGROW_STORE to a disk that they share",
            )
        where = f"{work.words(index)}, on {host}"
        context = _Noted(work.call.context.surroundings, told)
        with kernels_told(context):
            work(index, context)
    except Exception as error:
        return "failed", plain(error, where), told
    return "done", None, told


@dataclass(frozen=True)
class _Noted:
    """A context whose events travel with the answer."""

    surroundings: Surroundings
    told: list[dict[str, Any]] = field(default_factory=list)

    def emit(self, event: str, **fields: Any) -> None:
        """Note it; how far a task is would come too late."""
        if event != "progress":
            self.told.append({"event": event, **fields})

    def stopping(self) -> bool:
        """Whoever wants a task on another machine to stop ends its process."""
        return False

    def stop(self) -> None:
        """Raise :class:`regrow.errors.Interrupted`."""
        raise Interrupted("stopped")


def _require_same(theirs: Mapping[str, str], ours: Mapping[str, str], host: str) -> None:
    """Raise if two machines would not do the same."""
    for name in (name for name in theirs if ours.get(name) != theirs[name]):
        raise StageError(
            f"{host} has another {name} than this build",
            why=f"here it is {theirs[name]}, there {ours.get(name, 'missing')}",
            hint=f"install regrow {theirs['regrow']} with the same libraries on all machines",
        )


def _identity(module: str, libraries: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for name in libraries:
        try:
            versions[name] = library_version(name)
        except RegrowError:
            versions[name] = "missing"
    return {"regrow": __version__, **versions, "code of regrow": _code("regrow"), f"code of {module}": _code(module)}


@cache
def _code(module: str) -> str:
    """The sha256 of the files of a package, or of the file of a module; a version alone does not tell drafts apart."""
    try:
        file = import_module(module).__file__
    except ImportError:
        return "missing"
    if file is None:
        return "unknown"
    path = Path(file)
    files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    found = hashlib.sha256()
    for one in files:
        found.update(f"{one.relative_to(path.parent).as_posix()}\n".encode())
        found.update(hashlib.sha256(one.read_bytes()).digest())
    return found.hexdigest()[:16]
