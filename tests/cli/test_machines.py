"""What a user's machine can be. python -m pytest tests/cli/test_machines.py"""

import errno
import os
import pwd
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from regrow.cli.console import Console
from regrow.cli.failures import guarded
from regrow.cli.root import cli

from .conftest import Shell, write_recipe

SORRY = "regrow itself failed"


def told(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    def fail() -> None:
        raise error

    return guarded(Console(), fail), capsys.readouterr().err


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_whatever_the_system_says_is_no_fault_of_ours(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = told(OSError(number, os.strerror(number), "/some/place"), capsys)
    assert code in (1, 2)
    assert text.startswith(f"error: {os.strerror(number).lower()}\n  /some/place\n")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError("Unable to allocate 9 TiB"), "error: out of memory\n  because Unable to allocate 9 TiB\nhint: "),
        (RuntimeError("can't start new thread"), "error: can't start new thread\nhint: `ulimit -u`"),
        (
            ImportError("libgomp.so.1: cannot open", name="torch"),
            "error: a library cannot be loaded\n  because",
        ),
        (OSError(errno.EMFILE, "Too many open files"), "error: too many open files\nhint: `ulimit -n`"),
    ],
)
def test_so_is_what_it_refuses_in_other_ways(error: Exception, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = told(error, capsys)
    assert (code, text[: len(words)]) == (1, words)


def test_a_link_to_itself_is_a_path_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loop").symlink_to("loop")

    def follow() -> int:
        return len((tmp_path / "loop").resolve(strict=True).parts)

    assert (guarded(Console(), follow), SORRY in capsys.readouterr().err) == (2, False)


def test_a_module_of_ours_that_is_missing_is_our_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert SORRY in told(ImportError("no such name", name="regrow.store"), capsys)[1]


def test_of_a_copy_to_a_full_disk_the_full_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "source", None, "/full/target")
    assert told(error, capsys)[1] == "error: no space left on device\n  /full/target\n"


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a home or a name; where temporary files go. The recipe `small` is in the current directory."""

    def unknown(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "REGROW_STORE", "REGROW_DOWNLOADS", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    real = os.access
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != "/" and real(path, mode))
    write_recipe(tmp_path / "small")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tmp"


def test_without_a_home_what_needs_no_store_makes_none(nobody: Path) -> None:
    plan = CliRunner().invoke(cli, ["plan", "small"])
    assert (plan.exit_code, "run: " in plan.stdout) == (0, True), plan.stderr
    listed = CliRunner().invoke(cli, ["store", "list"])
    assert listed.exit_code == 6
    assert f"error: there is no store here\n  {nobody}/regrow-{os.getuid()}\n" in listed.stderr
    assert CliRunner().invoke(cli, ["inspect", "small"]).exit_code == 6
    assert CliRunner().invoke(cli, ["audit", "small"]).exit_code in (0, 2, 6)
    assert list(nobody.iterdir()) == []


def test_without_a_home_the_index_is_still_found(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Path("small", "regrow.toml")
    before = recipe.read_text("utf-8")
    changed = before.replace('fetch = "file:texts"', 'fetch = "pypi:nosuch==1"')
    assert changed != before
    recipe.write_text(changed, "utf-8")
    result = CliRunner().invoke(cli, ["lock", "small", "--offline"])
    assert result.exit_code == 6, result.stderr
    assert "is not on this machine" in result.stderr


@pytest.mark.parametrize("command", ["plan", "build x", "lock", "new x", "store list", "audit x"])
def test_a_current_directory_that_is_gone(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = CliRunner().invoke(cli, command.split())
    assert SORRY not in result.stderr
    monkeypatch.chdir(tmp_path)


def test_names_are_the_same_whatever_the_locale(shell: Shell) -> None:
    write_recipe(shell.folder / "small")
    (shell.folder / "small" / "texts" / "Übung.txt").write_text("Ein Text, der anders heißt als die übrigen.\n" * 3)
    locks = []
    for settings in ({}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        done = shell.run("lock", "small", **settings)
        assert done.returncode == 0, done.stderr
        locks.append((shell.folder / "small" / "regrow.lock").read_bytes())
        (shell.folder / "small" / "regrow.lock").unlink()
    assert locks[0] == locks[1]
    assert "Übung.txt".encode() in locks[0]
