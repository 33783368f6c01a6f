import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from regrow.store.locks import acquire, locked, release, remove_unheld


def test_one_holder_among_threads(tmp_path):
    inside, most, lock = [0], [0], threading.Lock()

    def work():
        for _ in range(3):
            with locked(tmp_path / "lock"):
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_waiting_may_give_up(tmp_path):
    class GaveUpError(Exception):
        pass

    def give_up():
        raise GaveUpError

    with locked(tmp_path / "lock"):
        with pytest.raises(GaveUpError), locked(tmp_path / "lock", give_up):
            pass
        assert acquire(tmp_path / "lock") is None
    with locked(tmp_path / "lock", give_up):
        pass


def test_a_lock_ends_with_a_killed_holder(tmp_path):
    code = "import sys, time; from pathlib import Path; from regrow.store.locks import locked\n"
    code += "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        assert acquire(tmp_path / "lock") is None
        assert not remove_unheld(tmp_path / "lock")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    descriptor = acquire(tmp_path / "lock")
    assert descriptor is not None
    release(descriptor)


def test_a_lock_whose_file_was_removed_meanwhile_is_not_taken(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    real = os.open

    def open_then_lose(*args):
        descriptor = real(*args)
        path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_then_lose)
    assert acquire(path) is None


def _bump(path: Path, times: int) -> None:
    for _ in range(times):
        with locked(path / "lock"):
            count = int((path / "count").read_text())
            (path / "count").write_text(str(count + 1))
        remove_unheld(path / "lock")


def test_removing_lock_files_never_lets_two_in(tmp_path):
    (tmp_path / "count").write_text("0")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_bump, args=(tmp_path, 50)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "count").read_text() == "150"
