import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from regrow.errors import InputError, RecipeError, StageError
from regrow.store import Beside, Store, StoreReader, copy_tree, default_root, remove_tree, seals, tree_digest
from regrow.store import digest as store_digest
from regrow.store.locks import locked

A_KEY = "a" * 64
INGREDIENTS = {"kind": "toy", "version": 1, "parameters": {"x": 0.5}, "inputs": {}, "libraries": {}}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as store:
        yield store


def put(store: Store, text: str = "hello") -> str:
    directory = store.fresh()
    (directory / "deep").mkdir()
    (directory / "deep" / "file").write_text(text)
    (directory / "other").write_text("same")
    return store.put(directory)


def names(store: Store, folder: str) -> list[str]:
    return sorted(path.name for path in (store.root / folder).iterdir())


def test_what_is_put_is_there_read_only_and_whole(store):
    digest = put(store)
    path = store.path(digest)
    assert tree_digest(path) == digest
    assert (path / "deep" / "file").read_text() == "hello"
    modes = [stat.S_IMODE(entry.stat().st_mode) for entry in [path, *path.rglob("*")]]
    assert not any(mode & 0o222 for mode in modes)
    assert store.check(digest)


def test_the_same_put_twice_is_one_artifact(store):
    assert put(store) == put(store)
    assert len(store.entries()) == 1
    assert [path for path in store.root.glob("tmp/*/*") if path.name not in ("held", "lock")] == []


def test_umask_and_dates_do_not_count(store):
    old = os.umask(0o077)
    try:
        private = put(store)
    finally:
        os.umask(old)
    assert put(store) == private


def test_actions_and_artifacts_are_apart(store):
    digest = put(store)
    assert store.lookup(A_KEY) is None
    store.record(A_KEY, digest, "stage", "toy", INGREDIENTS)
    assert store.lookup(A_KEY) == digest
    remove_tree(store.path(digest))
    assert store.lookup(A_KEY) == digest  # what is known of a key does not depend on the bytes
    assert not store.check(digest)
    assert store.lookup(A_KEY) is None


