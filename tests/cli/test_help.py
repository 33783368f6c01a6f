"""python -m pytest tests/cli/test_help.py"""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from regrow.cli.root import COMMANDS, cli

from .conftest import Shell


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if path:
        yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from walk(inner, (*path, name))


ALL = dict(walk(cli))


@pytest.mark.parametrize("path", ALL)
def test_every_command_shows_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.stdout
    assert f"regrow {' '.join(path[:1])}" in result.stdout.partition("Example:")[2]


@pytest.mark.parametrize("path", [path for path, command in ALL.items() if not isinstance(command, click.Group)])
def test_every_command_has_json(path: tuple[str, ...]) -> None:
    options = {option for parameter in ALL[path].params for option in parameter.opts}
    assert "--json" in options or path == ("completion",)  # a script for a shell is no data


def test_the_usual_commands_are_there() -> None:
    usual = {"new", "plan", "lock", "build", "verify", "report", "inspect", "data", "chat", "store", "selftest"}
    assert usual <= set(COMMANDS)


def test_no_command_shows_the_help_and_is_an_error(shell: Shell) -> None:
    done = shell.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "Commands:" in done.stderr
    assert "error: a command is missing" in done.stderr


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_completion_scripts(kind: str) -> None:
    result = CliRunner().invoke(cli, ["completion", kind])
    assert result.exit_code == 0
    assert f"_REGROW_COMPLETE={kind}_complete" in result.stdout


def test_completion_completes(shell: Shell) -> None:
    script = "import sys; sys.argv[0] = 'regrow'; from regrow.cli import main; main()"
    env = shell.environment(_REGROW_COMPLETE="bash_complete", COMP_WORDS="regrow bui", COMP_CWORD="1")
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["plain,build"]
