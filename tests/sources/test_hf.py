from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from regrow.errors import RegrowError
from regrow.sources import package_url, resolve, retrieve

from .conftest import Log, Server

SPEC = "hf:sea/captain@v1"
TREE = "/api/models/sea/captain/tree/v1?recursive=true"
FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 99, "notes/log.txt": b"calm"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def listing(**changes: object) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = [{"type": "directory", "path": "notes", "size": 0}]
    for name, data in FILES.items():
        lfs = {"lfs": {"oid": sha256(data), "size": len(data)}} if name.endswith(".safetensors") else {}
        entries.append({"type": "file", "path": name, "size": len(data), **lfs, **changes})
    return entries


@pytest.fixture
def hub(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "cache"))
    server.file(TREE, json.dumps(listing()).encode())
    for name, data in FILES.items():
        server.file(f"/sea/captain/resolve/v1/{name}", data)
    return server


def test_large_files_are_pinned_without_being_downloaded(hub: Server, tmp_path: Path) -> None:
    log = Log()
    pins = resolve(SPEC, tmp_path, ("*.json", "*.safetensors"), emit=log.emit)
    assert [(pin.file, pin.sha256, pin.size) for pin in pins] == [
        (name, sha256(FILES[name]), len(FILES[name])) for name in ("config.json", "model.safetensors")
    ]
    assert not [request for request in hub.requests if request.path.endswith(".safetensors")]
    retrieve(SPEC, pins, tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_file_that_is_not_the_pinned_one_is_refused(hub: Server, tmp_path: Path) -> None:
    pins = resolve(SPEC, tmp_path, ("*.safetensors",))
    hub.file("/sea/captain/resolve/v1/model.safetensors", b"changed" * 99)
    with pytest.raises(RegrowError, match=r"model\.safetensors"):
        retrieve(SPEC, pins, tmp_path, tmp_path / "out")


@pytest.mark.parametrize("spec", ["hf:captain", "hf:sea/captain", "hf:sea/../x@v1", "hf:sea/captain@", "hf:a/b@c d"])
def test_a_model_is_named_with_its_revision(spec: str, tmp_path: Path) -> None:
    with pytest.raises(RegrowError, match="does not name one state of a model"):
        resolve(spec, tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>log in</html>",
        b"{}",
        b"[1]",
        json.dumps(listing(path="../../x")).encode(),
        json.dumps(listing(size=-1)).encode(),
        json.dumps(listing(lfs={"oid": "none"})).encode(),
    ],
)
def test_what_no_hub_answers(hub: Server, tmp_path: Path, answer: bytes) -> None:
    hub.file(TREE, answer)
    with pytest.raises(RegrowError, match="what came is not what a hub answers"):
        resolve(SPEC, tmp_path)


def test_a_model_that_is_not_there(hub: Server, tmp_path: Path) -> None:
    with pytest.raises(RegrowError, match="there is no `hf:sea/captain@v2`"):
        resolve("hf:sea/captain@v2", tmp_path)


def test_nothing_is_selected(hub: Server, tmp_path: Path) -> None:
    with pytest.raises(RegrowError, match="none of the files"):
        resolve(SPEC, tmp_path, ("*.gguf",))


def test_what_the_world_calls_it() -> None:
    assert package_url("hf:Sea/Captain@A1") == "pkg:huggingface/Sea/Captain@a1"
    assert package_url("hf:datasets/sea/logs@main") == ""
