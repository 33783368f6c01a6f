"""Known answers of the arithmetic: ``python -m regrow.exact.vectors > docs/arithmetic/exact.json``.

For whoever writes the arithmetic again from ``docs/arithmetic.md``, which says how to read them. They are made by the
backend in force, and every backend makes the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regrow.exact import adamw, definition, inference, initial, layers, polynomials, random
from regrow.exact import operations as ops
from regrow.exact.accumulation import Gradients
from regrow.exact.coded import Coded
from regrow.exact.grid import LEFT
from regrow.exact.optimizer import AdamW, clip_factor, gradient_norm
from regrow.exact.selection import current
from regrow.exact.version import ARITHMETIC, INFERENCE

Vector = dict[str, Any]
Array = NDArray[Any]
SEED = 1
# Of larger arrays only the digest is told.
_MOST_ENTRIES = 64
# Bits of arguments of `exp32` at which a step that is not rounded, or the last bit of a constant, shows: it does at
# one in a million others.
_TELLING = (
    *(0x41479927, 0xC06E405C, 0x3FE82D23, 0xBE9DF84A, 0xBE41BCBF, 0x3EB415E8, 0x3EC64C59),
    *(0x41DB08D6, 0xC29EBB10, 0x41C79B56, 0x42479929, 0x428A9C97, 0xC20AA825),
)

# Arguments of `log64` at which the last term of its series shows.
_LAST_TERM = tuple(map(float.fromhex, ("0x1.6ae1ba3161187p-1", "0x1.6ba27304e2f16p-1", "0x1.6bef5a4f709a6p-1")))


def document(vectors: Iterable[Vector]) -> str:
    """Vectors as a JSON document, one to a line."""
    lines = ",\n".join(json.dumps(vector, separators=(",", ":")) for vector in vectors)
    return f'{{"arithmetic":{ARITHMETIC},"inference":{INFERENCE},"vectors":[\n{lines}\n]}}\n'


def vector(does: str, name: str, given: Mapping[str, Any], gives: Mapping[str, Any]) -> Vector:
    """One known answer.

    Args:
        does: what is computed, by its name in the document.
        name: what is special about this one.
        given: the inputs by name.
        gives: the outputs by name, which :func:`answer` writes.
    """
    said = {name: value.says if isinstance(value, Input) else value for name, value in given.items()}
    return {"does": does, "name": name, "given": said, "gives": {name: answer(x) for name, x in gives.items()}}


@dataclass(frozen=True)
class Input:
    """An array, and how the document says it."""

    array: Array
    says: dict[str, Any]

    @property
    def tensor(self) -> Tensor:
        """A copy that may be changed, on the device that trains."""
        return torch.from_numpy(self.array.copy()).to(current().device)


def literal(array: Array) -> Input:
    """An array that is said bit by bit."""
    return Input(array, {"type": array.dtype.name, "shape": list(array.shape), "bits": _bits(array)})


def normal(purpose: str, *shape: int, factor: float = 1.0) -> Input:
    """float32 normals times a factor; a large array is said by how it is made."""
    return _drawn("normals", random.normals, purpose, shape, factor)


def uniform(purpose: str, *shape: int, factor: float = 1.0) -> Input:
    """float32 uniforms, all of one sign, times a factor; a large array is said by how it is made."""
    return _drawn("uniforms", random.uniforms, purpose, shape, factor)


def _drawn(
    maker: str, function: Callable[[int, str, int], Array], purpose: str, shape: tuple[int, ...], factor: float
) -> Input:
    values = function(SEED, purpose, int(np.prod(shape))) * factor
    array = values.astype(np.float32).reshape(shape)
    if array.size <= _MOST_ENTRIES:
        return literal(array)
    return Input(array, {"type": "float32", "shape": list(shape), maker: [SEED, purpose], "factor": factor})


def with_entries(x: Input, entries: Mapping[int, float]) -> Input:
    """The same array but for some entries, which are named by their places, row by row."""
    array = x.array.copy()
    for place, value in entries.items():
        array.flat[place] = np.float32(value)
    return literal(array)


def answer(x: Any) -> Any:
    """A result: of an array the bits, or the digest if it is large, without negative zeros and with one NaN."""
    if not isinstance(x, Tensor | np.ndarray):
        return x
    array = np.asarray(x.detach().cpu().numpy() if isinstance(x, Tensor) else x)
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array + array.dtype.type(0.0))
    said: dict[str, Any] = {"type": array.dtype.name, "shape": list(array.shape)}
    if array.size <= _MOST_ENTRIES:
        return {**said, "bits": _bits(array)}
    little_endian = array.astype(array.dtype.newbyteorder("<"))
    return {**said, "sha256": hashlib.sha256(little_endian.tobytes()).hexdigest()}


def _bits(array: Array) -> str:
    words = array.ravel().view(f"u{array.itemsize}").tolist()
    return " ".join(f"{word:0{2 * array.itemsize}x}" for word in words)


def vectors() -> Iterator[Vector]:
    """All known answers of this room."""
    yield from _random()
    yield from _functions()
    yield from _grids()
    yield from _products()
    yield from _low_rank()
    yield from _layers()
    yield from _attention()
    yield from _output_layer()
    yield from _distillation()
    yield from _library_layers()
    yield from _library_activations()
    yield from _library_losses()
    yield from _optimizer()
    yield from _library_optimizer()
    yield from _inference()
    yield from _coded()


def _random() -> Iterator[Vector]:
    functions: dict[str, Callable[[int, str, int], Array]] = {
        "integers": random.integers,
        "uniforms": random.uniforms,
        "normals": random.normals,
    }
    for seed, purpose, count in ((0, "", 9), (7, "purpose", 5), (2**64 - 1, "größer", 4), (SEED, "many", 10_001)):
        given: dict[str, Any] = {"seed": seed, "purpose": purpose, "count": count}
        for does, function in functions.items():
            yield vector(does, purpose, given, {"y": function(seed, purpose, count)})
    shape, purpose = (3, 5), "matrix"
    given = {"shape": shape, "seed": SEED, "purpose": purpose}
    y = initial.normal(shape, SEED, purpose, mean=1.5, deviation=0.02)
    yield vector("normal", purpose, {**given, "mean": 1.5, "deviation": 0.02}, {"y": y})
    y = initial.uniform(shape, SEED, purpose, low=-0.1, high=0.7)
    yield vector("uniform", purpose, {**given, "low": -0.1, "high": 0.7}, {"y": y})
    for count in (1, 10, 100):
        given = {"count": count, "seed": SEED, "purpose": "order"}
        yield vector("permutation", str(count), given, {"y": initial.permutation(count, SEED, "order").tolist()})


def _functions() -> Iterator[Vector]:
    edges = [0.0, 1.0, -1.0, 0.5, 17.25, -86.9, -87.0, -87.00001, 87.9, 88.0, 1e30, -1e30, 1e-45, np.nan]
    halves = (np.arange(-125, 127) + 0.5) / polynomials.EXP_INVERSE_LN2
    for name, x in {
        "edges": literal(np.array(edges, np.float32)),
        "halves": literal(halves.astype(np.float32)),
        "telling": literal(np.array(_TELLING, np.uint32).view(np.float32)),
        "many": normal("exp32", 20_001, factor=30.0),
    }.items():
        yield vector("exp32", name, {"x": x}, {"y": definition.exp(x.tensor)})
    functions: dict[str, tuple[Callable[[Array], Any], list[float], float]] = {
        "exp64": (polynomials.exp64, [0.0, 1.0, -1.0, 0.1, 300.5, -600.25, 1e-300], 100.0),
        "log64": (polynomials.log64, [1.0, 2.0, 0.5, 0.7, 0.71, 1e4, 2.0**-53, 1e300, 1.0000001], 1000.0),
        "sin_cos64": (polynomials.sin_cos64, [0.0, 1.0, -1.0, 0.785, 0.786, 3.14159265, 511.0, -100_000.7], 1e4),
        "sin_cos_turns64": (polynomials.sin_cos_turns64, [0.0, 0.125, 0.1251, 0.25, 0.5, 0.9999, 1 / 3], 10.0),
    }
    for does, (function, values, factor) in functions.items():
        many = random.uniforms(SEED, does, 4_999) * factor
        said = {"type": "float64", "shape": [4_999], "uniforms": [SEED, does], "factor": factor}
        for name, x in {"some": literal(np.array(values)), "many": Input(many, said)}.items():
            found = function(x.array)
            results = {"y": found} if isinstance(found, np.ndarray) else {"sine": found[0], "cosine": found[1]}
            yield vector(does, name, {"x": x}, results)
    x = literal(np.array(_LAST_TERM))
    yield vector("log64", "last term", {"x": x}, {"y": polynomials.log64(x.array)})
    for base, n in ((0.9, 0), (0.9, 1), (0.95, 2), (0.95, 78), (0.999, 100_000)):
        yield vector("power", "", {"base": base, "n": n}, {"y": np.array(polynomials.power(base, n))})


def _extremes() -> Input:
    """Rows with zeros, ties, borders of digits, subnormals, the largest numbers, and what is not finite."""
    rows = [
        [0.0, -0.0, 0.0, 0.0, 0.0, 0.0],
        [1.0, -1.0, 2.0**-13, 2.0**-14, 3 * 2.0**-14, -5 * 2.0**-14],
        [0.99999994, 64.5 * 2.0**-13, -64.5 * 2.0**-13, 64 * 2.0**-13, -64 * 2.0**-13, -65 * 2.0**-13],
        [1e-45, -3e-39, 1e-38, 2.0**-101, -(2.0**-114), 2.0**-102],
        [3.4e38, -1e38, 1e34, 2.0**127, 1e30, -3.4e38],
        [1.0, np.inf, 2.0, 3.0, 4.0, 5.0],
        [1.0, np.nan, 2.0, 3.0, 4.0, 5.0],
    ]
    return literal(np.array(rows, np.float32))


def _grids() -> Iterator[Vector]:
    x = _extremes()
    digits = current().kernels.split(x.tensor[None], LEFT, torch.int8)
    high, low = (digits.data[0, :, i].tolist() for i in range(2))
    found = {"e": digits.exponents[0].tolist(), "high": high, "low": low}
    yield vector("digits", "extremes", {"x": x}, found)
    small = np.outer(2.0 ** np.arange(-104, -94), [0.75, -0.5, 0.375, 2.0**-20]).astype(np.float32)
    inputs = {
        "extremes": x,
        "small": literal(small),
        "normal": normal("S", 3, 4_001),
        "large": normal("S", 3, 4_001, factor=2.0**100),
        "subnormal": normal("S", 3, 4, factor=2.0**-126),
    }
    for name, given in inputs.items():
        for axis in (0, 1):
            yield vector("S", name, {"x": given, "axis": axis}, {"y": definition.grid_sum(given.tensor, axis)})


def _products() -> Iterator[Vector]:
    inputs = {
        "small": (normal("linear x", 3, 5), normal("linear w", 4, 5)),
        "extremes": (_extremes(), normal("linear w", 2, 6)),
        "deep": (normal("linear x", 7, 5_000), normal("linear w", 9, 5_000)),
        "high": (normal("linear x", 700, 33), normal("linear w", 130, 33)),
        "tiny": (normal("linear x", 3, 5, factor=2.0**-65), normal("linear w", 4, 5, factor=2.0**-62)),
    }
    for name, (x, w) in inputs.items():
        dy = normal("linear dy", len(x.array), len(w.array))
        y, (dx, dw) = _run(ops.linear, (x, w), dy)
        yield vector("linear", name, {"x": x, "w": w, "dy": dy}, {"y": y, "dx": dx, "dw": dw})
    x, w, b, dy = (normal(f"linear {n}", *s) for n, s in (("x", (3, 5)), ("w", (4, 5)), ("b", (4,)), ("dy", (3, 4))))
    y, (dx, dw, db) = _run(ops.linear, (x, w, b), dy)
    yield vector("linear", "bias", {"x": x, "w": w, "b": b, "dy": dy}, {"y": y, "dx": dx, "dw": dw, "db": db})


def _low_rank() -> Iterator[Vector]:
    narrow = {n: normal(f"low rank {n}", *s) for n, s in (("a", (2, 5)), ("b", (4, 2)))}
    wide = {n: normal(f"low rank {n}", *s) for n, s in (("a", (8, 900)), ("b", (40, 8)))}
    inputs = {
        "small": (normal("linear x", 3, 5), normal("linear w", 4, 5), narrow),
        "deep and high": (normal("linear x", 300, 900), normal("linear w", 40, 900), wide),
        "rows of different sizes": (literal(_uneven(6, 5)), normal("linear w", 4, 5), narrow),
        "extremes": (
            _extremes(),
            normal("linear w", 2, 6),
            {n: normal(f"low rank {n}", 2, 6 if n == "a" else 2) for n in "ab"},
        ),
    }
    for name, (x, w, pair) in inputs.items():
        yield _with_low_rank(name, x, w, pair, normal("linear dy", len(x.array), len(w.array)))
    x, w, pair = inputs["small"]
    yield _with_low_rank("gradients of different sizes", x, w, pair, literal(_uneven(3, 4)))
    # As adapters begin: nothing is added, and only the second matrix gets a gradient.
    begun = {**pair, "b": literal(np.zeros((4, 2), np.float32))}
    yield _with_low_rank("the second is zero", x, w, begun, normal("linear dy", 3, 4))


def _uneven(rows: int, columns: int) -> Array:
    """Rows that have grids of their own, far apart."""
    return normal("uneven", rows, columns).array * np.ldexp(1.0, 7 * np.arange(rows) - 16).astype(np.float32)[:, None]


def _with_low_rank(name: str, x: Input, w: Input, pair: Mapping[str, Input], dy: Input) -> Vector:
    y, (dx, da, db) = _run(lambda x, a, b: ops.low_rank(x, w.tensor, a, b), (x, pair["a"], pair["b"]), dy)
    return vector("low_rank", name, {"x": x, "w": w, **pair, "dy": dy}, {"y": y, "dx": dx, "da": da, "db": db})


def _run(
    function: Callable[..., Tensor], inputs: tuple[Input, ...], dy: Input | None = None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The result, and the gradients of the inputs given that of the result."""
    leaves = [x.tensor.requires_grad_() for x in inputs]
    y = function(*leaves)
    return y, torch.autograd.grad(y, leaves, None if dy is None else dy.tensor)


