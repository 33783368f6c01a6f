"""Builds with several workers, and the lines that start them. python -m pytest tests/cli/test_workers.py"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from regrow.recipe.lock import load

from .conftest import HEX, Shell, write_recipe

TIMES = re.compile(r" +[0-9.]+ (?:s|min|h)\b.*$", re.MULTILINE)
PROGRESS = re.compile(r"^ +(?:Compiling|Metrics|Fetching|Training|Writing|Measuring) .*\n", re.MULTILINE)


def children(pid: int) -> list[int]:
    """The processes that a process has started, the first one first."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return sorted(found)


def gone(pids: list[int]) -> bool:
    """Whether processes end within some seconds."""
    deadline = time.monotonic() + 15
    while any(Path(f"/proc/{pid}").is_dir() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(Path(f"/proc/{pid}").is_dir() for pid in pids)


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read what a process says until it says this."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never said")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def torchrun(tmp_path: Path) -> dict[str, str]:
    """An environment in which `torchrun` is found, and Slurm's commands for two hosts that are both this one."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {
        "torchrun": f'exec {sys.executable} -m torch.distributed.run "$@"',
        "srun": 'shift; "$@" & "$@"; code=$?; wait $!; exit $code',  # two tasks on this machine
        "scontrol": "echo localhost; echo elsewhere",
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    return {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "localhost"}


def test_workers_change_nothing_that_can_be_seen(copy: Shell, first_build: subprocess.CompletedProcess[str]) -> None:
    (copy.folder / "small" / "regrow.lock").unlink()
    sparing = ("--shard", "--recompute")  # nor do these; tests/train tries workers without them
    done = copy.run("build", "small", "--workers", "2", *sparing, "--store", "other", "--output", "build/other")
    assert done.returncode == 0, done.stderr
    assert done.stdout == first_build.stdout
    said, before = (
        PROGRESS.sub("", TIMES.sub("", text).replace("build/other", "build/small"))
        for text in (done.stderr, first_build.stderr)
    )
    assert said == before


@pytest.mark.parametrize(
    "ways",
    [pytest.param((), marks=pytest.mark.slow), ("--segments", "1", "--nonce", "a")],  # a build has the whole, above
)
def test_a_release_is_verified_by_several(copy: Shell, ways: tuple[str, ...]) -> None:
    sparing = ("--workers", "2", "--shard", "--recompute")
    done = copy.run("verify", "build/small", "--source", "small", *ways, *sparing, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["verdict"] == "same" if not ways else said["lie"] == ""


def test_what_trains_nothing_has_no_workers(copy: Shell) -> None:
    done = copy.run("verify", "build/small", "--require", "1", "--trust", "nobody.toml", "--recompute")
    assert done.returncode == 2 and "leave --workers, --shard and --recompute out" in done.stderr
    assert copy.run("verify", "build/small", "--shard").returncode == 2


@pytest.mark.slow  # others leave as they do when a build fails before it trains, which the next one has
def test_nothing_is_trained_when_all_is_cached(copy: Shell) -> None:
    done = copy.run("build", "small", "--workers", "2", "--max-restarts", "0")
    assert done.returncode == 0, done.stderr
    assert "      Cached pretrain" in done.stderr


def test_the_exit_code_is_that_of_the_build(copy: Shell) -> None:
    recipe = copy.folder / "small" / "regrow.toml"
    recipe.write_text(recipe.read_text().replace("seed = 1", "seed = 2"))
    done = copy.run("build", "small", "--locked", "--workers", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == copy.run("build", "small", "--locked").stderr  # said once, and nothing but it


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks for processes in /proc")
def test_ctrl_c(shell: Shell) -> None:
    write_recipe(shell.folder / "long", tokens=200_000_000)
    process = shell.start("build", "long", "--workers", "2", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    shell.wait_for_training("long")
    workers = children(process.pid)
    assert len(workers) == 2
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1].startswith("stopped in stage `pretrain`: the same command continues")
    assert gone(workers)
    assert "continues where it was stopped" in shell.run("plan", "long").stdout


@pytest.mark.slow  # tests/train/test_workers.py tries what ends a worker then
@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks for processes in /proc")
def test_no_worker_stays_behind_when_the_command_is_killed(shell: Shell) -> None:
    write_recipe(shell.folder / "long", tokens=200_000_000)
    process = shell.start("build", "long", "--workers", "2", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(process, "Built tokenize")
    workers = children(process.pid)
    assert len(workers) == 2
    process.kill()
    process.communicate()
    assert gone(workers)


def test_bad_workers(shell: Shell) -> None:
    for number in ("0", "-1", "two"):
        assert shell.run("build", ".", "--workers", number).returncode == 2
    alone = shell.run("build", ".", "--shard")
    assert (alone.returncode, "add --workers N" in alone.stderr) == (2, True)
    half = shell.run("build", ".", RANK="0", TORCHELASTIC_RUN_ID="job")
    assert half.returncode == 2
    assert "`WORLD_SIZE`" in half.stderr
    ours = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    platform = shell.run("build", ".", **ours)
    assert "        Note `WORLD_SIZE` is set, but not by torchrun, and is ignored" in platform.stderr
    ours["TORCHELASTIC_RUN_ID"] = "job"
    twice = shell.run("build", ".", "--workers", "2", **ours)
    assert twice.returncode == 2
    assert "leave --workers out" in twice.stderr
    nobody = shell.run("build", ".", **ours)
    assert nobody.returncode == 1
    assert "cannot reach torchrun at localhost" in nobody.stderr


def test_plan_prints_what_starts_workers(copy: Shell) -> None:
    assert copy.run("plan", "small", "--workers", "4").stdout.endswith("\nregrow build small --workers 4\n")
    assert "torchrun" not in copy.run("plan", "small").stdout
    line = "regrow build small --shard --recompute --workers 4\n"
    assert copy.run("plan", "small", "--workers", "4", "--shard", "--recompute").stdout.endswith(line)
    assert copy.run("plan", "small", "--workers", "3", "--hosts", "2").returncode == 2
    launch = copy.json("plan", "small", "--workers", "16", "--hosts", "2")["launch"]
    assert launch["torchrun"] == (
        "torchrun --nnodes 2 --nproc-per-node 8 --max-restarts 3 --rdzv-backend c10d --rdzv-endpoint HOST:29400 "
        "--rdzv-id small -m regrow build small"
    )
    assert launch["torchrun"] in copy.run("plan", "small", "--workers", "16", "--hosts", "2").stdout
    checked = subprocess.run(["bash", "-n"], input=launch["slurm"], text=True)
    assert checked.returncode == 0
    assert "#SBATCH --nodes=2\n" in launch["slurm"]


def test_the_torchrun_line_runs_on_two_hosts(copy: Shell, torchrun: dict[str, str], tmp_path: Path) -> None:
    """And only one of them has the recipe."""
    line = copy.json("plan", "small", "--workers", "2", "--hosts", "2")["launch"]["torchrun"]
    line = line.replace("HOST:29400", f"localhost:{free_port()}") + " --store other"
    environment = copy.environment(**torchrun)
    (tmp_path / "elsewhere").mkdir()
    hosts = [
        subprocess.Popen(
            shlex.split(line), cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for folder in (tmp_path / "elsewhere", copy.folder)
    ]
    said = [host.communicate(timeout=240) for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], said
    assert said[0][0] == ""
    assert HEX.fullmatch(said[1][0].strip())
    assert "     Release equals small/regrow.lock" in said[1][1]
    assert list((tmp_path / "elsewhere").iterdir()) == []


TINY = Path(__file__).parents[2] / "examples" / "tiny"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_any_number_of_workers_builds_tiny(workers: int, shell: Shell) -> None:
    done = shell.run("build", str(TINY), "--locked", "--workers", str(workers))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == load(TINY).release


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_is_lost(victim: int, shell: Shell) -> None:
    process = shell.start(
        "build", str(TINY), "--locked", "--workers", "2", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for(process, "Built tokenize")
    time.sleep(6)
    os.kill(children(process.pid)[victim], signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert out.strip() == load(TINY).release
    assert "Note a worker was lost; all have been started again" in err
    assert "rror" not in err


@pytest.mark.slow
def test_workers_are_lost_too_often(shell: Shell) -> None:
    options = ("--locked", "--workers", "2", "--max-restarts", "0")
    process = shell.start("build", str(TINY), *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(process, "Built tokenize")
    os.kill(children(process.pid)[1], signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (1, "")
    assert "worker 1 was lost" in err
    assert "SIGKILL" in err


@pytest.mark.slow
def test_ctrl_c_twice_leaves_at_once(shell: Shell) -> None:
    process = shell.start("build", str(TINY), "--workers", "2", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(process, "Built tokenize")
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert gone(workers)


@pytest.mark.slow
def test_the_slurm_script_runs(copy: Shell, torchrun: dict[str, str]) -> None:
    script = copy.json("plan", "small", "--workers", "2", "--hosts", "2")["launch"]["slurm"]
    script = script.replace("29400", str(free_port())) + " --store other"
    done = subprocess.run(
        ["bash"], input=script, cwd=copy.folder, env=copy.environment(**torchrun), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Release equals small/regrow.lock") == 1
