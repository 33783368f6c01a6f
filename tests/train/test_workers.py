"""Any number of workers gives the same bits, also when one is killed and all are started again."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from regrow.errors import Note, RecipeError, StageError
from regrow.exact.workers import Alone, Group, owned
from regrow.store.digest import sha256_bytes
from regrow.train import loop
from regrow.train.group import environment
from regrow.train.group.environment import network_interface, worker_environment
from tests.train.test_loop import GOLDEN
from tests.train.toy import CONFIG, SETTINGS, SHORTENED, TASK, batch, masked, watch

ROOT = Path(__file__).parents[2]
WIDE = dataclasses.replace(SHORTENED, wide=True)
UNEVEN = dataclasses.replace(SETTINGS, micro_batch=2, micro_batches_per_step=3)
SINGLE = dataclasses.replace(SETTINGS, micro_batch=1, micro_batches_per_step=6, validate_every=2, snapshots=1)
BARE = dataclasses.replace(SETTINGS, epsilon=0.0, checkpoint_every=1)  # divides nothing by nothing

START = """
import json, os, sys, pathlib, time
folder = pathlib.Path(sys.argv[1])
(folder / f"pid-{os.environ['RANK']}-{os.environ['TORCHELASTIC_RESTART_COUNT']}").write_text(str(os.getpid()))
from regrow.train import loop, reading, state, task
from regrow.train.tasks import pretraining
from regrow.train.group.environment import worker_environment
from regrow.train.group.run import follow, join, leading
from tests.train.test_workers import BARE, SINGLE, UNEVEN, looked
from tests.train.toy import SHORTENED, SETTINGS, TASK, TASKS_HERE, batch, masked, watch

def take_part(shard=False):
    rendezvous = join(worker_environment(), eligible=True)
    if rendezvous.rank > 0:
        sys.exit(follow(rendezvous, threads=1, tasks=TASKS_HERE))
    return leading(rendezvous, threads=1, shard=shard)
"""

EVERYTHING = """
import torch
from tests.train.counting import Traffic

from regrow.exact import accumulation

accumulation.FEW = 4  # so that both ways are gone
traffic, begin, held = Traffic(), state.begin, {}

def noted(*arguments):
    begun = begin(*arguments)
    rank = os.environ["RANK"]
    held["moments"] = sum(m.untyped_storage().nbytes() for ms in (begun.first, begun.second) for m in ms.values())
    held["parameters"] = sum(p.untyped_storage().nbytes() for p in begun.parameters.values())
    (folder / f"held-{rank}.json").write_text(json.dumps(held))
    return begun

def nothing(step):
    mask = torch.ones(6, 16, dtype=torch.bool)
    mask[3:] = step < 2
    return task.Batch(batch(step).tokens, mask)

state.begin = noted
with traffic, take_part() as workers:
    def run(name, settings=SETTINGS, batch=batch, watch=watch(), task=TASK, recompute=False):
        try:
            return workers.train(task, settings, batch, folder / name, watch, recompute=recompute)
        except BaseException as error:
            return error

    found = {}
    found["golden"] = run("golden").chain[-1]["chain"]
    (folder / "traffic.json").write_text(json.dumps(traffic.sent))
    found["uneven"] = run("uneven", UNEVEN).chain[-1]["chain"]

    def broken(step):
        raise OSError("no such shard")

    found["broken"] = str(run("broken", batch=lambda step: batch(step) if step < 3 else broken(step)))
    run("stopped", watch=watch(3))
    found["after alone"] = run("alone").chain[-1]["chain"]
    found["freezing"] = run("freezing", UNEVEN, masked, task=SHORTENED).chain
    found["freezing after alone"] = run("freezing alone", UNEVEN, masked, task=SHORTENED).chain
    run("freezing stopped", UNEVEN, masked, watch(3), SHORTENED)
    found["nothing"] = run("nothing", batch=nothing).what
    initial = pretraining.initialise

    def poisoned(config, seed):
        parameters = initial(config, seed)
        parameters["layers.001.mlp.down"][-1, 4] = float("nan")
        return parameters

    pretraining.initialise = poisoned
    found["diverged"] = run("diverged").what
    pretraining.initialise = initial

    workers._copies = 1  # from here on all of them hold the parameters together
    found["golden, shared"] = run("stopped 2", recompute=True).chain[-1]["chain"]
    seen = []
    found["single, shared"] = run("single", SINGLE, watch=looked(seen)).chain[-1]["chain"]
    found["seen"] = seen
    run("stopped shared", UNEVEN, masked, watch(3), SHORTENED)
    pretraining.initialise = poisoned
    found["diverged, shared"] = run("diverged shared").what
    pretraining.initialise = initial
    found["not finite, shared"] = run("bare", BARE).what
    (folder / "found.json").write_text(json.dumps(found))
