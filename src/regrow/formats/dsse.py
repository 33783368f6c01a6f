"""DSSE, the envelope for signed statements: what is signed, how it is read from strangers, how it is written.

An envelope has a payload, the type of the payload, and signatures over both. Nothing here knows what is stated or
whose keys are trusted; :mod:`regrow.formats.keys` makes and checks signatures.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

IN_TOTO = "application/vnd.in-toto+json"
"""The type of a payload that is an in-toto statement."""

LARGEST = 16 << 20
"""Bytes of an envelope; a statement about a model has a few thousand."""

MOST_SIGNATURES = 100


@dataclass(frozen=True)
class Signature:
    """A signature, and the name of its key as whoever signed gives it, or empty."""

    key_id: str
    value: bytes


@dataclass(frozen=True)
class Envelope:
    """An envelope, as far as it makes sense.

    Attributes:
        payload_type: what kind of thing was signed.
        payload: its bytes.
        signatures: those that can be read.
        faults: what cannot be read, one line each; empty for an envelope that is sound.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]
    faults: tuple[str, ...] = ()

    @property
    def signed(self) -> bytes:
        """DSSE's pre-authentication encoding, which signatures are over: it names its own type and lengths."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)

    @property
    def document(self) -> dict[str, Any]:
        """The envelope as JSON has it."""
        signatures = [{"keyid": one.key_id, "sig": _base64(one.value)} for one in self.signatures]
        return {"payload": _base64(self.payload), "payloadType": self.payload_type, "signatures": signatures}


def read(data: bytes) -> Envelope:
    """Read an envelope from its file. Whatever the bytes are, this gives an envelope and what is wrong with it."""
    if len(data) > LARGEST:
        return Envelope("", b"", (), (f"it has more than {LARGEST:,} bytes",))
    try:
        return taken_apart(json.loads(data))
    except (ValueError, RecursionError) as error:
        return Envelope("", b"", (), (f"it is not JSON: {error}",))


def taken_apart(value: Any) -> Envelope:
    """Read an envelope that was already parsed."""
    if not isinstance(value, dict):
        return Envelope("", b"", (), ("it is not a JSON object",))
    faults: list[str] = []
    kind = value.get("payloadType")
    if not isinstance(kind, str):
        faults.append("it does not say what kind of thing its payload is")
    payload = _bytes(value.get("payload"))
    if payload is None:
        faults.append("its payload is not base64")
    signatures = tuple(_signatures(value.get("signatures"), faults))
    return Envelope(kind if isinstance(kind, str) else "", payload or b"", signatures, tuple(faults))


def write(envelope: Envelope) -> bytes:
    """Write an envelope, in the one way we write it."""
    return json.dumps(envelope.document, indent=1, sort_keys=True).encode() + b"\n"


def _signatures(value: Any, faults: list[str]) -> Iterator[Signature]:
    if not isinstance(value, list):
        faults.append("its signatures are not a list")
        return
    if len(value) > MOST_SIGNATURES:
        faults.append(f"of its {len(value):,} signatures {MOST_SIGNATURES} were read")
    for number, entry in enumerate(value[:MOST_SIGNATURES], 1):
        signature = _bytes(entry.get("sig")) if isinstance(entry, dict) else None
        if signature is None:
            faults.append(f"signature {number} is not base64")
        else:
            yield Signature(str(entry.get("keyid") or ""), signature)


def _bytes(value: Any) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except ValueError:
        return None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
