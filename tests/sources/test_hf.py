from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from regrow.errors import RegrowError
from regrow.sources import package_url, resolve, retrieve

from .conftest import Log, Server

COMMIT = "0123456789" * 4
SPEC = f"hf:sea/captain@{COMMIT}"
TREE = f"/api/models/sea/captain/tree/{COMMIT}?recursive=true"
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
        server.file(f"/sea/captain/resolve/{COMMIT}/{name}", data)
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
    hub.file(f"/sea/captain/resolve/{COMMIT}/model.safetensors", b"changed" * 99)
    with pytest.raises(RegrowError, match=r"model\.safetensors"):
        retrieve(SPEC, pins, tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "spec", ["hf:captain", "hf:sea/captain", "hf:sea/../x@v1", "hf:sea/captain@", "hf:a/b@c d", "hf:datasets/sea/logs"]
)
def test_a_model_is_named_with_its_revision(spec: str, tmp_path: Path) -> None:
    with pytest.raises(RegrowError, match="does not name one state of a model or data set"):
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
    for revision in ("main", "f" * 40):
        with pytest.raises(RegrowError, match=f"there is no `hf:sea/captain@{revision}`"):
            resolve(f"hf:sea/captain@{revision}", tmp_path)


@pytest.mark.parametrize(("kind", "interface"), [("", "models/"), ("datasets/", "datasets/")])
def test_what_moves_is_refused_and_its_commit_told(hub: Server, tmp_path: Path, kind: str, interface: str) -> None:
    hub.file(f"/api/{interface}sea/captain/revision/v1.0", json.dumps({"sha": COMMIT}).encode())
    with pytest.raises(RegrowError, match=r"`v1\.0` of `hf:.*sea/captain` is no commit") as caught:
        resolve(f"hf:{kind}sea/captain@v1.0", tmp_path)
    assert f'"hf:{kind}sea/captain@{COMMIT}"' in caught.value.hint
    hub.file(f"/api/{interface}sea/captain/revision/v1.0", b'{"sha": "main"}')
    with pytest.raises(RegrowError, match="not what a hub answers"):
        resolve(f"hf:{kind}sea/captain@v1.0", tmp_path)


def test_many_files_come_in_pages(hub: Server, tmp_path: Path) -> None:
    first, *others = [entry for entry in listing() if entry["type"] == "file"]
    for path, entries, link in ((TREE, [first], "?recursive=true&cursor=a"), (f"{TREE}&cursor=a", others, "")):
        headers = {"Link": f'<{link}>; rel="next"'} if link else {}
        body = json.dumps(entries).encode()
        hub.answers[path] = lambda handler, turn, body=body, headers=headers: handler.send_plain(200, body, **headers)
    assert {pin.file for pin in resolve(SPEC, tmp_path)} == set(FILES)


def test_pages_that_never_end(hub: Server, tmp_path: Path) -> None:
    hub.answers[TREE] = lambda handler, turn: handler.send_plain(200, b"[]", Link=f'<{TREE}>; rel="next"')
    with pytest.raises(RegrowError, match="has more than 100,000 files"):
        resolve(SPEC, tmp_path)


def test_files_of_a_data_set(hub: Server, tmp_path: Path) -> None:
    hub.file(f"/api/datasets/sea/logs/tree/{COMMIT}?recursive=true", json.dumps(listing()).encode())
    for name, data in FILES.items():
        hub.file(f"/datasets/sea/logs/resolve/{COMMIT}/{name}", data)
    spec = f"hf:datasets/sea/logs@{COMMIT}"
    retrieve(spec, resolve(spec, tmp_path), tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "notes" / "log.txt").read_bytes() == b"calm"


def test_nothing_is_selected(hub: Server, tmp_path: Path) -> None:
    with pytest.raises(RegrowError, match="none of the files"):
        resolve(SPEC, tmp_path, ("*.gguf",))


def test_what_the_world_calls_it() -> None:
    assert package_url("hf:Sea/Captain@A1") == "pkg:huggingface/Sea/Captain@a1"
    assert package_url("hf:datasets/sea/logs@main") == ""
