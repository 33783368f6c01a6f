"""python -m pytest tests/cli/test_start.py"""

import resource
import subprocess
import sys

import pytest

import regrow

from .conftest import Shell

HEAVY = {"torch", "numba", "numpy", "pyarrow", "pydantic", "rich", "tokenizers", "jinja2", "requests", "sqlite3"}
RUN = """
import sys
from regrow.cli import main
try:
    main()
finally:
    print("modules", *sys.modules, file=sys.stderr)
"""


def modules(shell: Shell, *args: str) -> set[str]:
    """The modules that a command imports."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *args], cwd=shell.folder, env=shell.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("modules ")[2].split())


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["build", "--help"], ["completion", "zsh"]])
def test_help_imports_nothing_heavy(shell: Shell, args: list[str]) -> None:
    loaded = modules(shell, *args)
    assert "click" in loaded  # the measurement works
    assert not loaded & HEAVY


def test_plan_and_cached_build_do_without_what_computes(built: Shell) -> None:
    for command in ("plan", "build"):
        loaded = modules(built, command, "small")
        assert "pydantic" in loaded
        assert not loaded & {"torch", "numba", "tokenizers", "requests", "rich", "pandas"}, command


def test_a_build_that_changes_nothing_makes_no_page(built: Shell) -> None:
    assert built.run("build", "small").returncode == 0
    page = (built.folder / "build" / "small" / "report.html").read_bytes()
    assert "jinja2" not in modules(built, "build", "small")
    assert (built.folder / "build" / "small" / "report.html").read_bytes() == page


def seconds(shell: Shell, *args: str) -> float:
    """Processor time of a command, the least of three, so that a busy machine does not matter."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert shell.start(*args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait() == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def test_help_is_there_at_once(shell: Shell) -> None:
    assert seconds(shell, "--help") < 0.3


def test_version(shell: Shell) -> None:
    assert shell.run("--version").stdout == f"regrow {regrow.__version__}\n"
