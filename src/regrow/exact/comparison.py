"""Every kernel of every backend against the definition, bit for bit, on random and extreme inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrow.exact import definition, grid
from regrow.exact.backend import Backend, Kernels
from regrow.exact.blend import Blend
from regrow.exact.coded import Coded
from regrow.exact.gemm import FLOAT64, GemmBackend
from regrow.exact.grid import Block, Digits, Layout
from regrow.exact.random import normals
from regrow.exact.registry import load_kernels

Case = Callable[[Kernels], Any]

LAYOUTS = {
    "left": grid.LEFT,
    "right transposed": grid.RIGHT_TRANSPOSED,
    "right": grid.RIGHT,
    "left transposed": grid.LEFT_TRANSPOSED,
    "right of transposed": grid.RIGHT_OF_TRANSPOSED,
}


def sample(shape: tuple[int, ...], seed: int, kind: str = "normal") -> Tensor:
    """float32: ``normal``; ``wide``, magnitudes over 60 binary orders; ``small``, rows of
    magnitudes around the least exponent of a grid; ``edges``, zeros, ties, subnormals, extremes.
    """
    count = int(np.prod(shape))
    values = normals(seed, f"sample-{kind}", count)
    if kind == "wide":
        values = values * np.ldexp(1.0, (np.arange(count) * 7919) % 61 - 40)
    if kind == "small":
        values = np.clip(values.reshape(-1, shape[-1]), -1.0, 1.0)
        values = values * np.ldexp(1.0, -97 - np.arange(len(values))[:, None] % 6)
    x = torch.from_numpy(values.astype(np.float32)).view(shape)
    if kind == "edges":
        special = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, 1e-45, -1e-38, 3e38, 6.1e-5, 0.99999994, 8192.0])
        flat = x.view(-1)
        flat[::3] = special[torch.arange(len(flat[::3])) % len(special)]
        x.view(-1, shape[-1])[0] = 0.0
    return x


def _parts(groups: int, rows: int, columns: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Parts of a product: two integer matrices and exponents of rows and columns."""
    high = (sample((groups, rows, columns), seed) * 60000).to(torch.int32)
    cross = (sample((groups, rows, columns), seed + 1) * 60000).to(torch.int32)
    left = (sample((groups, rows), seed + 2) * 2).to(torch.int32)
    right = (sample((groups, columns), seed + 3) * 2).to(torch.int32)
    return high, cross, left, right


def _split(x: Tensor, layout: Layout) -> Case:
    return lambda k: k.split(x, layout, torch.int8)


def _combine(parts: tuple[Tensor, ...], k: Kernels) -> Tensor:
    out = torch.empty(parts[0].shape)
    high, cross, left, right = parts
    k.combine(high, cross, left, right, out)
    return out


def _accumulate(parts: tuple[Tensor, ...], k: Kernels) -> Tensor:
    total = torch.full(parts[0].shape[1:], 12345.0, dtype=torch.float64)
    k.accumulate(parts[0][0], parts[1][0], parts[0][1], total)
    return k.round_total(total, torch.full((total.shape[1],), 2.0**-33, dtype=torch.float64))


def _weights(parts: tuple[Tensor, ...], k: Kernels, first: int = 2) -> tuple[Tensor, Tensor]:
    high, cross, left, right = parts
    groups, rows, positions = high.shape
    weights, totals = torch.empty((groups, rows, 2, positions), dtype=torch.int8), torch.empty((groups, rows))
    k.attention_weights(high, cross, left - 12, right - 6, 0.17677669, first, weights, totals)
    return weights, totals


def _output(parts: tuple[Tensor, ...], totals: Tensor, k: Kernels) -> Tensor:
    out = torch.empty(parts[0].shape)
    k.attention_output(parts[0], parts[1], parts[3], totals, out)
    return out


