"""Signed statements beside a model: DSSE envelopes and Sigstore bundles.

That there is a signature is seen here; that it is right, and by whom, is not: an audit has nobody's keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from regrow.auditing.collectors.folder import Folder, Statement, Text, printable
from regrow.auditing.collectors.structured import mapping, read_json
from regrow.auditing.facts import Basis, Finding, Rebuild, RebuildFact, Severity
from regrow.formats import dsse

NAME = "attestation"
_SUFFIXES = (".json", ".jsonl", ".sig", ".sigstore", ".bundle")
_MOST = 100


def collect(folder: Folder, digest: str) -> Iterator[Statement]:
    """Every signed statement about this release.

    Args:
        folder: the release.
        digest: its digest.
    """
    paths = [path for path in folder.paths if path.endswith(_SUFFIXES) and _is_one(path)]
    yield from folder.texts(paths[:_MOST], NAME, lambda text: _read(text, digest))


def _is_one(path: str) -> bool:
    return path.startswith("attestations/") or ".dsse." in path or path.endswith(".sig")


def _read(text: Text, digest: str) -> Iterator[Statement]:
    lines = text.text.splitlines() if text.path.endswith(".jsonl") else [text.text]
    for number, line in enumerate(lines[:_MOST], 1):
        value = mapping(read_json(line).value)
        value = mapping(value.get("dsseEnvelope")) or value
        if not line.strip() or "payload" not in value:
            continue
        envelope = dsse.taken_apart(value)
        at = text.line(number) if len(lines) > 1 else text.at()
        signer = next((one.key_id or "an unnamed key" for one in envelope.signatures if one.value), None)
        if signer is None:
            said = f"{printable(text.path)} has a statement that nobody signed, so it counts for nothing"
            yield Finding("attestation-unsigned", Severity.WARNING, said, (at,))
        elif digest in set(_subjects(envelope.payload)):
            yield RebuildFact(Basis.DECLARED, at, Rebuild.SIGNED, printable(signer, 100), digest)
        else:
            said = f"{printable(text.path)} is a signed statement about something else than this release"
            yield Finding("attestation-other", Severity.WARNING, said, (at,))


def _subjects(payload: bytes) -> Iterator[str]:
    try:
        subjects = mapping(json.loads(payload)).get("subject")
    except (ValueError, RecursionError):
        return
    for subject in subjects if isinstance(subjects, list) else []:
        yield str(mapping(mapping(subject).get("digest")).get("sha256", ""))
