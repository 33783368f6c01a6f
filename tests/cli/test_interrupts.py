"""python -m pytest tests/cli/test_interrupts.py"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Shell, write_recipe

STUCK = """
import hashlib, sys, time
from regrow.cli.console import Console
from regrow.cli.interrupts import stop_on_interrupt
with stop_on_interrupt(Console()) as stop:
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)  # minutes inside a library
"""


def test_ctrl_c_stops_a_build_and_the_same_command_continues(shell: Shell) -> None:
    write_recipe(shell.folder / "long", tokens=200_000_000)
    process = shell.start("build", "long", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    shell.wait_for_training("long")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, "")
    assert "    Stopping after this step; the same command continues" in err
    assert err.splitlines()[-1].startswith("stopped in stage `pretrain`: the same command continues")
    assert "Traceback" not in err
    assert not list((shell.folder / "build").glob("long/*"))
    assert "continues where it was stopped" in shell.run("plan", "long").stdout


@pytest.fixture
def stuck(tmp_path: Path) -> subprocess.Popen[str]:
    """A process whose main thread is inside a library, where Python runs no signal handlers."""
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK],
        env=Shell(tmp_path, tmp_path).environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_the_first_is_answered_and_the_second_obeyed_at_once(stuck: subprocess.Popen[str]) -> None:
    assert stuck.stderr is not None
    stuck.send_signal(signal.SIGINT)
    assert stuck.stderr.readline() == "\n"
    assert stuck.stderr.readline().startswith("    Stopping after this step; the same command continues")
    assert stuck.poll() is None
    stuck.send_signal(signal.SIGINT)
    assert stuck.wait(timeout=5) == 130
    stuck.communicate()


def test_the_usual_behaviour_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    from regrow.cli.console import Console
    from regrow.cli.interrupts import stop_on_interrupt

    before = signal.getsignal(signal.SIGINT)
    with stop_on_interrupt(Console()) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(5)
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(-1) == -1
