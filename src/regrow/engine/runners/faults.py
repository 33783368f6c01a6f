"""Errors that cross from one process to another, and the words for a process that did not come back."""

from __future__ import annotations

import pickle
import signal
import traceback
from contextlib import suppress

from regrow.engine.context import in_words
from regrow.engine.machine import memory_kills
from regrow.errors import Interrupted, RegrowError, StageError

AGAIN = "the same command goes on; what was finished is kept"


def plain(error: Exception, where: str, near: str = "") -> RegrowError:
    """An error that a person can act on, fit to be sent to another process, where it came from included."""
    found = error if isinstance(error, RegrowError) else in_words(error, where, near)
    if not isinstance(found, Interrupted):
        found.where = found.where or where
    if found is not error:
        found.add_note("".join(traceback.format_exception(error)))
    return found if _travels(found) else _like(found)


def _travels(error: RegrowError) -> bool:
    with suppress(Exception):  # errors of others have constructors of all sorts
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    return False


def _like(error: RegrowError) -> RegrowError:
    """The same words under a name that every process knows."""
    names = {kind.exit_code: kind for kind in RegrowError.__subclasses__() if kind.__module__ == RegrowError.__module__}
    kind = names.get(error.exit_code, StageError)
    return kind(error.what, where=error.where, why=error.why, hint=error.hint)


class Lives:
    """Tells how a process ended: whether memory ran out is seen by whether the system has since killed for it."""

    def __init__(self) -> None:
        self._before = memory_kills()

    def ended(self, code: int, words: str) -> StageError:
        """The error for a process that ended in the middle of some work.

        Args:
            code: as ``subprocess`` has it: below 0 for a signal.
            words: what it was doing.
        """
        what = "a process was lost"
        if code >= 0:
            return StageError(what, where=words, why=f"it ended by itself, with exit code {code}", hint=AGAIN)
        name = _signal(-code)
        now = memory_kills()
        if -code == signal.SIGKILL and now is not None and self._before is not None and now > self._before:
            hint = f"free some memory, or let fewer run at a time with --jobs; {AGAIN}"
            return StageError(what, where=words, why=f"the machine ran out of memory and killed it ({name})", hint=hint)
        if -code == signal.SIGKILL:
            why = f"somebody killed it ({name}): a person, or the system when memory ran out"
            return StageError(what, where=words, why=why, hint=f"if memory was short, use fewer --jobs; {AGAIN}")
        return StageError(what, where=words, why=f"it was ended by {name}", hint=AGAIN)


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