def _layers() -> Iterator[Vector]:
    for name, rows, columns, factor in (("small", 3, 6, 1.0), ("large", 300, 50, 1.0), ("all epsilon", 20, 3, 1e-4)):
        x = normal("norm x", rows, columns, factor=factor)
        gain, dy = normal("norm gain", columns), normal("norm dy", rows, columns)
        y, (dx, dgain) = _run(lambda x, gain: ops.rms_norm(x, gain, 1e-5), (x, gain), dy)
        given = {"x": x, "gain": gain, "epsilon": 1e-5, "dy": dy}
        yield vector("rms_norm", name, given, {"y": y, "dx": dx, "dgain": dgain})

    for name, rows, columns, factor in (("small", 3, 4, 5.0), ("large", 50, 40, 50.0)):
        x, dy = normal("swiglu x", rows, 2 * columns, factor=factor), normal("swiglu dy", rows, columns)
        y, (dx,) = _run(ops.swiglu, (x,), dy)
        yield vector("swiglu", name, {"x": x, "dy": dy}, {"y": y, "dx": dx})

    x, dy = normal("rotate x", 1, 3, 2, 4), normal("rotate dy", 1, 3, 2, 4)
    cosine, sine = normal("rotate cosine", 3, 2), normal("rotate sine", 3, 2)
    y, (dx,) = _run(lambda x: ops.rotate(x, cosine.tensor, sine.tensor, 2), (x,), dy)
    yield vector("rotate", "small", {"x": x, "cosine": cosine, "sine": sine, "dy": dy}, {"y": y, "dx": dx})

    ids, few = literal(np.array([3, 0, 3, 5, 3])), normal("embedding dy", 5, 4)
    for name, dy in (("small", few), ("a column of large entries", with_entries(few, {2: 3e5, 10: -7e4}))):
        _, (dw,) = _run(lambda w: ops.embedding(ids.tensor, w), (normal("embedding w", 6, 4),), dy)
        yield vector("embedding_backward", name, {"dy": dy, "ids": ids.array.tolist(), "rows": 6}, {"dw": dw})


