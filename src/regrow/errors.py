"""What can go wrong, as the user meets it.

Every error says *what* happened, *where* (file and key, stage, step), *why*, and *what to do*.
The command line prints one and exits with its code; library users catch :class:`RegrowError`.
"""

from __future__ import annotations

from typing import ClassVar


class Note(UserWarning):
    """Something a person should know of that is no error: a command shows it as a line, Python as a warning."""


class RegrowError(Exception):
    """An error a person can act on.

    Args:
        what: one sentence without a full stop, e.g. ``source `bible` has no licence``.
        where: the place, e.g. ``examples/bard/regrow.toml: source.bible.licence``.
        why: the cause, where it is not plain from ``what``.
        hint: what to do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.why:
            lines.append(f"because {self.why}")
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class StageError(RegrowError):
    """A stage could not finish (exit code 1)."""

    exit_code = 1


class RecipeError(RegrowError):
    """The recipe, the lock or the command line is wrong (exit code 2)."""

    exit_code = 2


class DifferentError(RegrowError):
    """A rebuild gave other bytes than were promised (exit code 3)."""

    exit_code = 3


class NotDeterministicError(RegrowError):
    """Two runs on this machine differ (exit code 4)."""

    exit_code = 4


class PolicyError(RegrowError):
    """A policy is not met (exit code 5)."""

    exit_code = 5


class InputError(RegrowError):
    """An input is missing, unreachable, or not what was locked (exit code 6)."""

    exit_code = 6


class Interrupted(RegrowError):
    """Stopped on request, with everything done so far kept (exit code 130)."""

    exit_code = 130
