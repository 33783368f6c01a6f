"""Products with codes by what Arm processors have, run by an emulator: the bits of the definition.

What kernels call is compiled for Arm here: what makes records of rows, and what multiplies them, one row and several.
"""

import itertools
from functools import partial

import arm
import numpy as np
import pytest
import torch
from llvmlite import ir
from numba import types

from regrow.exact import comparison, definition
from regrow.exact.coded import Coded
from regrow.exact.microkernels import coded_vectors
from regrow.exact.microkernels.coded_records import record

arm.required()

# The processor that has just what a way needs, and one that has all.
PAIRS = [("neon", "cortex-a53"), ("neon", "max"), ("sdot", "neoverse-n1"), ("sdot", "max"), ("smmla", "max")]
SPANS = list(comparison.CODED.values())
LAYOUTS = [comparison.coded(*how).layout for how in SPANS]


class Context:
    """What Numba gives to whatever writes an intrinsic, as far as ours ask for it."""

    get_dummy_value = staticmethod(lambda: None)


def write_function(module, name, intrinsic, count):
    """A function of so many int64 that does what an intrinsic of Numba's does."""
    of = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * count)
    function = ir.Function(module, of, name)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    _, generate = intrinsic._defn(None, *[types.int64] * count)
    generate(Context(), builder, None, function.args)
    builder.ret_void()


def write_way(way, module):
    for number, layout in enumerate(LAYOUTS):
        write_function(module, f"record_{number}", record(layout, coded_vectors.form(layout, way)), 4)
        write_function(module, f"row_{number}", coded_vectors.row(layout, way), 8)
        write_function(module, f"rows_{number}", coded_vectors.rows(layout, way), 8)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program that multiplies a way, by the way's name; linked once for each."""
    made = {}

    def found(way):
        if way not in made:
            with pytest.MonkeyPatch.context() as patched:
                # Here Numba compiles for another kind of processor.
                patched.setattr(coded_vectors, "compiled_for", lambda more: [f"+{one}" for one in more])
                made[way] = arm.linked(tmp_path_factory.mktemp(way), "coded_driver.c", partial(write_way, way))
        return made[way]

    return found


def given(x, weight):
    """A product as the driver reads it, of the first 16 rows of codes."""
    told = LAYOUTS.index(weight.layout), len(x), weight.runs.shape[1], weight.layout.block, weight.layout.run
    return np.array(told, np.int32).tobytes() + x.numpy().tobytes() + weight.runs[0].numpy().tobytes()


def multiplied(program, processor, cases):
    """The products of some cases, ``(x, weight)`` each, after it was seen that nothing else was written."""
    done = arm.run(program, processor, b"".join(given(*case) for case in cases))
    assert done.returncode == 0, done.stderr
    out = torch.frombuffer(bytearray(done.stdout), dtype=torch.float32).view(-1, 20)
    assert (out[:, 16:].contiguous().view(torch.uint8) == 0x5A).all()
    return out[:, :16].split([len(x) for x, _ in cases])


def samples(depth):
    """Rows of any kind, with codes of any: scales from subnormal to infinite, and some that are not finite."""
    for (span, group, offset), (rows, kind) in itertools.product(
        SPANS, [(1, "normal"), (1, "edges"), (2, "wide"), (3, "small"), (9, "normal"), (17, "wide"), (64, "edges")]
    ):
        x, scales = comparison.sample((rows, depth), rows, kind), comparison.sample((16, depth // min(group, 32)), 2)
        x[-1, depth // 3] = torch.nan if rows == 9 else x[-1, depth // 3]
        x[rows // 2, depth - 1] = -torch.inf if rows == 17 else x[rows // 2, depth - 1]
        scales[3], scales[4, 0], scales[5, 0], scales[6] = 1e-45, torch.inf, torch.nan, 0.0
        integers = torch.arange(16 * depth).view(16, depth) ** 2 * 7 % (span[1] - span[0] + 1) + span[0]
        yield x, Coded.of(integers.to(torch.int8), scales, scales * 0.3 if offset else None, span)


def extremes():
    """The largest sums of either sign that there are, and the ends of what a digit holds."""
    for (span, group, offset), rows, value in itertools.product(SPANS, (1, 6), (0, 1, 2)):
        x = torch.full((rows, 64), 1.0 - 2.0**-24)
        x[: rows // 2] = -x[: rows // 2]
        x[:, 1::4] *= (1.0, 2.0**-7, 2.0**-15)[value]
        integers = torch.full((16, 64), span[value % 2], dtype=torch.int8)
        integers[8:, ::2] = span[1 - value % 2]
        scales = torch.ones((16, 64 // min(group, 32)))
        yield x, Coded.of(integers, scales, scales if offset else None, span)


@pytest.mark.parametrize(("way", "processor"), PAIRS, ids=[f"{way} on {on}" for way, on in PAIRS])
@pytest.mark.parametrize("kind", ["one block or two", "many blocks", "extremes"])
def test_products_have_the_bits_of_the_definition(program, way, processor, kind):
    cases = list(extremes()) if kind == "extremes" else list(samples(32 if kind == "one block or two" else 864))
    found = multiplied(program(way), processor, cases)
    assert comparison.difference(found, [definition.coded_product(*case) for case in cases]) == ""


@pytest.mark.parametrize(("way", "processor"), [("sdot", "cortex-a53"), ("smmla", "neoverse-n1")])
def test_a_processor_without_the_extension_cannot_multiply_so(program, way, processor):
    assert arm.cannot_run(arm.run(program(way), processor, given(*list(samples(32))[2])))
