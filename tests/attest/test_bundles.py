"""Bundles of OpenSSF model signing: ours for theirs, theirs for ours, and what theirs let through."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b, sha256
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from regrow.attesting.bundles import SignedFiles, bundle_of, check_bundle, signed_in
from regrow.attesting.keyless import Account
from regrow.cli.root import cli
from regrow.errors import DifferentError, InputError, RecipeError
from regrow.formats import dsse, keys, model_signing
from regrow.formats.model_signing import Manifest, Piece
from regrow.release import Release
from regrow.store import sums

PEER = os.environ.get("REGROW_MODEL_SIGNING") or shutil.which("model_signing")
FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 9, "data/notes.txt": b"calm"}
GIT = [".git", ".gitattributes", ".github", ".gitignore"]


def key(folder: Path, name: str = "a", kind: str = "p256") -> Path:
    keys.new(folder / name, "p256" if kind == "p256" else "ed25519")
    return folder / name


def written(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def release(tmp_path: Path) -> Release:
    more = {"regrow.toml": b'recipe = 1\n\n[model]\nname = "toy"\n', ".gitattributes": b"* -text\n"}
    folder = written(tmp_path / "toy", {**FILES, **more})
    (folder / "SHA256SUMS").write_text(sums(folder, ("SHA256SUMS",)))
    written(folder, {"report.html": b"x", "buildinfo/build.json": b"{}", "states/1": b"s", "attestations/y": b""})
    return Release.open(folder)


def told(files: Mapping[str, bytes], shard: int = 0, hash: Callable[..., Any] = sha256, **how: Any) -> dict[str, Any]:
    """What a stranger's program says of files."""
    name = hash(b"").name
    pieces = {
        (f"{path}:{at}:{min(at + shard, len(data))}" if shard else path): data[at : at + shard] if shard else data
        for path, data in files.items()
        for at in (range(0, len(data), shard) if shard else (0,))
    }
    resources = [{"name": one, "algorithm": name, "digest": hash(pieces[one]).hexdigest()} for one in sorted(pieces)]
    root = sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources)).hexdigest()
    serialization = {"method": "shards" if shard else "files", "hash_type": name, "allow_symlinks": False, **how}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "resources": resources,
            "serialization": {**serialization, **({"shard_size": shard} if shard else {})},
        },
    }


def signed(private: Path, statement: Any, **changes: Any) -> Path:
    """The bundle of a stranger's program, beside the key."""
    payload = json.dumps(statement, indent=2).encode()
    found = keys.private_key(private)
    signature = keys.sign(found, dsse.Envelope(dsse.IN_TOTO, payload, ()).signed)
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": keys.pem_id(found.public_key())}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": dsse.IN_TOTO,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": None}],
        },
        **changes,
    }
    path = private.with_suffix(".sig")
    path.write_text(json.dumps(bundle))
    return path


def checked(folder: Path, private: Path, statement: Any) -> SignedFiles:
    return check_bundle(folder, signed(private, statement), private.with_name(f"{private.name}.pub"))


def test_a_release_is_signed_with_all_that_its_digest_covers(release: Release, tmp_path: Path) -> None:
    private = key(tmp_path)
    data = bundle_of(release, keys.private_key(private))
    assert data == bundle_of(release, keys.private_key(private))
    bundle = model_signing.read(data)
    assert bundle.faults == ()
    assert bundle.manifest is not None
    assert set(bundle.manifest.files) == {*FILES, "regrow.toml", "SHA256SUMS"}
    assert set(bundle.manifest.ignored) == {"attestations", "buildinfo", "report.html", "states", *GIT}
    with pytest.raises(RecipeError, match="model signing has no such keys"):
        bundle_of(release, keys.private_key(key(tmp_path, "e", "ed25519")))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def test_the_way_of_a_user(release: Release, tmp_path: Path) -> None:
    folder, private = str(release.path), str(key(tmp_path))
    assert run("attest", folder, "--key", private, "--as", "model-signing").exit_code == 0
    (bundle,) = release.path.glob("attestations/*.sig")
    arguments = ("verify", folder, "--bundle", str(bundle), "--key", f"{private}.pub")
    found = run(*arguments)
    assert (found.exit_code, found.output.splitlines()[0].partition(",")[0]) == (0, "Signed: 5 files")
    assert json.loads(run(*arguments, "--json").stdout)["left_out"] == [
        "attestations/y", "buildinfo/build.json", "report.html", "states/1"
    ]  # fmt: skip
    written(release.path, {".gitattributes": b"* filter=evil\n"})
    assert list(json.loads(run(*arguments, "--json").stdout)["added"]) == [".gitattributes"], "the list signs for it"
    written(release.path, {".gitattributes": b"* -text\n", "config.json": b"[]"})
    assert run(*arguments).exit_code == 3
    assert run("verify", folder, "--bundle", str(bundle)).exit_code == 2


