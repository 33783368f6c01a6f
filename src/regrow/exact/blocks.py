"""The two blocks of a layer over matrices of codes, each computed by one kernel: what operations one by one give.

A token of a small model has so little to do in an operation that to ask for it takes as long. Rows may be of several
texts, each with keys and values of its own: attention goes by *stretches*, some neighbouring positions of one text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from numba import prange
from torch import Tensor

from regrow.exact.coded import SIDE, Coded, Layout
from regrow.exact.coded_products import best, parts, product, records_of
from regrow.exact.compiled import rms_norm_row
from regrow.exact.kernel import kernel, shared_kernel
from regrow.exact.ordered_attention import attend, floats_at
from regrow.exact.rows import exp

# None of these is typed.
_numba: Any = numba
_helper: Any = kernel()
_F = np.float32
_ONE = _F(1.0)
_STRETCH = 16  # positions at most: their scores fit a cache


@_helper
def _turn(head: Any, cosine: Any, sine: Any) -> None:
    """A head to its position, in its place."""
    half = cosine.shape[0]
    lower, upper = head[:half], head[half:]
    for c in range(half):
        u, v = lower[c], upper[c]
        lower[c] = u * cosine[c] - v * sine[c]
        upper[c] = v * cosine[c] + u * sine[c]


@_helper
def _add(x: Any, out: Any) -> None:
    """Add one row to another."""
    for c in range(out.shape[0]):
        out[c] = x[c] + out[c]


@dataclass(frozen=True)
class Rows:
    """Where the rows of a pass stand.

    Attributes:
        cosine: float32 ``(R, D / 2)``, of each row's position.
        sine: the same.
        stretches: int64 ``(S, 4)``: first row, one behind the last, number of the text, position of the first.
        places: int64 ``(R, 2)``: of each row, the number of its text and its position there.
    """

    cosine: Tensor
    sine: Tensor
    stretches: Any
    places: Any

    @staticmethod
    def of(firsts: list[int], counts: list[int], cosine: Tensor, sine: Tensor) -> Rows:
        """Of texts from their ``firsts`` positions on, so many of each, one behind the other."""
        stretches, places, row = [], [], 0
        for text, (first, count) in enumerate(zip(firsts, counts, strict=True)):
            for start in range(0, count, _STRETCH):
                stop = min(count, start + _STRETCH)
                stretches.append((row + start, row + stop, text, first + start))
            places += [(text, first + i) for i in range(count)]
            row += count
        return Rows(cosine, sine, np.array(stretches, np.int64), np.array(places, np.int64))


@cache
def _attention_kernel(inner: Layout, outer: Layout, way: str) -> Any:
    first_of, last_of = product(inner, way), product(outer, way)
    write_inner, read, write_outer, write = first_of.write, first_of.multiply, last_of.write, last_of.multiply

    def block(
        x: Any, gain: Any, epsilon: float, into: Any, back: Any, cosine: Any, sine: Any, stretches: Any, places: Any,
        held: Any, heads: int, groups: int, width: int, scale: Any, records: Any, normal: Any, joined: Any,
        means: Any, out: Any,
    ) -> None:  # fmt: skip
        rows, share = x.shape[0], heads // groups
        for r in prange(rows):
            rms_norm_row(x[r], gain, epsilon, normal[r], normal[r].view(np.int32))
            write_inner(normal[r], r, rows, records)
        for i in prange(parts(rows, len(into))):
            read(i, into, records, joined)
        for r in prange(rows):
            text, place = places[r, 0], places[r, 1]
            for h in range(heads + groups):
                _turn(joined[r, h * width : (h + 1) * width], cosine[r], sine[r])
            for kind in range(2):
                kept = _numba.carray(floats_at(held[text, kind]), (groups, held[text, 2], width))
                for g in range(groups):
                    start = (heads + kind * groups + g) * width
                    kept[g, place] = joined[r, start : start + width]
        for i in prange(len(stretches) * groups):
            s, g = i // groups, i % groups
            start, stop, text, first = stretches[s, 0], stretches[s, 1], stretches[s, 2], stretches[s, 3]
            before = 4 * g * held[text, 2] * width
            queries, found = (
                np.empty(((stop - start) * share, width), _F),
                np.empty(((stop - start) * share, width), _F),
            )
            for r in range(start, stop):
                for h in range(share):
                    place = (g * share + h) * width
                    queries[(r - start) * share + h] = joined[r, place : place + width]
            attend(queries, held[text, 0] + before, held[text, 1] + before, first, share, scale, found)
            for r in range(start, stop):
                for h in range(share):
                    place = (g * share + h) * width
                    means[r, place : place + width] = found[(r - start) * share + h]
        for r in prange(rows):
            write_outer(means[r], r, rows, records)
        for i in prange(parts(rows, len(back))):
            write(i, back, records, out)
        for r in prange(rows):
            _add(x[r], out[r])

    block.__qualname__ = f"attention_block.{inner.title}.{outer.title}.{way}"
    return shared_kernel(block)


def _held(keys: Tensor, values: Tensor) -> list[tuple[int, int, int]]:
    """Where the keys and values of each text are, and for how many positions there is room."""
    (batch, _, room, _), text = keys.shape, keys.stride(0) * keys.itemsize
    return [(keys.data_ptr() + text * i, values.data_ptr() + text * i, room) for i in range(batch)]


def attention(
    x: Tensor, gain: Tensor, epsilon: float, into: Coded, back: Coded, rows: Rows, keys: list[Tensor],
    values: list[Tensor], heads: int,
) -> Tensor:  # fmt: skip
    """``x`` ``(R, C)`` plus the attention of its norm, whose keys and values are written to where they are kept.

    Args:
        x: what the layer reads.
        gain: of the norm.
        epsilon: of the norm.
        into: what makes queries, keys and values, one behind the other.
        back: what makes the result of the heads.
        rows: where they stand.
        keys: of some texts each, one after the other, ``(B, G, S, D)``, with room for the new ones.
        values: the same.
        heads: of queries.
    """
    _, groups, _, width = keys[0].shape
    held = np.array([text for pair in zip(keys, values, strict=True) for text in _held(*pair)], np.int64)
    count, depth = len(x), max(into.runs.shape[1], back.runs.shape[1])
    given = (x, gain, into.runs, back.runs, rows.cosine, rows.sine)
    x_, gain_, into_, back_, cosine, sine = (tensor.numpy() for tensor in given)
    out = torch.empty((count, back.runs.shape[0] * SIDE))
    _attention_kernel(into.layout, back.layout, best())(
        x_, gain_, epsilon, into_, back_, cosine, sine, rows.stretches, rows.places, held, heads, groups, width,
        _F(1.0 / math.sqrt(width)), records_of(count, depth), np.empty_like(x_),
        np.empty((count, into.runs.shape[0] * SIDE), _F), np.empty((count, heads * width), _F), out.numpy(),
    )  # fmt: skip
    return out


@cache
def _mlp_kernel(inner: Layout, outer: Layout, way: str) -> Any:
    first_of, last_of = product(inner, way), product(outer, way)
    write_inner, read, write_outer, write = first_of.write, first_of.multiply, last_of.write, last_of.multiply

    def block(
        x: Any, gain: Any, epsilon: float, into: Any, back: Any, records: Any, normal: Any, joined: Any, active: Any,
        out: Any,
    ) -> None:  # fmt: skip
        rows, hidden = x.shape[0], active.shape[1]
        for r in prange(rows):
            rms_norm_row(x[r], gain, epsilon, normal[r], normal[r].view(np.int32))
            write_inner(normal[r], r, rows, records)
        for i in prange(parts(rows, len(into))):
            read(i, into, records, joined)
        for r in prange(rows):
            for c in range(hidden):
                gate = joined[r, c]
                active[r, c] = (gate * (_ONE / (_ONE + exp(-gate)))) * joined[r, hidden + c]
            write_outer(active[r], r, rows, records)
        for i in prange(parts(rows, len(back))):
            write(i, back, records, out)
        for r in prange(rows):
            _add(x[r], out[r])

    block.__qualname__ = f"mlp_block.{inner.title}.{outer.title}.{way}"
    return shared_kernel(block)


def mlp(x: Tensor, gain: Tensor, epsilon: float, into: Coded, back: Coded) -> Tensor:
    """``x`` ``(R, C)`` plus SwiGLU of its norm; ``into`` makes gate and up, one behind the other, ``back`` all."""
    count, depth = len(x), max(into.runs.shape[1], back.runs.shape[1])
    x_, gain_, into_, back_ = (tensor.numpy() for tensor in (x, gain, into.runs, back.runs))
    out = torch.empty((count, back.runs.shape[0] * SIDE))
    _mlp_kernel(into.layout, back.layout, best())(
        x_, gain_, epsilon, into_, back_, records_of(count, depth), np.empty_like(x_),
        np.empty((count, into.runs.shape[0] * SIDE), _F), np.empty((count, back.columns), _F), out.numpy(),
    )  # fmt: skip
    return out
