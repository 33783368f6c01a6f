from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from regrow.errors import InputError, RecipeError
from regrow.sources import check, is_address, is_local, name_of, package_url, resolve, retrieve

from .conftest import Log

FILES = {"one.txt": b"roses are red", "more/two.txt": b"x" * 3_000_000, "more/.hidden": b"", "notes.pdf": b"%PDF"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "cache"))
    files = fsspec.filesystem("memory")
    for name, data in FILES.items():
        files.pipe_file(f"/texts/{name}", data)
    yield files
    files.rm("/texts", recursive=True)


def test_a_folder_is_pinned_and_got_again(place: Any, tmp_path: Path, log: Log) -> None:
    pins = resolve("memory://texts", tmp_path, ("**/*.txt",), emit=log.emit)
    assert [(pin.file, pin.sha256) for pin in pins] == [
        (name, hashlib.sha256(FILES[name]).hexdigest()) for name in ("more/two.txt", "one.txt")
    ]
    told = next(fields for event, fields in log.events if event == "selected")
    assert told == {"selected": 2, "of": 3, "not_selected": {".pdf": 1}, "left_out": {"hidden": 1}}
    retrieve("memory://texts", pins, tmp_path, tmp_path / "out", offline=True)
    assert (tmp_path / "out" / "more" / "two.txt").read_bytes() == FILES["more/two.txt"]


def test_a_single_file(place: Any, tmp_path: Path) -> None:
    (pin,) = resolve("memory://texts/notes.pdf", tmp_path)
    assert pin.file == "notes.pdf"
    retrieve("memory://texts/notes.pdf", (pin,), tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "notes.pdf").read_bytes() == b"%PDF"


def test_what_changed_is_caught(place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = resolve("memory://texts", tmp_path, ("one.txt",))
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "another"))
    place.pipe_file("/texts/one.txt", b"violets")
    with pytest.raises(InputError, match=r"`one\.txt` is not what was locked"):
        retrieve("memory://texts", pins, tmp_path, tmp_path / "out")


def test_it_goes_on_where_it_broke_off(place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[int]()

    def poll() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve("memory://texts", tmp_path, ("**/two.txt",), poll=poll)
    resolve("memory://texts", tmp_path, ("**/two.txt",), emit=lambda event, **said: seen.append(said.get("done", 0)))
    assert seen[0] == 2 << 20  # one mebibyte was there


def test_what_is_not_there(place: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing at `memory://nowhere`"):
        resolve("memory://nowhere", tmp_path)
    with pytest.raises(InputError, match="none of the files"):
        resolve("memory://texts", tmp_path, ("*.md",))
    pins = resolve("memory://texts", tmp_path, ("one.txt",))
    with pytest.raises(InputError, match="not on this machine"):
        resolve("memory://texts", tmp_path, offline=True)
    place.rm("/texts/one.txt")
    (tmp_path / "cache" / "files" / pins[0].sha256).unlink()
    with pytest.raises(InputError, match=r"`one\.txt` cannot be fetched\n.*no such file"):
        retrieve("memory://texts", pins, tmp_path, tmp_path / "out")


def test_a_library_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install ossfs to access it")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(InputError, match="Install ossfs") as caught:
        resolve("oss://bucket/texts", tmp_path)
    assert "install" in caught.value.hint


def test_whatever_a_library_raises_is_told(place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OwnError(Exception):
        pass

    def fail(*_: object, **__: object) -> None:
        raise OwnError("no\nway")

    with monkeypatch.context() as patch, pytest.raises(InputError, match="OwnError: no way"):
        patch.setattr(place, "find", fail)
        resolve("memory://texts", tmp_path)


@pytest.mark.parametrize(
    "fetch", ["memory://", "memory://a/../b", "memory://a/*.txt", "zip://a::memory://b.zip", "s3://"]
)
def test_what_is_no_place(fetch: str) -> None:
    with pytest.raises(RecipeError):
        check(fetch)


@pytest.mark.parametrize(
    "fetch", ["file:///etc/passwd", "local:///etc/passwd", "http://example.org/a", "ftp://a/b", "s4://b/c"]
)
def test_files_of_this_machine_are_no_place_elsewhere(fetch: str) -> None:
    with pytest.raises(RecipeError):
        check(fetch)


def test_a_password_is_refused_unseen() -> None:
    with pytest.raises(RecipeError, match="user name or a password") as caught:
        check("sftp://me:hunter2@example.org/texts")
    assert "hunter2" not in str(caught.value)


def test_what_it_is_called() -> None:
    assert is_address("s3://bucket/texts")
    assert not is_local("s3://bucket/texts")
    assert package_url("gs://bucket/texts") == "gs://bucket/texts"
    assert name_of("s3://bucket/texts?versionId=1") == "s3://bucket/texts"
