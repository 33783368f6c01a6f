"""Systems other than Linux, as far as they can be shown on it. python -m pytest tests/cli/test_systems.py"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import regrow

from .conftest import Shell

WINDOWS = """
import os, sys
import click
for name in ("fcntl", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("fork", "register_at_fork", "getuid", "geteuid", "sysconf", "killpg", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
sys.platform = "win32"
"""
COMMAND = "from regrow.cli import main; main()"


def on_windows(shell: Shell, code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a program where the system says that it is Windows, and lacks what Windows lacks."""
    command = [sys.executable, "-c", WINDOWS + code, *args]
    return subprocess.run(command, cwd=shell.folder, env=shell.environment(), capture_output=True, text=True)


@pytest.mark.parametrize("args", [["build", "small"], ["--help"], ["selftest", "--quick"]])
def test_windows_itself_is_refused_at_the_start(shell: Shell, args: list[str]) -> None:
    done = on_windows(shell, COMMAND, *args)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: regrow does not run on Windows itself\n  because it locks files")
    assert "hint: the Windows Subsystem for Linux" in done.stderr
    assert list(shell.folder.iterdir()) == []


def test_so_is_the_library_there(shell: Shell) -> None:
    done = on_windows(shell, "import regrow; print(regrow.__version__); regrow.build('small')")
    assert done.stdout.strip()
    assert "RegrowError: regrow does not run on Windows itself" in done.stderr


# What Python has on Linux and not on macOS, where processes are started anew as well: Apple's libraries do not stand
# being forked.
NOT_LINUX = """
import multiprocessing, os

def refused():
    raise AssertionError("a process was forked")

multiprocessing.set_start_method("spawn")
os.fork = refused
for name in ("sched_getaffinity", "posix_fadvise", "copy_file_range", "memfd_create", "fdatasync"):
    delattr(os, name)
"""


def test_workers_and_jobs_are_started_anew(
    copy: Shell, first_build: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NOT_LINUX)
    (copy.folder / "small" / "regrow.lock").unlink()
    path = os.pathsep.join([str(tmp_path), str(Path(regrow.__file__).parents[1])])
    options = ("--workers", "2", "--jobs", "2", "--store", "other", "--output", "other-build")
    done = copy.run("build", "small", *options, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == first_build.stdout
