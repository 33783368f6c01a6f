"""What surrounds a running stage: its way to report and to stop, and the words for what goes wrong in it."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from regrow.errors import Interrupted, RegrowError, StageError
from regrow.exact import compiling
from regrow.recipe.kind import Context, Surroundings
from regrow.store.faults import disk_error

Listener = Callable[[Mapping[str, Any]], None]
"""Gets every event, one at a time: ``{"event": ..., "stage": ..., ...}``, plain JSON. The engine never prints."""

DETAILS = "with REGROW_DEBUG=1 the same command shows the details"
"""The hint for a stage that failed for no known reason. Whoever keeps its events knows a better one."""


class Stop(Protocol):
    """What a ``threading.Event`` offers: whether the user asked to stop."""

    def is_set(self) -> bool:
        """True once the user asked."""


class Switch:
    """Asks to stop if somebody else does or once :meth:`set` is called."""

    def __init__(self, other: Stop) -> None:
        self._other = other
        self._own = threading.Event()

    def is_set(self) -> bool:
        """True once anybody asked."""
        return self._own.is_set() or self._other.is_set()

    def set(self) -> None:
        """Ask to stop."""
        self._own.set()


class StageContext:
    """A stage's :class:`regrow.recipe.kind.Context`."""

    def __init__(self, name: str, listener: Listener, stop: Stop, surroundings: Surroundings | None = None) -> None:
        self.name = name
        self.surroundings = surroundings or Surroundings()
        self._listener = listener
        self._stop = stop

    def emit(self, event: str, **fields: Any) -> None:
        """Tell the listener."""
        self._listener({"event": event, **fields, "stage": self.name})

    def stopping(self) -> bool:
        """True once the user asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Raise :class:`regrow.errors.Interrupted`."""
        raise Interrupted(
            "stopped", where=f"stage `{self.name}`", hint="the same command continues; what was finished is kept"
        )

    def stop_if_asked(self) -> None:
        """Raise :class:`regrow.errors.Interrupted` if the user asked to stop."""
        if self.stopping():
            self.stop()


def one_at_a_time(listener: Listener) -> Listener:
    """A listener for several threads, made of one that need not know of threads."""
    lock = threading.Lock()

    def listen(event: Mapping[str, Any]) -> None:
        with lock:
            listener(event)

    return listen


@contextmanager
def faults_explained(context: StageContext, near: Path, inputs: Mapping[str, Path]) -> Iterator[None]:
    """Let nothing out of a stage but errors a person can act on; tracebacks go to the listener only.

    Args:
        context: of the stage.
        near: a path to name when the disk is in trouble and the system does not say where.
        inputs: stage -> where its output lies in the store; a place there is named by the stage, which people know.
    """
    try:
        yield
    except RegrowError as error:
        error.where = _named(error.where, inputs) or f"stage `{context.name}`"
        if isinstance(error, Interrupted):
            context.emit("interrupted")
        else:
            details = "".join(getattr(error, "__notes__", ()))  # of what happened in another process
            context.emit("error", message=str(error), **({"traceback": details} if details else {}))
        raise
    except Exception as error:
        plain = in_words(error, f"stage `{context.name}`", near)
        context.emit("error", message=str(plain), traceback="".join(traceback.format_exception(error)))
        raise plain from error


def _named(where: str, inputs: Mapping[str, Path]) -> str:
    for name, path in inputs.items():
        where = where.replace(f"{path}{os.sep}", f"stage `{name}`: ").replace(str(path), f"stage `{name}`")
    return where


@contextmanager
def kernels_told(context: Context) -> Iterator[None]:
    """Tell when kernels are compiled for a stage in this block, which happens once on a machine."""

    def heard(one: compiling.Compilation) -> None:
        context.emit("compiling" if one.seconds is None else "compiled", kernel=one.kernel, duration=one.seconds)

    with compiling.heard(heard):
        yield


def in_words(error: Exception, where: str, near: Path | str) -> StageError:
    """What went wrong in a stage, for people.

    Args:
        error: what was raised.
        where: the stage.
        near: a path to name when the disk is in trouble and the system does not say where.
    """
    if isinstance(error, OSError) and (plain := disk_error(error, near, where)) is not None:
        return plain
    if isinstance(error, MemoryError):
        hint = "free some memory, lower the batch size, or let fewer run at a time with --jobs"
        return StageError("out of memory", where=where, why=str(error), hint=hint)
    return StageError(
        "the stage failed",
        where=where,
        why=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
        hint=DETAILS,
    )
