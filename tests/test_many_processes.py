"""A corpus in parts is the same whoever does the tasks: python -m pytest tests/test_many_processes.py"""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from regrow.building.locking import Mode, locked_recipe
from regrow.building.preparing import relock
from regrow.engine import Choice, evaluate
from regrow.store import Store

RECIPE = """
recipe = 1
[model]
name = "parted"
licence = "CC0-1.0"
[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"
[corpus]
shards = 3
min_characters = 20
near_duplicates = 0.7
validation = 0.2
[tokenizer]
vocabulary = 300
[architecture]
layers = 1
width = 32
heads = 2
kv_heads = 1
context = 32
[train]
tokens = 2048
micro_batch = 2
micro_batches_per_step = 2
learning_rate = 1e-3
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty texts, some of them the same, some nearly."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "regrow.toml").write_text(RECIPE)
    (folder / "texts").mkdir()
    for number in range(40):
        words = [f"word{(number % 17) * 31 % 23 + place * place % 29}" for place in range(60)]
        if number % 5 == 0:
            words[7] = f"other{number}"
        (folder / "texts" / f"{number:02}.txt").write_text(" ".join(words) + ".\n")
    relock(folder, check=False, offline=True, listener=lambda _: None)
    return folder


def digests(recipe: Path, store: Path, who: Choice | None = None) -> dict[str, str]:
    """What the stages up to the tokens give."""
    locked = locked_recipe(recipe, Mode.FROZEN, offline=True, listener=lambda _: None)
    with Store(store) as opened:
        made = evaluate(
            locked.graph,
            opened,
            scope="here",
            listener=lambda _: None,
            stop=threading.Event(),
            only=["tokenize"],
            who=who,
            surroundings=locked.surroundings,
        )
        assert len(list(made.results["clean"].path.glob("part-*-of-00003"))) == 3
        return {name: result.digest for name, result in made.results.items()}


@pytest.fixture(scope="module")
def alone(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return digests(recipe, tmp_path_factory.mktemp("alone") / "store")


def test_two_processes_that_share_a_location(recipe: Path, tmp_path: Path, alone: dict[str, str]) -> None:
    """Nothing is found but by asking for it: results lie nowhere else."""
    choice = Choice(jobs=2, location=f"file://{tmp_path}/shared")
    assert digests(recipe, tmp_path / "store", choice) == alone


@pytest.mark.slow
def test_two_processes(recipe: Path, tmp_path: Path, alone: dict[str, str]) -> None:
    assert digests(recipe, tmp_path / "store", Choice(jobs=2)) == alone


@pytest.mark.slow
def test_tasks_of_ray(recipe: Path, tmp_path: Path, alone: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    assert digests(recipe, tmp_path / "store", Choice("ray")) == alone


_SBATCH = """\
#!/bin/bash
# Runs a job at once, where Slurm would put it into a queue.
array=
while [ $# -gt 0 ]; do
    case "$1" in
        --array) array=$2; shift ;;
        --wrap) command=$2; shift ;;
    esac
    shift
done
echo "$command" >> "$LOG"
case "$command" in "regrow build"*) echo 1; exit ;; esac
if [ -z "$array" ]; then bash -c "$command" >&2 || exit 1; fi
[ -z "$array" ] || for index in $(seq "${array%-*}" "${array#*-}"); do
    SLURM_ARRAY_TASK_ID=$index bash -c "$command" >&2 || exit 1
done
echo "$(wc -l < "$LOG");cluster"
"""


@pytest.mark.slow
def test_the_script_for_slurm(recipe: Path, tmp_path: Path, alone: dict[str, str]) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"sbatch": _SBATCH, "regrow": f'#!/bin/bash\nexec {sys.executable} -m regrow "$@"\n'}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "REGROW_STORE": str(tmp_path / "store"),
        "LOG": str(tmp_path / "log"),
    }
    command = [sys.executable, "-m", "regrow", "plan", str(recipe), "--runner", "slurm", "--jobs", "2"]
    script = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "log").read_text().splitlines()
    assert commands[-1].startswith("regrow build") and any("--share" in one for one in commands)
    assert digests(recipe, tmp_path / "store") == alone
    share = next(one for one in commands if "--share" in one).replace("$SLURM_ARRAY_TASK_ID", "1")
    again = subprocess.run(["bash", "-c", share], env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0 and "is built already" in again.stderr