def test_nothing_is_signed_that_is_not_as_listed(release: Release, tmp_path: Path) -> None:
    written(release.path, {"config.json": b"[]"})
    found = CliRunner().invoke(cli, ["attest", str(release.path), "--key", str(key(tmp_path)), "--as", "model-signing"])
    assert found.exit_code != 0
    assert not list(release.path.glob("attestations/*.sig"))


@pytest.mark.parametrize("shard", [0, 5])
@pytest.mark.parametrize("hash", [sha256, blake2b])
def test_what_was_signed_and_not_changed(shard: int, hash: Callable[..., Any], tmp_path: Path) -> None:
    folder = written(tmp_path / "model")
    found = checked(folder, key(tmp_path), told(FILES, shard, hash))
    assert (found.same, found.exit_code) == (True, 0)
    written(folder, {"model.safetensors": b"weights" * 8 + b"Weights"})
    found = check_bundle(folder, tmp_path / "a.sig", tmp_path / "a.pub")
    assert dict(found.wrong) == {"model.safetensors": "has other bytes"}
    assert found.exit_code == 3


def test_a_single_file(tmp_path: Path) -> None:
    folder = written(tmp_path / "model")
    statement = told({"config.json": FILES["config.json"]})
    assert checked(folder / "config.json", key(tmp_path), statement).same


def test_files_of_equal_bytes_that_changed_their_names(tmp_path: Path) -> None:
    """The digest of all digests is the same then."""
    folder = written(tmp_path / "model", {"a.txt": b"x", "b.txt": b"x"})
    (folder / "a.txt").rename(folder / "c.txt")
    found = checked(folder, key(tmp_path), told({"a.txt": b"x", "b.txt": b"x"}))
    assert (found.missing, set(found.added), dict(found.renamed)) == (("a.txt",), {"c.txt"}, {"a.txt": "c.txt"})
    assert "its bytes are called `c.txt` now" in "\n".join(found.lines())


@pytest.mark.parametrize("name", [".gitattributes", ".git/hooks/x", ".github/x", "modeling_evil.py", "data/.gitignore"])
@pytest.mark.parametrize("ignored", [[], GIT])
def test_what_was_added(name: str, ignored: list[str], tmp_path: Path) -> None:
    folder = written(tmp_path / "model", {**FILES, name: b"x"})
    found = checked(folder, key(tmp_path), told(FILES, ignore_paths=ignored))
    assert (list(found.added), found.exit_code) == ([name], 3)


def test_what_the_signer_left_out_by_name_is_told(tmp_path: Path) -> None:
    folder = written(tmp_path / "model", {**FILES, "cache/x": b"x", "cached": b"x"})
    found = checked(folder, key(tmp_path), told(FILES, ignore_paths=["cache", "model.sig", "../x", "*"]))
    assert (found.left_out, list(found.added)) == (("cache/x",), ["cached"])
    assert "`cache/x`" in "\n".join(found.lines())


def test_empty_files_in_shards(tmp_path: Path) -> None:
    folder = written(tmp_path / "model", {**FILES, "__init__.py": b""})
    found = checked(folder, key(tmp_path), told(FILES, 5))
    assert "empty" in found.added["__init__.py"]
    (folder / "__init__.py").unlink()
    found = check_bundle(folder, tmp_path / "a.sig", tmp_path / "a.pub")
    assert found.same
    assert "whether an empty file was taken away cannot be seen" in "\n".join(found.lines())


@pytest.mark.parametrize("links", [True, False])
def test_links(links: bool, tmp_path: Path) -> None:
    """What was signed says whether there may be any; out of the folder they never lead."""
    folder, private = written(tmp_path / "model"), key(tmp_path)
    (folder / "config.json").rename(folder / "data" / "c")
    (folder / "config.json").symlink_to("data/c")
    statement = told({**FILES, "data/c": FILES["config.json"]}, allow_symlinks=links)
    assert list(checked(folder, private, statement).wrong) == ([] if links else ["config.json"])
    (folder / "data" / "c").rename(tmp_path / "c")
    (folder / "data" / "c").symlink_to(tmp_path / "c")
    found = checked(folder, private, statement)
    assert found.wrong["data/c"] == "is no file, or a link that leads out of the folder"
    (folder / "more").symlink_to(tmp_path)
    assert checked(folder, private, statement).added["more"] == "was not signed"


