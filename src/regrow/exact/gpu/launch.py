"""The CUDA kernels as functions of torch tensors: what ``regrow.exact.backend.Kernels`` asks for.

With ``TRITON_INTERPRET=1`` in the environment the same kernels run on CPU tensors in Triton's interpreter, slowly. That
proves their logic, indices and masks, and the sequence of operations as written; that the compiler keeps to the
sequence is proved by what it compiles to (``tests/exact/test_triton.py``) and, on the machine itself, by the self-test.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
from torch import Tensor

from regrow.exact import definition
from regrow.exact.blend import Blend
from regrow.exact.definition import add_to_levels as add_to_levels  # no kernels of its own yet, as the next three
from regrow.exact.definition import coded_product as coded_product
from regrow.exact.definition import ordered_attention as ordered_attention
from regrow.exact.definition import ordered_product as ordered_product
from regrow.exact.definition import raise_levels as raise_levels
from regrow.exact.gpu import kernels
from regrow.exact.grid import Digits, Layout, Numbers, exponents

name = "triton"

# Entries of the tile of a program: 16 for each of the 128 threads that Triton gives it, enough loads on their way to
# keep the memory busy, and few enough registers that several programs share a processor.
ENTRIES = 2048


def start(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Run a kernel where its tensors are, each product and sum rounded on its own. Without programs, do nothing."""
    # Triton launches on the current device, not on that of the tensors. Fusion is what it does unless told otherwise.
    if min(grid) > 0:
        with torch.cuda.device_of(arguments[0]):
            kernel[grid](*arguments, **constants, enable_fp_fusion=False)


