"""Terminals, pipes and colours. python -m pytest tests/cli/test_streams.py"""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import Shell

FULL = Path("/dev/full")


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
    recipe = copy.folder / "small" / "regrow.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("A model is", "A model was"), "utf-8")
    still = on_a_terminal(copy, "build", "small", "--store", "one", "--output", "b", REGROW_NO_PROGRESS="1")
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
        done = built.run(*args, stdout=writer)
        os.close(writer)
        assert [line for line in done.stderr.splitlines() if not line.startswith("      Source ")] == [], args
        assert done.returncode == 0, args


def test_head(built: Shell) -> None:
    command = f"set -o pipefail; {sys.executable} -m regrow.cli data build/small --step 1 --text | head -n 1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=built.folder, env=built.environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("SEQUENCE")


def test_a_build_does_not_depend_on_being_watched(copy: Shell) -> None:
    writer = closed_pipe()
    done = copy.run("build", "small", "--store", "new", stderr=writer, PYTHONUNBUFFERED="")
    os.close(writer)
    assert done.returncode == 0
    assert len(done.stdout) == 65


def test_text_that_the_terminal_cannot_show_is_no_failure(built: Shell) -> None:
    done = built.run(
        "chat", "build/small", "Übermut \N{OWL}", "--max-tokens", "2", PYTHONIOENCODING="ascii", PYTHONUTF8="0"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(r"\xdcbermut \U0001f989")


def code_unread(shell: Shell, *args: str, **env: Any) -> tuple[int, str]:
    """The exit code of a command whose output nobody reads, and what it says to people."""
    writer = closed_pipe()
    done = shell.run(*args, stdout=writer, **env)
    os.close(writer)
    return done.returncode, done.stderr


def test_the_exit_code_does_not_depend_on_a_reader(copy: Shell) -> None:
    (copy.folder / "policy.toml").write_text('policy = 1\nmof_class = "I"\n')
    (copy.folder / "build" / "small" / "config.json").write_text("{}")
    for args, code in (
        (["audit", "build/small", "--policy", "policy.toml"], 5),
        (["audit", "build/small", "--policy", "policy.toml", "--json"], 5),
        (["verify", "build/small"], 3),
        (["verify", "build/small", "--json"], 3),
        (["inspect", "nosuch", "--json"], 6),
        (["inspect", "--json", "--nosuch"], 2),
    ):
        found, said = code_unread(copy, *args)
        assert (found, "Traceback" in said) == (code, False), (args, said)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_that_nobody_reads_is_no_failure(shell: Shell, unbuffered: str) -> None:
    for args in (["--help"], ["--version"], ["build", "--help"]):
        assert code_unread(shell, *args, PYTHONUNBUFFERED=unbuffered) == (0, ""), args


def test_another_broken_pipe_than_stdout_is_a_failure(shell: Shell) -> None:
    script = """
from regrow.cli import main, new
def fail(**_):
    raise BrokenPipeError(32, "Broken pipe")
new.command.callback = fail
main()
"""
    command = [sys.executable, "-c", script, "new", "x"]
    done = subprocess.run(command, env=shell.environment(), cwd=shell.folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: broken pipe\n")


def test_a_model_stops_writing_when_nobody_reads(built: Shell) -> None:
    started = time.monotonic()
    assert code_unread(built, "chat", "build/small", "A model", "--max-tokens", "1000000") == (0, "")
    assert time.monotonic() - started < 60  # all of them would take far longer


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told_once(built: Shell) -> None:
    for args, code, words in (
        (["inspect", "build/small"], 1, "error: no space left on device\n  standard output\n"),
        (["inspect", "build/small", "--json"], 1, "error: no space left on device\n  standard output\n"),
        (["--help"], 1, "error: no space left on device\n"),
        (["inspect", "nosuch", "--json"], 6, "error: there is no such folder\n"),
    ):
        with FULL.open("w") as full:
            done = built.run(*args, stdout=full.fileno())
        assert (done.returncode, done.stderr.startswith(words)) == (code, True), (args, done.stderr)
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, args


_CHAT = (["chat", "build/small", "--max-tokens", "2"], 0)
_SAYING = [(["inspect", "build/small"], 0), (["inspect", "nosuch", "--json"], 6), (["build", "small"], 0), _CHAT]


@pytest.mark.parametrize(("closed", "commands"), [("<&-", [_CHAT]), (">&-", _SAYING), ("<&- >&- 2>&-", _SAYING)])
def test_streams_may_be_closed(built: Shell, closed: str, commands: list[tuple[list[str], int]]) -> None:
    for args, code in commands:
        line = f'"$0" -m regrow.cli "$@" {closed}'
        done = subprocess.run(
            ["bash", "-c", line, sys.executable, *args],
            cwd=built.folder,
            env=built.environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, (args, done.stderr)
        assert "failed, sorry" not in done.stderr and "Traceback" not in done.stderr, args


def test_nothing_else_becomes_a_stream_that_was_closed(built: Shell) -> None:
    script = """
import os
from regrow.cli.console import Console
Console()
assert [os.path.samestat(os.fstat(n), os.stat(os.devnull)) for n in (0, 1)] == [True, True]
"""
    line = f"{sys.executable} -c '{script}' <&- >&-"
    done = subprocess.run(["bash", "-c", line], env=built.environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "args", [["inspect", "--json", "x", "--nosuch"], ["build", "--json", "--store"], ["store", "--json"], ["--json"]]
)
def test_what_cannot_be_parsed_is_told_in_json_too(shell: Shell, args: list[str]) -> None:
    done = shell.run(*args)
    assert json.loads(done.stdout)["exit_code"] == done.returncode == 2
    assert "error: " in done.stderr


def test_a_prompt_is_no_option(built: Shell) -> None:
    done = built.run("chat", "build/small", "--max-tokens", "0", "--", "--json")
    assert (done.returncode, done.stdout) == (2, "")
