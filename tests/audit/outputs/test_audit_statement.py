"""python -m pytest tests/audit/outputs/test_audit_statement.py"""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from sample_audits import DIGEST, FOREIGN, OURS, hostile_audits

from regrow.auditing import outputs
from regrow.auditing.outputs.statement import payload
from regrow.auditing.result import Audit
from regrow.errors import PolicyError, RecipeError

serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")

KINDS: dict[str, Callable[[], Any]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
}


def keys(folder: Path, key: Any) -> tuple[Path, Path]:
    """Write a pair of keys as PEM: the private one, then the public one."""
    pem = serialization.Encoding.PEM
    secret, public = folder / "key.pem", folder / "key.pub"
    secret.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return secret, public


def test_is_an_in_toto_statement_about_the_version() -> None:
    json_format = pytest.importorskip("google.protobuf.json_format")
    v1 = pytest.importorskip("in_toto_attestation.v1.statement")
    statement = outputs.statement(OURS)
    parsed = json_format.ParseDict(statement, v1.Statement([], "", {}).pb)
    v1.Statement.copy_from_pb(parsed).validate()
    assert statement["subject"] == [{"name": "tiny", "digest": {"sha256": DIGEST}}]
    assert statement["predicateType"] == "urn:regrow:audit:1"
    assert statement["predicate"]["osaid"] == "met"
    assert statement["predicate"]["mofClass"] == "II"


def test_a_commit_is_a_subject_too() -> None:
    assert outputs.statement(FOREIGN)["subject"][0]["digest"] == {"gitCommit": FOREIGN.version}


def test_names_the_whole_audit_by_its_hash() -> None:
    whole = outputs.to_text(outputs.json(OURS)).encode()
    digest = outputs.statement(OURS)["predicate"]["document"]["digest"]
    assert digest == {"sha256": sha256(whole).hexdigest()}


def test_a_version_that_is_no_digest_cannot_be_signed() -> None:
    with pytest.raises(RecipeError, match="neither a sha256 nor a commit"):
        outputs.statement(replace(OURS, version="main"))
    with pytest.raises(RecipeError, match="no file of it is here"):
        outputs.statement(replace(OURS, version=f"inventory:{DIGEST}"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_signed_is_verified_by_others(kind: str, tmp_path: Path) -> None:
    dsse = pytest.importorskip("securesystemslib.dsse")
    signer = pytest.importorskip("securesystemslib.signer")
    key = KINDS[kind]()
    envelope = outputs.sign(outputs.statement(OURS), keys(tmp_path, key)[0])
    theirs = signer.SSlibKey.from_crypto(key.public_key(), keyid=envelope["signatures"][0]["keyid"])
    copy = dsse.Envelope.from_dict(json.loads(json.dumps(envelope)))
    assert list(copy.verify([theirs], 1)) == [theirs.keyid]
    assert json.loads(copy.payload) == outputs.statement(OURS)


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(kind: str, tmp_path: Path) -> None:
    secret, public = keys(tmp_path, KINDS[kind]())
    envelope = outputs.sign(outputs.statement(OURS), secret)
    assert outputs.verify(envelope, public) == outputs.statement(OURS)


def test_with_ed25519_the_same_audit_gives_the_same_envelope(tmp_path: Path) -> None:
    secret, _ = keys(tmp_path, KINDS["ed25519"]())
    assert outputs.sign(outputs.statement(OURS), secret) == outputs.sign(outputs.statement(OURS), secret)


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_word_or_another_key_is_noticed(kind: str, tmp_path: Path) -> None:
    secret, public = keys(tmp_path, KINDS[kind]())
    envelope = outputs.sign(outputs.statement(FOREIGN), secret)
    better = json.loads(base64.b64decode(envelope["payload"]))
    better["predicate"]["osaid"] = "met"
    with pytest.raises(PolicyError):
        outputs.verify({**envelope, "payload": base64.b64encode(payload(better)).decode()}, public)
    (tmp_path / "other").mkdir()
    with pytest.raises(PolicyError):
        outputs.verify(envelope, keys(tmp_path / "other", KINDS[kind]())[1])


@pytest.mark.parametrize(
    "envelope",
    [
        None,
        [],
        {},
        {"payloadType": "text/plain", "payload": "", "signatures": []},
        {"payloadType": "application/vnd.in-toto+json", "payload": "%", "signatures": []},
        {"payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": [{"sig": 1}]},
        {"payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": 7},
    ],
)
def test_what_is_no_envelope_is_refused(envelope: Any, tmp_path: Path) -> None:
    _, public = keys(tmp_path, KINDS["ed25519"]())
    with pytest.raises(RecipeError, match="no envelope"):
        outputs.verify(envelope, public)


def test_something_else_that_was_signed_is_no_statement(tmp_path: Path) -> None:
    secret, public = keys(tmp_path, KINDS["ed25519"]())
    with pytest.raises(RecipeError, match="no in-toto statement"):
        outputs.verify(outputs.sign({"hello": "world"}, secret), public)


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("not a key")
    secret, public = keys(tmp_path, ec.generate_private_key(ec.SECP256K1()))
    for path in (tmp_path / "none.pem", tmp_path / "text.pem", secret, public):
        with pytest.raises(RecipeError, match="the key cannot be used"):
            outputs.sign(outputs.statement(OURS), path)


@given(hostile_audits())
@settings(max_examples=30, deadline=None)
def test_words_from_outside_can_be_signed(audit: Audit) -> None:
    body = payload(outputs.statement(audit))
    assert body.isascii()
    assert json.loads(body)["subject"][0]["digest"]