"""

SLOW = """
reading.SECONDS_BETWEEN_SAVES = reading.TIMES_A_SAVE = 0.0

def progress(**fields):
    (folder / "step").write_text(str(fields["done"]))
    time.sleep(0.2)

with take_part(shard=len(sys.argv) > 2) as workers:
    watch = loop.Watch(progress, lambda: False, lambda: None)
    print(workers.train(TASK, SETTINGS, batch, folder, watch).chain[-1]["chain"])
"""

HELD = """
with take_part(shard=True) as workers:
    assert workers._copies == 2
    for name, settings in (("golden", SETTINGS), ("single", SINGLE)):
        print(workers.train(TASK, settings, batch, folder / name, watch()).chain[-1]["chain"])
"""

ON_A_DEVICE = """
with take_part() as workers:
    state = workers.train(TASK, SETTINGS, batch, folder / "run", watch())
    assert all(p.is_cuda for p in state.parameters.values())
    print(state.chain[-1]["chain"])
"""

OTHER_VERSION = """
if os.environ["RANK"] == "1":
    from regrow.train.group import rendezvous

    rendezvous.__version__ = "99.0"
from regrow.errors import RecipeError
try:
    take_part()
except RecipeError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def start(program, folder, workers, *options, said=()):
    """Start a program with torchrun."""
    command = ("torch.distributed.run", f"--nproc-per-node={workers}", *options)
    return started(*command, written(program, folder), folder, *said)


def forked(program, folder, workers):
    """Start a program as torchrun would, where it is not to start anything again."""
    return started("tests.forked", workers, written(program, folder), folder)


def written(program, folder):
    (folder / "program.py").write_text(START + program)
    return folder / "program.py"


def started(*module):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TORCH", "GLOO"))}
    environment = {**kept, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, module)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def finish(run):
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    return out.split()


def kill(folder, rank, at_step):
    """Kill a worker once training has passed a step."""
    deadline = time.monotonic() + 120
    while not ((folder / "step").is_file() and int((folder / "step").read_text() or 0) >= at_step):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(int((folder / f"pid-{rank}-0").read_text()), signal.SIGKILL)


def looked(seen):
    """A watch that notes the parameters which it is shown."""

    def note(state):
        found = b"".join(state.parameters[name].numpy().tobytes() for name in CONFIG.shapes())
        seen.append([state.step, sha256_bytes(found)])
        return {}

    return dataclasses.replace(watch(), measure=note, keep=note)


def stopped_alone(folder, task=TASK, settings=SETTINGS, batch=batch):
    with pytest.raises(KeyboardInterrupt):
        loop.train(task, settings, batch, folder, watch(3))


@pytest.fixture(scope="module", params=[3, pytest.param(2, marks=pytest.mark.slow)])
def group(request, tmp_path_factory):
    """What a group of workers found: the number of workers and the folder. Three do not divide two micro-batches."""
    folder = tmp_path_factory.mktemp("group")
    stopped_alone(folder / "alone")
    stopped_alone(folder / "stopped 2")
    stopped_alone(folder / "freezing alone", SHORTENED, UNEVEN, masked)
    finish(forked(EVERYTHING, folder, request.param))
    return request.param, folder, json.loads((folder / "found.json").read_text())


def test_the_number_of_workers_does_not_matter(group):
    _, _, found = group
    assert found["golden"] == GOLDEN