def test_a_snapshot_in_a_hubs_cache(tmp_path: Path) -> None:
    cached = tmp_path / "models--sea--captain" / "snapshots" / "0123"
    for name, data in FILES.items():
        blob = written(cached.parent.parent, {f"blobs/{sha256(data).hexdigest()}": data}) / "blobs"
        (cached / name).parent.mkdir(parents=True, exist_ok=True)
        (cached / name).symlink_to(blob / sha256(data).hexdigest())
    private = key(tmp_path)
    assert checked(cached, private, told(FILES)).same
    (blob / sha256(FILES["config.json"]).hexdigest()).write_bytes(b"[]")
    assert list(checked(cached, private, told(FILES)).wrong) == ["config.json"], "a blob's name is no evidence"


def test_another_key_and_another_statement(tmp_path: Path) -> None:
    folder, private = written(tmp_path / "model"), key(tmp_path)
    bundle = signed(private, told(FILES))
    key(tmp_path, "b")
    with pytest.raises(DifferentError, match="not signed with this key"):
        check_bundle(folder, bundle, tmp_path / "b.pub")
    whole = json.loads(bundle.read_text())
    other = json.loads(signed(private, told({**FILES, "x": b""})).read_text())
    whole["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]
    bundle.write_text(json.dumps(whole))
    with pytest.raises(DifferentError, match="not signed with this key"):
        check_bundle(folder, bundle, tmp_path / "a.pub")


def changed(**changes: Any) -> dict[str, Any]:
    return {**told(FILES), **changes}


def resources(change: Callable[[list[dict[str, str]]], object], **how: Any) -> dict[str, Any]:
    statement = told(FILES, **how)
    found = statement["predicate"]["resources"]
    change(found)
    root = sha256(b"".join(bytes.fromhex(one["digest"]) for one in found)).hexdigest()
    return {**statement, "subject": [{"name": "m", "digest": {"sha256": root}}]}


SENSELESS = {
    "another predicate": changed(predicateType="https://model_signing/Digests/v0.1"),
    "no statement": [1],
    "two subjects": changed(subject=told(FILES)["subject"] * 2),
    "another root": changed(subject=[{"name": "m", "digest": {"sha256": "0" * 64}}]),
    "a file twice": resources(lambda found: found.append(found[0])),
    "no files": resources(lambda found: found.clear()),
    "a path out": resources(lambda found: found[0].update(name="../x")),
    "an absolute path": resources(lambda found: found[0].update(name="/etc/passwd")),
    "a short hash": resources(lambda found: found[0].update(digest="00")),
    "another hash": resources(lambda found: found[0].update(algorithm="md5")),
    "a shard twice": resources(lambda found: found.append(found[-1]), shard=5),
    "a shard too few": resources(lambda found: found.pop(2), shard=5),
    "no shard": resources(lambda found: found[0].update(name="config.json"), shard=5),
    "shards of no size": told(FILES, shard_size=None, method="shards"),
}


@pytest.mark.parametrize("statement", SENSELESS.values(), ids=SENSELESS)
def test_statements_that_make_no_sense(statement: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no bundle of model signing"):
        checked(written(tmp_path / "model"), key(tmp_path), statement)


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b"\xff", b'{"mediaType": 1}'])
def test_what_is_no_bundle(data: bytes, tmp_path: Path) -> None:
    key(tmp_path)
    (tmp_path / "x.sig").write_bytes(data)
    with pytest.raises(InputError, match="no bundle of model signing"):
        check_bundle(written(tmp_path / "model"), tmp_path / "x.sig", tmp_path / "a.pub")