def _gradient(parts: tuple[Tensor, ...], k: Kernels, first: int = 2) -> tuple[Tensor, Tensor]:
    weights, totals = _weights(parts, definition, first)
    out, exponents = torch.empty_like(weights), torch.empty(totals.shape, dtype=torch.int32)
    delta = sample(tuple(totals.shape), 5)
    groups, rows, columns = parts[0].shape
    high, cross, left, right = _parts(groups, rows, columns, 31)
    k.attention_gradient(high, cross, left, right, weights, totals, delta, 0.125, first, out, exponents)
    return out, exponents


def _activation(x: Tensor, dy: Tensor, kind: str, k: Kernels) -> tuple[Tensor, Tensor]:
    return k.activation(x, kind), k.activation_backward(dy, x, kind)


def _mean_gradient(gradients: list[Tensor], k: Kernels) -> Tensor:
    e = grid.exponents(torch.stack([k.row_bits(g) for g in gradients]).amax(0))
    total = torch.zeros(gradients[0].shape, dtype=torch.int32)
    for gradient in gradients:
        k.add_to_grid(gradient, e, total)
    return k.from_grid(total, e, len(gradients))


def _levels(gradients: list[Tensor], k: Kernels) -> tuple[Tensor, Tensor]:
    e = grid.exponents(k.row_bits(gradients[0]))
    total = torch.zeros(gradients[0].shape, dtype=torch.int32)
    rest = torch.zeros((total.shape[0], grid.GRADIENT_BITS, total.shape[1]), dtype=torch.int8)
    for gradient in gradients:
        rise = torch.arange(len(e), dtype=torch.int32) % 29
        raised = torch.maximum(e + rise, grid.exponents(k.row_bits(gradient))).clamp(max=grid.NON_FINITE - 1)
        k.raise_levels(raised - e, total, rest)
        k.add_to_levels(gradient, raised, total, rest)
        e = raised
    return total, rest


def _sum_of_squares(x: Tensor, k: Kernels) -> Tensor:
    bits = k.square_bits(x)
    return torch.tensor([bits, k.square_sum(x, int(grid.exponents(torch.tensor(bits))))])


# In the order of `regrow.exact.optimizer.AdamW.constants`: step 3, a clipped gradient, decay.
_ADAMW_CONSTANTS = np.array((0.7, 0.9, 0.1, 0.95, 0.05, 0.271, 0.142625, 1e-8, 2e-3, 0.9998), np.float32)


def _adamw(kind: str, k: Kernels) -> tuple[Tensor, ...]:
    p, g, m, v = (sample((7, 33), seed, kind) for seed in range(4))
    v = v * v
    k.adamw(p, g, m, v, _ADAMW_CONSTANTS)
    return p, m, v


def cases() -> dict[str, Case]:
    """The inputs on which kernels must agree, by name."""
    found: dict[str, Case] = {}
    for kind in ("normal", "wide", "small", "edges"):
        found |= {f"{name} {kind}": case for name, case in _usual(kind).items()}
    parts = _parts(2, 12, 6, 11)
    outputs = _parts(2, 12, 8, 21)
    totals = (sample((2, 12), 9).abs() * 9000 + 8192).round()
    found |= {
        "combine": partial(_combine, parts),
        "accumulate": partial(_accumulate, parts),
        "attention_weights": partial(_weights, parts),
        "attention_output": partial(_output, outputs, totals),
        "attention_gradient": partial(_gradient, parts),
    }
    special = {"nan": torch.nan, "negative nan": -torch.nan, "infinity": torch.inf}
    return found | _long() | {name: case for kind in special.items() for name, case in _non_finite(*kind).items()}


