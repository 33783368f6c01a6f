"""The safetensors format, byte by byte. python -m pytest tests/formats/test_safetensors.py"""

import io
import json
import subprocess
import sys

import pytest
import torch

from regrow.errors import InputError
from regrow.formats.header import HEADER_LIMIT, Stored
from regrow.formats.safetensors import canonical, read_entries, read_header, safetensors_bytes

HEADER = (
    b'{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
    b'"b":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]}}'
)


def written() -> bytes:
    return safetensors_bytes({"b": torch.tensor([[1.0, -0.0]]), "a": torch.tensor([2.5])})


def file(header: object, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def faults(content: bytes, size: int | None = None) -> set[str]:
    return set(read_header(io.BytesIO(content), len(content) if size is None else size).problems.found)


def test_a_file_has_exactly_these_bytes() -> None:
    header = HEADER + b" " * (-len(HEADER) % 8)
    numbers = b"\x00\x00\x20\x40" + b"\x00\x00\x80\x3f" + b"\x00\x00\x00\x00"
    assert written() == len(header).to_bytes(8, "little") + header + numbers


def test_minus_zero_is_written_as_zero() -> None:
    assert canonical(torch.tensor([-0.0, 1.0])) == b"\x00\x00\x00\x00\x00\x00\x80\x3f"


def test_what_we_write_has_no_problems() -> None:
    content = written()
    found = read_header(io.BytesIO(content), len(content))
    assert not found.problems.found
    assert found.tensors == (Stored("a", "F32", 1, 0, 4), Stored("b", "F32", 2, 4, 12))
    assert found.metadata == {"format": "pt"}
    assert found.end == len(content) - 12


@pytest.mark.parametrize("length", range(0, 150, 7))
def test_a_file_that_breaks_off_is_no_surprise(length: int) -> None:
    assert faults(written()[:length])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "header-truncated"),
        ((1 << 62).to_bytes(8, "little"), "header-truncated"),
        (file(b"{"), "header-broken"),
        (file(b"[" * 100_000), "header-broken"),
        (file(b'{"a":NaN}'), "header-broken"),
        (file(b'{"a":1,"a":2}'), "header-duplicate-key"),
        (file({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}}), "header-shape"),
        (file({"../a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"x"), "header-name"),
        (file({"a": {"dtype": "U8", "shape": [1], "data_offsets": [4, 5]}}, b"01234"), "header-hole"),
    ],
)
def test_a_hostile_header_is_named(content: bytes, fault: str) -> None:
    assert fault in faults(content)


def test_no_header_larger_than_the_limit_is_read() -> None:
    class Watched(io.BytesIO):
        asked = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.asked += size or 0
            return super().read(size)

    content = Watched((HEADER_LIMIT + 1).to_bytes(8, "little"))
    assert "header-too-large" in read_header(content, 1 << 40).problems.found
    assert content.asked == 8


def test_entries_stand_as_they_are_written() -> None:
    content = file({"__metadata__": {}, "a": {"shape": [3, 4]}})
    assert read_entries(io.BytesIO(content), len(content)) == {"a": {"shape": [3, 4]}}


@pytest.mark.parametrize("content", [b"", file(b"{"), (HEADER_LIMIT + 1).to_bytes(8, "little") + b"{"])
def test_entries_of_no_header_are_an_error(content: bytes) -> None:
    with pytest.raises(InputError, match="safetensors header") as caught:
        read_entries(io.BytesIO(content), 1 << 40 if content[:1] == b"\x01" else len(content))
    assert caught.value.why


def test_reading_takes_no_torch() -> None:
    program = "import regrow.formats.safetensors, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
