"""Terminals, pipes and colours. python -m pytest tests/cli/test_streams.py"""

import os
import pty
import subprocess
import sys

from .conftest import Shell


def on_a_terminal(shell: Shell, *args: str, **env: str) -> str:
    """What a command shows on a terminal, byte for byte."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "regrow.cli", *args]
    settings = shell.environment(TERM="xterm-256color", **env)
    process = subprocess.Popen(command, cwd=shell.folder, env=settings, stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not part:
            break
        shown += part
    process.communicate()
    os.close(ours)
    return shown.decode()


def test_colours_on_a_terminal_only_and_not_if_unwanted(built: Shell) -> None:
    assert "\x1b[" in on_a_terminal(built, "build", "small")
    assert "\x1b[" not in on_a_terminal(built, "build", "small", NO_COLOR="1")
    assert "\x1b[" not in built.run("build", "small").stderr


def test_bars_on_a_terminal_and_not_if_unwanted(copy: Shell) -> None:
    shown = on_a_terminal(copy, "build", "small", "--store", "one", "--output", "a")
    assert "\x1b[?25l" in shown  # the cursor is hidden while something moves
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "Training" in shown
    assert "tokens/s" in shown
    still = on_a_terminal(copy, "build", "small", "--store", "two", "--output", "b", REGROW_NO_PROGRESS="1")
    assert "\x1b[?25l" not in still
    assert "Built" in still


def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_a_reader_who_has_seen_enough_is_no_failure(built: Shell) -> None:
    for args in (["inspect", "build/small"], ["--help"], ["store", "list"], ["plan", "small", "--json"]):
        writer = closed_pipe()
        process = built.start(*args, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert process.communicate()[1] == "", args
        assert process.returncode == 0, args


def test_head(built: Shell) -> None:
    command = f"set -o pipefail; {sys.executable} -m regrow.cli data build/small --step 1 --text | head -n 1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=built.folder, env=built.environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("SEQUENCE")


def test_a_build_does_not_depend_on_being_watched(copy: Shell) -> None:
    writer = closed_pipe()
    process = copy.start("build", "small", "--store", "new", stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert len(out) == 65


def test_text_that_the_terminal_cannot_show_is_no_failure(built: Shell) -> None:
    done = built.run(
        "chat", "build/small", "Übermut \N{OWL}", "--max-tokens", "2", PYTHONIOENCODING="ascii", PYTHONUTF8="0"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(r"\xdcbermut \U0001f989")
