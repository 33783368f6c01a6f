"""Compiled kernels are kept, never outlive what they are made of, and are never taken from others."""

import os
import pickle
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from hashlib import sha256
from os import utime

import numba
import numpy as np
import pytest
from numba import prange

from regrow.errors import Note
from regrow.exact import compiling, kept
from regrow.exact.kernel import kernel, shared_kernel, thread_id
from regrow.exact.threads import THREADS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where kernels of a test are kept."""
    monkeypatch.setattr(kept, "folders", lambda: (tmp_path / "kernels",))
    return tmp_path / "kernels"


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No place for kernels: a file is in the way."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(kept, "folders", lambda: (tmp_path / "file" / "kernels",))


def square():
    """A new kernel, as a new process has it, and what it says of being compiled."""

    @kernel()
    def squared(x):
        return x * x

    heard = []
    with compiling.heard(heard.append):
        assert squared(3.0) == 9.0
    return heard


def test_a_kernel_is_compiled_once_and_heard_of_then_only(folder):
    begun, done = square()
    assert (begun.kernel, begun.seconds) == (done.kernel, None)
    assert done.seconds > 0
    assert square() == []


def test_it_is_compiled_with_all_that_numba_brings_along_where_a_user_has_turned_that_off(folder, monkeypatch):
    settings = vars(numba.config)
    monkeypatch.setitem(settings, "DISABLE_JIT", 1)
    turned = kernel()(lambda x: np.fliplr(x)[0, 0])  # which Numba compiles from Python of its own
    assert turned(np.array([[1.0, 2.0], [3.0, 4.0]])) == 2.0
    assert settings["DISABLE_JIT"] == 1


ALLOCATES = """
import sys
import numpy as np
from regrow.exact.kernel import kernel

@kernel()
def doubled(x):
    room = np.empty(len(x))
    room[:] = x
    return room + room

print(doubled(np.ones(3)).sum(), "numba.np.linalg" in sys.modules)
"""


def test_what_is_kept_runs_in_a_process_that_has_loaded_nothing_to_compile_with(tmp_path):
    (tmp_path / "program.py").write_text(ALLOCATES)
    given = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    command = [sys.executable, str(tmp_path / "program.py")]
    said = [subprocess.run(command, env=given, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said == ["6.0 True\n", "6.0 False\n"]


def test_what_goes_into_a_kernel_is_not_heard_of(folder):
    inner = kernel()(lambda x: x + 1.0)
    outer = kernel()(lambda x: inner(x) * 2.0)
    heard = []
    with compiling.heard(heard.append):
        assert outer(1.0) == 4.0
    assert len(heard) == 2
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-9]),
        lambda file: file.write_bytes(file.read_bytes()[:40] + b"?" + file.read_bytes()[41:]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(sha256(b"no kernel").digest() + b"no kernel"),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=["truncated", "changed", "empty", "of another kind", "a folder"],
)
@pytest.mark.filterwarnings("ignore::regrow.errors.Note")
def test_a_damaged_kernel_is_compiled_again(folder, harm):
    square()
    (file,) = folder.iterdir()
    harm(file)
    assert len(square()) == 2


class Planted:
    """What must never be unpickled."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_what_others_could_have_written_is_never_read(folder):
    square()
    (file,) = folder.iterdir()
    code = pickle.dumps(Planted())
    file.write_bytes(sha256(code).digest() + code)
    file.chmod(0o666)
    assert len(square()) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_nothing_is_kept_where_others_could_write(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "folders", lambda: (tmp_path / "open" / "kernels", tmp_path / "own" / "kernels"))
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert kept.keep("name", b"content")
    assert list((tmp_path / "open").iterdir()) == []
    assert kept.read("name") == b"content"
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700


def test_without_a_place_kernels_are_compiled_each_time_which_is_said(nowhere):
    for _ in range(2):
        with pytest.warns(Note, match="compiled each time"):
            assert len(square()) == 2


def test_a_full_disk_keeps_nothing_and_leaves_nothing(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept.os, "fchmod", full)
    with pytest.warns(Note, match="compiled each time"):
        assert len(square()) == 2
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({"NUMBA_CACHE_DIR": "/asked"}, ["/asked", "PACKAGE/__pycache__"]),
        ({"XDG_CACHE_HOME": "/caches"}, ["PACKAGE/__pycache__", "/caches/regrow", "TEMPORARY"]),
        ({"HOME": "/home/me"}, ["PACKAGE/__pycache__", "/home/me/.cache/regrow", "TEMPORARY"]),
        ({"XDG_CACHE_HOME": "relative"}, ["PACKAGE/__pycache__", "TEMPORARY"]),
    ],
)
def test_where_kernels_are_looked_for(variables, first, tmp_path, monkeypatch):
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(kept.tempfile, "gettempdir", lambda: "/temporary")
    names = {"PACKAGE": str(tmp_path), "TEMPORARY": f"/temporary/regrow-{os.getuid()}"}
    found = [str(path) for path in kept._parents(tmp_path)]
    for short, long in names.items():
        first = [path.replace(short, long) for path in first]
    assert found[: len(first)] == first


def test_a_user_whom_nobody_knows_has_a_folder_among_the_temporary_files(tmp_path, monkeypatch):
    def unknown(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(kept.Path, "expanduser", unknown)
    assert [path.name for path in kept._parents(tmp_path)] == ["__pycache__", f"regrow-{os.getuid()}"]


def test_kernels_are_of_one_state_of_all_files(tmp_path):
    (tmp_path / "one.py").write_text("1")
    before = kept.folders.__wrapped__(tmp_path)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "two.py").write_text("2")
    assert not set(before) & set(kept.folders.__wrapped__(tmp_path))


def test_kernels_of_long_ago_are_dropped(tmp_path):
    old, new, foreign = (tmp_path / f"kernels-{name}" for name in ("0" * 16, "1" * 16, "of-somebody-else"))
    for folder in (old, new, foreign):
        folder.mkdir()
    for folder in (old, foreign):
        utime(folder, (time.time() - 30 * 24 * 3600,) * 2)
    assert kept._write(tmp_path / f"kernels-{'2' * 16}", "name", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, f"kernels-{'2' * 16}", foreign.name]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_threads_of_a_kernel_have_numbers_of_their_own(folder, threads):
    def numbered(out):
        for i in prange(out.shape[0]):
            out[i] = thread_id()

    out = np.full(1000, -1)
    shared_kernel(numbered)(out, threads=min(threads, THREADS.count()))
    assert set(out) == set(range(min(threads, THREADS.count())))


HOLDER = """
import sys, time
from pathlib import Path
from regrow.exact import kept
kept.folders = lambda: (Path(sys.argv[1]),)
with kept.turn("name"):
    print("begun", flush=True)
    time.sleep(0.4)
    kept.keep("name", b"theirs")
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def another_at_work(folder, seconds=0.0):
    """Another process that has its turn."""
    command = [sys.executable, "-c", HOLDER, str(folder), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "begun\n"
        yield
        other.kill()


def test_what_another_process_compiles_is_waited_for(folder):
    with another_at_work(folder), kept.turn("name"):
        assert kept.read("name") == b"theirs"
    assert [path.name for path in folder.iterdir()] == ["name"]


def test_nobody_waits_for_ever(folder, monkeypatch):
    monkeypatch.setattr(kept, "_SECONDS_OF_PATIENCE", 0.1)
    with another_at_work(folder, 60), kept.turn("name"):
        assert kept.read("name") is None


def test_where_nothing_can_be_locked_nobody_waits(nowhere):
    with kept.turn("name"):
        assert kept.read("name") is None
