"""Choosing who does the work, and doing a share of it: python -m pytest tests/cli/test_runners.py"""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from regrow.building.template import start
from regrow.cli.root import cli
from regrow.cli.task import command as task
from regrow.engine import Choice
from regrow.stages import KINDS

from .conftest import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell beside a recipe that is neither locked nor built."""
    start(tmp_path / "mine")
    return Shell(tmp_path, tmp_path / "store")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("build mine --address here:6379", "--address is about a Ray cluster"),
        ("build mine --runner slurm", "'slurm' is not one of"),
        ("plan mine --jobs 3", "--jobs is about array jobs"),
        ("task mine clean --share 3/3", "`3/3` is not a share"),
        ("task mine clean --share 1", "`1` is not a share"),
        ("task mine clean --share 0/2", "there is no PHASE"),
    ],
)
def test_options_that_make_no_sense(line: str, words: str) -> None:
    result = CliRunner().invoke(cli, line.split())
    assert result.exit_code == 2 and words in result.stderr


def test_the_example_of_a_task_names_a_phase_that_there_is() -> None:
    _, stage, phase, *_ = str(task.epilog).rpartition("regrow task")[2].split()
    assert phase in [one.name for one in KINDS[stage].phases]


def test_options_become_one_choice() -> None:
    from regrow.cli.options import who_option

    @click.command
    @who_option
    def command(who: Choice) -> None:
        click.echo(repr(who))

    line = "--runner ray --jobs 3 --address here:6379 --location memory://x"
    expected = Choice("ray", 3, "here:6379", "memory://x")
    assert CliRunner().invoke(command, line.split()).stdout == f"{expected!r}\n"
    assert CliRunner().invoke(command, []).stdout == f"{Choice()!r}\n"


def test_a_task_of_a_recipe(tmp_path: Path) -> None:
    start(tmp_path / "mine")

    def run(command: str, *words: str) -> tuple[int, str, str]:
        store = ["--store", str(tmp_path / "store")] if command == "task" else []
        done = CliRunner().invoke(cli, [command, str(tmp_path / "mine"), *words, *store])
        return done.exit_code, done.stdout, done.stderr

    code, _, said = run("task", "clean")
    assert code == 2 and "regrow.lock" in said
    assert run("lock")[0] == 0
    for words, hints in (
        ("nothing", ("its stages are",)),
        ("clean nothing", ("leave the phase out", "its phases are")),
    ):
        code, _, said = run("task", *words.split())
        assert code == 2 and any(hint in said for hint in hints), said
    code, out, said = run("task", "fetch-texts")
    assert (code, out) == (0, "") and "Built fetch-texts" in said and "Done fetch-texts" in said
    assert "Cached fetch-texts" in run("task", "fetch-texts")[2]


def test_the_script_is_all_there_is_on_stdout(shell: Shell) -> None:
    done = shell.run("plan", "mine", "--runner", "slurm", "--workers", "4", "--hosts", "2")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0] == "#!/bin/bash" and lines[-1] == "END"
    assert f"export REGROW_STORE={shell.store}" in lines
    assert any(line.startswith("srun") and "torchrun" in line for line in lines)
