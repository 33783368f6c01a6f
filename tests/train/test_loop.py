"""The loop: same bits on every backend and after every interruption, and a clear end when training diverges."""

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from regrow.errors import StageError
from regrow.exact import accumulation
from regrow.exact.registry import cpu_gemm_backends
from regrow.exact.selection import use
from regrow.store.digest import sha256_bytes
from regrow.train import loop, reading, state
from regrow.train.task import Batch
from regrow.train.tasks import pretraining
from regrow.train.tasks.pretraining import Pretraining
from tests.train.toy import CONFIG, FREEZING, SETTINGS, TASK, batch, masked, watch

GOLDEN = "ecf1bf1593f1ee0e7b91cb94f4e8bc4c5280feec4a9f14eced408c48a52f9338"


def final(scratch, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    return loop.train(Pretraining(CONFIG, settings.seed), settings, batch, scratch, watch())


def test_the_chain_of_the_toy_run_is_known(tmp_path):
    """If this changes, the arithmetic changed: raise ARITHMETIC and say why in CHANGELOG.md."""
    assert final(tmp_path).chain[-1]["chain"] == GOLDEN


@pytest.mark.parametrize(("task", "batch"), [(TASK, batch), (FREEZING, masked)])
def test_layers_may_be_computed_once_more(task, batch, tmp_path):
    kept, again = (
        loop.train(task, SETTINGS, batch, tmp_path / str(recompute), watch(), recompute=recompute)
        for recompute in (False, True)
    )
    assert kept.chain == again.chain


@pytest.mark.parametrize("gemm", [gemm.name for gemm in cpu_gemm_backends()])
@pytest.mark.parametrize("kernels", ["numba", "reference"])
def test_every_backend_trains_to_the_same_state(kernels, gemm, tmp_path):
    with use(kernels, gemm):
        assert final(tmp_path).chain[-1]["chain"] == GOLDEN


def test_the_seed_and_every_hyperparameter_count(tmp_path):
    changes = [
        {"seed": 8}, {"learning_rate": 2e-3}, {"warmup": 1}, {"decay": "linear"}, {"final_learning_rate": 0.0},
        {"weight_decay": 0.0}, {"beta1": 0.8}, {"beta2": 0.9}, {"epsilon": 1e-4}, {"clip": 0.1}, {"micro_batch": 2},
    ]  # fmt: skip
    chains = {final(tmp_path / str(i), **change).chain[-1]["state"] for i, change in enumerate(changes)}
    assert len(chains | {final(tmp_path / "base").chain[-1]["state"]}) == len(changes) + 1


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_a_run_that_is_stopped_goes_on_to_the_same_end(stop_at, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        loop.train(TASK, SETTINGS, batch, tmp_path, watch(stop_at))
    resumed = state.restore(tmp_path)
    assert resumed is not None
    assert resumed.step == stop_at
    done = final(tmp_path)
    assert done.chain[-1]["chain"] == GOLDEN
    assert [record["step"] for record in done.losses] == [1, 2, 3, 4, 5, 6]


def test_what_is_measured_on_the_way_is_noted_and_changes_nothing(tmp_path):
    seen, resumed = [], []
    settings = dataclasses.replace(SETTINGS, validate_every=2)

    def run(stop_at=None):
        def measure(state):
            seen.append(state.step)
            return {"validation_loss": state.step / 8, "sample": "a"}

        looking = dataclasses.replace(watch(stop_at), measure=measure, resumed=lambda state: resumed.append(state.step))
        return loop.train(TASK, settings, batch, tmp_path, looking)

    with pytest.raises(KeyboardInterrupt):
        run(stop_at=3)
    done = run()
    assert done.chain[-1]["chain"] == GOLDEN
    assert (seen, resumed) == ([2, 4], [3])  # the last step is for evaluation
    noted = {record["step"]: record["validation_loss"] for record in done.losses if "validation_loss" in record}
    assert noted == {2: 0.25, 4: 0.5}


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def stopped_at(folder, *steps):
    for step in steps:
        with pytest.raises(KeyboardInterrupt):
            loop.train(TASK, SETTINGS, batch, folder, watch(step))


@pytest.mark.parametrize("file", ["values.f32", "state.json"])
def test_a_damaged_checkpoint_is_passed_over(file, tmp_path):
    stopped_at(tmp_path, 2)
    later = tmp_path / "checkpoint-000000004"  # as a kill leaves both, amid the change from one to the other
    shutil.copytree(tmp_path / "checkpoint-000000002", later)
    damage(later / file)
    assert state.restore(tmp_path).step == 2
    assert final(tmp_path).chain[-1]["chain"] == GOLDEN


@pytest.mark.parametrize("text", ["null", "[]", "{}", ""])
def test_a_record_of_another_form_is_passed_over(text, tmp_path):
    stopped_at(tmp_path, 2)
    (tmp_path / "checkpoint-000000002" / "state.json").write_text(text)
    assert state.restore(tmp_path) is None


def test_a_step_cannot_be_changed(tmp_path):
    stopped_at(tmp_path, 2)
    record = tmp_path / "checkpoint-000000002" / "state.json"
    record.write_text(record.read_text().replace('"step": 2,', '"step": 4,', 1))
    assert state.restore(tmp_path) is None


def test_damaged_checkpoints_do_not_crowd_out_whole_ones(tmp_path):
    stopped_at(tmp_path, 3, 4)
    for path in tmp_path.glob("checkpoint-*"):
        damage(path / "values.f32")
    stopped_at(tmp_path, 1)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-000000001"]
    assert state.restore(tmp_path).step == 1


@pytest.mark.parametrize(("name", "task", "batch"), [("TASK", TASK, batch), ("FREEZING", FREEZING, masked)])
def test_a_killed_run_goes_on_to_the_same_end(name, task, batch, tmp_path):
    program = (
        "import sys, pathlib, time\n"
        "from regrow.train import loop, reading\n"
        "from tests.train import toy\n"
        "reading.SECONDS_BETWEEN_SAVES = reading.TIMES_A_SAVE = 0.0\n"
        "w = toy.watch()\n"
        "loop.train(getattr(toy, sys.argv[2]), toy.SETTINGS, getattr(toy, sys.argv[3]), pathlib.Path(sys.argv[1]),\n"
        "    loop.Watch(lambda **f: print(f['done'], flush=True) or time.sleep(0.2), w.stopping, w.stop))\n"
    )
    scratch = tmp_path / "killed"
    command = [sys.executable, "-c", program, str(scratch), name, batch.__name__]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while run.stdout.readline().strip() != "3":
        assert run.poll() is None
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert 2 <= state.restore(scratch, task.given()).step <= 4
    killed, whole = (loop.train(task, SETTINGS, batch, folder, watch()) for folder in (scratch, tmp_path / "whole"))
    assert killed.chain == whole.chain
    assert (whole.chain[-1]["chain"] == GOLDEN) == (task is TASK)


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_counts_do_not_matter(threads, tmp_path):
    import numba

    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, before[1]))
    try:
        assert final(tmp_path).chain[-1]["chain"] == GOLDEN
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


