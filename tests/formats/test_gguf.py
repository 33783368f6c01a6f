"""The header of GGUF, byte by byte. python -m pytest tests/formats/test_gguf.py"""

import io
import struct
import time

import pytest

from regrow.formats.gguf import METADATA_LIMIT, read_header
from regrow.formats.header import Stored


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def preamble(tensors: int = 0, values: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, values)


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: str, shape: tuple[int, ...], kind: int, begin: int = 0) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", kind, begin)


def padded(header: bytes, data: bytes) -> bytes:
    return header + b"\0" * (-len(header) % 32) + data


SOUND = padded(
    preamble(1, 2)
    + pair("general.architecture", 8, text("llama"))
    + pair("tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b"))
    + tensor("w", (32, 2), 2),
    b"\1" * 36,
)


def faults(content: bytes, size: int | None = None) -> set[str]:
    return set(read_header(io.BytesIO(content), len(content) if size is None else size).problems.found)


def test_a_sound_header_is_read() -> None:
    found = read_header(io.BytesIO(SOUND), len(SOUND))
    assert not found.problems.found
    assert (found.version, found.values) == (3, {"general.architecture": "llama", "tokens": 2})
    assert found.tensors == (Stored("w", "Q4_0", 64, 0, 36, (2, 32)),)


@pytest.mark.parametrize("length", range(0, len(SOUND), 5))
def test_a_file_that_breaks_off_is_no_surprise(length: int) -> None:
    assert faults(SOUND[:length])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"GGML" + b"\0" * 20, "header-broken"),
        (preamble(version=1), "header-version"),
        (preamble(version=3 << 24), "header-version"),
        (preamble(tensors=1 << 60), "header-too-large"),
        (preamble(values=1) + struct.pack("<Q", 1 << 63), "header-past-end"),
        (preamble(values=1) + pair("k", 77, b""), "header-broken"),
        (preamble(values=1) + pair("k", 9, struct.pack("<IQ", 4, 1 << 62)), "header-past-end"),
        (preamble(1) + tensor("w", (1 << 40, 1 << 40), 0), "header-shape"),
        (preamble(1) + text("w") + struct.pack("<I", 1 << 31), "header-shape"),
        (preamble(1) + tensor("/etc/passwd", (1,), 0), "header-name"),
        (preamble(1) + tensor("w", (33,), 2), "header-shape"),
        (preamble(1) + tensor("w", (4,), 12_345), "header-unknown-type"),
        (padded(preamble(1) + tensor("w", (4,), 0), b"\0" * 12), "header-past-end"),
        (preamble(), "header-empty"),
    ],
)
def test_a_hostile_header_is_named(content: bytes, fault: str) -> None:
    assert fault in faults(content)


def test_no_more_is_read_than_the_limit() -> None:
    assert "header-too-large" in faults(preamble(values=1) + struct.pack("<Q", METADATA_LIMIT), 1 << 50)


def test_arrays_in_arrays_end() -> None:
    begin = time.monotonic()
    nested = b"".join(struct.pack("<IQ", 9, 1 << 20) for _ in range(100))
    assert "header-broken" in faults(preamble(values=1) + pair("k", 9, nested))
    assert time.monotonic() - begin < 5
