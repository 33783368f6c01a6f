"""Releases that lie elsewhere: on the hub, on the web, in an archive, in a cache."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner, Result

from regrow.attesting import statements
from regrow.building import rebuilds
from regrow.cli.root import cli
from regrow.errors import DifferentError, InputError, RecipeError
from regrow.formats import dsse, keys
from regrow.release import Release
from regrow.store import sums
from regrow.verifying import fetched
from regrow.verifying.fetched import here
from regrow.verifying.files import check_files
from tests.attest.test_bundles import signed, told
from tests.sources.conftest import Server, certificate, server, untrusted

__all__ = ["certificate", "server", "untrusted"]

COMMIT = "0123456789" * 4
HUB = f"hf:sea/captain@{COMMIT}"
TREE = f"/api/models/sea/captain/tree/{COMMIT}?recursive=true"
FILES = {
    "regrow.toml": b'recipe = 1\n\n[model]\nname = "toy"\nlicence = "CC0-1.0"\n',
    "model.safetensors": b"weights" * 99,
    "data/notes.txt": b"calm",
}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / "toy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "toy" / name).write_bytes(data)
    (tmp_path / "toy" / "SHA256SUMS").write_text(sums(tmp_path / "toy", ("SHA256SUMS",)))
    return tmp_path / "toy"


@pytest.fixture(autouse=True)
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "downloads"))
    monkeypatch.setenv("REGROW_STORE", str(tmp_path / "store"))


def serve(server: Server, files: dict[str, bytes], **claims: str) -> None:
    """As the hub does: of weights it says the sha256, or another one."""
    entries = []
    for name, data in files.items():
        oid = claims.get(name.partition(".")[0], sha256(data).hexdigest())
        lfs = {"lfs": {"oid": oid, "size": len(data)}} if name.endswith(".safetensors") else {}
        entries.append({"type": "file", "path": name, "size": len(data), **lfs})
        server.file(f"/sea/captain/resolve/{COMMIT}/{name}", data)
    server.file(TREE, json.dumps(entries).encode())


@pytest.fixture
def hub(server: Server, release: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    serve(server, contents(release))
    return server


def contents(release: Path) -> dict[str, bytes]:
    found = {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*") if path.is_file()}
    return {**found, ".gitattributes": b"*.safetensors filter=lfs\n", "states/1": b"much", "attestations/x.json": b"{}"}


def weights_asked_for(server: Server) -> bool:
    return any(request.path.endswith(".safetensors") for request in server.requests)


def test_a_release_on_the_hub(hub: Server) -> None:
    with here(HUB, needed=lambda path: not path.startswith("states/")) as folder:
        assert check_files(Release.open(folder)).whole
        assert (folder / "attestations" / "x.json").is_file()
        assert not (folder / "states").exists()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model.safetensors": b"tuned" * 99}, "has other bytes"),
        ({"model.safetensors": None}, "is missing"),
        ({"modeling_evil.py": b"import os"}, "is in no list"),
    ],
)
def test_what_the_hub_itself_says_is_other_is_not_downloaded(
    change: dict[str, bytes | None], said: str, hub: Server, release: Path
) -> None:
    files = {**contents(release), **change}
    serve(hub, {name: data for name, data in files.items() if data is not None})
    with pytest.raises(DifferentError, match="not what it should be") as caught, here(HUB):
        pass
    assert said in caught.value.why
    assert not weights_asked_for(hub)


def test_a_hub_that_says_one_thing_and_serves_another(hub: Server, release: Path) -> None:
    promised = sha256(FILES["model.safetensors"]).hexdigest()
    serve(hub, {**contents(release), "model.safetensors": b"tuned" * 99}, model=promised)
    with here(HUB) as folder:
        assert check_files(Release.open(folder)).damaged == ("model.safetensors",)


def test_a_list_that_leads_out(hub: Server, release: Path) -> None:
    serve(hub, {**contents(release), "SHA256SUMS": f"{'0' * 64}  ../../x\n".encode()})
    with pytest.raises(InputError, match="this is no release"), here(HUB):
        pass


def test_a_model_on_the_hub_that_is_no_release(hub: Server) -> None:
    serve(hub, {"model.safetensors": b"w" * 50})
    with pytest.raises(InputError, match="there is no release here") as caught, here(HUB):
        pass
    assert "--bundle" in caught.value.hint
    assert not weights_asked_for(hub)


def test_signed_files_on_the_hub(hub: Server, release: Path, tmp_path: Path) -> None:
    keys.new(tmp_path / "a", "p256")
    plain = {"config.json": b"{}", "model.safetensors": b"w" * 50}
    signed(tmp_path / "a", told(plain))
    arguments = ("verify", HUB, "--bundle", f"{tmp_path}/a.sig", "--key", f"{tmp_path}/a.pub")
    serve(hub, plain)
    assert run(*arguments).exit_code == 0
    serve(hub, {**plain, "evil.py": b"x"})
    assert run(*arguments).exit_code == 3
    hub.requests.clear()
    serve(hub, {**plain, "model.safetensors": b"v" * 50})
    assert CliRunner().invoke(cli, arguments).exit_code != 0
    assert not weights_asked_for(hub)


def test_a_release_on_the_web(server: Server, release: Path) -> None:
    for path, data in contents(release).items():
        server.file(f"/toy/{path}", data)
    with here(f"{server.url}/toy") as folder:
        assert check_files(Release.open(folder)).whole
        assert not (folder / "attestations").exists(), "nobody lists what is there"
    server.file("/toy/model.safetensors", b"tuned")
    with here(f"{server.url}/toy/") as folder:
        assert check_files(Release.open(folder)).damaged == ("model.safetensors",)


@pytest.fixture
def memory(release: Path) -> Iterator[str]:
    files = fsspec.filesystem("memory")
    for name, data in contents(release).items():
        files.pipe_file(f"/toy/{name}", data)
    yield "memory://toy"
    files.rm("/toy", recursive=True)


def test_a_release_that_fsspec_reaches(memory: str) -> None:
    with here(memory) as folder:
        assert check_files(Release.open(folder)).whole
        assert (folder / "states" / "1").is_file()


def packed(path: Path, files: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for entry in more:
            archive.addfile(entry)
    return path


@pytest.mark.parametrize("top", ["", "toy-1.0/"])
def test_a_release_in_an_archive(top: str, release: Path, tmp_path: Path, server: Server) -> None:
    path = packed(tmp_path / "toy.tar.gz", {f"{top}{name}": data for name, data in contents(release).items()})
    server.file("/files/toy.tar.gz", path.read_bytes())
    for place in (str(path), f"{server.url}/files/toy.tar.gz"):
        with here(place) as folder:
            found = check_files(Release.open(folder))
            assert (found.damaged, found.missing, found.extra) == ((), (), (".gitattributes",))


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    return found


@pytest.mark.parametrize(
    "hostile",
    [
        entry("../../evil"),
        entry("/etc/evil"),
        entry("link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("hard", tarfile.LNKTYPE, "SHA256SUMS"),
        entry("pipe", tarfile.FIFOTYPE),
        entry("SHA256SUMS"),
        entry("SHA256SUMS/x"),
    ],
    ids=lambda one: f"{one.name} {one.type!r}",
)
def test_hostile_archives(hostile: tarfile.TarInfo, release: Path, tmp_path: Path) -> None:
    path = packed(tmp_path / "toy.tar.gz", contents(release), hostile)
    with pytest.raises(InputError, match="archive"), here(str(path)):
        pass
    assert not list(tmp_path.rglob("evil"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.mark.parametrize("said", ["pypi:x==1", "git:https://example.org/x@v1"])
def test_what_is_no_place_of_releases(said: str) -> None:
    with pytest.raises(RecipeError, match="no release is looked for"), here(said):
        pass


def test_the_cache_of_a_hub(release: Path, tmp_path: Path) -> None:
    """As its library leaves it: links to blobs that are named by their hashes, and a file of the hub's own."""
    cached = tmp_path / "models--sea--captain" / "snapshots" / COMMIT
    blobs = tmp_path / "models--sea--captain" / "blobs"
    blobs.mkdir(parents=True)
    for name, data in contents(release).items():
        (cached / name).parent.mkdir(parents=True, exist_ok=True)
        (blobs / sha256(data).hexdigest()).write_bytes(data)
        (cached / name).symlink_to(blobs / sha256(data).hexdigest())
    assert check_files(Release.open(cached)).whole
    (blobs / sha256(FILES["model.safetensors"]).hexdigest()).write_bytes(b"tuned")
    assert check_files(Release.open(cached)).damaged == ("model.safetensors",), "its name is no evidence"
    (cached / "evil.py").write_bytes(b"x")
    assert check_files(Release.open(cached)).extra == ("evil.py",)


