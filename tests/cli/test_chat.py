"""A conversation on a terminal. python -m pytest tests/cli/test_chat.py"""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import Shell

pty = pytest.importorskip("pty")
LIMIT = 120  # seconds, on a busy machine


class Terminal:
    """A process that believes that somebody types."""

    def __init__(self, shell: Shell, *args: str) -> None:
        self.ours, theirs = pty.openpty()
        self.process = shell.start(*args, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        self.said = b""

    def type(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def interrupt(self) -> None:
        """Press Ctrl-C, and again if nothing comes of it: one that comes before readline listens is lost on it."""
        time.sleep(0.5)
        self.process.send_signal(signal.SIGINT)
        if self.process.poll() is None and not select.select([self.ours], [], [], 20)[0]:
            self.process.send_signal(signal.SIGINT)

    def read(self, until: bytes) -> bytes:
        """What is said up to some bytes, which have to come."""
        end = time.monotonic() + LIMIT
        while until not in self.said:
            assert time.monotonic() < end, self.said
            self._hear()
        said, _, self.said = self.said.partition(until)
        return said

    def leave(self) -> int:
        """The exit code, once all was read."""
        end = time.monotonic() + LIMIT
        while self._hear() or self.process.poll() is None:
            assert time.monotonic() < end, self.said
        os.close(self.ours)
        return self.process.returncode

    def _hear(self) -> bool:
        """Read what is said within a second; False if that is nothing."""
        if not select.select([self.ours], [], [], 1)[0]:
            return False
        try:
            said = os.read(self.ours, 4096)
        except OSError:  # the other end is closed
            self.process.wait(LIMIT)
            return False
        self.said += said
        return bool(said)


def test_lines_can_be_edited_and_come_back(built: Shell) -> None:
    chat = Terminal(built, "chat", "build/small", "--max-tokens", "2")
    chat.read(b"> ")
    chat.type(b"A modek\x7fl\r")
    assert b"\nA model" in chat.read(b"> ")
    chat.type(b"\x1b[A\r")  # the line before
    assert b"A model\r\nA model" in chat.read(b"> ").replace(b"\x1b[?2004l\r", b"")
    chat.type(b"\x04")
    assert chat.leave() == 0


def test_what_is_no_text_ends_no_conversation(built: Shell) -> None:
    chat = Terminal(built, "chat", "build/small", "--max-tokens", "2")
    chat.read(b"> ")
    chat.type(b"A \xff model\r")
    assert b"the prompt is not UTF-8" in chat.read(b"> ")
    chat.type(b"A model\r")
    chat.read(b"\nA model")
    chat.read(b"> ")
    chat.type(b"\x04")
    assert chat.leave() == 0


def test_ctrl_c_ends_the_text_and_at_an_empty_prompt_the_conversation(built: Shell) -> None:
    chat = Terminal(built, "chat", "build/small", "--max-tokens", "1000000")
    chat.read(b"> ")
    chat.type(b"A model\r")
    chat.read(b"\nA model")
    chat.interrupt()
    chat.read(b"> ")
    chat.type(b"not this")
    chat.read(b"not this")
    chat.interrupt()
    chat.read(b"> ")
    chat.interrupt()
    assert chat.leave() == 0


def test_ctrl_c_ends_a_single_text_and_is_told_by_the_exit_code(built: Shell) -> None:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = built.start("chat", "build/small", "A model", "--max-tokens", "1000000", **pipes)
    assert process.stdout is not None
    assert process.stdout.read(8).startswith("A model")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert out.endswith("\n") and "Traceback" not in err


def test_nothing_is_answered_from_a_file_that_was_changed(copy: Shell) -> None:
    path = copy.folder / "build" / "small" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-100] ^= 64
    path.write_bytes(data)
    run = copy.run("chat", "build/small", "A model", "--max-tokens", "2")
    assert (run.returncode, run.stdout) == (6, "")
    assert run.stderr.startswith(
        "error: this is not the file that was released\n  build/small/model.safetensors\n  because its sha256 is "
    )


def test_two_ctrl_c_leave_whatever_a_command_is_in(tmp_path: Path) -> None:
    """Python answers none while the main thread is inside a library."""
    stuck = (
        "import hashlib, sys\nfrom regrow.cli import new\nfrom regrow.cli.root import cli\n"
        "def callback(**_):\n    print('ready', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 1_000_000_000)\n"
        "new.command.callback = callback\ncli(['new', 'x'])\n"
    )
    environment = Shell(tmp_path, tmp_path).environment()
    process = subprocess.Popen([sys.executable, "-c", stuck], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)  # until it is in there
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=LIMIT) == 130
    process.stdout.close()