def _shape(columns: int) -> dict[str, int]:
    """Rows and columns of a tile: as wide as the matrix, up to a row alone, so that loads run along the memory."""
    width = min(triton.next_power_of_2(columns), ENTRIES)
    return {"BR": ENTRIES // width, "BC": width}


def _by_rows(kernel: Any, rows: int, columns: int, *arguments: Any, **constants: Any) -> None:
    """Run a kernel whose programs have all columns of some rows."""
    shape = _shape(columns)
    start(kernel, (triton.cdiv(rows, shape["BR"]),), *arguments, **shape, **constants)


def _by_tiles(kernel: Any, rows: int, columns: int, *arguments: Any, groups: int = 1, **constants: Any) -> None:
    """Run a kernel whose programs have a tile each of one of the groups."""
    shape = _shape(columns)
    tiles = triton.cdiv(rows, shape["BR"]) * triton.cdiv(columns, shape["BC"])
    start(kernel, (groups * tiles,), *arguments, **shape, **constants)


def _by_entries(kernel: Any, x: Tensor, *arguments: Any, **constants: Any) -> None:
    """Run a kernel whose programs have some entries of flat tensors."""
    start(kernel, (triton.cdiv(x.numel(), ENTRIES),), *arguments, **constants, BLOCK=ENTRIES)


def rows_apart(x: Tensor) -> Tensor:
    """``x`` with its last axis dense; the others may have any strides."""
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


def require_dense(*tensors: Tensor) -> None:
    """What is written in place cannot be copied first."""
    assert all(x.stride(-1) == 1 or x.shape[-1] == 1 for x in tensors), "columns are not dense"


def split(x: Tensor, layout: Layout, dtype: torch.dtype) -> Digits:
    """See :func:`regrow.exact.definition.split`."""
    groups, rows, columns = x.shape
    x = x.contiguous()
    data = torch.empty(layout.shape(groups, rows, columns), dtype=dtype, device=x.device)
    e = torch.empty((groups, rows if layout.by_row else columns), dtype=torch.int32, device=x.device)
    row, digit = (columns, rows * columns) if layout.stacked else (2 * columns, columns)
    strides = (rows, columns, 2 * rows * columns, row, digit)
    if layout.by_row:
        count = groups * rows
        _by_rows(kernels.split_rows, count, columns, x, data, e, count, *strides, RIGHT=layout.right)
    else:
        largest = _column_bits(x)
        arguments = (x, largest, data, e, *strides)
        _by_tiles(kernels.split_columns, rows, columns, *arguments, groups=groups, RIGHT=layout.right)
    return Digits(data, e, layout)


def numbers(x: Tensor, layout: Layout) -> Numbers:
    """What :func:`split` brings to grids, as it is, and what its exponents follow from."""
    x = x.contiguous()
    return Numbers(x, layout, _largest(x, layout))


def largest(operand: Numbers) -> Tensor:
    """The largest bit pattern of each group."""
    return _largest(operand.data, operand.layout) if operand.bits is None else operand.bits


def _largest(x: Tensor, layout: Layout) -> Tensor:
    return row_bits(x.reshape(-1, x.shape[2])).view(x.shape[:2]) if layout.by_row else _column_bits(x)


def _column_bits(x: Tensor) -> Tensor:
    """The largest bit patterns of the columns of ``(G, R, C)``."""
    groups, rows, columns = x.shape
    largest = torch.zeros((groups, columns), dtype=torch.int32, device=x.device)
    _by_tiles(kernels.column_bits, rows, columns, x, largest, rows, columns, groups=groups)
    return largest


def combine(high: Tensor, cross: Tensor, left: Tensor, right: Tensor, out: Tensor) -> None:
    """See :func:`regrow.exact.definition.combine`."""
    high, cross, left, right = (rows_apart(x) for x in (high, cross, left, right))
    require_dense(out)
    groups, rows, columns = high.shape
    strides = (*high.stride()[:2], *cross.stride()[:2], left.stride(0), right.stride(0), *out.stride()[:2])
    arguments = (high, cross, left, right, out, rows, columns, *strides)
    _by_tiles(kernels.combine, rows, columns, *arguments, groups=groups)


def accumulate(top: Tensor, middle: Tensor, bottom: Tensor, total: Tensor) -> None:
    """See :func:`regrow.exact.definition.accumulate`."""
    assert total.is_contiguous()
    top, middle, bottom = (rows_apart(x) for x in (top, middle, bottom))
    rows, columns = total.shape
    strides = (top.stride(0), middle.stride(0), bottom.stride(0))
    _by_tiles(kernels.accumulate, rows, columns, top, middle, bottom, total, rows, columns, *strides)


def round_total(total: Tensor, scale: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.round_total`."""
    rows, columns = total.shape
    out = torch.empty(total.shape, dtype=torch.float32, device=total.device)
    _by_tiles(kernels.round_total, rows, columns, total.contiguous(), scale.contiguous(), out, rows, columns)
    return out


def rms_norm(x: Tensor, gain: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """See :func:`regrow.exact.definition.rms_norm`."""
    rows, columns = x.shape
    x, gain = x.contiguous(), gain.contiguous()
    out, inverse = torch.empty_like(x), torch.empty(rows, dtype=torch.float32, device=x.device)
    # A constant of the kernel, because an argument would be rounded to float32.
    _by_rows(kernels.rms_norm, rows, columns, x, gain, out, inverse, rows, columns, EPSILON=epsilon)
    return out, inverse


def rms_norm_backward(
    dy: Tensor, x: Tensor, gain: Tensor, inverse: Tensor, changes: bool = True
) -> tuple[Tensor, Tensor | None]:
    """See :func:`regrow.exact.definition.rms_norm_backward`."""
    rows, columns = x.shape
    dy, x, gain, inverse = (t.contiguous() for t in (dy, x, gain, inverse))
    dx, products = torch.empty_like(x), torch.empty_like(x)
    _by_rows(kernels.rms_norm_backward, rows, columns, dy, x, gain, inverse, dx, products, rows, columns)
    return dx, column_sum(products) if changes else None


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`regrow.exact.definition.layer_norm`."""
    rows, columns = x.shape
    x, gain, bias = (t.contiguous() for t in (x, gain, bias))
    out, inverse = torch.empty_like(x), torch.empty(rows, dtype=torch.float32, device=x.device)
    mean = torch.empty(rows, dtype=torch.float64, device=x.device)
    arguments = (x, gain, bias, out, mean, inverse, rows, columns)
    _by_rows(kernels.layer_norm, rows, columns, *arguments, EPSILON=epsilon)
    return out, mean, inverse


def layer_norm_backward(
    dy: Tensor, x: Tensor, gain: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`regrow.exact.definition.layer_norm_backward`."""
    rows, columns = x.shape
    dy, x, gain, mean, inverse = (t.contiguous() for t in (dy, x, gain, mean, inverse))
    dx, products = torch.empty_like(x), torch.empty_like(x)
    _by_rows(kernels.layer_norm_backward, rows, columns, dy, x, gain, mean, inverse, dx, products, rows, columns)
    return dx, column_sum(products), column_sum(dy)


def column_sum(x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.column_sum`."""
    x = x.contiguous()
    rows, columns = x.shape
    largest = _column_bits(x[None])
    total = torch.zeros(columns, dtype=torch.int64, device=x.device)
    out = torch.empty(columns, dtype=torch.float32, device=x.device)
    _by_tiles(kernels.column_sums, rows, columns, x, largest, total, rows, columns)
    _by_entries(kernels.round_columns, total, total, largest, out, columns)
    return out


def softmax(x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.softmax`."""
    x = x.contiguous()
    out = torch.empty_like(x)
    _by_rows(kernels.softmax, *x.shape, x, out, *x.shape)
    return out


def softmax_backward(dy: Tensor, y: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.softmax_backward`."""
    y = y.contiguous()
    dx = torch.empty_like(y)
    _by_rows(kernels.softmax_backward, *y.shape, dy.contiguous(), y, dx, *y.shape)
    return dx


def activation(x: Tensor, kind: str) -> Tensor:
    """See :func:`regrow.exact.definition.activation`."""
    x = x.contiguous()
    out = torch.empty_like(x)
    _by_tiles(kernels.activation, *x.shape, x, out, *x.shape, KIND=kind)
    return out


def activation_backward(dy: Tensor, x: Tensor, kind: str) -> Tensor:
    """See :func:`regrow.exact.definition.activation_backward`."""
    x = x.contiguous()
    dx = torch.empty_like(x)
    _by_tiles(kernels.activation_backward, *x.shape, dy.contiguous(), x, dx, *x.shape, KIND=kind)
    return dx


def swiglu(x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.swiglu`."""
    rows, width = x.shape[0], x.shape[1] // 2
    out = torch.empty((rows, width), dtype=torch.float32, device=x.device)
    _by_tiles(kernels.swiglu, rows, width, x.contiguous(), out, rows, width)
    return out


def swiglu_backward(dy: Tensor, x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.swiglu_backward`."""
    rows, width = dy.shape
    x = x.contiguous()
    dx = torch.empty_like(x)
    _by_tiles(kernels.swiglu_backward, rows, width, dy.contiguous(), x, dx, rows, width)
    return dx


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> Tensor:
    """See :func:`regrow.exact.definition.rotate`."""
    x = x.contiguous()
    batch, positions, total, width = x.shape
    rows, half, out = batch * positions * total, width // 2, torch.empty_like(x)
    arguments = (x, cosine.contiguous(), sine.contiguous(), out, rows, positions, total, heads, half)
    _by_tiles(kernels.rotate, rows, half, *arguments)
    return out


def attention_weights(
    high: Tensor, cross: Tensor, left: Tensor, right: Tensor, scale: float, first: int, weights: Tensor, totals: Tensor
) -> None:
    """See :func:`regrow.exact.definition.attention_weights`."""
    high, cross, left, right = (rows_apart(x) for x in (high, cross, left, right))
    require_dense(weights[:, :, 0], totals)
    groups, rows, positions = high.shape
    strides = (*high.stride()[:2], *cross.stride()[:2], *(x.stride(0) for x in (left, right, weights, totals)))
    arguments = (high, cross, left, right, weights, totals, float(np.float32(scale)), first, groups * rows)
    _by_rows(kernels.attention_weights, groups * rows, positions, *arguments, rows, positions, *strides)


def attention_output(high: Tensor, cross: Tensor, right: Tensor, totals: Tensor, out: Tensor) -> None:
    """See :func:`regrow.exact.definition.attention_output`."""
    high, cross, right, totals = (rows_apart(x) for x in (high, cross, right, totals))
    require_dense(out)
    groups, rows, columns = high.shape
    strides = (*high.stride()[:2], *cross.stride()[:2], right.stride(0), totals.stride(0), *out.stride()[:2])
    arguments = (high, cross, right, totals, out, rows, columns, *strides)
    _by_tiles(kernels.attention_output, rows, columns, *arguments, groups=groups)


def attention_gradient(
    high: Tensor, cross: Tensor, left: Tensor, right: Tensor, weights: Tensor, totals: Tensor, delta: Tensor,
    scale: float, first: int, out: Tensor, out_exponents: Tensor,
) -> None:  # fmt: skip
    """See :func:`regrow.exact.definition.attention_gradient`."""
    high, cross, left, right, totals, delta = (rows_apart(x) for x in (high, cross, left, right, totals, delta))
    require_dense(weights[:, :, 0], out[:, :, 0], out_exponents)
    groups, rows, positions = high.shape
    apart = (left, right, weights, totals, delta, out, out_exponents)
    strides = (*high.stride()[:2], *cross.stride()[:2], *(x.stride(0) for x in apart))
    arguments = (high, cross, left, right, weights, totals, delta, out, out_exponents, float(np.float32(scale)))
    sizes = (groups * rows, rows, positions)
    _by_rows(kernels.attention_gradient, groups * rows, positions, *arguments, *sizes, *strides)


def row_dot(x: Tensor, y: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.row_dot`."""
    rows, columns = x.shape
    out = torch.empty(rows, dtype=torch.float32, device=x.device)
    _by_rows(kernels.row_dot, rows, columns, x.contiguous(), y.contiguous(), out, rows, columns)
    return out


def cross_entropy(logits: Tensor, targets: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`regrow.exact.definition.cross_entropy`."""
    rows, columns = logits.shape
    losses = torch.empty(rows, dtype=torch.float32, device=logits.device)
    upper, lower = (torch.empty((rows, 2, columns), dtype=dtype, device=logits.device) for _ in range(2))
    arguments = (logits.contiguous(), targets.contiguous(), losses, upper, lower, rows, columns)
    _by_rows(kernels.cross_entropy, rows, columns, *arguments)
    return losses, upper, lower


def distillation(
    logits: Tensor, teacher: Tensor, targets: Tensor, blend: Blend, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`regrow.exact.definition.distillation`, which computes on any device."""
    return definition.distillation(logits, teacher, targets, blend, dtype)


def embedding_backward(dy: Tensor, ids: Tensor, rows: int) -> Tensor:
    """See :func:`regrow.exact.definition.embedding_backward`."""
    dy, columns = dy.contiguous(), dy.shape[1]
    largest = _largest_bits(dy, squared=False)
    ordered, order = torch.sort(ids)
    starts = torch.searchsorted(ordered, torch.arange(rows + 1, device=ids.device))
    out = torch.empty((rows, columns), dtype=torch.float32, device=dy.device)
    width = min(triton.next_power_of_2(columns), 128, ENTRIES)
    grid = (rows * triton.cdiv(columns, width),)
    start(kernels.embedding_backward, grid, dy, starts, order, largest, out, columns, BR=ENTRIES // width, BC=width)
    return out


def _largest_bits(x: Tensor, squared: bool) -> Tensor:
    """The largest bit pattern of a tensor or of its squares, int32 ``(1,)``."""
    largest = torch.zeros(1, dtype=torch.int32, device=x.device)
    _by_entries(kernels.largest_bits, x, x.contiguous(), largest, x.numel(), SQUARED=squared)
    return largest


def row_bits(x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.row_bits`."""
    rows, columns = x.shape
    out = torch.empty(rows, dtype=torch.int32, device=x.device)
    _by_rows(kernels.row_bits, rows, columns, x.contiguous(), out, rows, columns)
    return out


def add_to_grid(x: Tensor, e: Tensor, total: Tensor) -> None:
    """See :func:`regrow.exact.definition.add_to_grid`."""
    assert total.is_contiguous()
    rows, columns = x.shape
    _by_tiles(kernels.add_to_grid, rows, columns, x.contiguous(), e.contiguous(), total, rows, columns)


def from_grid(total: Tensor, e: Tensor, count: int) -> Tensor:
    """See :func:`regrow.exact.definition.from_grid`."""
    rows, columns = total.shape
    out = torch.empty(total.shape, dtype=torch.float32, device=total.device)
    _by_tiles(kernels.from_grid, rows, columns, total.contiguous(), e.contiguous(), out, rows, columns, count)
    return out


def on_grid(x: Tensor) -> Tensor:
    """See :func:`regrow.exact.definition.on_grid`."""
    e = exponents(row_bits(x))
    total = torch.zeros(x.shape, dtype=torch.int32, device=x.device)
    add_to_grid(x, e, total)
    return from_grid(total, e, 1)


def square_bits(x: Tensor) -> int:
    """See :func:`regrow.exact.definition.square_bits`."""
    return int(_largest_bits(x, squared=True))


def square_sum(x: Tensor, e: int) -> int:
    """See :func:`regrow.exact.definition.square_sum`."""
    total = torch.zeros(1, dtype=torch.int64, device=x.device)
    _by_entries(kernels.square_sum, x, x.contiguous(), total, x.numel(), e)
    return int(total)


def adamw(parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor, constants: np.ndarray) -> None:
    """See :func:`regrow.exact.definition.adamw`."""
    tensors = (parameter, gradient, first, second)
    assert all(x.is_contiguous() for x in tensors)
    _by_entries(kernels.adamw, parameter, *tensors, parameter.numel(), *map(float, constants))
