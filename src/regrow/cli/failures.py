"""What a person sees when a command fails, and the exit code that goes with it. Never a traceback, unless asked for."""

from __future__ import annotations

import errno
import os
import select
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import click

from regrow.cli.console import Console, silence
from regrow.errors import Interrupted, RecipeError, RegrowError
from regrow.system import is_wished

_HINTS = {
    errno.ENOSPC: "",
    errno.EDQUOT: "",
    errno.EACCES: "",
    errno.EIO: "",
    errno.EFBIG: "`ulimit -f` shows how large a file may be",
    errno.EMFILE: "`ulimit -n` shows how many files may be open",
    errno.ENFILE: "other programs have too many files open",
    errno.EAGAIN: "`ulimit -u` shows how many processes and threads there may be",
    errno.ENOMEM: "free some memory",
}
"""What to do about troubles of the machine, where they do not say so themselves."""
_PLACES = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""Paths that cannot be what they are given for."""
_DETAILS = "with REGROW_DEBUG=1 the same command shows where it happened"
_SHOWN = 200


def guarded(console: Console, command: Callable[[], Any]) -> int:
    """Run a command and return the exit code; whatever it raises becomes words."""
    stdout, stderr = sys.stdout, sys.stderr
    try:
        code = command()
        return code if isinstance(code, int) else 0
    except SystemExit as leaving:  # click leaves by itself after a completion, and, with stdout replaced, for EPIPE
        if sys.stdout is stdout:
            return int(leaving.code or 0)
        sys.stdout, sys.stderr = stdout, stderr
        return _cut(console, stdout)
    except (KeyboardInterrupt, EOFError, click.Abort):
        console.say()
        return Interrupted.exit_code
    except Exception as error:
        return _told(console, error)
    finally:
        for stream in (stdout, stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                silence(stream)


def _cut(console: Console, stdout: TextIO) -> int:
    """What a closed pipe means that the console did not meet, which has its own way with those.

    Either nobody reads the help, which only click writes, and that is no failure. Or it was another pipe than stdout.
    """
    return 0 if _unread(stdout) else _told(console, BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))


def _unread(stream: TextIO) -> bool:
    """Whether the other end of a pipe is closed."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    except (OSError, ValueError, AttributeError):  # it is no pipe, or the system cannot tell
        return False


def _told(console: Console, error: Exception) -> int:
    """Say what went wrong and return the exit code."""
    plain = _plain(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and error.ctx is not None:
        console.say(error.ctx.get_help() + "\n")
    if is_wished("REGROW_DEBUG"):
        console.say("".join(traceback.format_exception(error)))
    for head, line in lines(console, plain) if plain else _apology(console, error):
        console.say(line, head=head)
    plain = plain or RegrowError(f"{type(error).__name__}: {error}")
    if console.json:
        parts = {"what": plain.what, "where": plain.where, "because": plain.why, "hint": plain.hint}
        with suppress(OSError):  # stdout may be what is wrong, and stderr has it all
            console.document("error/1", {"exit_code": plain.exit_code, **parts})
    return plain.exit_code


def _plain(error: Exception) -> RegrowError | None:
    """The error in our own words; None if there are none because it should not have happened."""
    if isinstance(error, RegrowError):
        return error
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return RecipeError("a command is missing", hint="one of those above; `--help` says more of each")
    if isinstance(error, click.ClickException):
        message, _, hint = error.format_message().partition("\nhint: ")
        return RecipeError(message[:1].lower() + message[1:].rstrip("."), hint=hint or _help(error))
    looped = error.__context__ if isinstance(error, RuntimeError) else None  # as paths say it until Python 3.13
    if isinstance(looped, OSError) and looped.errno == errno.ELOOP:
        error = looped
    if isinstance(error, OSError) and error.errno is not None:
        return _of_the_system(error)
    if isinstance(error, MemoryError):
        return RegrowError("out of memory", why=str(error), hint=_HINTS[errno.ENOMEM])
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return RegrowError(str(error), hint=_HINTS[errno.EAGAIN])
    if isinstance(error, ImportError) and not (error.name or "").startswith("regrow"):
        hint = "install regrow again, with all it needs"
        return RegrowError("a library cannot be loaded", where=error.path or "", why=str(error), hint=hint)
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        hint = "rename the file or folder, or write the text anew"
        return RecipeError("a name or a text is not UTF-8", where=error.object[:_SHOWN], hint=hint)
    return None


def _of_the_system(error: OSError) -> RegrowError:
    """A trouble of the machine, not of this program, where a traceback would help nobody."""
    from regrow.store.faults import place

    what, where = (error.strerror or str(error)).lower(), place(error)
    if error.errno in _PLACES:
        return RecipeError(what, where=where, hint="choose another path")
    if error.errno == errno.ENOENT and not where and _is_nowhere():
        return RecipeError("the current directory is not there any more", hint="change to one that is")
    return RegrowError(what, where=where, hint=_HINTS.get(error.errno or 0, "" if where else _DETAILS))


def _is_nowhere() -> bool:
    """Whether the current directory was removed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _help(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path} --help` shows how it is used" if context else ""


_Line = tuple[str, str]
"""The head of a line, which may be painted, and the rest."""


def lines(console: Console, error: RegrowError) -> Iterator[_Line]:
    """An error for people: what, where, why, and what to do. Being stopped is none."""
    if isinstance(error, Interrupted):
        yield console.paint("stopped", "yellow", bold=True), f" in {error.where or 'the build'}: {error.hint}"
        return
    for problem in getattr(error, "problems", None) or (error,):
        yield console.paint("error", "red", bold=True), f": {problem.what}"
        yield from _indented(problem.where)
        yield from _indented(f"because {problem.why}" if problem.why else "")
        if problem.hint:
            yield console.paint("hint", "cyan", bold=True), f": {problem.hint}"


def _indented(text: str) -> Iterator[_Line]:
    return (("  ", line) for line in text.splitlines())


def _apology(console: Console, error: Exception) -> Iterator[_Line]:
    """What to say about a fault of our own; the traceback goes to a file."""
    head = console.paint("error", "red", bold=True)
    yield head, f": regrow itself failed, sorry: {type(error).__name__}: {error}"
    yield "  ", "this is a fault in regrow, not in your recipe; what was built so far is kept"
    head = console.paint("hint", "cyan", bold=True)
    try:
        descriptor, name = tempfile.mkstemp(prefix="regrow-failure-", suffix=".txt")
        os.close(descriptor)
        Path(name).write_text(_details(error), "utf-8", errors="backslashreplace")
        yield head, f": please report it, with the details in {name}"
    except OSError:
        yield head, ": please report it; REGROW_DEBUG=1 shows the details"


def _details(error: Exception) -> str:
    import platform

    from regrow.version import __version__

    about = f"regrow {__version__}, Python {platform.python_version()}, {platform.platform()}"
    return f"{about}\ncommand: {' '.join(sys.argv)}\n\n{''.join(traceback.format_exception(error))}"
