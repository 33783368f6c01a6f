"""Disks that lack what others have. python -m pytest tests/store/test_disks.py"""

import errno
import fcntl
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regrow.errors import StageError
from regrow.store import Store, StoreReader, copy_tree, new_directory, seals, write_atomic
from regrow.store import actions as action_cache
from regrow.store.atomic import sync_tree
from regrow.store.faults import disk_error

A_KEY = "a" * 64
INGREDIENTS = {"kind": "toy", "version": 1, "parameters": {}, "inputs": {}, "libraries": {}}


def put(store: Store, text: str = "hello") -> str:
    directory = store.fresh()
    (directory / "deep").mkdir()
    (directory / "deep" / "file").write_text(text)
    return store.put(directory)


def refusing(number: int, when: Callable[..., bool] = lambda *_: True, real: Callable[..., Any] | None = None) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        if when(*args):
            raise OSError(number, os.strerror(number))
        assert real is not None
        return real(*args, **options)

    return call


def is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF])
def test_folders_need_not_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(os, "fsync", refusing(number, is_folder, os.fsync))
    write_atomic(tmp_path / "file", "text")
    with new_directory(tmp_path / "folder") as fresh:
        (fresh / "file").touch()
    with Store(tmp_path / "store") as store:
        assert store.check(put(store))


def test_files_have_to_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", refusing(errno.EINVAL))
    with pytest.raises(OSError, match="Invalid argument"):
        write_atomic(tmp_path / "file", "text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF])
@pytest.mark.parametrize("call", ["flock", "lockf"])
def test_a_store_needs_locks_and_a_release_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    monkeypatch.setattr(fcntl, call, refusing(number))
    with pytest.raises(StageError, match=f"no locks on this disk: {tmp_path}/store/locks") as error:
        Store(tmp_path / "store")
    assert error.value.hint == "set REGROW_STORE to a local disk"
    for text in ("old", "new"):
        with new_directory(tmp_path / "out") as fresh:
            (fresh / "file").write_text(text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]
    assert (tmp_path / "out" / "file").read_text() == "new"


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_permissions_are_a_help_and_no_condition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(os, "chmod", refusing(number))
    with Store(tmp_path) as store:
        assert store.check(put(store))
    with Store(tmp_path) as store:
        assert [item.what for item in store.gc(keep_days=-1)] == ["artifact"]


def test_artifacts_may_be_on_another_disk_than_what_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(path: Path, target: Path) -> bool:
        return {"artifacts", "quarantine", "tmp"} & set(path.parts) != {"artifacts", "quarantine", "tmp"} & set(
            target.parts
        )

    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda *paths: refusing(errno.EXDEV, elsewhere, rename)(*paths))
    with Store(tmp_path) as store:
        digest = put(store)
        assert store.check(digest)
        assert not any(path.stat().st_mode & 0o222 for path in store.path(digest).rglob("*"))
        (store.path(digest) / "deep" / "file").chmod(0o644)
        (store.path(digest) / "deep" / "file").write_text("damage")
        assert store.condition(digest) == "damaged"
        assert put(store) == digest
    with Store(tmp_path) as store:
        assert [item.what for item in store.gc(keep_days=-1)] == ["artifact", "damaged"]
        assert list(tmp_path.glob("artifacts/*/*")) == []


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second disk")
@pytest.mark.parametrize("folder", ["artifacts", "tmp", "work", "quarantine"])
def test_a_folder_of_a_store_may_be_a_link_to_another_disk(tmp_path: Path, folder: str) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("it is the same disk")
        Store(tmp_path).close()
        shutil.rmtree(tmp_path / folder)
        (tmp_path / folder).symlink_to(other)
        with Store(tmp_path) as store:
            digest = put(store)
            assert store.check(digest)
            assert {*store.path(digest).parent.iterdir()} == {store.path(digest), seals.place(store.path(digest))}


def test_without_shared_memory_there_is_another_way_to_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutSharedMemory(sqlite3.Connection):
        def execute(self, text: str, *values: Any) -> sqlite3.Cursor:
            if "WAL" in text:
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(text, *values)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=WithoutSharedMemory))
    with Store(tmp_path) as store:
        store.record(A_KEY, "b" * 64, "stage", "toy", INGREDIENTS)
        assert store.lookup(A_KEY) == "b" * 64


@pytest.mark.parametrize(
    ("code", "words", "hint"),
    [
        (sqlite3.SQLITE_BUSY, "the action cache stays locked", "local disk"),
        (sqlite3.SQLITE_PROTOCOL, "the action cache stays locked", "local disk"),
        (sqlite3.SQLITE_IOERR | 15 << 8, "no locks on this disk", "local disk"),
        (sqlite3.SQLITE_IOERR, "the disk reports a fault", "check the disk"),
    ],
)
def test_what_a_database_meets_on_a_network_disk_has_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str, hint: str
) -> None:
    with Store(tmp_path) as store:

        def fail(*_: Any, **__: Any) -> None:
            error = sqlite3.OperationalError("what it says")
            error.sqlite_errorcode = code
            raise error

        monkeypatch.setattr(sqlite3, "connect", fail)
        with pytest.raises(StageError, match=f"{words}") as error:
            store.lookup(A_KEY)
        assert str(tmp_path) in str(error.value) and hint in error.value.hint
        monkeypatch.undo()


