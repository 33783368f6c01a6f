"""Keys in PEM. python -m pytest tests/formats/test_keys.py"""

from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from regrow.errors import RecipeError
from regrow.formats import keys

KINDS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
}


def pair(folder: Path, key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
    pem, secret, public = serialization.Encoding.PEM, folder / "key.pem", folder / "key.pub"
    secret.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return secret, public


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_holds_for_these_bytes_and_this_key_alone(kind: str, tmp_path: Path) -> None:
    secret, public = pair(tmp_path, KINDS[kind]())
    signature = keys.sign(keys.private_key(secret), b"hello")
    assert keys.signed_by(keys.public_key(public), signature, b"hello")
    assert not keys.signed_by(keys.public_key(public), signature, b"hallo")
    assert not keys.signed_by(keys.public_key(public), b"", b"hello")
    (tmp_path / "other").mkdir()
    _, other = pair(tmp_path / "other", KINDS[kind]())
    assert not keys.signed_by(keys.public_key(other), signature, b"hello")


def test_a_key_is_named_by_its_hash(tmp_path: Path) -> None:
    secret, public = pair(tmp_path, ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))
    spki = bytes.fromhex("302a300506032b6570032100") + keys.public_key(public).public_bytes_raw()
    assert keys.key_id(keys.public_key(public)) == sha256(spki).hexdigest()
    assert keys.key_id(keys.private_key(secret).public_key()) == sha256(spki).hexdigest()


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("not a key")
    secret, public = pair(tmp_path, ec.generate_private_key(ec.SECP256K1()))
    for path in (tmp_path / "none.pem", tmp_path / "text.pem", secret, public):
        with pytest.raises(RecipeError, match="the key cannot be used") as caught:
            keys.private_key(path)
        assert caught.value.where == str(path)
    with pytest.raises(RecipeError, match="the key cannot be used"):
        keys.public_key(public)
