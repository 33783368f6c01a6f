"""Tensors as bytes, in the one order and spacing we write them in."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from torch import Tensor

_ALIGNMENT = 8


def safetensors_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """float32 tensors in the safetensors format, in the one order and spacing we write it in.

    The format leaves the order of tensors and keys open and the library's choice may change, so the header is
    written here: names sorted, ``__metadata__`` first, no spaces, padded with spaces to 8 bytes; ``-0.0`` is
    written as ``+0.0``.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    parts, offset = [], 0
    for name in sorted(tensors):
        part = canonical_bytes(tensors[name])
        shape = list(tensors[name].shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(part)]}
        parts.append(part)
        offset += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def canonical_bytes(x: Tensor) -> bytes:
    """The little-endian float32 bytes of a tensor, ``-0.0`` as ``+0.0``."""
    values = x.detach().cpu().contiguous().numpy().astype("<f4", copy=True)
    values += np.float32(0.0)
    return values.tobytes()
