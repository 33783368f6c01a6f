"""Blocks of layers over matrices of codes, one behind the other in one kernel: what operations one by one give.

A token of a small model has so little to do in an operation, and in all of a layer, that to ask for it takes as long.
So weights, keys and values are handed over as addresses, those of all layers at once. Rows may be of several texts,
each with keys and values of its own: attention goes by *stretches*, some neighbouring positions of one text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import prange
from torch import Tensor

from regrow.exact.coded import SIDE, Coded, Layout
from regrow.exact.coded_products import best, parts, product, records_of
from regrow.exact.compiled import rms_norm_row
from regrow.exact.kernel import bytes_at, floats_at, kernel, shared_kernel
from regrow.exact.ordered_attention import attend, folded
from regrow.exact.rows import exp
from regrow.exact.threads import THREADS

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
def _add(y: Any, x: Any) -> None:
    """Add a row to another one."""
    for c in range(x.shape[0]):
        x[c] = x[c] + y[c]


@_helper
def _activate(joined: Any, active: Any) -> None:
    """SwiGLU of a row of gates, and then as many others."""
    hidden = active.shape[0]
    for c in range(hidden):
        gate = joined[c]
        active[c] = (gate * (_ONE / (_ONE + exp(-gate)))) * joined[hidden + c]


@_helper
def _runs(address: int, rows: int, columns: int, block: int, size: int) -> Any:
    """A matrix of codes, uint8 ``(N / 16, K / block, bytes of a run)``."""
    return _numba.carray(bytes_at(address), (rows // SIDE, columns // block, size))


@dataclass(frozen=True)
class Block:
    """What a block of a layer has for weights.

    Attributes:
        gain: of its norm, float32 ``(C,)``.
        into: what makes queries, keys and values, or gate and up, one behind the other.
        back: what makes the result of the heads, or of the products of gate and up.
    """

    gain: Tensor
    into: Coded
    back: Coded

    @property
    def kind(self) -> tuple[Layout, Layout]:
        """What those that one kernel computes have in common, besides their shapes."""
        return self.into.layout, self.back.layout

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Where they are."""
        return self.gain.data_ptr(), self.into.runs.data_ptr(), self.back.runs.data_ptr()


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


def _either(first: tuple[Layout, Layout] | None, second: tuple[Layout, Layout] | None) -> tuple[Layout, Layout]:
    found = first or second
    if found is None:
        raise ValueError("a kernel of no blocks was asked for")
    return found