def test_divergence_names_tensor_and_step(tmp_path, monkeypatch):
    initial = pretraining.initialise

    def broken(config, seed):
        parameters = initial(config, seed)
        parameters["layers.001.mlp.down"][3, 4] = float("nan")
        return parameters

    monkeypatch.setattr(pretraining, "initialise", broken)
    with pytest.raises(StageError) as caught:
        final(tmp_path)
    assert "`" in caught.value.what
    assert "is not finite at step 1" in caught.value.what
    assert "learning_rate" in caught.value.hint


def test_no_state_that_is_not_finite_gets_a_digest(tmp_path):
    config = dataclasses.replace(CONFIG, tied_embeddings=False)  # tokens that are never read have no gradient
    run = dataclasses.replace(SETTINGS, steps=1, epsilon=0.0)
    with pytest.raises(StageError) as caught:
        loop.train(Pretraining(config, run.seed), run, batch, tmp_path, watch())
    assert caught.value.what == "training diverged: `embed` is not finite after step 1"
    assert "`epsilon`" in caught.value.hint


def test_the_learning_rate_rises_and_falls_as_it_says():
    run = dataclasses.replace(SETTINGS, steps=10, warmup=2, learning_rate=1.0, final_learning_rate=0.1)
    assert [run.rate(step) for step in (1, 2, 10)] == pytest.approx([0.5, 1.0, 0.1])
    assert run.rate(6) == pytest.approx(0.55)
    assert dataclasses.replace(run, decay="linear").rate(4) == pytest.approx(0.775)
    assert dataclasses.replace(run, decay="constant").rate(9) == 1.0


