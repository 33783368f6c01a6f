"""Products and attention in Triton without a device: bits in the interpreter, memory, and what they compile to.

    pip install triton==3.7.1

Tiles are small here, so that small matrices have several of them; the interpreter takes a tenth of a second for each.
"""

import inspect
import json

import pytest
import torch

from regrow.errors import RecipeError
from regrow.exact import grid, registry
from tests.exact.test_triton import _train, interpret

pytest.importorskip("triton", reason="the CUDA kernels need triton")


def test_products_and_attention_have_the_bits_of_the_definition():
    found = json.loads(interpret(inspect.getsource(_faults) + "\n_faults()"))
    assert found.pop("count") == 17
    assert found == {}


def _faults():
    import json

    from regrow.exact import comparison
    from regrow.exact.gpu import products

    faults = {"count": 0}
    for name, test in comparison.whole_faults(products.GEMM_BACKENDS[0]):
        faults["count"] += 1
        if fault := test():
            faults[name] = fault
    print(json.dumps(faults))


def test_many_tiles_and_sums_that_float32_cannot_hold_at_once_change_nothing():
    """Digits in float32 stand for bfloat16 ones, which the interpreter cannot multiply: the sums are the same."""
    assert json.loads(interpret(inspect.getsource(_tiles) + "\n_tiles()")) == {}


def _tiles():
    import json
    from functools import partial

    import torch

    from regrow.exact import comparison
    from regrow.exact.backend import Backend
    from regrow.exact.gemm import GemmBackend
    from regrow.exact.gpu import launch, products

    tile = products.Tile(32, 32, 512, 4, 1)
    few = ((64, products.Tile(32, 32, 0, 4, 1)),)
    faults = {}
    for dtype in (torch.int8, torch.float32):
        own = products.TritonProducts(dtype, products.Tiles(tile, tile, few, few, few))
        backend = Backend(launch, GemmBackend("small", dtype, 1 << 17, own.integers, whole=own))
        cases = {"attention": partial(comparison._whole_attention, (1, 2, 40, 20), "wide")}
        for which in ("forward", "dweight"):
            cases[which] = partial(comparison._matmul, which, (1, 37, 2500, 3), "normal")
        cases["deep"] = partial(comparison._add_deep, (1, 3, 2500, 5))
        for name, case in cases.items():
            if fault := comparison._compare_whole(case, backend):
                faults[f"{dtype} {name}"] = fault
    print(json.dumps(faults))


@pytest.mark.slow
def test_known_answers_are_given():
    assert interpret(inspect.getsource(_answers) + "\n_answers()").strip() == "True"


def _answers():
    from pathlib import Path

    from regrow.exact import selection, vectors

    with selection.use("triton", "triton8"):
        made = vectors.document(vectors.vectors())
    print(made == Path("docs/arithmetic/exact.json").read_text("utf-8"))


def test_training_ends_at_the_same_hash():
    program = "from regrow.exact import selection\nwith selection.use('triton', 'triton8'):\n    print(_train())"
    assert interpret(f"{inspect.getsource(_train)}\n{program}").strip() == _train()


def test_memory_of_attention_is_linear_in_the_positions():
    short, long = _bytes(64), _bytes(256)
    assert max(long) == 4 * max(short)
    assert sum(long) < 4.01 * sum(short)


def _bytes(positions):
    """How much memory each tensor has that a kernel of attention is given, without the kernel."""
    from regrow.exact.gpu import products
    from tools import gpu_kernels

    taken = {}

    def start(kernel, grid, *arguments, **constants):
        for x in arguments:
            if isinstance(x, torch.Tensor):
                taken[x.untyped_storage().data_ptr()] = x, x.untyped_storage().nbytes()

    own, q, k = (
        products.TritonProducts(torch.int8),
        torch.zeros((2, 2 * positions, 32)),
        torch.zeros((2, positions, 32)),
    )
    with gpu_kernels.instead(start):
        own.attention_backward(q, q, k, k, own.attention(q, k, k, 0.125), 0.125)
    return [size for _, size in taken.values()]


def test_numbers_are_all_that_products_read():
    from regrow.exact.gpu import launch, products
    from tools import gpu_kernels

    read = []
    own = products.TritonProducts(torch.int8)
    with gpu_kernels.instead(
        lambda kernel, grid, *arguments, **constants: read.append((kernel.fn.__name__, arguments))
    ):
        left = own.operand(torch.zeros((1, 40, 64)), grid.LEFT)
        own.matmul(left, launch.numbers(torch.zeros((1, 64, 24)), grid.RIGHT))
    assert [name for name, _ in read] == ["row_bits", "column_bits", "multiply"]
    assert {x.dtype for x in read[-1][1] if isinstance(x, torch.Tensor)} == {torch.float32, torch.int32}


# Bytes a thread writes to memory for want of registers: what the largest kernels do, and half as much again.
SPILLED = 768


@pytest.mark.parametrize(
    ("capability", "digits", "width"),
    [(90, "int8", 64)]
    + [
        pytest.param(c, d, w, marks=pytest.mark.slow)
        for c in (80, 90, 100)
        for d in ("int8", "bf16")
        for w in (64, 128)
        if (c, d, w) != (90, "int8", 64)
    ],
)
def test_kernels_have_room_on_the_device(capability, digits, width):
    from tools import gpu_kernels

    for name, one in gpu_kernels.kernels(capability, width, gpu_kernels.DIGITS[digits]).items():
        found = gpu_kernels.resources(one, capability)
        assert found.registers <= 255, name
        assert found.spilled <= SPILLED, f"{name} spills {found.spilled} bytes"
        assert found.shared <= gpu_kernels.SHARED[capability], name
        kinds = {"int8": ".s8.s8", "bf16": "bf16|kind::f16"}[digits]
        assert any(kind in found.multiplies for kind in kinds.split("|")), f"{name} multiplies by {found.multiplies}"


def test_without_triton_its_products_are_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    monkeypatch.setattr(registry, "cuda_gemm_backends", registry.cuda_gemm_backends.__wrapped__)
    with pytest.raises(RecipeError, match="no GEMM backend `triton8` here") as caught:
        registry.find_gemm_backend("triton8", "REGROW_GEMM")
    assert caught.value.why == "Triton is missing"
    assert caught.value.where == "REGROW_GEMM"
