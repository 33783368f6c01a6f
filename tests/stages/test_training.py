"""Every stage that trains gives the same bytes when it is killed on the way, and with another number of workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from regrow.model.decoder import initialise
from regrow.model.weights import Ends, save
from regrow.store.digest import tree_digest
from regrow.train.checkpoints import newest
from regrow.train.group.environment import worker_environment

from .conftest import Bench, Quiet
from .test_prefer import CONFIG, ROWS, base, tokens

ROOT = Path(__file__).parents[2]
KILLED_AT = 3
RUN = {
    "tokens": 600, "context": 60, "micro_batch": 1, "micro_batches_per_step": 2, "learning_rate": 1e-2,
    "checkpoint_every": 2, "validate_every": 2,
}  # fmt: skip
GO_ON = {"keep_optimizer": True, "stop_after": 2}
RUNS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "finetune": ("finetune", {"parameters": ["layers.1", "norm"], "keep_optimizer": True, "snapshots": 1}),
    "continued": ("finetune", {"optimizer": "continue"}),
    "lora": ("lora", {"rank": 2, "also": ["norm"]}),
    "lora-preferring": ("lora", {"rank": 2, "preferences": True}),
    "distil": ("distil", {"teacher": "wise", "top": 9}),
    "prefer": ("prefer", {}),
}
"""The kind and what is said to it, by a name."""


def train(name: str, given: Path, bench: Bench) -> str:
    """The digest of what a run makes of what is given."""
    kind, said = RUNS[name]
    pairs = name in ("prefer", "lora-preferring")
    fed = {"weights": given / ("half" if name == "continued" else "base"), "tokenizer": given / "base"}
    if "teacher" in said:
        fed["teacher"] = given / "wise"
    return tree_digest(bench.run(kind, {**RUN, **said}, tokens=given / ("pairs" if pairs else "talk"), **fed))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, another one to learn from, half of a run, and the tokens of conversations and of pairs."""
    root = tmp_path_factory.mktemp("given")
    bench, source = Bench(root), base(root / "base")
    save(base(root / "wise"), CONFIG, initialise(CONFIG, 5), Ends(0, 0))
    rows = [{**row, "prompt": f"{row['prompt']} {number}"} for number in range(4) for row in ROWS]
    talk = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]
    tokens(bench, source, *talk).rename(root / "talk")
    tokens(bench, source, *rows).rename(root / "pairs")
    half = bench.run("finetune", {**RUN, **GO_ON}, weights=source, tokenizer=source, tokens=root / "talk")
    half.rename(root / "half")
    return root


@pytest.fixture(scope="module")
def whole(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The digests of all runs by one process that nobody disturbs."""
    return {name: train(name, given, Bench(tmp_path_factory.mktemp(name))) for name in RUNS}


def kill_all(given: Path, root: Path) -> None:
    """Begin every run in a process that is killed on the way."""
    from regrow.train import reading

    def emit(context: Quiet, event: str, **fields: Any) -> None:
        if event == "progress" and fields["done"] == KILLED_AT:
            time.sleep(0.1)  # while what has to last is written
            os.kill(os.getpid(), signal.SIGKILL)

    Quiet.emit = emit  # type: ignore[method-assign]
    reading.SECONDS_BETWEEN_SAVES = reading.TIMES_A_SAVE = 0.0
    children = {}
    for name in RUNS:
        (root / name).mkdir()
        if not (child := os.fork()):
            train(name, given, Bench(root / name))
            os._exit(1)
        children[name] = child
    for name, child in children.items():
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, name


def share_all(given: Path, root: Path) -> None:
    """Train with all the workers that torchrun started."""
    from regrow.train.group.run import follow, join, leading

    rendezvous = join(worker_environment(), eligible=True)  # type: ignore[arg-type]
    if rendezvous.rank > 0:
        sys.exit(follow(rendezvous, threads=1))
    found = {}
    with leading(rendezvous, threads=1) as workers:
        for name in RUNS:
            (root / name).mkdir()
            bench = Bench(root / name)
            bench.workers = workers
            found[name] = train(name, given, bench)
    (root / "found.json").write_text(json.dumps(found))


def start(*command: str, given: Path, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, *command, str(given), str(root)], cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_runs_that_were_killed_go_on_to_the_same_bytes(given: Path, whole: Mapping[str, str], tmp_path: Path) -> None:
    start("-m", __name__, "kill_all", given=given, root=tmp_path)
    for name, digest in whole.items():
        output, scratch = sorted((tmp_path / name).iterdir())
        output.rmdir()  # nothing is in it before all is done
        assert KILLED_AT - 1 <= newest(scratch) <= KILLED_AT, name
        assert train(name, given, Bench(tmp_path / name)) == digest, name


def test_two_workers_make_the_same_bytes(given: Path, whole: Mapping[str, str], tmp_path: Path) -> None:
    start("-m", "tests.forked", "2", __name__, "share_all", given=given, root=tmp_path)
    assert json.loads((tmp_path / "found.json").read_text()) == whole


if __name__ == "__main__":
    {"kill_all": kill_all, "share_all": share_all}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