def _attention() -> Iterator[Vector]:
    for name, batch, positions, heads, kv_heads, width, factor in (
        ("small", 1, 3, 2, 1, 4, 1.0),
        ("sharp", 1, 3, 2, 2, 4, 8.0),
        ("grouped", 2, 17, 6, 2, 8, 2.0),
        ("long", 1, 600, 2, 1, 16, 1.0),
    ):
        heads_of = {"q": heads, "k": kv_heads, "v": kv_heads, "dy": heads}
        given = {
            n: normal(f"attention {n}", batch, positions, count, width, factor=factor) for n, count in heads_of.items()
        }
        yield _attended(name, given)
    yield _attended(
        "flat, values of one sign",
        {
            "q": normal("attention q", 1, 100, 1, 2, factor=0.3),
            "k": normal("attention k", 1, 100, 1, 2, factor=0.3),
            "v": uniform("attention v", 1, 100, 1, 2, factor=1.6),
            "dy": normal("attention dy", 1, 100, 1, 2),
        },
    )
    few = {n: normal(f"attention {n}", 1, 4, 1, 2) for n in ("q", "k", "v", "dy")}
    largest = float(np.finfo(np.float32).max)
    for name, entries in {
        "a query is NaN": {"q": {2: np.nan}},
        "a key is infinite": {"k": {2: np.inf}},
        "the last key is infinite": {"k": {6: -np.inf, 7: -np.inf}},
        "a value is infinite": {"v": {5: np.inf}},
        "a gradient is NaN": {"dy": {3: np.nan}},
        "weights of 0, infinite gradients": {"q": {6: 1e4}, "k": {4: 1e2}, "v": {0: largest}, "dy": {6: -largest}},
        "subnormal": {"q": {0: 1e-45, 1: -3e-39}, "k": {2: 1e-45}, "v": {6: 1e-45, 7: 1e-39}, "dy": {0: 1e-45}},
        "tiny gradients": {"dy": {place: 2.0 ** (-120 - place) for place in range(8)}},
        "large queries": {"q": {0: 87.0, 3: 88.0, 5: 1e30, 6: largest}},
    }.items():
        yield _attended(name, {n: with_entries(x, entries.get(n, {})) for n, x in few.items()})


