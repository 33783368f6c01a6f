"""Two streams: results go to stdout, words for people to stderr. Neither may break a build by being closed.

What is told may be a stranger's: nothing reaches a terminal that it would take for a command.
"""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import click

from regrow.errors import Note
from regrow.exact import compiling
from regrow.printable import escaped
from regrow.system import is_wished

_LAYOUT = "\n\t"


class Console:
    """Where a command speaks.

    Attributes:
        json: stdout carries one JSON document and nothing else.
        unread: nobody reads stdout any more, as when ``head`` has seen enough. A command goes on, for its exit code
            is not about that; one that writes as it works may stop.
    """

    def __init__(self) -> None:
        self.json = False
        self.unread = False
        _open_missing()
        for stream in (sys.stdout, sys.stderr):
            if callable(reconfigure := getattr(stream, "reconfigure", None)):
                reconfigure(errors="backslashreplace")  # a model's text must not fail for the terminal's encoding
        if callable(reconfigure := getattr(sys.stdin, "reconfigure", None)):
            reconfigure(errors="surrogateescape")  # as for arguments: whoever uses the text says what is wrong with it
        self._quiet = False

    def say(self, text: str = "", *, head: str = "", end: str = "\n") -> None:
        """Tell people. If nobody can hear it any more, go on without words: the work does not depend on them.

        Args:
            text: whatever there is to say.
            head: what stands before it, which may be painted.
            end: what stands after it.
        """
        if self._quiet:
            return
        try:
            sys.stderr.write(head + escaped(text, _LAYOUT) + end)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._quiet = True

    def verb(self, verb: str, rest: str, colour: str = "green") -> None:
        """A line for people that begins with a verb, right-aligned."""
        self.say(f" {rest}".rstrip(), head=self.paint(f"{verb:>12}", colour, bold=True))

    def result(self, text: str, *, end: str = "\n") -> None:
        """Put a result on stdout."""
        self._put(escaped(text, _LAYOUT) + end)

    def written(self, text: str, *, end: str = "") -> None:
        """Put what a model wrote on stdout: just as it is, unless a terminal would read it."""
        self._put((escaped(text, _LAYOUT) if sys.stdout.isatty() else text) + end)

    def _put(self, text: str) -> None:
        if self.unread:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            self.unread = True
            silence(sys.stdout)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error

    def document(self, schema: str, value: dict[str, Any]) -> None:
        """Put a JSON document on stdout. A number that JSON cannot hold is null."""
        told = _finite({"schema": f"regrow/{schema}", **value})
        self.result(json.dumps(told, indent=2, default=str, allow_nan=False))

    def paint(self, text: str, colour: str, *, bold: bool = False) -> str:
        """Text in a colour, if stderr shows colours."""
        return click.style(text, fg=colour, bold=bold) if coloured(sys.stderr) else text


def silence(stream: TextIO) -> None:
    """Send what could not be written nowhere, or Python would try once more at its end and complain."""
    with suppress(OSError, ValueError):  # not every stream has a descriptor
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)


def _open_missing() -> None:
    """Let a stream that was closed before we began be /dev/null, as programs and libraries expect one.

    In this order each takes its own descriptor, which otherwise the next file would have: a store, perhaps, with the
    warnings of a library in it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 (for good)


def _finite(value: Any) -> Any:
    """``value`` without numbers that JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def coloured(stream: TextIO) -> bool:
    """Whether colours are wanted and can be seen."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def animated(stream: TextIO) -> bool:
    """Whether a line that changes is wanted and can be seen."""
    return stream.isatty() and not is_wished("REGROW_NO_PROGRESS") and os.environ.get("TERM") != "dumb"


@contextmanager
def notes_shown(console: Console) -> Iterator[None]:
    """Show what is worth knowing but no error as a line of its own; other warnings are as Python has them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", Note)
        others, told = warnings.showwarning, set[str]()

        def show(message: Warning | str, category: type[Warning], *place: Any, **rest: Any) -> None:
            if not issubclass(category, Note):
                others(message, category, *place, **rest)
            elif str(message) not in told:
                told.add(str(message))
                console.verb("Note", str(message), "yellow")

        warnings.showwarning = show
        yield


@contextmanager
def compiling_shown(console: Console) -> Iterator[None]:
    """Say why nothing happens while kernels are compiled; once, since the first one is seldom the last."""
    told = False

    def heard(_: compiling.Compilation) -> None:
        nonlocal told
        if not told:
            told = True
            console.verb("Compiling", "kernels that nothing needed so far, once per installation", "cyan")

    with compiling.heard(heard):
        yield
