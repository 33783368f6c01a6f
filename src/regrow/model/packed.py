"""Matrices as small integers: each group of a row shares the number by which its integers are multiplied.

The files are those of compressed-tensors, ``pack-quantized``: instead of ``X.weight`` there are ``X.weight_packed``,
int32 words with the integers side by side, the first lowest and each raised to be positive; ``X.weight_scale``; and
``X.weight_shape``. Scales have no more digits than a float16 and are written as float32: then integer times scale is
the same float32 number for everybody, and for a block of a GGUF file too, whose scales are float16.

Example:
    >>> values = Codes(integers, scales, bits=4).values()
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrow.model.config import DecoderConfig
from regrow.model.pieces import Form

METHOD = "compressed-tensors"
FORMAT = "pack-quantized"
BITS = (4, 8)
"""Of an integer: those that fill bytes without a rest."""

_PACKED, _SCALE, _SHAPE = "weight_packed", "weight_scale", "weight_shape"
_WORD = 32
_SCALES = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class Codes:
    """A matrix of R rows and C columns.

    Attributes:
        integers: int8 ``(R, C)``, within ``-2**(bits - 1) .. 2**(bits - 1) - 1``.
        scales: float32 ``(R, C / group)``.
        bits: of an integer.
    """

    integers: Tensor
    scales: Tensor
    bits: int

    @property
    def group(self) -> int:
        """Neighbours in a row that share a scale."""
        return self.integers.shape[1] // self.scales.shape[1]

    def values(self) -> Tensor:
        """What they stand for, float32 ``(R, C)``; every product is rounded once."""
        return self.integers.to(torch.float32) * self.scales.repeat_interleave(self.group, 1)

    def apart(self, form: Form, config: DecoderConfig) -> list[Codes]:
        """The pieces that others cut it into: rows of integers and of their scales go the same ways."""
        pieces = zip(form.apart(config, self.integers), form.apart(config, self.scales), strict=True)
        return [Codes(integers, scales, self.bits) for integers, scales in pieces]


def tensors(module: str, codes: Codes) -> dict[str, Tensor]:
    """A matrix as the tensors of a file."""
    found = {
        _PACKED: _words(codes.integers, codes.bits),
        _SCALE: codes.scales,
        _SHAPE: torch.tensor(codes.integers.shape, dtype=torch.int64),
    }
    return {f"{module}.{name}": tensor for name, tensor in found.items()}


def is_scale(name: str) -> bool:
    """Whether it is the name of scales, which stay float32: an integer times one of them is to be the same number."""
    return name.endswith(f".{_SCALE}")


def description(codes: Codes, ignored: Iterable[str]) -> dict[str, Any]:
    """The ``quantization_config`` of a ``config.json``: how matrices such as these are packed, and which are not.

    Args:
        codes: one of the matrices; all have the same bits and groups.
        ignored: modules whose matrices are as they were.
    """
    weights = {
        "dynamic": False,
        "group_size": codes.group,
        "num_bits": codes.bits,
        "strategy": "group",
        "symmetric": True,
        "type": "int",
    }
    return {
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "format": FORMAT,
        "ignore": sorted(ignored),
        "quant_method": METHOD,
        "quantization_status": "compressed",
    }


class Stored:
    """A packed matrix in a file, to be asked as the library for safetensors is asked for a tensor.

    Raises:
        ValueError: if its three tensors do not fit together, in words.
    """

    def __init__(self, file: Any, module: str) -> None:
        self._file, self._module = file, module
        packed, scale, shape = (file.get_slice(f"{module}.{name}") for name in (_PACKED, _SCALE, _SHAPE))
        if (packed.get_dtype(), shape.get_dtype(), shape.get_shape()) != ("I32", "I64", [2]):
            raise ValueError(f"`{module}.{_PACKED}` and `{module}.{_SHAPE}` are not of the types that they should be")
        if (kind := scale.get_dtype()) not in _SCALES:
            raise ValueError(f"`{module}.{_SCALE}` holds numbers of the type {kind}")
        self._shape = self._checked(file.get_tensor(f"{module}.{_SHAPE}"), packed.get_shape(), scale.get_shape())

    def _checked(self, said: Tensor, packed: list[int], scales: list[int]) -> tuple[int, int]:
        """The rows and columns that all three tensors agree on."""
        rows, columns = map(int, said)
        if len(packed) == len(scales) == 2 and packed[0] == scales[0] == rows > 0 and 0 < columns < 2**31:
            self.bits, rest = divmod(packed[1] * _WORD, columns)
            if self.bits in BITS and not rest and scales[1] > 0 and not columns % scales[1]:
                return rows, columns
        raise ValueError(
            f"`{self._module}` is packed as {packed} with scales {scales} for a matrix {[rows, columns]}; "
            f"what can be read are integers of {' or '.join(map(str, BITS))} bits, with a scale for a row or for each "
            "group of it"
        )

    def get_slice(self, name: str) -> Stored:
        """Itself, which knows its shape and type."""
        return self

    def get_shape(self) -> list[int]:
        """Of the matrix that it stands for."""
        return list(self._shape)

    def get_dtype(self) -> str:
        """Of the numbers that it stands for."""
        return "F32"

    def get_tensor(self, name: str) -> Tensor:
        """The numbers that it stands for."""
        return self.codes().values()

    def codes(self) -> Codes:
        """The matrix."""
        words, scales = (self._file.get_tensor(f"{self._module}.{name}") for name in (_PACKED, _SCALE))
        return Codes(_integers(words, self.bits), scales.to(torch.float32), self.bits)


def unpacked(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors by name, each with the file that has it, where one takes the place of the three of a packed matrix.

    Raises:
        ValueError: if one is not as it should be, in words.
    """
    modules = [name.removesuffix(f".{_PACKED}") for name in stored if name.endswith(f".{_PACKED}")]
    found = dict(stored)
    for module in modules:
        parts = [f"{module}.{name}" for name in (_PACKED, _SCALE, _SHAPE)]
        if missing := next((part for part in parts if part not in stored), ""):
            raise ValueError(f"there is no `{missing}` to `{parts[0]}`")
        if f"{module}.weight_zero_point" in stored:
            raise ValueError(f"the integers of `{module}` have zero points, and only symmetric ones are read")
        if f"{module}.weight" in stored:
            raise ValueError(f"`{module}.weight` is there, and packed too")
        packed = Stored(stored[parts[0]], module)
        for part in parts:
            del found[part]
        found[f"{module}.weight"] = packed
    return found


def _words(integers: Tensor, bits: int) -> Tensor:
    """int32 ``(R, C * bits / 32)``."""
    raised = (integers.numpy().astype(np.int16) + (1 << (bits - 1))).astype(np.uint8)
    octets = raised if bits == 8 else raised[:, 0::2] | (raised[:, 1::2] << 4)
    return torch.from_numpy(np.ascontiguousarray(octets).view("<i4").astype(np.int32))


def _integers(words: Tensor, bits: int) -> Tensor:
    """The inverse."""
    octets = words.contiguous().numpy().astype("<i4").view(np.uint8)
    raised = octets if bits == 8 else np.stack((octets & 15, octets >> 4), 2).reshape(len(octets), -1)
    return torch.from_numpy((raised.astype(np.int16) - (1 << (bits - 1))).astype(np.int8))