def _attended(name: str, given: Mapping[str, Input]) -> Vector:
    y, (dq, dk, dv) = _run(ops.attention, (given["q"], given["k"], given["v"]), given["dy"])
    return vector("attention", name, given, {"y": y, "dq": dq, "dk": dk, "dv": dv})


def _output_layer() -> Iterator[Vector]:
    uneven = normal("output w", 8, 4).array * np.ldexp(1.0, -2 * np.arange(8)).astype(np.float32)[:, None]
    for name, w, rows, factor in (
        ("small", normal("output w", 5, 4), 3, 1.5),
        ("uneven grids", literal(uneven), 1, 6.0),
        ("rare tokens", normal("output w", 1_000, 16), 70, 1.5),
    ):
        columns, depth = w.array.shape
        x, targets = normal("output x", rows, depth, factor=factor), literal(7 * np.arange(1, rows + 1) % columns)
        loss, (dx, dw) = _run(lambda x, w, t=targets: ops.linear_cross_entropy(x, w, t.tensor), (x, w))
        given = {"x": x, "w": w, "targets": targets.array.tolist()}
        yield vector("linear_cross_entropy", name, given, {"loss": loss, "dx": dx, "dw": dw})

    x, w, targets = normal("output x", 5, 3), normal("output w", 6, 3), literal(np.array([4, 0, 5, 5, 2]))
    for name, dy, entries in (
        ("a gradient of -3", -3.0, {}),
        ("a row is infinite", -3.0, {3: np.inf, 4: -np.inf}),
        ("a row is NaN", 1.0, {14: np.nan}),
        ("a row is large", 1.0, {6: 3e38, 8: -3e38}),
        ("no row is finite", 1.0, {3 * row: np.inf for row in range(5)}),
    ):
        inputs, gradient = (with_entries(x, entries), w), literal(np.array(dy, np.float32))
        loss, (dx, dw) = _run(lambda x, w: ops.linear_cross_entropy(x, w, targets.tensor), inputs, gradient)
        given = {"x": inputs[0], "w": w, "targets": targets.array.tolist(), "dy": gradient}
        yield vector("linear_cross_entropy", name, given, {"loss": loss, "dx": dx, "dw": dw})


