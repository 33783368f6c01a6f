"""Keys in PEM and what they sign: Ed25519, and ECDSA on the curves of NIST, of which we make those on P-256."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from regrow.errors import RecipeError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
    PublicKey = Ed25519PublicKey | EllipticCurvePublicKey


_LARGEST = 1 << 16
"""Bytes that are read of a key; one has a few hundred."""


def private_key(path: Path) -> PrivateKey:
    """Read a private key without a passphrase.

    Raises:
        RecipeError: if it is not there, or of another kind.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: PrivateKey = _key(path, lambda data: load_pem_private_key(data, None))
    return key


def public_key(path: Path) -> PublicKey:
    """Read a public key.

    Raises:
        RecipeError: if it is not there, or of another kind.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key: PublicKey = _key(path, load_pem_public_key)
    return key


def key_id(key: PublicKey) -> str:
    """Name a key: the sha256 of its SubjectPublicKeyInfo in DER."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def pem_id(key: PublicKey) -> str:
    """Name a key as OpenSSF's model signing does: the sha256 of its PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def is_elliptic(key: PublicKey) -> bool:
    """Whether a key is one on a curve of NIST."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return isinstance(key, ec.EllipticCurvePublicKey)


def sign(key: PrivateKey, data: bytes) -> bytes:
    """Sign some bytes: the same bytes get the same signature, on a curve too (RFC 6979)."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    return key.sign(data, ec.ECDSA(_hash(key), deterministic_signing=True))


def new(path: Path, kind: Literal["ed25519", "p256"]) -> PublicKey:
    """Make a key: the private one in a file that only its owner may read, and the public one beside it, ``.pub``.

    Args:
        path: of the private key, which nothing may lie at yet.
        kind: Ed25519, for attestations; or ECDSA on P-256, which OpenSSF's model signing takes.

    Raises:
        RecipeError: if something is there.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    public = path.with_name(f"{path.name}.pub")
    for one in (path, public):
        if os.path.lexists(one):
            raise RecipeError("there is a file already", where=str(one), hint="a key that is lost cannot be had again")
    key: PrivateKey
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return key.public_key()


def signed_by(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Check a signature of some bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        else:
            key.verify(signature, data, ec.ECDSA(_hash(key)))
    except InvalidSignature:
        return False
    return True


def _hash(key: EllipticCurvePrivateKey | EllipticCurvePublicKey) -> HashAlgorithm:
    """The hash that belongs to a curve."""
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

    kinds: dict[int, HashAlgorithm] = {256: SHA256(), 384: SHA384(), 521: SHA512()}
    return kinds[key.curve.key_size]


def _key(path: Path, read: Callable[[bytes], Any]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    try:
        key = read(_bytes(path))
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(path, str(error)) from error
    elliptic = isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey)
    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey) or (
        elliptic and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1)
    ):
        return key
    raise _unusable(path, f"it is of the kind {type(key).__name__}")


def _bytes(path: Path) -> bytes:
    """As much of a file as a key can have; a list of whom to trust may name anything."""
    if path.exists() and not path.is_file():
        raise OSError("it is no file")
    with path.open("rb") as file:
        return file.read(_LARGEST)


def _unusable(path: Path, why: str) -> RecipeError:
    return RecipeError(
        "the key cannot be used",
        where=str(path),
        why=why,
        hint="`regrow key new FILE` makes one; it has no passphrase",
    )
