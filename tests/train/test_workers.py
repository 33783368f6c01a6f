"""Any number of workers gives the same bits, also when one is killed and all are started again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regrow.exact.workers import owned
from tests.train.test_loop import GOLDEN

ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, sys, pathlib, time
import torch
from regrow.exact.workers import join
from regrow.train import loop
from tests.train.toy import CONFIG, SETTINGS, batch

torch.set_num_threads(1)
group = join()
loop._SECONDS_BETWEEN_SAVES = 0.0
scratch, slow = pathlib.Path(sys.argv[1]), float(sys.argv[2])

def progress(**fields):
    (scratch / f"rank-{group.rank}").write_text(f"{os.getpid()} {fields['done']}")
    time.sleep(slow)

state = loop.train(CONFIG, SETTINGS, batch, scratch, loop.Watch(progress, lambda: False, lambda: None), group)
if group.rank == 0:
    print(state.chain[-1]["chain"])
torch.distributed.destroy_process_group()
"""


def launch(workers, scratch, slow=0.0):
    (scratch / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={workers}", "--max-restarts=2"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, "--standalone", str(scratch / "program.py"), str(scratch), str(slow)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_workers_does_not_matter(workers, tmp_path):
    run = launch(workers, tmp_path)
    out, err = run.communicate(timeout=90)
    assert run.returncode == 0, err
    assert out.split() == [GOLDEN]


def test_a_worker_that_is_killed_is_restarted_and_the_end_is_the_same(tmp_path):
    run = launch(2, tmp_path, slow=0.3)
    notes = tmp_path / "rank-1"
    deadline = time.monotonic() + 120
    while not (notes.is_file() and notes.read_text().endswith(" 3")):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(int(notes.read_text().split()[0]), signal.SIGKILL)
    out, err = run.communicate(timeout=90)
    assert run.returncode == 0, err
    assert out.split() == [GOLDEN]


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [0, 1, 5, 64])
def test_every_row_has_one_owner(workers, rows):
    found = [row for rank in range(workers) for row in range(rows)[owned(rows, rank, workers)]]
    assert found == list(range(rows))