@cache
def _kernel(attends: tuple[Layout, Layout] | None, feeds: tuple[Layout, Layout] | None, way: str) -> Any:
    """Of as many attention blocks, MLP blocks, or layers of both as its table has rows."""
    has_attention, has_mlp = attends is not None, feeds is not None
    # What is not there is not compiled, but has to have a name.
    (inner, outer), (gates, down) = _either(attends, feeds), _either(feeds, attends)
    write_inner, read_inner = product(inner, way).write, product(inner, way).multiply
    write_outer, read_outer = product(outer, way).write, product(outer, way).multiply
    write_gates, read_gates = product(gates, way).write, product(gates, way).multiply
    write_down, read_down = product(down, way).write, product(down, way).multiply
    inner_block, inner_run, outer_block, outer_run = inner.block, inner.run, outer.block, outer.run
    gates_block, gates_run, down_block, down_run = gates.block, gates.run, down.block, down.run

    def compute(
        x: Any, table: Any, epsilon: float, cosine: Any, sine: Any, stretches: Any, places: Any, held: Any, heads: int,
        groups: int, scale: Any, records: Any, normal: Any, joined: Any, means: Any, gated: Any, active: Any, made: Any,
    ) -> None:  # fmt: skip
        rows, columns = x.shape
        for layer in range(len(table)):
            if has_attention:
                share, width = heads // groups, means.shape[1] // heads
                gain = _numba.carray(floats_at(table[layer, 0]), (columns,))
                into = _runs(table[layer, 1], joined.shape[1], columns, inner_block, inner_run)
                back = _runs(table[layer, 2], columns, means.shape[1], outer_block, outer_run)
                for r in prange(rows):
                    rms_norm_row(x[r], gain, epsilon, normal[r], normal[r].view(np.int32))
                    write_inner(normal[r], r, rows, records)
                for i in prange(parts(rows, len(into))):
                    read_inner(i, into, records, joined)
                for r in prange(rows):
                    text, place = places[r, 0], places[r, 1]
                    for h in range(heads + groups):
                        _turn(joined[r, h * width : (h + 1) * width], cosine[r], sine[r])
                    for kind in range(2):
                        where = held[layer, text, kind]
                        kept = _numba.carray(floats_at(where[0]), (groups, where[1], width))
                        for g in range(groups):
                            start = (heads + kind * groups + g) * width
                            kept[g, place] = joined[r, start : start + width]
                for i in prange(len(stretches) * groups):
                    s, g = folded(i // groups, len(stretches)), i % groups
                    start, stop, text, first = stretches[s, 0], stretches[s, 1], stretches[s, 2], stretches[s, 3]
                    queries = np.empty(((stop - start) * share, width), _F)
                    found = np.empty(((stop - start) * share, width), _F)
                    for r in range(start, stop):
                        for h in range(share):
                            place = (g * share + h) * width
                            queries[(r - start) * share + h] = joined[r, place : place + width]
                    keys, values = held[layer, text, 0], held[layer, text, 1]
                    before = 4 * g * width
                    attend(
                        queries, keys[0] + before * keys[1], values[0] + before * values[1], first, share, scale, found
                    )
                    for r in range(start, stop):
                        for h in range(share):
                            place = (g * share + h) * width
                            means[r, place : place + width] = found[(r - start) * share + h]
                for r in prange(rows):
                    write_outer(means[r], r, rows, records)
                for i in prange(parts(rows, len(back))):
                    read_outer(i, back, records, made)
                for r in prange(rows):
                    _add(made[r], x[r])
            if has_mlp:
                norm = _numba.carray(floats_at(table[layer, 3]), (columns,))
                both = _runs(table[layer, 4], gated.shape[1], columns, gates_block, gates_run)
                last = _runs(table[layer, 5], columns, active.shape[1], down_block, down_run)
                for r in prange(rows):
                    rms_norm_row(x[r], norm, epsilon, normal[r], normal[r].view(np.int32))
                    write_gates(normal[r], r, rows, records)
                for i in prange(parts(rows, len(both))):
                    read_gates(i, both, records, gated)
                for r in prange(rows):
                    _activate(gated[r], active[r])
                    write_down(active[r], r, rows, records)
                for i in prange(parts(rows, len(last))):
                    read_down(i, last, records, made)
                for r in prange(rows):
                    _add(made[r], x[r])

    titles = (layout.title for pair in (attends, feeds) for layout in pair or ())
    compute.__qualname__ = ".".join(("layers", f"{has_attention:d}{has_mlp:d}", *titles, way))
    return shared_kernel(compute)


def compute(
    x: Tensor, epsilon: float, attentions: Sequence[Block], mlps: Sequence[Block], rows: Rows, held: Any, heads: int,
    groups: int,
) -> Tensor:  # fmt: skip
    """What blocks of one kind and shape make of ``x``, ``(R, C)``, each of what the one before gave.

    Args:
        x: what the first one reads.
        epsilon: of the norms.
        attentions: the attention blocks, each before the MLP block of the same number if there are such.
        mlps: the MLP blocks.
        rows: where the rows stand.
        held: int64 ``(L, texts, 2, 2)``: of each attention block and text the address of the keys, float32
            ``(G, S, D)``, and S; then of the values. Those of the rows are written there.
        heads: of queries.
        groups: heads of keys.
    """
    nothing = [(0, 0, 0)] * max(len(attentions), len(mlps))
    pairs = zip(*([block.addresses for block in some] or nothing for some in (attentions, mlps)), strict=True)
    table = np.array([[*first, *second] for first, second in pairs], np.int64)
    (count, _), kinds = x.shape, [some[0] if some else None for some in (attentions, mlps)]

    def room(block: Block | None) -> Any:
        return np.empty((count, 0 if block is None else block.into.runs.shape[0] * SIDE), _F)

    def inside(block: Block | None) -> Any:
        return np.empty((count, 0 if block is None else block.back.columns), _F)

    out = x.clone()
    joined, means, gated, active = (make(block) for block in kinds for make in (room, inside))
    matrices = [one for block in kinds if block for one in (block.into, block.back)]
    blocks, width = max(one.runs.shape[1] for one in matrices), means.shape[1] // heads
    _kernel(*(block.kind if block else None for block in kinds), best())(
        out.numpy(), table, epsilon, rows.cosine.numpy(), rows.sine.numpy(), rows.stretches, rows.places, held, heads,
        groups, _F(1.0 / math.sqrt(width or 1)), records_of(count, blocks), np.empty(out.shape, _F), joined, means,
        gated, active, np.empty(out.shape, _F),
        threads=THREADS.worth(sum(one.nbytes for one in matrices) + joined.nbytes + gated.nbytes),
    )  # fmt: skip
    return out
