"""DSSE envelopes, byte by byte. python -m pytest tests/formats/test_dsse.py"""

import json
from typing import Any

import pytest

from regrow.formats import dsse
from regrow.formats.dsse import Envelope, Signature

SOUND = Envelope("text/plain", b"hello", (Signature("ada", b"\x01\x02"),))
WRITTEN = b"""{
 "payload": "aGVsbG8=",
 "payloadType": "text/plain",
 "signatures": [
  {
   "keyid": "ada",
   "sig": "AQI="
  }
 ]
}
"""


def test_what_is_signed_names_type_and_lengths() -> None:
    assert SOUND.signed == b"DSSEv1 10 text/plain 5 hello"
    assert Envelope("", b"", ()).signed == b"DSSEv1 0  0 "
    assert Envelope("\u00e9", b" ", ()).signed == b"DSSEv1 2 \xc3\xa9 1  "


def test_an_envelope_has_exactly_these_bytes() -> None:
    assert dsse.write(SOUND) == WRITTEN


def test_what_is_written_is_read() -> None:
    assert dsse.read(WRITTEN) == SOUND


def envelope(**fields: Any) -> dict[str, Any]:
    return {**json.loads(WRITTEN), **fields}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, "not a JSON object"),
        ([], "not a JSON object"),
        ({}, "what kind of thing"),
        (envelope(payloadType=7), "what kind of thing"),
        (envelope(payload="%"), "payload is not base64"),
        (envelope(payload=None), "payload is not base64"),
        (envelope(payload="\u00e9"), "payload is not base64"),
        (envelope(signatures=7), "not a list"),
        (envelope(signatures=[{"sig": 1}]), "signature 1 is not base64"),
        (envelope(signatures=["AQI="]), "signature 1 is not base64"),
        (envelope(signatures=[{"sig": "AQI="}] * 101), "of its 101 signatures 100 were read"),
    ],
)
def test_what_makes_no_sense_is_told(value: Any, fault: str) -> None:
    found = dsse.taken_apart(value)
    assert any(fault in one for one in found.faults)
    assert len(found.signatures) <= dsse.MOST_SIGNATURES


def test_one_signature_that_cannot_be_read_hides_no_other() -> None:
    found = dsse.taken_apart(envelope(signatures=[{"sig": "%"}, {"sig": "AQI="}]))
    assert found.signatures == (Signature("", b"\x01\x02"),)
    assert found.faults == ("signature 1 is not base64",)


@pytest.mark.parametrize("data", [b"", b"{", WRITTEN[:40], b"\xff", b"[" * 100_000, b"{" + b" " * dsse.LARGEST])
def test_bytes_that_are_no_envelope_are_told(data: bytes) -> None:
    found = dsse.read(data)
    assert found.faults
    assert not found.signatures