def _distillation() -> Iterator[Vector]:
    for name, rows, columns, depth, blend in (
        ("small", 3, 5, 4, (2.0, 0.5, 0)),
        ("nothing of the targets", 4, 6, 3, (1.0, 1.0, 0)),
        ("nothing of the teacher", 4, 6, 3, (4.0, 0.0, 0)),
        ("a hot one, some kept", 60, 700, 16, (3.0, 0.9, 20)),
    ):
        yield _distilled(name, rows, columns, depth, blend, {}, normal("teacher x", rows, 2 * depth, factor=2.0))
    # All of the teacher's logits are equal, so that it is the first ones that are kept.
    yield _distilled("equal logits", 3, 7, 4, (0.7, 0.6, 3), {}, literal(np.zeros((3, 8), np.float32)))
    for name, entries, theirs in (
        ("a row is NaN", {5: np.nan}, {}),
        ("a teacher's row is infinite", {}, {9: np.inf}),
        ("a row is large", {6: 3e38, 8: -3e38}, {}),
    ):
        teacher = with_entries(normal("teacher x", 5, 8, factor=2.0), theirs)
        yield _distilled(name, 5, 6, 4, (2.0, 0.5, 0), entries, teacher)


def _distilled(
    name: str, rows: int, columns: int, depth: int, blend: tuple[float, float, int], entries: Mapping[int, float],
    teacher: Input,
) -> Vector:  # fmt: skip
    temperature, share, top = blend
    x = with_entries(normal("output x", rows, depth, factor=1.5), entries)
    w, matrix = normal("output w", columns, depth), normal("teacher w", columns, 2 * depth)
    targets, dy = literal(7 * np.arange(1, rows + 1) % columns), literal(np.array(-3.0, np.float32))

    def loss(x: Tensor, w: Tensor) -> Tensor:
        return ops.linear_distillation(x, w, targets.tensor, (teacher.tensor, matrix.tensor), temperature, share, top)

    y, (dx, dw) = _run(loss, (x, w), dy)
    given = {"x": x, "w": w, "targets": targets.array.tolist(), "X": teacher, "W": matrix, "dy": dy}
    given |= {"temperature": temperature, "share": share, "top": top}
    return vector("linear_distillation", name, given, {"loss": y, "dx": dx, "dw": dw})