def flip(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "a flipped bit": lambda path: flip(path / "deep" / "file"),
    "a cut file": lambda path: os.truncate(path / "deep" / "file", 3),
    "a missing file": lambda path: (path / "other").unlink(),
    "a file too many": lambda path: (path / "deep" / "more").touch(),
    "an empty folder too many": lambda path: (path / "more").mkdir(),
    "another name": lambda path: (path / "other").rename(path / "others"),
    "a link": lambda path: (path / "deep" / "link").symlink_to("file"),
    "a file made a link": lambda path: ((path / "other").unlink(), (path / "other").symlink_to("deep/file")),
    "all gone": remove_tree,
    "a file in its place": lambda path: (remove_tree(path), path.write_text("x")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found_quarantined_and_forgotten(store, damage):
    digest = put(store)
    store.record(A_KEY, digest, "stage", "toy", INGREDIENTS)
    for folder in (store.path(digest), store.path(digest) / "deep"):
        folder.chmod(0o755)
    damage(store.path(digest))
    was_there = store.path(digest).exists()
    assert store.condition(digest) == ("damaged" if was_there else "missing")
    assert store.lookup(A_KEY) is None
    assert not store.path(digest).exists()
    assert len(names(store, "quarantine")) == was_there
    assert put(store) == digest
    assert store.check(digest)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found_without_reading_what_was_not_touched(store, damage):
    digest = put(store)
    for folder in (store.path(digest), store.path(digest) / "deep"):
        folder.chmod(0o755)
    damage(store.path(digest))
    assert store.condition(digest, read=False) != "whole"


@pytest.fixture
def reads(monkeypatch):
    """The files that are hashed."""
    found = []
    real = store_digest.sha256_file
    monkeypatch.setattr(store_digest, "sha256_file", lambda path: found.append(path.name) or real(path))
    return found


def test_what_was_put_is_not_read_again_to_be_used(store, reads):
    digest = put(store)
    reads.clear()
    assert store.condition(digest, read=False) == "whole"
    assert seals.listed(store.path(digest), digest).keys() == {"deep/file", "other"}
    assert reads == []
    assert store.condition(digest) == "whole"
    assert sorted(reads) == ["file", "other"]


def test_a_list_is_cut_at_its_own_line_ends_alone(store):
    made = store.fresh()
    for name in ("a\u2028b", "c\x85d"):
        (made / name).write_text(name)
    digest = store.put(made)
    assert seals.listed(store.path(digest), digest).keys() == {"a\u2028b", "c\x85d"}


def test_the_size_of_an_artifact_is_known_without_a_look_at_its_files(store, monkeypatch):
    path = store.path(put(store))
    looked = seals.size(path)
    assert looked == sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    monkeypatch.setattr(seals, "entries", lambda artifact: pytest.fail("all files were looked at"))
    assert seals.size(path) == looked
    monkeypatch.undo()
    seals.place(path).write_bytes(b"of another version")
    assert seals.size(path) == looked


def test_bytes_changed_behind_the_dates_are_found_by_the_inode_or_its_own_date(store):
    digest = put(store)
    path = store.path(digest) / "other"
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.condition(digest, read=False) == "damaged"


@pytest.mark.parametrize("seal", [None, b"", b"nonsense", b"\xff\n\xff", "of another"])
def test_without_a_true_seal_an_artifact_is_read_once_and_remembered(store, reads, seal):
    digest = put(store)
    if seal is None:
        seals.remove(store.path(digest))
    else:
        said = seals.place(store.path(put(store, "other"))).read_bytes() if seal == "of another" else seal
        seals.place(store.path(digest)).write_bytes(said)
    reads.clear()
    assert store.condition(digest, read=False) == "whole"
    assert sorted(reads) == ["file", "other"]
    assert store.condition(digest, read=False) == "whole"
    assert len(reads) == 2


def test_a_copy_of_a_store_is_read_once(tmp_path, store, reads):
    digest = put(store)
    shutil.copytree(store.root, tmp_path / "copy", copy_function=shutil.copy2, ignore=lambda *_: ["tmp", "locks"])
    reads.clear()
    with Store(tmp_path / "copy") as copy:
        for _ in range(2):
            assert copy.condition(digest, read=False) == "whole"
        assert sorted(reads) == ["file", "other"]


def test_one_who_only_reads_believes_a_seal_and_writes_none(store, reads):
    digest = put(store)
    reads.clear()
    assert StoreReader(store.root).condition(digest, read=False) == "whole"
    assert reads == []
    seals.remove(store.path(digest))
    assert StoreReader(store.root).condition(digest, read=False) == "whole"
    assert not seals.place(store.path(digest)).exists()


def test_a_seal_goes_with_its_artifact(store):
    digest = put(store)
    store.gc(keep_days=-1)
    store.close()
    with Store(store.root) as again:
        again.gc(keep_days=-1)
        assert not again.path(digest).exists()
        assert not seals.place(again.path(digest)).exists()


def test_putting_replaces_a_damaged_artifact(store):
    digest = put(store)
    flip(store.path(digest) / "other")
    assert put(store) == digest
    assert tree_digest(store.path(digest)) == digest
    assert len(names(store, "quarantine")) == 1


def test_verify_says_which_are_damaged(store):
    good, bad = put(store, "good"), put(store, "bad")
    flip(store.path(bad) / "deep" / "file")
    assert {entry.digest: whole for entry, whole in store.verify()} == {good: True, bad: False}
    assert [entry.digest for entry in store.entries()] == [good]


def test_a_refused_name_leaves_nothing(store):
    directory = store.fresh()
    (directory / "a\nb").touch()
    with pytest.raises(StageError, match="name"):
        store.put(directory)
    assert store.entries() == []


@pytest.mark.parametrize("name", ["", "../../etc", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_digests_become_paths(store, name):
    for use in (store.path, store.lookup, store.scratch, store.check, store.clear_scratch):
        with pytest.raises(ValueError, match="is not a sha256"):
            use(name)


def test_last_ingredients_belong_to_a_scope(store):
    digest = put(store)
    store.record(A_KEY, digest, "stage", "toy", INGREDIENTS)
    assert store.last_ingredients("here", "stage") is None
    store.record_root("here", {"stage": (A_KEY, digest)})
    assert store.last_ingredients("here", "stage") == INGREDIENTS
    assert store.last_ingredients("there", "stage") is None
    flip(store.path(digest) / "other")
    store.check(digest)
    assert store.last_ingredients("here", "stage") == INGREDIENTS  # damage does not make it a first build


def test_scratch_stays_until_cleared(store):
    (store.scratch(A_KEY) / "state").write_text("3")
    assert (store.scratch(A_KEY) / "state").read_text() == "3"
    assert store.unfinished(A_KEY) is not None
    store.clear_scratch(A_KEY)
    assert store.unfinished(A_KEY) is None
    store.scratch(A_KEY)
    assert store.unfinished(A_KEY) is None  # nothing to continue from


def test_an_unreadable_action_cache_is_replaced(tmp_path):
    with Store(tmp_path) as store:
        digest = put(store)
        store.record(A_KEY, digest, "stage", "toy", INGREDIENTS)
        assert store.notes == ()
    (tmp_path / "actions.sqlite").write_bytes(b"not a database" * 1000)
    with Store(tmp_path) as store:
        assert "was damaged" in store.notes[0]
        assert store.lookup(A_KEY) is None
        store.record(A_KEY, digest, "stage", "toy", INGREDIENTS)
        assert store.check(digest)
        assert [path.name for path in store.root.glob("quarantine/*/*")] == ["actions.sqlite"]
    with Store(tmp_path) as store:
        assert store.notes == ()


def test_a_store_of_another_format_is_left_alone(tmp_path):
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "actions.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StageError, match=r"format 99(.|\n)*hint:"):
        Store(tmp_path)


def test_the_action_cache_is_in_write_ahead_mode(store):
    with sqlite3.connect(store.root / "actions.sqlite") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_default_root(monkeypatch, tmp_path):
    monkeypatch.setenv("REGROW_STORE", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("REGROW_STORE")
    assert default_root().name == "regrow"


# Disks in trouble


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(StageError, match=r"there is a file where the store should be: .*file"):
            Store(root)
        with pytest.raises(StageError, match=r"there is a file where the store should be: .*file"):
            StoreReader(root)  # or a plan would promise what no build can keep


@pytest.mark.parametrize(("number", "words"), [(28, "disk full"), (30, "read-only"), (13, "no permission")])
def test_trouble_while_putting_is_explained_and_leaves_nothing(store, monkeypatch, number, words):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch, pytest.raises(StageError, match=words) as error:
        patch.setattr(os, "fsync", fail)
        put(store)
    assert str(store.root) in str(error.value) and "REGROW_STORE" in error.value.hint
    assert store.entries() == []
    assert store.check(put(store))


def test_a_full_database_is_explained(store):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limit[1]))
    try:
        with pytest.raises(StageError, match=r"disk full|disk reports a fault"):
            store.record(A_KEY, "b" * 64, "stage", "toy", {"long": "x" * 200_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert store.lookup(A_KEY) is None
    store.record(A_KEY, "b" * 64, "stage", "toy", INGREDIENTS)
    assert store.lookup(A_KEY) == "b" * 64


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs to mount a disk")
def test_a_disk_that_is_really_full(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    try:
        with Store(tmp_path) as store:
            digest = put(store)
            store.record(A_KEY, digest, "stage", "toy", INGREDIENTS)
            directory = store.fresh()
            with pytest.raises(OSError, match="No space left"):
                (directory / "big").write_bytes(bytes(2 << 20))
            with pytest.raises(StageError, match="disk full"):
                store.record("b" * 64, digest, "stage", "toy", {"long": "x" * 100_000})
            remove_tree(directory)
            assert store.lookup(A_KEY) == digest
            assert store.check(digest)
            assert [entry.digest for entry in store.entries()] == [digest]
            store.record("b" * 64, digest, "stage", "toy", INGREDIENTS)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs to become somebody else")
def test_without_special_rights_read_only_artifacts_still_move():
    code = """
        import fcntl, os, sys
        from pathlib import Path
        from regrow.store import Store
        os.setegid(65534), os.seteuid(65534)
        store = Store(Path(sys.argv[1]))
        def put():
            new = store.fresh()
            (new / "deep").mkdir()
            (new / "deep" / "file").write_text("hello")
            return store.put(new)
        digest = put()
        file = store.path(digest) / "deep" / "file"
        file.chmod(0o644)
        file.write_text("jello")
        assert not store.check(digest)
        assert put() == digest and store.check(digest)
        store.close()
        store = Store(Path(sys.argv[1]))
        assert [item.what for item in store.gc(keep_days=-1)] == ["artifact", "damaged"]
        assert not list(Path(sys.argv[1]).glob("artifacts/*/*")) and not list(Path(sys.argv[1]).glob("quarantine/*"))
        store.path(digest).parent.chmod(0o555)
        try:
            put()
        except Exception as error:
            print(error)
    """
    with tempfile.TemporaryDirectory() as name:
        shutil.chown(name, 65534, 65534)
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), f"{name}/store"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("no permission: ") and "hint: " in run.stdout


# Garbage


def test_gc_keeps_roots_and_recent_and_live_artifacts(tmp_path):
    with Store(tmp_path) as maker:
        rooted, recent, unused, live = (put(maker, text) for text in ("rooted", "recent", "unused", "live"))
        for number, digest in enumerate((rooted, recent, unused, live)):
            maker.record(str(number) * 64, digest, f"stage-{number}", "toy", {"number": number})
        maker.record_root("here", {"stage-0": ("0" * 64, rooted)})
    with sqlite3.connect(tmp_path / "actions.sqlite") as database:
        database.execute("UPDATE actions SET used = used - 10 * 86400 WHERE digest != ?", (recent,))
    with Store(tmp_path) as user, Store(tmp_path) as cleaner:
        assert user.check(live)
        found = cleaner.gc(keep_days=5, dry_run=True)
        assert [(item.what, item.path, item.size) for item in found] == [("artifact", cleaner.path(unused), 10)]
        assert cleaner.path(unused).exists() and cleaner.lookup("2" * 64) == unused
        assert cleaner.gc(keep_days=5) == found
        assert {entry.digest for entry in cleaner.entries()} == {rooted, recent, live}
        assert cleaner.lookup("2" * 64) is None
        assert cleaner.gc(keep_days=5) == []
    with Store(tmp_path) as cleaner:
        assert [item.path.name for item in cleaner.gc(keep_days=5)] == [live]
        assert [item.path.name for item in cleaner.gc(keep_days=0)] == [recent]
        (entry,) = cleaner.entries()
        assert (entry.digest, entry.stage, entry.kind, entry.scopes) == (rooted, "stage-0", "toy", ("here",))
        assert cleaner.scopes() == ("here",)
        cleaner.forget_root("here")
        cleaner.gc(keep_days=0)
        assert cleaner.entries() == [] and cleaner.scopes() == ()


def test_a_scope_lets_go_of_what_it_no_longer_uses(store):
    old, new = put(store, "old"), put(store, "new")
    store.record_root("here", {"gone": ("0" * 64, old), "kept": ("1" * 64, old)})
    store.record_root("here", {"kept": ("2" * 64, new)})
    assert {entry.digest: entry.scopes for entry in store.entries()} == {old: ("here",), new: ("here",)}
    store.record_root("here", {"kept": ("2" * 64, new)}, complete=True)
    assert {entry.digest: entry.scopes for entry in store.entries()} == {old: (), new: ("here",)}


def test_gc_removes_what_kills_left_but_nothing_of_the_living(tmp_path):
    code = """
        import os, signal, sys
        from pathlib import Path
        from regrow.store import Store
        store = Store(Path(sys.argv[1]))
        (store.fresh() / "half").write_bytes(bytes(1000))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)])
    assert run.returncode == -9
    with Store(tmp_path) as living, Store(tmp_path) as cleaner:
        directory = living.fresh()
        (directory / "file").touch()
        (left,) = cleaner.gc(dry_run=True)
        assert (left.what, left.size) == ("leftover", 1000)
        assert left.path.exists()
        assert cleaner.gc() == [left]
        assert not left.path.exists()
        assert living.check(living.put(directory))


def test_gc_lets_go_of_what_a_recipe_used_whose_folder_is_gone(tmp_path):
    scopes = [tmp_path / "kept", tmp_path / "moved"]
    with Store(tmp_path / "store") as maker:
        for number, scope in enumerate(scopes):
            scope.mkdir()
            digest, key = put(maker, scope.name), str(number) * 64
            maker.record(key, digest, "stage", "toy", {"number": number})
            maker.record_root(str(scope), {"stage": (key, digest)})
    scopes[1].rmdir()
    with Store(tmp_path / "store") as cleaner:
        assert cleaner.gc(keep_days=1) == []
        assert cleaner.scopes() == (str(scopes[0]),)
        cleaner.record_root(str(scopes[1]), {"stage": (key, digest)})
        found = cleaner.gc(keep_days=0, dry_run=True)
        assert [item.path for item in found] == [cleaner.path(digest)]
        assert cleaner.scopes() == tuple(map(str, scopes))
        assert cleaner.gc(keep_days=0) == found
        (entry,) = cleaner.entries()
        assert entry.scopes == cleaner.scopes() == (str(scopes[0]),)


def test_two_collections_at_once_do_not_meet(store, monkeypatch):
    digest = put(store)
    store.close()
    with Store(store.root) as one, Store(store.root) as two:
        listed = one.entries()
        assert [item.what for item in two.gc(keep_days=-1)] == ["artifact"]
        monkeypatch.setattr(one, "entries", lambda: listed)
        assert one.gc(keep_days=-1) == []
        assert one.condition(digest) == "missing"


def test_closing_removes_what_was_not_put(tmp_path):
    store = Store(tmp_path)
    store.fresh()
    store.close()
    assert names(store, "tmp") == ["lock"]


def test_gc_keeps_recent_and_locked_scratch_and_damage(store):
    (store.scratch(A_KEY) / "state").write_text("12345")
    digest = put(store)
    flip(store.path(digest) / "other")
    store.check(digest)
    assert store.gc(keep_days=1) == []
    with locked(store.root / "locks" / f"key-{A_KEY}"):
        assert [item.what for item in store.gc(keep_days=-1)] == ["damaged"]
    assert [(item.what, item.size) for item in store.gc(keep_days=-1)] == [("scratch", 5)]
    assert names(store, "work") == names(store, "quarantine") == names(store, "locks") == []


def test_copying_out_gives_files_that_can_be_changed(store, tmp_path):
    digest = put(store)
    copy_tree(store.path(digest), tmp_path / "out")
    (tmp_path / "out" / "deep" / "file").write_text("changed")
    assert os.access(tmp_path / "out" / "deep" / "file", os.W_OK)
    assert stat.S_IMODE((tmp_path / "out" / "other").stat().st_mode) & 0o200
    assert store.check(digest)


def test_a_forked_child_neither_disturbs_nor_depends_on_its_parent(store):
    directory = store.fresh()
    (directory / "file").write_text("parent")
    if (child := os.fork()) == 0:
        store.close()
        inner = store.fresh()
        (inner / "file").write_text("child")
        store.put(inner)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert directory.exists()
    assert store.check(store.put(directory))
    assert len(store.entries()) == 2


def test_checking_is_about_as_fast_as_hashing(store):
    directory = store.fresh()
    (directory / "big").write_bytes(bytes(64 << 20))
    digest = store.put(directory)
    started = time.perf_counter()
    tree_digest(store.path(digest))
    hashing = time.perf_counter() - started
    started = time.perf_counter()
    assert store.check(digest)
    assert time.perf_counter() - started < 2 * hashing + 0.1


# What is not ours


def mine(path: Path, days: float = 0) -> Path:
    """A folder of the user's own, with a file in it."""
    path.mkdir(parents=True)
    (path / "file").write_text("mine")
    then = time.time() - days * 86400
    os.utime(path / "file", (then, then))
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize("name", ["file", "CACHEDIR.TAG", ".DS_Store", "work"])
def test_a_directory_with_anything_else_in_it_is_no_store(tmp_path, name):
    mine(tmp_path / "root")
    (tmp_path / "root" / "file").rename(tmp_path / "root" / name)
    with pytest.raises(RecipeError, match="something else where the store should be") as error:
        Store(tmp_path / "root")
    assert f"`{name}`" in error.value.why and error.value.exit_code == 2 and "REGROW_STORE" in error.value.hint
    assert names_in(tmp_path / "root") == [name]


def test_a_store_is_made_beside_what_else_of_ours_is_in_the_users_cache(tmp_path):
    for name in (*Beside, f"kernels-{'0' * 16}"):
        mine(tmp_path / "root" / name)
    (tmp_path / "root" / f".{Beside.MEASURED}.{'0' * 16}").write_text("half")  # and what a kill leaves of writing it
    with Store(tmp_path / "root"):
        pass
    assert {"downloads", f"kernels-{'0' * 16}", "actions.sqlite"} <= set(names_in(tmp_path / "root"))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_store_that_was_made_halfway_is_made_whole(tmp_path):
    for folder in ("artifacts", "work", "tmp"):  # as one was begun that put the tag last
        (tmp_path / folder).mkdir()
    (tmp_path / f".CACHEDIR.TAG.{'0' * 16}").touch()
    with Store(tmp_path) as store:
        assert store.check(put(store))


def test_a_store_opens_with_either_of_its_two_marks(tmp_path):
    with Store(tmp_path) as store:
        digest = put(store)
    (tmp_path / "CACHEDIR.TAG").unlink()
    with Store(tmp_path, make=False) as store:
        assert store.check(digest)
    (tmp_path / "actions.sqlite").unlink()
    with Store(tmp_path, make=False) as store:
        assert store.check(digest)


def test_none_is_made_if_none_is_wanted(tmp_path):
    for root in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InputError, match="there is no store here"):
            Store(root, make=False)
    assert names_in(tmp_path) == []


def test_many_may_make_a_store_at_once(tmp_path):
    code = "import sys; from pathlib import Path; from regrow.store import Store; Store(Path(sys.argv[1])).close()"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for number in range(3):
        command = [sys.executable, "-c", code, str(tmp_path / str(number))]
        several = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE) for _ in range(2)]
        assert [process.communicate()[1] for process in several] == [b"", b""]


def test_somebody_else_may_make_the_store_while_we_look(tmp_path, monkeypatch):
    def found(root: Path) -> str:
        Store(root).close()
        return "tmp"

    with monkeypatch.context() as patch:
        patch.setattr("regrow.store.reader._stranger", lambda root: (patch.undo(), found(root))[1])
        Store(tmp_path).close()
    Store(tmp_path, make=False).close()


def test_what_the_store_did_not_make_is_left_alone(store):
    digest = put(store)
    kept = [
        mine(store.root / "tmp" / "important", 60),
        mine(store.root / "tmp" / "important" / "held", 60),
        mine(store.root / "work" / "odd", 60),
        mine(store.root / "artifacts" / "ab" / "notahash", 60),
        mine(store.root / "artifacts" / "ab" / ("c" * 64), 60),
        mine(store.root / "quarantine" / "letters", 60),
        mine(store.root / "locks" / "folder", 60),
    ]
    files = [store.root / folder / ".DS_Store" for folder in ("", "tmp", "work", "artifacts/ab", "quarantine", "locks")]
    for file in (*files, store.root / "tmp" / "important" / "lock", kept[1] / digest):
        file.write_text("mine")
    link = store.root / "work" / A_KEY
    link.symlink_to(kept[0])
    assert [(entry.digest, whole) for entry, whole in store.verify()] == [(digest, True)]
    store.close()
    with Store(store.root) as cleaner:
        assert [item.path for item in cleaner.gc(keep_days=0)] == [cleaner.path(digest)]
        assert cleaner.gc(keep_days=0) == []
    for path in (*(folder / "file" for folder in kept), *files, store.root / "tmp" / "important" / "lock"):
        assert path.read_text() == "mine"
    assert link.is_symlink()


def test_gc_removes_a_file_that_stood_in_the_place_of_an_artifact(store):
    digest = put(store)
    remove_tree(store.path(digest))
    store.path(digest).write_text("x")
    assert store.condition(digest) == "damaged"
    assert [item.what for item in store.gc(keep_days=0)] == ["damaged"]
    assert names(store, "quarantine") == []


def test_a_home_that_is_none_is_the_settings_fault(monkeypatch):
    monkeypatch.setenv("REGROW_STORE", "~nosuchuser")
    with pytest.raises(RecipeError, match="no home directory") as error:
        default_root()
    assert (error.value.where, error.value.exit_code) == ("REGROW_STORE", 2)
