import errno
import os
import resource
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from regrow.store import atomic, copy_tree, new_directory, remove_tree, tree_digest, write_atomic
from regrow.store.atomic import freeze_tree


def tree(root: Path, text: str = "x") -> Path:
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "file").write_text(text)
    return root


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_atomic_writes_exactly_and_replaces(tmp_path):
    path = tmp_path / "new" / "file"
    write_atomic(path, "é\r\n")
    assert path.read_bytes() == b"\xc3\xa9\r\n"
    write_atomic(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, broken):
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*(os, "fsync") if broken == "fsync" else (Path, "replace"), fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_failed_write_names_the_file_and_not_the_one_beside_it(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as error:
        write_atomic(tmp_path / "folder", "text")
    assert (error.value.filename, error.value.filename2) == (str(tmp_path / "folder"), None)
    assert names(tmp_path) == ["folder"]


def test_what_cannot_be_flushed_is_named(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error") as error:
        atomic.sync(tmp_path)
    assert error.value.filename == str(tmp_path)


def test_a_write_cut_short_by_a_limit_leaves_nothing_half_written(tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_atomic(tmp_path / "file", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert names(tmp_path) == []


def test_a_kill_while_writing_leaves_the_old_file(tmp_path):
    write_atomic(tmp_path / "file", "old")
    code = """
        import os, signal, sys
        from pathlib import Path
        from regrow.store import write_atomic
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        write_atomic(Path(sys.argv[1]), "new")
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "file")])
    assert run.returncode == -9
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot sync one disk")
@pytest.mark.parametrize(("files", "can", "calls"), [(100, True, 0), (100, False, 102), (3, True, 5)])
def test_many_files_are_synced_at_once(tmp_path, monkeypatch, files, can, calls):
    for number in range(files):
        (tmp_path / "deep").mkdir(exist_ok=True)
        (tmp_path / "deep" / str(number)).write_text("x")
    real, synced = atomic._sync_disk, []
    monkeypatch.setattr(atomic, "_sync_disk", lambda path: can and real(path))
    monkeypatch.setattr(os, "fsync", synced.append)
    atomic.sync_tree(tmp_path)
    assert len(synced) == calls


@pytest.mark.parametrize("can_exchange", [True, False])
def test_new_directory_takes_the_place_of_the_old_one(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    tree(tmp_path / "out", "old")
    freeze_tree(tmp_path / "out")
    with new_directory(tmp_path / "out") as fresh:
        assert (tmp_path / "out" / "deep" / "file").read_text() == "old"
        (fresh / "other").write_text("new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["other"]
    assert names(tmp_path) == ["out"]


def test_new_directory_that_fails_changes_nothing(tmp_path):
    before = tree_digest(tree(tmp_path / "out"))

    def build():
        with new_directory(tmp_path / "out") as fresh:
            tree(fresh / "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build()
    assert tree_digest(tmp_path / "out") == before
    assert names(tmp_path) == ["out"]


def test_new_directory_puts_the_old_one_back_if_the_last_step_fails(tmp_path, monkeypatch):
    before = tree_digest(tree(tmp_path / "out"))
    rename, calls = Path.rename, []
    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)

    def second_fails(path, target):
        calls.append(path)
        if len(calls) == 2:
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(PermissionError), new_directory(tmp_path / "out") as fresh:
        (fresh / "other").touch()
    assert tree_digest(tmp_path / "out") == before
    assert names(tmp_path) == ["out"]


def test_the_place_of_a_new_directory_is_never_empty(tmp_path, monkeypatch):
    tree(tmp_path / "one"), tree(tmp_path / "other")
    if not atomic._exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this disk cannot exchange names")
    monkeypatch.setattr(Path, "rename", None)  # it moves one name only
    with new_directory(tmp_path / "one") as fresh:
        (fresh / "new").touch()
    assert names(tmp_path / "one") == ["new"]


def test_new_directory_removes_what_kills_left(tmp_path):
    code = """
        import os, signal, sys
        from pathlib import Path
        from regrow.store import new_directory
        with new_directory(Path(sys.argv[1])) as fresh:
            (fresh / "half").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "out")])
    assert run.returncode == -9
    assert sorted(path.suffix == ".lock" for path in tmp_path.iterdir()) == [False, True]
    others = [".out.0123456789abcdef.txt", ".outer.0123456789abcdef", "out.0123456789abcdef"]
    for other in others:
        (tmp_path / other).mkdir()
    with new_directory(tmp_path / "out") as fresh:
        with new_directory(tmp_path / "out"):  # another process would not touch `fresh` either
            pass
        assert fresh.is_dir()
    assert names(tmp_path) == sorted(["out", *others])


def test_a_file_that_a_kill_left_half_written_is_swept(tmp_path):
    code = """
        import os, signal, sys
        from pathlib import Path
        from regrow.store import write_atomic
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        write_atomic(Path(sys.argv[1]), "half")
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "out")])
    assert (run.returncode, len(names(tmp_path))) == (-9, 2)
    write_atomic(tmp_path / "out", "whole")
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o664, 0o775)]
)
def test_copies_of_read_only_trees_have_usual_permissions(tmp_path, umask, file, folder):
    source = tree(tmp_path / "source")
    (source / "deep" / "file").chmod(0o755)
    freeze_tree(source)
    old = os.umask(umask)
    try:
        copy_tree(source, tmp_path / "copy")
    finally:
        os.umask(old)
    assert tree_digest(tmp_path / "copy") == tree_digest(source)
    assert stat.S_IMODE((tmp_path / "copy" / "deep" / "file").stat().st_mode) == file
    assert stat.S_IMODE((tmp_path / "copy" / "deep").stat().st_mode) == folder


def test_remove_tree_removes_what_is_read_only_or_absent(tmp_path):
    freeze_tree(tree(tmp_path / "x"))
    assert stat.S_IMODE((tmp_path / "x" / "deep").stat().st_mode) & 0o222 == 0
    remove_tree(tmp_path / "x")
    remove_tree(tmp_path / "x")
    assert names(tmp_path) == []


def test_remove_tree_does_not_follow_links(tmp_path):
    precious = tree(tmp_path / "precious")
    (precious / "deep" / "file").chmod(0o444)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "link").symlink_to(precious)
    remove_tree(tmp_path / "x")
    assert (precious / "deep" / "file").read_text() == "x"
