"""What others wrote, on its way to the terminal. python -m pytest tests/cli/test_console.py"""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from regrow.cli.chat import _Asked, _Writer
from regrow.cli.console import Console, compiling_shown
from regrow.cli.root import cli
from regrow.exact import compiling

NASTY = "\x1b]0;owned\x07\x1b[2J\u202e\r"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\u202e\r"


def test_inspect_shows_what_a_stranger_wrote_and_does_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text("")
    text = r'model = { name = "m", licence = "MIT", description = "\u001b]0;owned\u0007\u001b[2J\u202e\r" }'
    (tmp_path / "regrow.toml").write_text(text)
    result = CliRunner().invoke(cli, ["inspect", str(tmp_path)])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == f"m, MIT: {SHOWN}"


def test_both_streams_and_layout_stays(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.result(f"a\tb\n{NASTY}")
    console.say(NASTY)
    console.verb("Note", f"{NASTY}.")
    assert capsys.readouterr() == (f"a\tb\n{SHOWN}\n", f"{SHOWN}\n        Note {SHOWN}.\n")


class Model:
    """Writes what a terminal would take for a command."""

    def generate(self, prompt: str, *_: Any, **__: Any) -> Iterator[str]:
        yield from ("a\n", NASTY)


def chat(console: Console) -> str:
    return _Writer(console, Model(), _Asked(9, 1.0, None, False)).write("x", 1)[0]  # type: ignore[arg-type]


def test_what_a_model_writes_is_exact_unless_a_terminal_would_read_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console()
    assert chat(console) == f"a\n{NASTY}"
    assert capsys.readouterr().out == f"xa\n{NASTY}\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert chat(console) == f"a\n{NASTY}"
    assert capsys.readouterr().out == f"xa\n{SHOWN}\n"


def test_json_has_no_numbers_that_json_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    odd = {"a": math.nan, "b": [math.inf, 1.5, {"c": (-math.inf, "NaN", None, True)}], "d": Path("x")}
    Console().document("x/1", odd)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    told = {"a": None, "b": [None, 1.5, {"c": [None, "NaN", None, True]}], "d": "x"}
    assert found == {"schema": "regrow/x/1", **told}


def test_compiling_is_told_once_and_only_if_something_is_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    for kernels, told in (
        ((), ""),
        (("one", "other"), "   Compiling kernels that nothing needed so far, once per install"),
    ):
        with compiling_shown(Console()):
            for one in kernels:
                with compiling.announced(one):
                    pass
        said = capsys.readouterr().err
        assert said.startswith(told) and len(said.splitlines()) == bool(told)
