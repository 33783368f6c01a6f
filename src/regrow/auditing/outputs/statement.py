"""The verdict as an in-toto statement, to be signed and passed on.

The subject is the audited version: a release's digest, a commit, or else every file of weights. The predicate carries
every verdict with its reason, and the sha256 of the whole audit as ``regrow audit --json`` writes it, so that the
evidence cannot be exchanged behind a signature. Its type, ``urn:regrow:audit:1``, is described in ``docs/audit.md``.

The signature of an envelope covers the type and the exact bytes of the statement, which are the same for the same
audit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from os.path import realpath
from pathlib import Path
from typing import Any

from regrow.auditing.outputs import document, view
from regrow.auditing.outputs.document import jsonable
from regrow.auditing.result import Answer, Audit, Definition, Verdict
from regrow.errors import InputError, PolicyError, RecipeError
from regrow.formats import dsse, keys
from regrow.formats.dsse import Envelope, Signature
from regrow.store import sha256_file

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:regrow:audit:1"
_ANSWER = ("name", "answer", "reason", "limited_by")


def statement(audit: Audit, path: Path | None = None) -> dict[str, Any]:
    """The statement about the audited version.

    Args:
        audit: what to state.
        path: the audited folder or file. Unless the version is a digest, the weights in it are read and hashed.

    Raises:
        RecipeError: if there is no digest of what was audited, so that nothing can be said of it for good.
    """
    digest = view.digest_of(audit.version)
    subject = [{"name": jsonable(audit.name), "digest": digest}] if digest else list(_files(audit, path))
    if not subject:
        raise RecipeError(
            "a verdict about this version cannot be signed",
            where=audit.id,
            why=f"its version, `{audit.version[:80]}`, is neither a sha256 nor a commit, and no file of it is here",
            hint="audit a release, a folder, or a model by its commit",
        )
    ancestors = [{"name": node.id, "version": node.collected.version} for node in audit.lineage.nodes[1:]]
    predicate = {
        **_told(audit, "id", "name", "kind", "date", "osaid", "mof_class", "mof_class_basis"),
        "auditor": {"id": "urn:regrow:audit"},
        "parts": [_told(one, *_ANSWER) for one in audit.parts],
        "freedoms": [_told(one, *_ANSWER) for one in audit.freedoms],
        "definitions": [_definition(one) for one in audit.definitions],
        "conflicts": [one.text for one in audit.conflicts],
        "ancestors": ancestors,
        "document": {"name": "audit.json", "digest": {"sha256": document.digest(audit)}},
    }
    return {
        "_type": STATEMENT,
        "subject": subject,
        "predicateType": PREDICATE,
        "predicate": jsonable(predicate),
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
            yield {"name": jsonable(entry.path), "digest": {"sha256": _digest(place)}}


def _digest(place: Path) -> str:
    try:
        return sha256_file(place)
    except OSError as error:
        raise InputError(f"`{place}` cannot be read", why=error.strerror or str(error)) from error


def _definition(definition: Definition) -> dict[str, Any]:
    verdicts = [_told(one, "rule", "outcome", "reason", "reading", "limited_by") for one in definition.verdicts]
    return {**_told(definition, "id", "outcome", "level"), "verdicts": verdicts}


def _told(of: Answer | Audit | Definition | Verdict, *fields: str) -> dict[str, Any]:
    """Some fields, named as in-toto does it: ``limited_by`` is ``limitedBy``."""
    return {re.sub("_(.)", lambda match: match[1].upper(), field): getattr(of, field) for field in fields}


def payload(statement: dict[str, Any]) -> bytes:
    """The bytes that are signed: one way to write a statement."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sign(statement: dict[str, Any], key_file: Path) -> dict[str, Any]:
    """Put a statement into a DSSE envelope with one signature.

    Args:
        statement: from :func:`statement`.
        key_file: a private key in PEM, without a passphrase.

    Raises:
        RecipeError: if the key cannot be used.
    """
    key = keys.private_key(key_file)
    envelope = Envelope(dsse.IN_TOTO, payload(statement), ())
    signature = Signature(keys.key_id(key.public_key()), keys.sign(key, envelope.signed))
    return replace(envelope, signatures=(signature,)).document


def verify(envelope: Any, key_file: Path) -> dict[str, Any]:
    """Check the signature of an envelope by a key, and give the statement in it.

    Args:
        envelope: a parsed DSSE envelope.
        key_file: a public key in PEM.

    Raises:
        PolicyError: if no signature in the envelope is by that key.
        RecipeError: if the envelope or the key cannot be read.
    """
    key = keys.public_key(key_file)
    found = dsse.taken_apart(envelope)
    if found.faults or found.payload_type != dsse.IN_TOTO:
        why = found.faults[0] if found.faults else f"its payload is of type {found.payload_type!r}"
        raise RecipeError("this is no envelope with a statement", why=why)
    if any(keys.signed_by(key, one.value, found.signed) for one in found.signatures):
        return _parsed(found.payload)
    raise PolicyError(
        "the statement is not signed by this key",
        where=str(key_file),
        why=f"none of its {len(found.signatures)} signatures is by {keys.key_id(key)}",
        hint="ask whoever signed it for their public key",
    )


def _parsed(body: bytes) -> dict[str, Any]:
    value = json.loads(body)
    if not isinstance(value, dict) or value.get("_type") != STATEMENT:
        raise RecipeError("what was signed is no in-toto statement")
    return value
