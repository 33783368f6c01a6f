"""Numbers as GGML stores them: the definition, against the package of llama.cpp where that has one."""

from __future__ import annotations

import gguf as library
import numpy as np
import pytest

from regrow.formats.gguf_blocks import BLOCK, ENCODED, UnfitError, bfloat16, encode


def rows() -> np.ndarray:
    """Numbers of many sizes, blocks of zeros and of one number, and ties."""
    random = np.random.default_rng(7)
    found = (random.standard_normal((400, 64)) * 10.0 ** random.integers(-4, 3, (400, 1))).astype(np.float32)
    found[0] = 0
    found[1] = 0.25
    found[2, :32] = np.arange(-16, 16)
    found[3] = np.where(np.arange(64) % 2, 127, 0.5)
    return found


@pytest.mark.parametrize("type", ENCODED)
def test_bytes_are_those_of_the_library_but_where_it_loses_digits(type: str) -> None:
    kind = library.GGMLQuantizationType[type]
    theirs = library.quants.quantize(rows(), kind).view(np.uint8).reshape(-1)
    ours = np.frombuffer(encode(rows(), type), np.uint8)
    assert ours.shape == theirs.shape
    assert int((ours != theirs).sum()) <= (0 if type in ("F32", "F16", "BF16", "Q8_0") else 5)


@pytest.mark.parametrize(
    ("type", "most"), [("Q8_0", 1 / 250), ("Q4_0", 1 / 7.9), ("Q4_1", 1 / 15.7), ("Q5_0", 1 / 15.9)]
)
def test_numbers_are_at_most_half_a_step_away(type: str, most: float) -> None:
    """Half a step of the scale; around zero, the largest number of the other sign is cut off by up to one step."""
    block = np.linspace(-1, 0.9, BLOCK, dtype=np.float32)[None]
    kind = library.GGMLQuantizationType[type]
    back = library.quants.dequantize(np.frombuffer(encode(block, type), np.uint8)[None], kind)
    assert float(np.abs(back - block).max()) <= most * 1.02


def test_halves_and_products_are_exact() -> None:
    """A product in float32 would be rounded up to the next half, and the code with it."""
    block = np.zeros((1, BLOCK), np.float32)
    block[0, 0], block[0, 1] = -7.0, np.nextafter(np.float32(0.4375), np.float32(0))  # scale 7 / 8, half a step
    codes = np.frombuffer(encode(block, "Q4_0"), np.uint8)[2:] & 15
    exact = float(block[0, 1]) * float(np.float32(1) / np.float32(0.875)) + 8.5
    assert codes[0] == 0
    assert codes[1] == int(exact)


def test_two_zeros_are_one() -> None:
    """Which of them is the smaller is up to the machine."""
    block = np.zeros((1, BLOCK), np.float32)
    block[0, ::2] = -0.0
    for type in ("Q4_1", "Q5_1"):
        assert encode(block, type) == bytes(len(encode(block, type)))


@pytest.mark.parametrize("type", ENCODED)
def test_numbers_that_do_not_fit_are_refused(type: str) -> None:
    block = np.zeros((1, BLOCK), np.float32)
    block[0, 3] = np.nan
    with pytest.raises(UnfitError, match="infinite or not a number"):
        encode(block, type)
    block[0, 3] = np.finfo(np.float32).max
    if type == "F32":
        assert encode(block, type) == block.tobytes()
    else:
        with pytest.raises(UnfitError, match="too large"):
            encode(block, type)


def test_scales_that_have_no_reciprocal_give_zeros() -> None:
    block = np.full((1, BLOCK), 1e-44, np.float32)
    assert np.frombuffer(encode(block, "Q8_0"), np.uint8)[2:].max() == 0


def test_bfloat16_is_the_nearest_with_ties_to_even() -> None:
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0xBF808000], np.uint32)
    assert bfloat16(bits.view(np.float32)).tolist() == [0x3F80, 0x3F82, 0x3F81, 0x3F80, 0xBF80]