def _long() -> dict[str, Case]:
    """Rows and columns that a kernel which works on tiles cannot have in one."""
    x, y, gain = sample((3, 4500), 1), sample((3, 4500), 2), sample((4500,), 3)
    tall, inverse, targets = sample((1, 2100, 3), 4), torch.full((3,), 0.37), torch.tensor([0, 4499, 2047])
    parts = _parts(1, 2, 2100, 41)
    broad, blind = sample((2, 104, 64), 5), sample((2, 104, 64), 6)
    blind[:, 97, 3], blind[:, 99] = (
        torch.nan,
        torch.inf,
    )  # the last position sees the former, none the latter
    return {
        "split left long": _split(x[None], grid.LEFT),
        "split right of transposed long": _split(tall, grid.RIGHT_OF_TRANSPOSED),
        "rms_norm long": lambda k: k.rms_norm(x, gain, 1e-5),
        "rms_norm_backward long": lambda k: k.rms_norm_backward(y, x, gain, inverse),
        "layer_norm long": lambda k: k.layer_norm(x, gain, gain, 1e-5),
        "layer_norm_backward long": lambda k: k.layer_norm_backward(y, x, gain, inverse.double(), inverse),
        "column_sum long": lambda k: k.column_sum(tall[0]),
        "row_dot long": lambda k: k.row_dot(x, y),
        "ordered_product long": lambda k: k.ordered_product(tall[0, :150], tall[0, :70]),
        "ordered_attention long": lambda k: k.ordered_attention(tall[:, :130], tall, tall, 1950, 2, 0.25),
        "ordered_attention wide": lambda k: k.ordered_attention(broad[:, :24], broad, blind, 90, 3, 0.25),
        "softmax long": lambda k: k.softmax(x),
        "softmax_backward long": lambda k: k.softmax_backward(y, x),
        "cross_entropy long": lambda k: k.cross_entropy(x, targets, torch.int8),
        "distillation long": lambda k: k.distillation(x, y * 3.0, targets, Blend(3.0, 0.7), torch.int8),
        "embedding_backward long": lambda k: k.embedding_backward(tall[0], torch.zeros(2100, dtype=torch.int64), 2),
        "mean_gradient long": lambda k: _mean_gradient([x, y], k),
        "sum_of_squares long": partial(_sum_of_squares, x),
        "attention_weights long": partial(_weights, parts, first=2098),
        "attention_gradient long": partial(_gradient, parts, first=2098),
    }


CODED = {
    "4": ((-8, 7), 32, False),
    "4 offset": ((0, 15), 32, True),
    "6": ((-32, 31), 16, False),
    "8": ((-128, 127), 96, False),
}
"""Spans of integers, columns that share a scale, and whether there are offsets."""


