"""The verdict as an in-toto statement, to be signed and passed on.

The subject is the audited version: a release's digest, a commit, or else every file of weights. The predicate carries
every verdict with its reason, and the sha256 of the whole audit as ``regrow audit --json`` writes it, so that the
evidence cannot be exchanged behind a signature. Its type, ``urn:regrow:audit:1``, is described in ``docs/audit.md``.

An envelope is DSSE: the signature covers the type and the exact bytes of the statement, which are the same for the
same audit. Keys are Ed25519 or ECDSA on the curve P-256, in PEM.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from os.path import realpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.audit.outputs import view
from regrow.audit.outputs.document import json as whole_document
from regrow.audit.outputs.document import to_text
from regrow.audit.result import Answer, Audit, Definition
from regrow.errors import InputError, PolicyError, RecipeError, RegrowError
from regrow.store import sha256_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
    PublicKey = Ed25519PublicKey | EllipticCurvePublicKey

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:regrow:audit:1"
PAYLOAD = "application/vnd.in-toto+json"


def statement(audit: Audit, path: Path | None = None) -> dict[str, Any]:
    """The statement about the audited version.

    Args:
        audit: what to state.
        path: the audited folder or file. Unless the version is a digest, the weights in it are read and hashed.

    Raises:
        RecipeError: if there is no digest of what was audited, so that nothing can be said of it for good.
    """
    digest = view.digest_of(audit.version)
    subject = [{"name": _text(audit.name), "digest": digest}] if digest else list(_files(audit, path))
    if not subject:
        raise RecipeError(
            "a verdict about this version cannot be signed",
            where=audit.id,
            why=f"its version, `{audit.version[:80]}`, is neither a sha256 nor a commit, and no file of it is here",
            hint="audit a release, a folder, or a model by its commit",
        )
    document = whole_document(audit)
    ancestors = [{"name": node.id, "version": node.collected.version} for node in audit.lineage.nodes[1:]]
    predicate = {
        "id": audit.id,
        "name": audit.name,
        "kind": audit.kind,
        "date": audit.date,
        "auditor": {"id": "urn:regrow:audit"},
        "osaid": audit.osaid.value,
        "mofClass": audit.mof_class,
        "parts": [_answer(one) for one in audit.parts],
        "freedoms": [_answer(one) for one in audit.freedoms],
        "definitions": [_definition(one) for one in audit.definitions],
        "conflicts": [one.text for one in audit.conflicts],
        "ancestors": ancestors,
        "document": {"name": "audit.json", "digest": {"sha256": sha256(to_text(document).encode()).hexdigest()}},
    }
    return {
        "_type": STATEMENT,
        "subject": subject,
        "predicateType": PREDICATE,
        "predicate": _texts(predicate),
    }


def _files(audit: Audit, path: Path | None) -> Iterator[dict[str, Any]]:
    """The files of weights with their digests; of what has no weights, all files."""
    if path is None:
        return
    files = view.subject(audit).files
    has_weights = any(entry.kind == "weights" for entry in files)
    for entry in files:
        place = path / entry.path if path.is_dir() else path
        named = entry.kind != "link" and (entry.kind == "weights" or not has_weights)
        if not Path(realpath(place)).is_relative_to(realpath(path)) or (named and not place.is_file()):
            raise InputError(f"`{place}` is no file of the model", hint="put the file there that it stands for")
        if named:
            yield {"name": _text(entry.path), "digest": {"sha256": _digest(place)}}


def _digest(place: Path) -> str:
    try:
        return sha256_file(place)
    except OSError as error:
        raise InputError(f"`{place}` cannot be read", why=error.strerror or str(error)) from error


def _answer(answer: Answer) -> dict[str, str]:
    return {"name": answer.name, "answer": answer.answer, "reason": answer.reason, "limitedBy": answer.limited_by}


def _definition(definition: Definition) -> dict[str, Any]:
    return {
        "id": definition.id,
        "outcome": definition.outcome.value,
        "level": definition.level,
        "verdicts": [
            {
                "rule": one.rule,
                "outcome": one.outcome.value,
                "reason": one.reason,
                "reading": one.reading,
                "limitedBy": one.limited_by,
            }
            for one in definition.verdicts
        ],
    }


def _texts(value: Any) -> Any:
    """``value`` with every text such that it can be written as UTF-8."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {key: _texts(one) for key, one in value.items()}
    return [_texts(one) for one in value] if isinstance(value, list) else value


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


def payload(statement: dict[str, Any]) -> bytes:
    """The bytes that are signed: one way to write a statement."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sign(statement: dict[str, Any], key_file: Path) -> dict[str, Any]:
    """A DSSE envelope with the statement and one signature.

    Args:
        statement: from :func:`statement`.
        key_file: a private key in PEM, without a passphrase.

    Raises:
        RecipeError: if the key cannot be used.
    """
    key = _private(key_file)
    body = payload(statement)
    signature = {"keyid": key_id(key.public_key()), "sig": _base64(_signed(key, _encoded(body)))}
    return {"payload": _base64(body), "payloadType": PAYLOAD, "signatures": [signature]}


def verify(envelope: Any, key_file: Path) -> dict[str, Any]:
    """The statement in an envelope, once its signature by the key is checked.

    Args:
        envelope: a parsed DSSE envelope.
        key_file: a public key in PEM.

    Raises:
        PolicyError: if no signature in the envelope is by that key.
        RecipeError: if the envelope or the key cannot be read.
    """
    from cryptography.exceptions import InvalidSignature

    key = _public(key_file)
    try:
        if envelope["payloadType"] != PAYLOAD:
            raise ValueError(f"its payload is of type {envelope['payloadType']!r}")
        body = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RecipeError("this is no envelope with a statement", why=f"{type(error).__name__}: {error}") from error
    for signature in signatures:
        try:
            _check(key, signature, _encoded(body))
        except InvalidSignature:
            continue
        return _parsed(body)
    raise PolicyError(
        "the statement is not signed by this key",
        where=str(key_file),
        why=f"none of its {len(signatures)} signatures is by {key_id(key)}",
        hint="ask whoever signed it for their public key",
    )


def key_id(key: PublicKey) -> str:
    """A name for a key: the sha256 of its SubjectPublicKeyInfo in DER."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _parsed(body: bytes) -> dict[str, Any]:
    value = json.loads(body)
    if not isinstance(value, dict) or value.get("_type") != STATEMENT:
        raise RecipeError("what was signed is no in-toto statement")
    return value


def _encoded(body: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed names its own type and lengths."""
    kind = PAYLOAD.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _signed(key: PrivateKey, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.hashes import SHA256

    return key.sign(data) if isinstance(key, ed25519.Ed25519PrivateKey) else key.sign(data, ec.ECDSA(SHA256()))


def _check(key: PublicKey, signature: bytes, data: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.hashes import SHA256

    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, data)
    else:
        key.verify(signature, data, ec.ECDSA(SHA256()))


def _private(path: Path) -> PrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, _unsupported()) as error:
        raise _unusable(path, str(error)) from error
    if isinstance(key, ed25519.Ed25519PrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return key
    raise _unusable(path, f"it is of the kind {type(key).__name__}")


def _public(path: Path) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, TypeError, _unsupported()) as error:
        raise _unusable(path, str(error)) from error
    if isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return key
    raise _unusable(path, f"it is of the kind {type(key).__name__}")


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm


def _unusable(path: Path, why: str) -> RegrowError:
    return RecipeError(
        "the key cannot be used",
        where=str(path),
        why=why,
        hint="a key without a passphrase: `openssl genpkey -algorithm ed25519 -out key.pem`",
    )