def test_micro_batches_need_not_divide_evenly(group, tmp_path):
    _, _, found = group
    assert found["uneven"] == loop.train(TASK, UNEVEN, batch, tmp_path, watch()).chain[-1]["chain"]


def test_another_number_of_workers_goes_on_from_a_checkpoint(group):
    _, folder, found = group
    assert found["after alone"] == GOLDEN
    begun = (folder / "stopped").iterdir()
    assert [path.name for path in begun] == ["checkpoint-000000003"]
    assert loop.train(TASK, SETTINGS, batch, folder / "stopped", watch()).chain[-1]["chain"] == GOLDEN


def test_frozen_parameters_and_masks_give_the_same_bits_too(group, tmp_path):
    _, folder, found = group
    alone = loop.train(WIDE, UNEVEN, masked, tmp_path, watch()).chain
    assert found["freezing"] == found["freezing after alone"] == alone
    assert loop.train(SHORTENED, UNEVEN, masked, folder / "freezing stopped", watch()).chain == alone


def test_workers_who_hold_the_parameters_together_go_on_from_the_checkpoint_of_one(group):
    _, _, found = group
    assert found["golden, shared"] == GOLDEN  # with layers computed once more


def test_one_worker_goes_on_from_theirs(group, tmp_path):
    _, folder, _ = group
    alone = loop.train(WIDE, UNEVEN, masked, tmp_path, watch()).chain
    assert loop.train(SHORTENED, UNEVEN, masked, folder / "stopped shared", watch()).chain == alone


def test_they_come_to_the_same_bits_in_several_turns_and_show_all_of_them_on_the_way(group, tmp_path):
    _, _, found = group
    seen = []
    alone = loop.train(TASK, SINGLE, batch, tmp_path, looked(seen))
    assert found["single, shared"] == alone.chain[-1]["chain"]
    assert [step for step, _ in seen] == [2, 3, 4]
    assert found["seen"] == seen


def test_they_all_stop_when_what_one_holds_is_not_finite(group):
    _, _, found = group
    assert "the gradient of `" in found["diverged, shared"]
    assert "`embed` is not finite after step 1" in found["not finite, shared"]


def test_each_holds_its_rows_only(group):
    workers, folder, _ = group
    held = [json.loads((folder / f"held-{rank}.json").read_text())["parameters"] for rank in range(workers)]
    shapes = CONFIG.shapes().values()
    rows = sum(4 * shape[0] if len(shape) == 1 else 4 * shape[1] for shape in shapes)
    assert sum(held) == sum(4 * torch.Size(shape).numel() for shape in shapes)
    assert max(held) <= sum(held) / workers + rows