def coded(span: tuple[int, int], group: int, offset: bool) -> Coded:
    """A matrix of codes, ``(21, 96)``, with scales from subnormal to infinite."""
    integers = torch.arange(21 * 96).view(21, 96) ** 2 * 7 % (span[1] - span[0] + 1) + span[0]
    scales, offsets = (sample((21, 96 // group), seed) for seed in (11, 12))
    scales[3], scales[4, 0], scales[5, 0], scales[6] = 1e-45, torch.inf, torch.nan, 0.0
    return Coded.of(integers.to(torch.int8), scales, offsets if offset else None, span)


def _coded(kind: str) -> dict[str, Case]:
    x = sample((9, 96), 13, kind)

    def case(weight: Coded, rows: int) -> Case:
        return lambda k: k.coded_product(x[:rows], weight)

    return {f"{name}, {rows} rows": case(coded(*how), rows) for name, how in CODED.items() for rows in (1, 9)}


def _usual(kind: str) -> dict[str, Case]:
    x, y, gain = sample((37, 50), 1, kind), sample((37, 50), 2, kind), sample((50,), 3)
    batch, heads = sample((3, 29, 22), 4, kind), sample((2, 5, 6, 8), 6, kind)
    cosine, sine, inverse = sample((5, 4), 7), sample((5, 4), 8), torch.full((37,), 0.37)
    narrow, targets = y[:, :25].contiguous(), torch.arange(37) % 50
    few = y.masked_fill(y.abs() < 0.5, -torch.inf)
    few[:, 3] = y[:, 3]
    splits = {f"split {name}": _split(batch, layout) for name, layout in LAYOUTS.items()}
    return splits | {
        "rms_norm": lambda k: k.rms_norm(x, gain, 1e-5),
        "rms_norm_backward": lambda k: k.rms_norm_backward(y, x, gain, inverse),
        "swiglu": lambda k: k.swiglu(x * 20.0),
        "swiglu_backward": lambda k: k.swiglu_backward(narrow, x),
        "layer_norm": lambda k: k.layer_norm(x, gain, gain, 1e-5),
        "layer_norm_backward": lambda k: k.layer_norm_backward(y, x, gain, inverse.double() * 0.1, inverse),
        "column_sum": lambda k: k.column_sum(x),
        "softmax": lambda k: k.softmax(x * 3.0),
        "softmax_backward": lambda k: k.softmax_backward(y, x),
        **{f"activation {kind}": partial(_activation, x * 4.0, y, kind) for kind in ("silu", "gelu", "gelu_tanh")},
        "rotate": lambda k: k.rotate(heads, cosine, sine, 4),
        "ordered_product": lambda k: k.ordered_product(x, y[:35]),
        **{f"coded_product {name}": case for name, case in _coded(kind).items()},
        "ordered_product row": lambda k: k.ordered_product(x[3:4, :48], y[:, :48]),
        "ordered_attention": lambda k: k.ordered_attention(batch[:, :9], batch, batch, 20, 1, 0.25),
        "ordered_attention shared": lambda k: k.ordered_attention(batch[:, :24], batch, batch, 0, 3, 0.25),
        "row_dot": lambda k: k.row_dot(x, y),
        "cross_entropy": lambda k: k.cross_entropy(x * 3.0, targets, torch.int8),
        "distillation": lambda k: k.distillation(x * 3.0, y * 3.0, targets, Blend(2.0, 0.5), torch.int8),
        "distillation alone": lambda k: k.distillation(x, y, targets, Blend(1.0, 1.0), torch.int8),
        "distillation left out": lambda k: k.distillation(x, few, targets, Blend(0.5, 0.9), torch.int8),
        "embedding_backward": lambda k: k.embedding_backward(x, (torch.arange(37) * 5) % 11, 12),
        "mean_gradient": lambda k: _mean_gradient([x, y, x - y], k),
        "levels": lambda k: _levels([x, y, x - y], k),
        "on_grid": lambda k: k.on_grid(x),
        "sum_of_squares": partial(_sum_of_squares, x),
        "adamw": partial(_adamw, kind),
    }


def _non_finite(name: str, value: float) -> dict[str, Case]:
    """A NaN or an infinity must come out as NaN, in the same places."""
    x, y, gain = sample((6, 20), 1), sample((6, 20), 2), torch.ones(20)
    x[2, 3] = value
    wide = x.repeat(1, 5)[:, :96]
    wide[:, 40:] = 1.0
    return {
        f"split {name} rows": _split(x[None], grid.LEFT),
        f"split {name} columns": _split(x[None], grid.RIGHT),
        f"rms_norm {name}": lambda k: k.rms_norm(x, gain, 1e-5),
        f"rms_norm_backward {name}": lambda k: k.rms_norm_backward(x, y, gain, gain[:6]),
        f"layer_norm {name}": lambda k: k.layer_norm(x, gain, gain, 1e-5),
        f"layer_norm_backward {name}": lambda k: k.layer_norm_backward(y, x, gain, gain[:6].double(), gain[:6]),
        f"column_sum {name}": lambda k: k.column_sum(x),
        f"softmax {name}": lambda k: k.softmax(x),
        f"coded_product {name}": lambda k: k.coded_product(wide, coded(*CODED["4 offset"])),
        f"ordered_product {name}": lambda k: k.ordered_product(x, y),
        f"ordered_attention {name} key": lambda k: k.ordered_attention(y[None], x[None], y[None], 0, 1, 0.25),
        f"ordered_attention {name} value": lambda k: k.ordered_attention(y[None], y[None], x[None], 0, 1, 0.25),
        f"softmax_backward {name}": lambda k: k.softmax_backward(x, y),
        f"activation {name}": lambda k: [_activation(x, y, kind, k) for kind in ("silu", "gelu", "gelu_tanh")],
        f"cross_entropy {name}": lambda k: k.cross_entropy(x, torch.arange(6), torch.int8)[0],
        f"distillation {name}": lambda k: k.distillation(x, y, torch.arange(6), Blend(2.0, 0.5), torch.int8),
        f"distillation teacher {name}": lambda k: k.distillation(y, x, torch.arange(6), Blend(2.0, 0.5), torch.int8),
        f"embedding_backward {name}": lambda k: k.embedding_backward(x, torch.arange(6) % 4, 5),
        f"on_grid {name}": lambda k: k.on_grid(x),
        f"mean_gradient {name}": lambda k: _mean_gradient([x, y], k),
        f"sum_of_squares {name}": lambda k: grid.exponents(torch.tensor([k.square_bits(x)])),
    }


def tensors(value: Any) -> list[Tensor]:
    """The tensors in a kernel's result."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Digits):
        return [value.data, value.exponents]
    return [t for item in value for t in tensors(item)]


def difference(found: Any, expected: Any) -> str:
    """Where two results differ in their bits, or an empty string. All NaNs count as one."""
    for i, (a, b) in enumerate(zip(tensors(found), tensors(expected), strict=True)):
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"result {i} is {a.dtype} {tuple(a.shape)}, not {b.dtype} {tuple(b.shape)}"
        width = {torch.float32: torch.int32, torch.float64: torch.int64}.get(a.dtype, a.dtype)
        differs = a.contiguous().view(width) != b.contiguous().view(width)
        if a.is_floating_point():
            differs &= ~(a.isnan() & b.isnan())
        if differs.any():
            at = tuple(int(j) for j in differs.nonzero()[0])
            return f"result {i} differs in {int(differs.sum())} places, first at {at}: {a[at]!r}, not {b[at]!r}"
    return ""


def kernel_faults(backends: tuple[str, ...] = ("numba",)) -> Iterator[tuple[str, Callable[[], str]]]:
    """A test for each kernel case of each backend; each gives a fault or an empty string."""
    for backend in backends:
        for name, case in cases().items():
            yield f"{backend} {name}", partial(_compare, backend, case)


def coded_faults() -> Iterator[tuple[str, Callable[[], str]]]:
    """As :func:`kernel_faults`, of products with matrices of codes, which running a packed model rests on."""
    for name, case in _coded("normal").items():
        yield f"numba coded_product {name}", partial(_compare, "numba", case)


def product_faults(gemms: Iterable[GemmBackend]) -> Iterator[tuple[str, Callable[[], str]]]:
    """As :func:`kernel_faults`, for integer GEMM backends with fused products."""
    for gemm in (gemm for gemm in gemms if gemm.fused):
        for name, case in products().items():
            yield f"{gemm.name} {name}", partial(_compare_products, gemm, case)


def products() -> dict[str, Callable[[Backend], Any]]:
    """Fused products. Shapes with edges in every direction; scales within and beyond the normal ones."""
    shapes = {"edges": (2, 37, 70, 45), "blocks": (1, 64, 128, 96), "deep": (1, 33, 4100, 34), "one": (3, 1, 1, 1)}
    cases: dict[str, Callable[[Backend], Any]] = {}
    for size, shape in shapes.items():
        for which in ("forward", "dx", "dweight"):
            cases[f"matmul {which} {size}"] = partial(_matmul, which, shape, "normal")
            cases[f"matmul of numbers {which} {size}"] = partial(_matmul_of_numbers, which, shape, "normal")
        cases[f"add {size}"] = partial(_add, shape)
        cases[f"add_deep {size}"] = partial(_add_deep, shape)
    for kind in ("wide", "edges", "tiny", "apart"):
        cases[f"matmul {kind}"] = partial(_matmul, "forward", shapes["edges"], kind)
        for which in ("forward", "dweight"):
            cases[f"matmul of numbers {which} {kind}"] = partial(_matmul_of_numbers, which, shapes["edges"], kind)
    for positions in (5, 70):
        cases[f"attention {positions}"] = partial(_attention, positions)
    return cases


_OPERANDS = {
    "forward": (grid.LEFT, grid.RIGHT_TRANSPOSED),
    "dx": (grid.LEFT, grid.RIGHT),
    "dweight": (grid.LEFT_TRANSPOSED, grid.RIGHT_OF_TRANSPOSED),
}


def _operands(which: str, shape: tuple[int, ...], kind: str, backend: Backend) -> tuple[Digits, Digits]:
    (a, left), (b, right) = _factors(which, shape, kind)
    dtype = backend.gemm.dtype
    return definition.split(a, left, dtype), definition.split(b, right, dtype)


def _factors(which: str, shape: tuple[int, ...], kind: str) -> tuple[tuple[Tensor, grid.Layout], ...]:
    """Two operands, with the layouts of their digits."""
    groups, rows, depth, columns = shape
    left, right = _OPERANDS[which]
    made = {"tiny": "normal", "apart": "edges", "not finite": "normal"}.get(kind, kind)
    a = sample((groups, rows, depth) if left.by_row else (groups, depth, rows), 1, made)
    b = sample((groups, columns, depth) if right.by_row else (groups, depth, columns), 2)
    if kind == "tiny":
        a, b = a * 2.0**-70, b * 2.0**-70
    if kind == "apart":  # the largest numbers times small ones
        b = b * 2.0**-20
    if kind == "not finite":
        a[0, a.shape[1] // 2, a.shape[2] // 3], b[0, b.shape[1] // 2, b.shape[2] // 3] = torch.nan, torch.inf
    return (a, left), (b, right)


def _matmul(which: str, shape: tuple[int, ...], kind: str, backend: Backend) -> Tensor:
    return backend.matmul(*_operands(which, shape, kind, backend))


def _matmul_of_numbers(which: str, shape: tuple[int, ...], kind: str, backend: Backend) -> Tensor:
    left, right = (backend.operand(x.to(backend.device), layout) for x, layout in _factors(which, shape, kind))
    return backend.matmul(left, backend.packed(right))


def _add(shape: tuple[int, ...], backend: Backend) -> Tensor:
    groups, rows, _, columns = shape
    total = torch.full((groups, rows + 3, columns), 17.0, dtype=torch.float64)
    backend.add(*_operands("dweight", shape, "normal", backend), total)
    return total


def _add_deep(shape: tuple[int, ...], backend: Backend) -> list[Tensor]:
    _, rows, depth, columns = shape
    dtype = backend.gemm.dtype
    there = backend.device
    logits, targets = sample((depth, rows), 3).to(there) * 4.0, torch.arange(depth, device=there) % rows
    _, upper, lower = definition.cross_entropy(logits, targets, dtype)
    inner = definition.split(sample((1, rows, columns), 4).to(there), grid.RIGHT, dtype)
    outer = definition.split(sample((1, depth, columns), 5).to(there), grid.RIGHT_OF_TRANSPOSED, dtype)
    totals = [torch.zeros((n, columns), dtype=torch.float64, device=there) for n in (depth, rows)]
    backend.add_deep(upper, lower, inner, totals[0])
    backend.add_deep(upper, lower, outer, totals[1])
    scaled = torch.empty((rows, columns), dtype=torch.float32)
    backend.deep(upper, lower, outer, grid.power_of_two(outer.exponents[0]) / 3.0, scaled)
    return [*totals, scaled]


def _attention(positions: int, backend: Backend) -> list[Any]:
    """Two heads to a group, the second block of queries; a key and a gradient that are not finite in one group."""
    groups, width, first = 3, 20, 2
    rows, dtype = 2 * positions, backend.gemm.dtype
    q, dy, k, v = (sample((groups, n, width), i) for i, n in enumerate((rows, rows, positions, positions)))
    k[1, positions - 2, 3], dy[2, positions + 3, 1] = float("nan"), float("inf")
    block = Block(slice(positions + first, rows), first, positions)
    weights = torch.empty((groups, rows - block.rows.start, 2, positions), dtype=dtype)
    totals, delta = torch.full((groups, rows), 8192.0), sample((groups, rows), 7)
    out, dq = torch.zeros((groups, rows, width)), torch.zeros((groups, rows, width))
    queries, gradients = (definition.split(x, grid.LEFT, dtype) for x in (q, dy))
    keys, values = (definition.split(x, grid.RIGHT_TRANSPOSED, dtype) for x in (k, v))
    key_columns, value_columns = (definition.split(x, grid.RIGHT, dtype) for x in (k, v))
    backend.attend(block, queries, keys, value_columns, 0.25, weights, totals, out)
    digits = backend.attend_backward(block, gradients, values, key_columns, 0.25, weights, totals, delta, dq)
    return [weights.to(torch.int8), totals, out, digits.data.to(torch.int8), digits.exponents, dq]


def whole_faults(gemm: GemmBackend) -> Iterator[tuple[str, Callable[[], str]]]:
    """As :func:`kernel_faults`, for an integer GEMM backend that makes digits on the way; nothing for others."""
    if gemm.whole:
        backend = Backend(load_kernels("triton"), gemm)
        for name, case in whole().items():
            yield f"{gemm.name} {name}", partial(_compare_whole, case, backend)


def whole() -> dict[str, Callable[[Backend], Any]]:
    """Products of numbers, and attention as a whole: edges in every direction, extreme scales, what is not finite."""
    cases: dict[str, Callable[[Backend], Any]] = {}
    for which in _OPERANDS:
        for kind in ("normal", "edges", "not finite"):
            cases[f"matmul of numbers {which} {kind}"] = partial(_matmul_of_numbers, which, (2, 37, 70, 45), kind)
    heads = {"normal": (1, 2, 70, 20), "wide": (2, 1, 33, 20), "edges": (1, 3, 20, 36), "not finite": (2, 2, 30, 20)}
    for kind, shape in heads.items():
        cases[f"attention {kind}"] = partial(_whole_attention, shape, kind)
    return cases | {
        "matmul of digits and numbers": _mixed,
        "matmul of slices": _slices,
        "sums": partial(_add_deep, (1, 37, 70, 45)),
        "attention of one": partial(_whole_attention, (1, 1, 1, 1), "normal"),
    }


def _given(shape: tuple[int, ...], seed: int, kind: str, backend: Backend) -> Tensor:
    x = sample(shape, seed, "normal" if kind == "not finite" else kind)
    if kind == "not finite":
        x[0, shape[1] // 2, shape[2] // 3] = torch.nan if seed % 2 else torch.inf
    return x.to(backend.device)


def _mixed(backend: Backend) -> Tensor:
    """Digits that are there times numbers, added to what there is."""
    a, b, onto = (_given((1, *shape), 1, "normal", backend) for shape in ((37, 40), (45, 40), (37, 45)))
    left = backend.kernels.split(a, grid.LEFT, backend.gemm.dtype)
    return backend.matmul(left, backend.operand(b, grid.RIGHT_TRANSPOSED), onto)


def _slices(backend: Backend) -> Tensor:
    """Some rows of a left operand."""
    a, b = (_given((1, n, 40), n, "normal", backend) for n in (90, 45))
    left = backend.operand(a, grid.LEFT).rows(slice(7, 82))
    return backend.matmul(left, backend.operand(b, grid.RIGHT_TRANSPOSED))


def _whole_attention(shape: tuple[int, int, int, int], kind: str, backend: Backend) -> list[Tensor]:
    """Output, sums of numerators, and the gradients of queries, keys and values."""
    groups, share, positions, width = shape
    rows, scale = share * positions, 0.25
    # Transposes, as heads are where each has keys of its own.
    q, dy = (_given((groups, rows, width), seed, kind, backend).mT.contiguous().mT for seed in (1, 2))
    k, v = (_given((groups, positions, width), seed, kind, backend).mT.contiguous().mT for seed in (4, 6))
    if own := backend.whole(rows, width):
        out, largest, totals = own.attention(q, k, v, scale)
        return [out, totals, *own.attention_backward(dy, q, k, v, (out, largest, totals), scale)]
    return _attention_by_blocks(q, k, v, dy, scale, backend)


def _attention_by_blocks(
    q: Tensor, k: Tensor, v: Tensor, dy: Tensor, scale: float, backend: Backend
) -> list[Tensor]:  # fmt: skip
    """The same with the weights stored, a block for each head."""
    (groups, rows, width), positions, dtype = q.shape, k.shape[1], backend.gemm.dtype
    split, blocks = (
        backend.kernels.split,
        [Block(slice(i, i + positions), 0, positions) for i in range(0, rows, positions)],
    )
    out, dq, totals = torch.empty_like(q), torch.empty_like(q), torch.empty((groups, rows))
    weights = [torch.empty((groups, positions, 2, positions), dtype=dtype) for _ in blocks]
    operands = split(q, grid.LEFT, dtype), split(k, grid.RIGHT_TRANSPOSED, dtype), split(v, grid.RIGHT, dtype)
    for block, digits in zip(blocks, weights, strict=True):
        backend.attend(block, *operands, scale, digits, totals, out)
    delta = backend.kernels.row_dot(dy.reshape(-1, width), out.reshape(-1, width)).view(totals.shape)
    operands = split(dy, grid.LEFT, dtype), split(v, grid.RIGHT_TRANSPOSED, dtype), split(k, grid.RIGHT, dtype)
    found = [
        backend.attend_backward(block, *operands, scale, digits, totals, delta, dq)
        for block, digits in zip(blocks, weights, strict=True)
    ]
    folded = q * grid.power_of_two_float32(torch.cat([d.exponents for d in found], 1))[:, :, None]
    normal = dy * (torch.full_like(totals, 8192.0) / totals)[:, :, None]
    dk, dv = (
        backend.over_queries(blocks, digits, split(x, grid.RIGHT_OF_TRANSPOSED, dtype))
        for digits, x in (([d.data for d in found], folded), (weights, normal))
    )
    return [out, totals, dq, dk, dv]


def _compare_whole(case: Callable[[Backend], Any], backend: Backend) -> str:
    return difference([x.cpu() for x in tensors(case(backend))], case(Backend(definition, FLOAT64)))


def _compare_products(gemm: GemmBackend, case: Callable[[Backend], Any]) -> str:
    return difference(case(Backend(load_kernels("numba"), gemm)), case(Backend(definition, FLOAT64)))


def _compare(backend: str, case: Case) -> str:
    kernels = load_kernels(backend)
    device = Backend(kernels, FLOAT64).device
    return difference(case(kernels if device.type == "cpu" else OnDevice(kernels, device)), case(definition))


class OnDevice:
    """Kernels of another device as functions of CPU tensors."""

    def __init__(self, kernels: Kernels, device: torch.device) -> None:
        self._kernels, self._device = kernels, device

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(self._kernels, name)

        def call(*arguments: Any) -> Any:
            there = [x.to(self._device) if isinstance(x, Tensor) else x for x in arguments]
            result = kernel(*there)
            for x, y in zip(arguments, there, strict=True):
                if isinstance(x, Tensor):  # it may have been written to
                    x.copy_(y)
            return _here(result)

        return call


def _here(result: Any) -> Any:
    if isinstance(result, Tensor):
        return result.cpu()
    if isinstance(result, Digits):
        return Digits(result.data.cpu(), result.exponents.cpu(), result.layout)
    return tuple(_here(item) for item in result) if isinstance(result, tuple) else result
