"""Threads follow the work, and processes without them compute the same bits."""

import errno
import hashlib
import multiprocessing
import os
import subprocess
import sys
import threading
import warnings

import pytest
import torch
from numba.np.ufunc import parallel

from regrow import exact
from regrow.errors import Note, RecipeError
from regrow.exact import registry, threads
from regrow.exact.threads import SHARED_BYTES, THREADS, Threads


def computed(seed: int = 1) -> str:
    """Bits of something small that several kernels and torch take part in."""
    x = exact.normal((300, 300), seed, "x").requires_grad_()
    y = exact.softmax(x) + torch.exp(x)  # large enough for torch to use its threads
    exact.rms_norm(y, torch.ones(300)).backward(exact.normal((300, 300), seed, "dy"))
    assert x.grad is not None
    return hashlib.sha256(x.grad.numpy().tobytes()).hexdigest()


def nested(seed: int) -> str:
    """The same, computed by a child of the child."""
    read, write = os.pipe()
    if not (child := os.fork()):
        os.write(write, computed(seed).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return os.read(read, 100).decode()


class Data(torch.utils.data.Dataset[str]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, seed: int) -> str:
        return computed(seed)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_forked_processes_compute_the_same_while_the_parent_does_too() -> None:
    here = [computed(seed) for seed in range(2)]
    done = threading.Event()

    def go_on() -> None:
        while not done.is_set():
            computed()

    beside = threading.Thread(target=go_on)
    beside.start()
    try:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map_async(computed, range(2)).get(300) == here
            assert pool.map_async(nested, range(2)).get(300) == here
        batches = torch.utils.data.DataLoader(Data(), num_workers=1, timeout=300, multiprocessing_context="fork")
        assert [text for batch in batches for text in batch] == here
    finally:
        done.set()
        beside.join()
    assert [computed(seed) for seed in range(2)] == here


def test_small_work_is_for_one_thread() -> None:
    assert THREADS.worth(SHARED_BYTES - 1) == 1
    assert THREADS.worth(SHARED_BYTES) == THREADS.count()


def test_who_finds_the_threads_taken_computes_alone() -> None:
    count = THREADS.count()
    with THREADS.taken(2) as first, THREADS.taken(2) as second:
        assert first
        assert THREADS.count() == 1 or not second or count == 1
    assert THREADS.count() == count


def test_threads_are_given_back_whatever_happens() -> None:
    count = THREADS.count()
    for asked in (1, 2):
        with pytest.raises(ValueError, match="here"), THREADS.taken(asked):
            raise ValueError("here")
        assert THREADS.count() == count
        with THREADS.taken(2) as shared:
            assert shared


def test_threads_that_the_system_refuses_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_try_threads", refuse)
    monkeypatch.setattr(threads.os, "register_at_fork", lambda **_: None)
    before, few = torch.get_num_threads(), Threads()
    try:
        with pytest.warns(Note, match="one thread.*can't start new thread"), few.taken(2) as shared:
            assert not shared
        assert (few.count(), torch.get_num_threads()) == (1, 1)
    finally:
        torch.set_num_threads(before)


def test_a_machine_without_semaphores_is_no_reason_to_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OSError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(multiprocessing.context.BaseContext, "RLock", refuse)
    monkeypatch.setattr(parallel, "_backend_init_process_lock", None)
    monkeypatch.setattr(threads.os, "register_at_fork", lambda **_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Threads().start()
    assert parallel._backend_init_process_lock is not None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NUMBA_NUM_THREADS", "0"),
        ("NUMBA_NUM_THREADS", "many"),
        ("OMP_NUM_THREADS", "100000"),
        ("OMP_NUM_THREADS", "4,-1"),
    ],
)
def test_a_number_of_threads_that_is_none_is_named(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(RecipeError) as caught:
        registry.load_kernels("numba")
    assert caught.value.where == variable
    monkeypatch.setenv(variable, "4")
    registry.load_kernels("numba")


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    ["DISABLE_JIT=1", "BOUNDSCHECK=1", "OPT=0", "ENABLE_CUDASIM=1", "THREADING_LAYER=tbb", "THREADING_LAYER=workqueue"],
)
def test_settings_of_numba_change_no_bits(setting: str) -> None:
    variable, _, value = setting.partition("=")
    code = "from tests.exact.test_threads import computed; print(computed())"
    environment = os.environ | {f"NUMBA_{variable}": value}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == computed(), done.stderr