def test_what_others_signed_of_an_archive(release: Path, tmp_path: Path) -> None:
    keys.new(tmp_path / "a", "ed25519")
    (tmp_path / "trust.toml").write_text('[[rebuilder]]\nname = "alice"\n[[rebuilder.key]]\nfile = "a.pub"\n')
    opened = Release.open(release)
    rebuilds.note(opened.digest, "regrow verify", 1.0)
    envelope = dsse.write(statements.signed(statements.statement(opened), keys.private_key(tmp_path / "a")))
    files = {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*") if path.is_file()}
    path = packed(tmp_path / "toy.tar.gz", {**files, "attestations/a.json": envelope})
    found = run("verify", str(path), "--require", "1", "--trust", str(tmp_path / "trust.toml"))
    assert (found.exit_code, found.output.splitlines()[0]) == (0, "Enough: 1 of the 1 required rebuilders: alice")


def test_an_archive_that_unpacks_out_of_all_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched, "_SMALL", 1 << 16)
    for times, what in ((60, None), (20_000, "holds more than an archive may")):
        packed = tmp_path / f"{times}.tar.gz"
        with tarfile.open(packed, "w:gz") as archive:
            entry = tarfile.TarInfo("toy/model.safetensors")
            entry.size = 1000 * times
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
        if what is None:
            with here(str(packed)) as folder:
                assert [path.name for path in folder.iterdir()] == ["model.safetensors"]
        else:
            with pytest.raises(InputError, match=what) as caught, here(str(packed)):
                pass
            assert "name the folder" in caught.value.hint