def _library_layers() -> Iterator[Vector]:
    gain, bias = normal("norm gain", 6), normal("norm bias", 6)
    off_centre = literal(normal("norm x", 3, 6).array + np.float32(100.0))
    for name, x in (("small", normal("norm x", 3, 6)), ("off centre", off_centre), ("extremes", _extremes())):
        dy = normal("norm dy", *x.array.shape)
        yield _layer_norm(name, x, gain, bias, dy)
    x, dy = normal("norm x", 300, 50), normal("norm dy", 300, 50)
    yield _layer_norm("large", x, normal("norm gain", 50), normal("norm bias", 50), dy)

    masked = np.array([[1.0, -np.inf, 2.0], [-np.inf, -np.inf, 0.5], [-np.inf, -np.inf, -np.inf]], np.float32)
    for name, x in {
        "small": normal("softmax x", 3, 6, factor=3.0),
        "extremes": _extremes(),
        "masked": literal(masked),
        "large": normal("softmax x", 40, 500, factor=10.0),
    }.items():
        dy = normal("softmax dy", *x.array.shape)
        y, (dx,) = _run(layers.softmax, (x,), dy)
        yield vector("softmax", name, {"x": x, "dy": dy}, {"y": y, "dx": dx})


def _layer_norm(name: str, x: Input, gain: Input, bias: Input, dy: Input) -> Vector:
    y, (dx, dgain, dbias) = _run(lambda x, gain, bias: layers.layer_norm(x, gain, bias, 1e-5), (x, gain, bias), dy)
    given = {"x": x, "gain": gain, "bias": bias, "epsilon": 1e-5, "dy": dy}
    return vector("layer_norm", name, given, {"y": y, "dx": dx, "dgain": dgain, "dbias": dbias})


def _library_activations() -> Iterator[Vector]:
    edges = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 5.3, -5.3, 13.0, -13.0, 13.3, -13.3, 15.9, -15.9, 16.1, -16.1]
    edges += [87.5, -87.5, 88.0, -88.0, 88.00001, -88.00001, 1e30, -1e30, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan]
    inputs = {"edges": literal(np.array(edges, np.float32)), "many": normal("activation x", 20_001, factor=5.0)}
    for name, x in inputs.items():
        dy = normal("activation dy", *x.array.shape)
        y, (dx,) = _run(layers.silu, (x,), dy)
        yield vector("silu", name, {"x": x, "dy": dy}, {"y": y, "dx": dx})
        for approximate in ("none", "tanh"):
            y, (dx,) = _run(lambda x, a=approximate: layers.gelu(x, a), (x,), dy)
            given = {"x": x, "approximate": approximate, "dy": dy}
            yield vector("gelu", f"{name}, {approximate}", given, {"y": y, "dx": dx})