@pytest.mark.slow
def test_each_of_two_hosts_may_hold_a_copy(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    options = ("--nnodes=2", "--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}", "--rdzv-id=test")
    hosts = [start(HELD, tmp_path, 2, *options) for _ in range(2)]
    golden, single = (line for host in hosts for line in finish(host))
    assert golden == GOLDEN
    assert single == loop.train(TASK, SINGLE, batch, tmp_path / "alone", watch()).chain[-1]["chain"]


def test_all_workers_stop_where_there_is_nothing_to_learn(group):
    _, _, found = group
    assert found["nothing"] == "there is nothing to learn from in micro-batch 2 of step 2"


def test_a_failure_of_the_first_worker_alone_lets_the_others_go(group):
    _, _, found = group
    assert found["broken"] == "no such shard"  # and there were more runs after it


def test_each_worker_holds_the_moments_of_its_rows_only(group):
    workers, folder, _ = group
    held = [json.loads((folder / f"held-{rank}.json").read_text())["moments"] for rank in range(workers)]
    shapes = CONFIG.shapes().values()
    whole = sum(4 * 2 * torch.Size(shape).numel() for shape in shapes)
    vectors = sum(4 * 2 * shape[0] for shape in shapes if len(shape) == 1)
    widest_row = sum(4 * 2 * shape[1] for shape in shapes if len(shape) == 2)
    assert sum(held) == whole
    assert max(held) <= whole / workers + vectors + widest_row


def test_a_step_moves_as_many_bytes_as_float32(group):
    """An all-reduce of float32 gradients sends ``8 (N - 1) / N`` bytes for each parameter."""
    workers, folder, _ = group
    sent = json.loads((folder / "traffic.json").read_text())
    share = (workers - 1) / workers
    rows = sum(shape[0] if len(shape) == 2 else 1 for shape in CONFIG.shapes().values())
    parameters = sum(torch.Size(shape).numel() for shape in CONFIG.shapes().values())
    tokens = SETTINGS.micro_batch * SETTINGS.micro_batches_per_step * (CONFIG.context + 1)
    assert (
        sent["batch_isend_irecv"] / SETTINGS.steps <= 8 * parameters * share * 1.05
    )  # rows are not shared quite evenly
    numbers = rows + 4 * len(CONFIG.shapes())  # exponents and norm
    links = 1 / SETTINGS.checkpoint_every + 1 / SETTINGS.steps
    hashes = 8 * 3 * len(CONFIG.shapes()) * links  # of eight numbers each
    assert sent["all_reduce"] / SETTINGS.steps <= 8 * (numbers + hashes) * share
    assert sent["broadcast"] - 4 * parameters * share <= 4 * (tokens + 64) * share * SETTINGS.steps


def test_what_is_on_a_device_goes_through_the_memory_of_its_host(tmp_path):
    finish(started("tests.forked", 3, ROOT / "tests/train/far.py", tmp_path))


@pytest.mark.gpu
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_with_devices_or_a_share_of_one_end_at_the_same_bits(workers, tmp_path, monkeypatch):
    monkeypatch.setenv("REGROW_BACKEND", "triton")
    assert finish(start(ON_A_DEVICE, tmp_path, workers, "--standalone")) == [GOLDEN]


def test_divergence_names_the_tensor(group, tmp_path):
    _, _, found = group
    assert "the gradient of `" in found["diverged"]
    assert "at step 1" in found["diverged"]


def test_divergence_is_found_in_the_rows_of_others():
    class Others(Alone):
        def largest(self, x):
            x[1] = 1

    with pytest.raises(StageError, match="the gradient of `b`"):
        loop._require_finite(5, 1.0, float("nan"), {"b": torch.ones(1, 1), "a": torch.ones(1, 1)}, Others())


@pytest.mark.slow
@pytest.mark.parametrize("shard", [(), ("shard",)])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_that_is_killed_is_restarted_and_the_end_is_the_same(rank, shard, tmp_path):
    run = start(SLOW, tmp_path, 2, "--standalone", "--max-restarts=2", said=shard)
    kill(tmp_path, rank, at_step=3)
    assert finish(run) == [GOLDEN]
    assert (tmp_path / f"pid-{rank}-1").is_file()


def test_a_worker_of_another_host_that_is_killed_is_restarted_too(tmp_path):
    """Each host counts its own restarts, so the numbers differ between the hosts."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    options = ("--nnodes=2", "--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}", "--rdzv-id=test")
    hosts = [start(SLOW, tmp_path, 1, *options, "--max-restarts=2") for _ in range(2)]
    kill(tmp_path, 1, at_step=3)
    assert [line for host in hosts for line in finish(host)] == [GOLDEN]


def test_a_worker_of_another_version_is_refused(tmp_path):
    run = forked(OTHER_VERSION, tmp_path, 2)
    out, _ = run.communicate(timeout=120)
    assert run.returncode != 0
    assert "the workers do not run the same programs" in out
    assert "regrow 99.0, arithmetic" in out
    assert out.count("hint:") == 1


ORPHAN = """
import os, signal, time
from regrow.train.group.environment import end_with_parent
ready, tell = os.pipe()
if os.fork():
    os.read(ready, 1)
    os.kill(os.getpid(), signal.SIGKILL)
end_with_parent()
os.write(tell, b"1")
time.sleep(300)
"""


def test_a_worker_ends_with_the_process_that_started_it():
    run = subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE)
    run.communicate(timeout=60)  # until the worker, too, has closed what it writes to
    assert run.returncode == -signal.SIGKILL


COMPLETE = {
    "RANK": "1",
    "WORLD_SIZE": "4",
    "MASTER_ADDR": "a",
    "MASTER_PORT": "29400",
    "LOCAL_WORLD_SIZE": "2",
    "TORCHELASTIC_RUN_ID": "job",
}


def test_a_worker_is_what_torchrun_says():
    assert worker_environment({}) is None
    by_hand = {"MASTER_ADDR": "somewhere", "MASTER_PORT": "1"}  # before torchrun runs
    assert worker_environment(by_hand) is None
    found = worker_environment(COMPLETE)
    assert found is not None
    assert (found.rank, found.count, found.local_count) == (1, 4, 2)
    assert worker_environment({**COMPLETE, "RANK": "0", "WORLD_SIZE": "1"}) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"WORLD_SIZE": ""}, "`WORLD_SIZE` is not set"),
        ({"MASTER_ADDR": "", "MASTER_PORT": ""}, "`MASTER_ADDR` and `MASTER_PORT` are not set"),
        ({"RANK": "-1"}, "`RANK` is `-1`"),
        ({"MASTER_PORT": "http"}, "`MASTER_PORT` is `http`"),
        ({"MASTER_PORT": "70000"}, "`MASTER_PORT` is 70000"),
        ({"RANK": "9" * 5000}, f"`RANK` is `{'9' * 5000}`"),
        ({"RANK": "4"}, "`RANK` is 4 and `WORLD_SIZE` is 4"),
    ],
)
def test_half_an_environment_is_refused(change, why):
    with pytest.raises(RecipeError) as caught:
        worker_environment({**COMPLETE, **change})
    assert caught.value.why == why


@pytest.mark.parametrize(
    "left",
    [
        {"RANK": "0"},  # of a single process, as notebooks have it
        {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"},
        {"RANK": "foo"},
        {"MASTER_ADDR": "pod-0", "MASTER_PORT": "23456"},
    ],
)
def test_what_a_platform_left_does_not_make_a_worker(left, recwarn):
    assert worker_environment(left) is None
    assert not recwarn


def test_a_group_that_torchrun_did_not_start_is_ignored_and_that_is_said():
    platform = {name: value for name, value in COMPLETE.items() if name != "TORCHELASTIC_RUN_ID"}
    with pytest.warns(Note, match="`WORLD_SIZE` is set, but not by torchrun"):
        assert worker_environment(platform) is None


@pytest.mark.parametrize(("asked", "threads"), [("3", 3), ("many", 1), ("0", 1), ("", 1)])
def test_threads_of_a_worker_are_those_asked_for_or_an_even_share(asked, threads, monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", asked)
    monkeypatch.setattr(environment, "processors", lambda: 2)
    found = worker_environment(COMPLETE)
    assert found is not None
    assert environment.processor_share(found) == threads


@pytest.mark.skipif(sys.platform != "linux", reason="interfaces are found on Linux only")
def test_workers_of_one_host_meet_on_its_loopback_interface():
    found = worker_environment({**COMPLETE, "MASTER_ADDR": "127.0.0.1"})
    assert found is not None
    assert network_interface(found) == "lo"


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [0, 1, 5, 64])
def test_every_row_has_one_owner(workers, rows):
    found = [row for rank in range(workers) for row in range(rows)[owned(rows, rank, workers)]]
    assert found == list(range(rows))


@pytest.mark.parametrize(("copies", "holders"), [(1, 6), (6, 1), (2, 3), (3, 2)])
@pytest.mark.parametrize("rows", [1, 5, 64])
def test_an_owner_has_a_share_of_what_it_holds(copies, holders, rows):
    found = {}
    for rank in range(6):
        copy, place = divmod(rank, holders)
        group = Group(rank, 6, holders=Group(place, holders), others=Group(copy, copies))
        mine, held = group.rows(rows), group.holders.rows(rows)
        assert range(rows)[held][group.peers.rows(held.stop - held.start)] == range(rows)[mine]
        found |= dict.fromkeys(range(rows)[mine], rank)
        assert all(group.owner(row, rows) == rank for row in range(rows)[mine])
    assert sorted(found) == list(range(rows))