def test_loss_falls_on_text_that_repeats(tmp_path):
    fixed = batch(1)
    run = dataclasses.replace(SETTINGS, steps=40, learning_rate=1e-2)
    losses = loop.train(TASK, run, lambda step: fixed, tmp_path, watch()).losses
    assert losses[-1]["loss"] < losses[0]["loss"] - 1.5


def test_the_state_digest_ignores_the_sign_of_zero_and_nothing_else():
    a = state.State.initial({"x": torch.tensor([0.0, 1.0])})
    b = state.State.initial({"x": torch.tensor([-0.0, 1.0])})
    c = state.State.initial({"x": torch.tensor([0.0, 1.0000001])})
    assert a.digest() == b.digest() != c.digest()


def test_there_is_one_checkpoint_of_twelve_bytes_for_each_parameter(tmp_path):
    stopped_at(tmp_path, 1, 3)
    [only] = tmp_path.iterdir()
    assert only.name == "checkpoint-000000003"
    parameters = sum(torch.Size(shape).numel() for shape in CONFIG.shapes().values())
    assert (only / "values.f32").stat().st_size == 12 * parameters


def test_more_micro_batches_than_int32_has_room_for(tmp_path, monkeypatch):
    """Both ways to keep their gradients give the same bits."""
    settings = dataclasses.replace(SETTINGS, steps=1, micro_batch=1, micro_batches_per_step=129)
    index = torch.arange(129 * 17)
    many = Batch(((index * index * 7 + index) % 300).view(129, 17))
    states = []
    for few in (0, 200):
        monkeypatch.setattr(accumulation, "FEW", few)
        states.append(loop.train(TASK, settings, lambda step: many, tmp_path / str(few), watch()).digest())
    assert states[0] == states[1]


def test_nothing_changes_while_a_state_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr(reading, "TIMES_A_SAVE", 0.0)
    seen = []

    def slow(current, scratch, workers):
        before, threads = current.digest(), threading.current_thread()
        time.sleep(0.3)  # several steps
        seen.append((current.step, before == current.digest(), threads is not threading.main_thread()))

    monkeypatch.setattr(state, "save", slow)
    assert final(tmp_path).chain[-1]["chain"] == GOLDEN
    assert seen == [(step, True, True) for step in range(1, 7)]