def _library_losses() -> Iterator[Vector]:
    dy = literal(np.array(0.7, np.float32))
    for name, x in (
        ("small", normal("mean x", 5)),
        ("nine", normal("mean x", 9)),
        ("large", normal("mean x", 10_001, factor=1e6)),
    ):
        y, (dx,) = _run(ops.mean, (x,), dy)
        yield vector("mean", name, {"x": x, "dy": dy}, {"y": y, "dx": dx})

    rows = normal("logits", 4, 6, factor=3.0).array
    with_infinities = rows.copy()
    with_infinities[:, 2], with_infinities[1] = -np.inf, np.nan
    broken = rows.copy()
    broken[0, 1], broken[1, 1], broken[2] = np.nan, np.inf, -np.inf
    wide = literal(np.array([[-1e-6, 7.7, -9.66], [12.0, 2.74, -24.6], [-7e-5, 3e-8, 1e-9]], np.float32))
    for name, logits, targets in (
        ("small", literal(rows), [5, 0, 3, 3]),
        ("ignored", literal(with_infinities), [5, -100, 3, 3]),
        ("impossible target", literal(with_infinities), [5, -100, 2, -100]),
        ("not finite", literal(broken), [5, 0, 3, 3]),
        ("wide", wide, [-100, 2, 0]),
        ("large", normal("logits", 70, 1_000, factor=3.0), [-100 if i % 5 == 0 else 7 * i for i in range(70)]),
    ):
        chosen = literal(np.array(targets))
        loss, (dlogits,) = _run(lambda z, t=chosen: layers.cross_entropy(z, t.tensor), (logits,), dy)
        given = {"logits": logits, "targets": targets, "ignore_index": -100, "dy": dy}
        yield vector("cross_entropy", name, given, {"loss": loss, "dlogits": dlogits})


def _optimizer() -> Iterator[Vector]:
    three = [normal(f"micro-batch {i}", 2, 4, factor=10.0**i) for i in range(3)]
    many = [normal(f"micro-batch {i}", 2, 4, factor=2.0 ** (i % 40 - 20)) for i in range(200)]
    for name, parts in (("three", three), ("200", many)):
        kept = Gradients.of({"y": parts[0].tensor}, len(parts), len(parts))
        for part in parts:
            kept.add([part.tensor])
        yield vector("mean_gradient", name, {"parts": [part.says for part in parts]}, kept.mean())

    by_name = {"c": 1.0, "a": 8192.0, "B": 1.0, "d": 1.0, "b": 1.0}
    # Another order of these gives another sum, such as that in which `D` comes behind `c`.
    capital = {"b": 2.0**23, "a": 2.0**11, "D": 4.0, "c": 2.0**14}
    for name, factors, limit in (
        ("order of the names", by_name, 1.0),
        ("capitals come first", capital, 1.0),
        ("short enough", by_name, 1e6),
        ("no limit", by_name, 0.0),
    ):
        gradients = {n: normal(f"norm {n}", 3, k, factor=factor) for k, (n, factor) in enumerate(factors.items(), 1)}
        norm = gradient_norm({n: g.tensor for n, g in gradients.items()})
        found: dict[str, Any] = {"norm": np.array(norm), "clip": np.array(clip_factor(norm, limit))}
        yield vector("norm", name, {"gradients": {n: g.says for n, g in gradients.items()}, "limit": limit}, found)

    settings = {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.1}
    for step, rate, clip, decays in ((1, 1e-3, 1.0, True), (78, 3e-3, 0.7, True), (10, 2e-3, 1.0, False)):
        inputs = {n: normal(f"adamw {n}", *((2, 3) if decays else (6,))) for n in "pgm"}
        inputs["v"] = literal(np.square(normal("adamw v", *inputs["p"].array.shape).array))
        p, g, m, v = (x.tensor.view(-1, 3) for x in inputs.values())
        current().kernels.adamw(p, g, m, v, AdamW(**settings).constants(step, rate, clip, decays))
        given = {**inputs, **settings, "step": step, "learning_rate": rate, "clip": clip}
        shape = inputs["p"].array.shape
        found = {"p": p.view(shape), "m": m.view(shape), "v": v.view(shape)}
        yield vector("adamw", "a matrix" if decays else "a vector", given, found)


