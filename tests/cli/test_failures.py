"""python -m pytest tests/cli/test_failures.py"""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from regrow.cli import new
from regrow.cli.console import Console
from regrow.cli.failures import guarded
from regrow.cli.root import cli
from regrow.errors import (
    DifferentError,
    InputError,
    Interrupted,
    NotDeterministicError,
    PolicyError,
    RecipeError,
    RegrowError,
    StageError,
)
from regrow.recipe.problems import together

from .conftest import Shell


def told(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    def fail() -> None:
        raise error

    code = guarded(Console(), fail)
    return code, capsys.readouterr().err


def test_an_error_has_four_parts(capsys: pytest.CaptureFixture[str]) -> None:
    error = RecipeError("source `bible` has no licence", where="regrow.toml:7: source.bible", why="none", hint="add it")
    assert told(error, capsys) == (
        2,
        "error: source `bible` has no licence\n  regrow.toml:7: source.bible\n  because none\nhint: add it\n",
    )


def test_parts_that_are_not_known_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(StageError("the disk is full"), capsys) == (1, "error: the disk is full\n")


def test_several_errors_are_told_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    error = together("regrow.toml", [RecipeError("one", hint="do"), RecipeError("two", where="there")])
    assert told(error, capsys) == (2, "error: one\nhint: do\nerror: two\n  there\n")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (StageError, 1),
        (RecipeError, 2),
        (DifferentError, 3),
        (NotDeterministicError, 4),
        (PolicyError, 5),
        (InputError, 6),
        (Interrupted, 130),
    ],
)
def test_exit_codes_are_those_of_the_documentation(
    kind: type[RegrowError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(kind("it happened"), capsys)[0] == code
    assert f"\n| {code} | " in Path(__file__, "../../../docs/exit-codes.md").resolve().read_text("utf-8")


def test_interruption_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = Interrupted("the build", where="stage `pretrain`", hint="the same command continues")
    assert told(error, capsys) == (130, "stopped in stage `pretrain`: the same command continues\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_impatience_is_130(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(error, capsys)[0] == 130


def test_troubles_of_the_machine_need_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/full/disk")
    assert told(error, capsys) == (1, "error: no space left on device\n  /full/disk\n")


def test_a_limit_on_files_is_a_trouble_of_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    error = OSError(errno.EFBIG, "File too large", "big")
    words = "error: file too large\n  big\nhint: `ulimit -f` shows how large a file may be\n"
    assert told(error, capsys) == (1, words)


def test_a_limit_on_files_is_told_with_the_file(shell: Shell) -> None:
    assert shell.run("new", "small").returncode == 0
    line = f"ulimit -f 1; {sys.executable} -m regrow.cli lock small"
    done = subprocess.run(
        ["bash", "-c", line], cwd=shell.folder, env=shell.environment(), capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "error: file too large\n  small/regrow.lock\nhint: `ulimit -f`" in done.stderr


def test_a_fault_of_ours_is_admitted_and_its_traceback_kept(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = told(ZeroDivisionError("division by zero"), capsys)
    assert code == 1
    assert text.startswith("error: regrow itself failed, sorry: ZeroDivisionError: division by zero\n")
    assert "Traceback" not in text
    details = Path(re.findall(r"details in (\S+)", text)[0])
    assert "Traceback" in details.read_text("utf-8")
    details.unlink()


def test_arguments_that_are_no_text_do_not_keep_the_details_from_being_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["regrow", "plan", "\udcff"])
    details = Path(re.findall(r"details in (\S+)", told(ZeroDivisionError("x"), capsys)[1])[0])
    assert "command: regrow plan \\udcff\n" in details.read_text("utf-8")
    details.unlink()


def test_a_name_that_is_no_text_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        "folder/\udcff".encode()
    words = "error: a name or a text is not UTF-8\n  folder/\\udcff\nhint: rename"
    code, text = told(caught.value, capsys)
    assert (code, text.startswith(words)) == (2, True)


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP])
def test_a_path_that_cannot_be_is_2(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    error = OSError(number, os.strerror(number), "f/x")
    words = f"error: {os.strerror(number).lower()}\n  f/x\nhint: choose another path\n"
    assert told(error, capsys) == (2, words)


def test_strangers_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    error = InputError("\x1b[2J", where="\x1b]0;owned\x07", why="one\ntwo\r\u202e", hint="\x9b1m\N{NO-BREAK SPACE}é")
    assert told(error, capsys)[1] == (
        "error: \\x1b[2J\n  \\x1b]0;owned\\x07\n  because one\n  two\n  \\u202e\nhint: \\x9b1m\N{NO-BREAK SPACE}é\n"
    )


def test_tracebacks_can_be_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_DEBUG", "1")
    assert "Traceback" in told(ZeroDivisionError("x"), capsys)[1]
    assert "Traceback" in told(StageError("x"), capsys)[1]
    monkeypatch.setenv("REGROW_DEBUG", "0")
    assert "Traceback" not in told(StageError("x"), capsys)[1]


def test_an_exception_inside_a_command_is_caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(new.command, "callback", lambda **_: 1 / 0)
    result = CliRunner().invoke(cli, ["new", "x"])
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert "ZeroDivisionError" in result.stderr
    document = json.loads(CliRunner().invoke(cli, ["new", "x", "--json"]).stdout)
    assert (document["schema"], document["exit_code"]) == ("regrow/error/1", 1)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["bild"], ["error: there is no command `bild`", "hint: did you mean `build`?"]),
        (["xyzzy"], ["error: there is no command `xyzzy`", "hint: `regrow --help` lists the commands"]),
        (["data", "build/x"], ["error: missing option '--step'", "hint: `regrow data --help`"]),
        (["build", "--locked", "--frozen"], ["error: choose one of --locked, --frozen and --update-lock"]),
        (["build", "--threads", "0"], ["error: invalid value for '--threads'"]),
        (["build", "--threads", "1025"], ["error: invalid value for '--threads'", "1<=x<=1024"]),
        (["build", "--max-restarts", "2"], ["error: --max-restarts is about --workers", "hint: add --workers N"]),
        (["build", "--store", ""], ["error: invalid value for '--store': it is empty", "hint: leave the option out"]),
        (["verify", "x", "--store", ""], ["error: invalid value for '--store': it is empty"]),
        (["store", "gc", "--store", ""], ["error: invalid value for '--store': it is empty"]),
        (["store", "gc", "--keep-days", "nan"], ["error: invalid value for '--keep-days'"]),
        (["store", "gc", "--keep-days", "inf"], ["error: invalid value for '--keep-days'"]),
        (["store", "gc", "--keep-days", "-1"], ["error: invalid value for '--keep-days'"]),
        (["chat", "x", "--temperature", "nan"], ["error: invalid value for '--temperature'"]),
        (["chat", "x", "--temperature", "inf"], ["error: invalid value for '--temperature'"]),
        (["chat", "x", "--temperature", "100.5"], ["error: invalid value for '--temperature'", "0<=x<=100"]),
        (["report", "x", "--output", "."], ["error: invalid value for '--output'", "'.' is a directory"]),
        (["chat", "x", "--seed", str(2**64)], ["error: invalid value for '--seed'"]),
        (["chat", "x", "--max-tokens", str(10**12)], ["error: invalid value for '--max-tokens'"]),
        (["inspect", "x" * 300], ["error: file name too long", "x" * 300]),
        (["new", "x" * 300], ["error: file name too long", "x" * 300]),
        (["build", "nowhere"], ["error: there is no such file", "\n  nowhere", "hint: `regrow new NAME`"]),
    ],
)
def test_misuse_is_2(args: list[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGROW_STORE", str(tmp_path / "store"))
    result = CliRunner().invoke(cli, args)
    assert (result.exit_code, result.stdout) == (2, "")
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("command", [["inspect"], ["report"], ["verify"], ["chat"], ["data", "--step", "1"]])
def test_a_release_that_is_not_there_is_6(command: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, [*command, str(tmp_path / "nothing"), *(["x"] if command == ["chat"] else [])])
    assert result.exit_code == 6
    assert "error: there is no such folder" in result.stderr
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("command", [["inspect"], ["report"], ["chat"], ["data", "--step", "1"]])
def test_a_pipe_in_a_release_is_6_and_nobody_waits_for_it(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text("")
    os.mkfifo(tmp_path / "regrow.lock")
    result = CliRunner().invoke(cli, [*command, str(tmp_path), *(["x"] if command == ["chat"] else [])])
    assert result.exit_code == 6
    assert f"error: this is neither a file nor a folder\n  {tmp_path / 'regrow.lock'}\n" in result.stderr


def test_errors_are_json_where_results_would_be(shell: Shell) -> None:
    done = shell.run("build", "nowhere", "--json")
    document = json.loads(done.stdout)
    assert document["schema"] == "regrow/error/1"
    assert document["exit_code"] == done.returncode == 2
    assert document["where"].startswith("nowhere")
    assert "error: " in done.stderr