def peer(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if PEER is None:
        pytest.skip("no model_signing here: it wants an environment of its own, where $REGROW_MODEL_SIGNING is it")
    return subprocess.run([PEER, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_theirs_accepts_ours(release: Release, tmp_path: Path) -> None:
    private = key(tmp_path)
    bundle = written(release.path, {"attestations/a.sig": bundle_of(release, keys.private_key(private))})
    arguments = (
        "verify",
        "key",
        bundle,
        "--signature",
        bundle / "attestations/a.sig",
        "--public_key",
        f"{private}.pub",
    )
    found = peer(*arguments)
    assert found.returncode == 0, found.stderr
    written(release.path, {"config.json": b"[]"})
    assert peer(*arguments).returncode == 1


def test_ours_accepts_theirs(tmp_path: Path) -> None:
    folder, private = written(tmp_path / "model"), key(tmp_path)
    found = peer("sign", "key", folder, "--signature", folder / "model.sig", "--private_key", private)
    assert found.returncode == 0, found.stderr
    assert check_bundle(folder, folder / "model.sig", tmp_path / "a.pub").same
    written(folder, {".gitattributes": b"x"})
    assert peer("verify", "key", folder, "--signature", folder / "model.sig", "--public_key", tmp_path / "a.pub"
    ).returncode == 0  # fmt: skip
    assert list(check_bundle(folder, folder / "model.sig", tmp_path / "a.pub").added) == [".gitattributes"]


ACCOUNT = Account("alice@example.org", "https://accounts.example.org", offline=True)


def keyless(folder: Path, **material: object) -> Path:
    """A bundle of one file, as Sigstore's programs write them, with a signature of nobody."""
    (folder / "model").mkdir()
    (folder / "model" / "w").write_text("weights")
    manifest = Manifest("model", {"w": (Piece(0, None, sha256(b"weights").hexdigest()),)})
    payload = json.dumps(model_signing.statement(manifest)).encode()
    envelope = dsse.Envelope(dsse.IN_TOTO, payload, (dsse.Signature("", b"none"),))
    told = json.loads(model_signing.write(envelope, ""))
    told["verificationMaterial"] = material
    (folder / "model.sig").write_text(json.dumps(told))
    return folder / "model.sig"


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What stands for the library of Sigstore, which accepts what it is told to: no log can be asked here."""
    said: dict[str, Any] = {}

    class Failure(Exception):
        pass

    class Verifier:
        @classmethod
        def production(cls, offline: bool) -> object:
            if not offline:
                raise Failure("no network")
            return cls()

        def verify_dsse(self, bundle: Any, policy: Any) -> tuple[str, bytes]:
            if policy != said["account"]:
                raise Failure("it was\nsomebody else")
            return dsse.IN_TOTO, said.get("payload") or dsse.taken_apart(bundle["dsseEnvelope"]).payload

    names: dict[str, dict[str, Any]] = {
        "sigstore": {},
        "sigstore.errors": {"Error": Failure},
        "sigstore.models": {"Bundle": SimpleNamespace(from_json=json.loads), "InvalidBundle": Failure},
        "sigstore.verify": {"Verifier": Verifier},
        "sigstore.verify.policy": {"Identity": lambda identity, issuer: (identity, issuer)},
    }
    for name, values in names.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    said["account"] = (ACCOUNT.identity, ACCOUNT.issuer)
    yield said


def test_files_that_an_account_signed(library: dict[str, Any], tmp_path: Path) -> None:
    bundle = keyless(tmp_path)
    assert check_bundle(tmp_path / "model", bundle, ACCOUNT).same
    (tmp_path / "model" / "w").write_text("other")
    assert not check_bundle(tmp_path / "model", bundle, ACCOUNT).same
    library["account"] = ("mallory@example.org", ACCOUNT.issuer)
    with pytest.raises(DifferentError, match="was not signed by alice") as caught:
        check_bundle(tmp_path / "model", bundle, ACCOUNT)
    assert caught.value.why == "it was somebody else"


def test_what_the_library_saw_is_what_counts(library: dict[str, Any], tmp_path: Path) -> None:
    library["payload"] = b"another statement"
    with pytest.raises(InputError, match="no bundle") as caught:
        signed_in(keyless(tmp_path), ACCOUNT)
    assert "two readers" in caught.value.why


def test_without_network_nothing_is_believed(library: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which authorities") as caught:
        signed_in(keyless(tmp_path), replace(ACCOUNT, offline=False))
    assert "--offline" in caught.value.hint


def test_without_the_library_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore.errors", None)
    with pytest.raises(InputError, match="cannot be checked here") as caught:
        signed_in(keyless(tmp_path), ACCOUNT)
    assert "regrow[sigstore]" in caught.value.hint


@pytest.mark.parametrize("material", [{}, {"certificate": {"rawBytes": "AA=="}, "tlogEntries": []}])
def test_the_library_itself_believes_no_bundle_without_a_log(tmp_path: Path, material: dict[str, object]) -> None:
    pytest.importorskip("sigstore.verify")
    with pytest.raises(DifferentError, match="was not signed by"):
        signed_in(keyless(tmp_path, **material), ACCOUNT)