def test_too_many_open_files_are_not_called_a_missing_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path) as store:

        def fail(*_: Any, **__: Any) -> None:
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(action_cache.sqlite3, "connect", fail)
            patch.setattr(Path, "open", refusing(errno.EMFILE))
            with pytest.raises(StageError, match="too many open files") as error:
                store.lookup(A_KEY)
        assert "ulimit -n" in error.value.hint


def test_of_a_copy_to_a_full_disk_the_full_one_is_named() -> None:
    error = disk_error(OSError(errno.ENOSPC, "No space left on device", "/source", None, "/full"))
    assert error is not None and error.what == "disk full: /full"
    error = disk_error(OSError(errno.EIO, "Input/output error", "/source", None, "/target"))
    assert error is not None and error.what == "the disk reports a fault: /source"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_write_that_fails_within_a_new_directory_names_it(tmp_path: Path, number: int) -> None:
    with pytest.raises(OSError, match="made") as caught, new_directory(tmp_path / "made"):
        raise OSError(number, os.strerror(number))  # as a write says it, which knows no name
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "made"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/elsewhere"),
        OSError(errno.ECONNRESET, "Connection reset by peer"),
        OSError("words only"),
    ],
    ids=["named", "network", "words"],
)
def test_what_is_not_about_a_new_directory_is_left_as_it_is(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(OSError, match=str(error.strerror or error)) as caught, new_directory(tmp_path / "made"):
        raise error
    assert caught.value is error


def test_many_files_are_synced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(500):
        (tmp_path / str(number)).touch()
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    sync_tree(tmp_path)
    if calls:
        pytest.skip("this system syncs file by file")
    monkeypatch.setattr("regrow.store.atomic._sync_disk", lambda _: False)
    sync_tree(tmp_path)
    assert len(calls) == 501


def test_a_disk_that_takes_two_names_for_one_loses_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("A", "a"):
        (tmp_path / "source" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "source" / name).write_text(name)
    if len(list((tmp_path / "source").iterdir())) < 2:
        pytest.skip("this is such a disk")
    real = os.path.lexists

    def alike(path: Path) -> bool:
        return any(real(path.with_name(name)) for name in (path.name.lower(), path.name.upper()))

    monkeypatch.setattr(os.path, "lexists", alike)
    with pytest.raises(StageError, match="the disk already has a file called"):
        copy_tree(tmp_path / "source", tmp_path / "copy")


# Stores that can only be read


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, str]:
    """A store with an artifact, in which nothing can be written by anybody who asks first."""
    with Store(tmp_path / "store") as store:
        digest = put(store)
        store.record(A_KEY, digest, "stage", "toy", INGREDIENTS)
        store.record_root("here", {"stage": (A_KEY, digest)})
    return tmp_path / "store", digest


def test_a_reader_knows_what_is_there_and_changes_nothing(kept: tuple[Path, str]) -> None:
    root, digest = kept
    before = {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))}
    with StoreReader(root) as reader:
        assert reader.lookup(A_KEY) == digest
        assert reader.check(digest)
        assert reader.last_ingredients("here", "stage") == INGREDIENTS
        assert [(entry.digest, entry.scopes) for entry in reader.entries()] == [(digest, ("here",))]
        assert reader.unfinished(A_KEY) is None
    assert before == {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))}


def test_a_reader_knows_what_a_killed_process_recorded_last(kept: tuple[Path, str]) -> None:
    code = """
        import os, signal, sqlite3, sys
        database = sqlite3.connect(sys.argv[1], isolation_level=None)
        database.execute("UPDATE actions SET digest = ?", (64 * "e",))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(kept[0] / "actions.sqlite")]
    assert subprocess.run(command).returncode == -9
    with StoreReader(kept[0]) as reader:
        assert reader.lookup(A_KEY) == "e" * 64


def test_a_reader_leaves_damage_where_it_is(kept: tuple[Path, str]) -> None:
    root, digest = kept
    file = root / "artifacts" / digest[:2] / digest / "deep" / "file"
    file.chmod(0o644)
    file.write_text("jello")
    with StoreReader(root) as reader:
        assert reader.condition(digest) == "damaged"
        assert reader.condition("c" * 64) == "missing"
        assert reader.lookup(A_KEY) == digest
    assert file.read_text() == "jello"


def test_where_there_is_no_store_a_reader_knows_nothing_and_makes_none(tmp_path: Path) -> None:
    with StoreReader(tmp_path / "nothing") as reader:
        assert reader.lookup(A_KEY) is reader.last_ingredients("here", "stage") is None
        assert reader.entries() == []
        assert reader.condition("c" * 64) == "missing"
        assert reader.unfinished(A_KEY) is None
    assert list(tmp_path.iterdir()) == []


def test_a_reader_says_that_an_action_cache_is_damaged(kept: tuple[Path, str]) -> None:
    (kept[0] / "actions.sqlite").write_bytes(b"not a database" * 1000)
    with StoreReader(kept[0]) as reader, pytest.raises(StageError, match="the action cache is damaged"):
        reader.lookup(A_KEY)
