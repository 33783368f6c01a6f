"""Signed statements beside a model: DSSE envelopes and Sigstore bundles.

That there is a signature is seen here; that it is right, and by whom, is not: an audit has nobody's keys.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any

from regrow.audit.collectors.folder import Folder, Statement, Text, printable
from regrow.audit.collectors.structured import mapping, read_json
from regrow.audit.facts import Basis, Finding, Rebuild, RebuildFact, Severity

NAME = "attestation"
_SUFFIXES = (".json", ".jsonl", ".sig", ".sigstore", ".bundle")
_MOST = 100


def collect(folder: Folder, digest: str) -> Iterator[Statement]:
    """Every signed statement about this release.

    Args:
        folder: the release.
        digest: its digest.
    """
    paths = [
        entry.path
        for entry in folder.entries
        if (entry.path.startswith("attestations/") or ".dsse." in entry.path or entry.path.endswith(".sig"))
        and entry.path.endswith(_SUFFIXES)
        and folder.has(entry.path)
    ]
    yield from folder.texts(paths[:_MOST], NAME, lambda text: _read(text, digest))


def _read(text: Text, digest: str) -> Iterator[Statement]:
    lines = text.text.splitlines() if text.path.endswith(".jsonl") else [text.text]
    for number, line in enumerate(lines[:_MOST], 1):
        envelope = mapping(read_json(line).value)
        envelope = mapping(envelope.get("dsseEnvelope")) or envelope
        if not line.strip() or "payload" not in envelope:
            continue
        at = text.line(number) if len(lines) > 1 else text.at()
        signer = next(_signers(envelope), None)
        if signer is None:
            said = f"{printable(text.path)} has a statement that nobody signed, so it counts for nothing"
            yield Finding("attestation-unsigned", Severity.WARNING, said, (at,))
        elif digest in set(_subjects(envelope)):
            yield RebuildFact(Basis.DECLARED, at, Rebuild.SIGNED, signer, digest)
        else:
            said = f"{printable(text.path)} is a signed statement about something else than this release"
            yield Finding("attestation-other", Severity.WARNING, said, (at,))


def _subjects(envelope: Mapping[str, Any]) -> Iterator[str]:
    try:
        statement = json.loads(base64.b64decode(str(envelope["payload"]), validate=True))
    except (ValueError, RecursionError, binascii.Error):
        return
    subjects = mapping(statement).get("subject")
    for subject in subjects if isinstance(subjects, list) else []:
        yield str(mapping(mapping(subject).get("digest")).get("sha256", ""))


def _signers(envelope: Mapping[str, Any]) -> Iterator[str]:
    """The names of the keys of signatures that are more than an empty place."""
    signatures = envelope.get("signatures")
    for signature in map(mapping, signatures if isinstance(signatures, list) else []):
        if _is_base64(signature.get("sig")):
            yield printable(str(signature.get("keyid") or "an unnamed key"), 100)


def _is_base64(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(base64.b64decode(value, validate=True))
    except ValueError:
        return False