def test_what_went_wrong_while_a_state_was_read_ends_the_run(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save", full)
    with pytest.raises(OSError, match="No space left"):
        loop.train(TASK, SETTINGS, batch, tmp_path, watch(2))


def test_a_save_is_due_when_the_run_has_gone_on_for_fifty_times_its_cost():
    now = [0.0]
    saves = reading.Saves(lambda: now[0])

    def saved(seconds):
        with saves.saving():
            now[0] += seconds
        begun = now[0]
        while not saves.due():
            now[0] += 1.0
        return now[0] - begun

    assert [saved(seconds) for seconds in (0.25, 1.0, 32.0)] == [20.0, 50.0, 1600.0]


def test_the_digest_of_a_state_names_chunks_of_a_mebibyte():
    wide, long = torch.arange(700_000.0).view(700, 1000), torch.arange(300_000.0)
    found = state.State.initial({"long": long, "wide": wide})
    lines = ["step 0"]
    for part, factor in (("parameter", 1), ("first", 0), ("second", 0)):
        lines += [f"{part} long (300000,)", sha256_bytes((long * factor).numpy().tobytes())]
        chunks = [(wide * factor)[start : start + 262] for start in (0, 262, 524)]
        lines += [f"{part} wide (700, 1000)", *(sha256_bytes(chunk.numpy().tobytes()) for chunk in chunks)]
    assert found.digest() == sha256_bytes("".join(f"{line}\n" for line in lines).encode())


def test_time_between_saves_does_not_change_the_result(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr(reading, "TIMES_A_SAVE", 0.0)
    start = time.monotonic()
    assert final(tmp_path).chain[-1]["chain"] == GOLDEN
    assert time.monotonic() > start


def test_states_are_kept_that_the_chain_names_and_a_run_goes_on_from_each(tmp_path):
    whole = final(tmp_path / "whole", states=2)
    names = sorted(path.name for path in (tmp_path / "whole").glob("*.f32"))
    assert names == ["step-000000002.f32", "step-000000004.f32"]
    assert [link["step"] for link in whole.chain] == [0, 2, 4, 6]
    for number, name in enumerate(names, 1):
        place = tmp_path / name.partition(".")[0]
        state.lay(place, TASK, tmp_path / "whole" / name, whole.losses[: 2 * number], whole.chain[: number + 1])
        again = loop.train(TASK, SETTINGS, batch, place, watch())
        assert (again.chain, again.losses) == (whole.chain, whole.losses)


@pytest.mark.parametrize("task", [TASK, FREEZING])
def test_a_run_goes_on_from_a_state_that_somebody_says_it_had(task, tmp_path):
    settings = dataclasses.replace(SETTINGS, states=1)
    whole = loop.train(task, settings, masked, tmp_path / "whole", watch())
    (kept,) = (tmp_path / "whole").glob("*.f32")
    state.lay(tmp_path / "part", task, kept, whole.losses[:4], whole.chain[:3])  # of step 4
    assert loop.train(task, settings, masked, tmp_path / "part", watch()).chain == whole.chain


def test_a_state_that_is_not_the_one_of_the_chain_is_not_taken(tmp_path):
    whole = final(tmp_path / "whole", states=2)
    kept = tmp_path / "whole" / "step-000000002.f32"
    values = np.fromfile(kept, "<f4")
    for number, other in enumerate((values[:-1], np.where(values == values[3], np.nan, values), values + values)):
        other.astype("<f4").tofile(tmp_path / str(number))
        with pytest.raises(state.StateError):
            state.lay(tmp_path / "part", TASK, tmp_path / str(number), whole.losses[:2], whole.chain[:2])
    with pytest.raises(state.StateError, match="step 4"):
        state.lay(tmp_path / "part", TASK, kept, whole.losses[:4], whole.chain[:3])
    assert not (tmp_path / "part").exists()


def test_a_link_binds_what_every_step_read_and_gave(tmp_path):
    done = final(tmp_path)
    first = json.dumps(done.losses[0], sort_keys=True) + "\n" + json.dumps(done.losses[1], sort_keys=True) + "\n"
    assert done.chain[1]["records"] == hashlib.sha256(first.encode()).hexdigest()
    told = "".join((done.chain[0]["chain"], done.chain[1]["state"], done.chain[1]["records"]))
    assert done.chain[1]["chain"] == hashlib.sha256(told.encode()).hexdigest()
    tokens = batch(1).tokens.numpy().astype("<i4").tobytes()
    assert done.losses[0]["batch"] == hashlib.sha256(tokens).hexdigest()