def _library_optimizer() -> Iterator[Vector]:
    settings: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    for name, shape in (("a matrix", (2, 3)), ("a vector", (6,))):
        p, gradients = normal("AdamW p", *shape), [normal(f"AdamW g {i}", *shape) for i in range(3)]
        parameter = torch.nn.Parameter(p.tensor)
        optimizer = adamw.AdamW([parameter], **settings)
        for gradient in gradients:
            parameter.grad = gradient.tensor
            optimizer.step()
        moments = optimizer.state[parameter]
        given = {"p": p, "gradients": [g.says for g in gradients], **settings}
        found = {"p": parameter, "m": moments["exp_avg"], "v": moments["exp_avg_sq"]}
        yield vector("AdamW", name, given, found)

    gradients = [normal(f"clip {i}", 2, i, factor=factor) for i, factor in ((1, 1.0), (2, 8192.0), (3, 1.0))]
    for limit in (1.0, 1e6, 0.0):
        parameters = [torch.nn.Parameter(g.tensor) for g in gradients]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.tensor
        norm = adamw.clip_grad_norm_(parameters, limit)
        found = {"norm": np.array(norm)} | {str(i): p.grad for i, p in enumerate(parameters)}
        yield vector("clip_grad_norm_", f"{limit:g}", {"gradients": [g.says for g in gradients], "limit": limit}, found)


def _inference() -> Iterator[Vector]:
    # Entries of many magnitudes, so that the order of the additions shows; depths with and without a rest of the lanes.
    for name, rows, depth, columns in (("less than the lanes", 2, 3, 2), ("a rest", 3, 61, 2), ("many", 5, 512, 40)):
        x, w = normal("ordered x", rows, depth), normal("ordered w", columns, depth)
        yield vector("ordered_linear", name, {"x": x, "w": w}, {"y": inference.linear(x.tensor, w.tensor)})
    x, w = _cancelling()
    yield vector("ordered_linear", "cancelling", {"x": x, "w": w}, {"y": inference.linear(x.tensor, w.tensor)})
    for first, positions in ((0, 5), (20, 3)):
        given = {n: normal(f"ordered {n} {first}", 1, positions, 4, 6, factor=2.0) for n in "q"}
        given |= {n: normal(f"ordered {n} {first}", 1, first + positions, 2, 6) for n in "kv"}
        q, k, v = (x.tensor for x in given.values())
        y = inference.attention(q, k.transpose(1, 2), v.transpose(1, 2), first)
        yield vector("ordered_attention", f"from {first}", {**given, "first": first}, {"y": y})


def _coded() -> Iterator[Vector]:
    # Integers of all formats, and groups of 16, 32 and more; rows with magnitudes that differ from block to block.
    for name, (low, high), group, offset in (
        ("of 4 bits", (-8, 7), 32, False),
        ("with offsets", (0, 15), 32, True),
        ("narrow groups", (-32, 31), 16, False),
        ("wide groups", (-128, 127), 96, False),
        ("not finite", (0, 31), 32, True),
    ):
        x = normal(f"coded x {name}", 3, 96, factor=3.0)
        x = with_entries(x, {5: 3e4, 40: 1e-30, 96: 2.0**-103, 130: 1e38, 200: 77.0})
        if name == "not finite":
            x = with_entries(x, {0: np.nan, 100: np.inf, **dict.fromkeys(range(224, 256), 0.0)})
        drawn = random.integers(SEED, f"codes {name}", 4 * 96).astype(np.int64) % (high - low + 1) + low
        integers = literal(drawn.astype(np.int8).reshape(4, 96))
        given = {"x": x, "integers": integers, "scales": normal(f"scales {name}", 4, 96 // group, factor=0.01)}
        if offset:
            given["offsets"] = normal(f"offsets {name}", 4, 96 // group, factor=0.1)
        offsets = given["offsets"].tensor if offset else None
        weight = Coded.of(integers.tensor, given["scales"].tensor, offsets, (low, high))
        yield vector("coded_linear", name, given, {"y": inference.linear(x.tensor, weight)})


def _cancelling() -> tuple[Input, Input]:
    """Products of which large ones cancel, and leave what the small ones were rounded to on the way: it shows in which
    order they were added, and whether in float64. In each column another pair of them is missing.
    """
    pairs, columns = ((0, 5, 1.0), (9, 30, 3.0), (18, 20, 5.0), (33, 36, 7.0)), 4
    entries, factors = dict[int, float](), dict[int, float]()
    for number, (one, other, factor) in enumerate(pairs):
        entries |= {one: factor * 2.0**50, other: -factor * 2.0**50}
        factors |= {37 * c + place: float(c != number) for c in range(columns) for place in (one, other)}
    x, w = normal("cancelling x", 1, 37), normal("cancelling w", columns, 37)
    return with_entries(x, entries), with_entries(w, factors)


if __name__ == "__main__":
    import sys

    sys.stdout.write(document(vectors()))
