"""The CUDA kernels without a device: their logic in Triton's interpreter, their arithmetic in what they compile to.

    pip install triton==3.7.1

The interpreter computes with NumPy, so it cannot see what a compiler does to a sequence of operations; the PTX can.
What only a device shows (its own assembler, its matrix products) is in ``test_triton_cuda.py`` and in the self-test.
"""

import inspect
import json
import os
import re
import struct
import subprocess
import sys

import pytest
import torch

from regrow.exact import comparison, polynomials

triton = pytest.importorskip("triton", reason="the CUDA kernels need triton")

ROUNDED = re.compile(
    r"^\s*(?:@%p\d+ )?((?:add|sub|mul|fma|mad|div|sqrt|rcp|rsqrt|ex2|lg2|tanh)\.\S*f(?:32|64)\S*)", re.M
)
CONVERSIONS = re.compile(r"\b(cvt\.\S*(?:\.f32\.f64|\.f(?:32|64)\.[su]\d+))\b")
FAST = re.compile(r"\bf(?:add|sub|mul|div|neg)\s+(?:fast|nnan|ninf|nsz|arcp|contract|afn|reassoc)\b")


@pytest.fixture(scope="module")
def compiled():
    """The intermediate code and the PTX of every kernel, for compute capability 9.0."""
    from regrow.exact.gpu import launch
    from tools import gpu_kernels

    seen = {}
    with gpu_kernels.instead(gpu_kernels.compiling(seen)):
        for case in comparison.cases().values():
            case(launch)
    seen |= gpu_kernels.kernels(90, 64, torch.int8)
    return {name: one.asm for name, one in seen.items()}


def test_every_kernel_is_compiled_here(compiled):
    from regrow.exact.gpu import attend, kernels, multiply

    written = {
        name
        for module in (attend, kernels, multiply)
        for name, value in vars(module).items()
        if isinstance(value, triton.JITFunction)
    }
    launched = {name for name in written if not name.startswith("_")} - {"jit"}
    assert {re.sub("(silu|gelu|gelu_tanh)$", "", name) for name in compiled} >= launched - {"swiglu", "activation"}
    assert len(compiled) >= 40


def test_each_operation_is_rounded_on_its_own_and_to_nearest(compiled):
    for name, code in compiled.items():
        found = set(ROUNDED.findall(code["ptx"])) | set(CONVERSIONS.findall(code["ptx"]))
        wrong = {
            op for op in found if ".rn" not in op or op.startswith(("fma", "mad")) or re.search("ftz|approx|full", op)
        }
        assert not wrong, f"{name}: {wrong}"
        assert not FAST.search(code["llir"]), name


def test_divisions_and_roots_are_the_machine_s_correctly_rounded_ones(compiled):
    for name in ("adamw", "swiglu", "softmax", "cross_entropy", "attention_gradient"):
        assert "div.rn.f32" in compiled[name]["ptx"]
    assert "sqrt.rn.f32" in compiled["adamw"]["ptx"]
    for name in ("rms_norm", "layer_norm"):
        assert "sqrt.rn.f64" in compiled[name]["ptx"]
        assert "div.rn.f64" in compiled[name]["ptx"]


def test_constants_keep_all_their_bits(compiled):
    ptx = compiled["cross_entropy"]["ptx"].upper()
    for value in (polynomials.LN2_HIGH64, -polynomials.LN2_LOW64, *(1.0 / n for n in range(23, 1, -2))):
        assert double(value) in ptx
    assert str(0x6A09E667F3BCD) in ptx  # where the logarithm branches, not rounded to float32
    assert double(1e-5) in compiled["rms_norm"]["ptx"].upper()  # its epsilon
    for value in (polynomials.EXP_INVERSE_LN2, polynomials.EXP_LN2_HIGH, *polynomials.EXP_COEFFICIENTS):
        assert "0F" + struct.pack(">f", value).hex().upper() in ptx


def double(value):
    """A float64 constant as PTX writes it."""
    return "0D" + struct.pack(">d", value).hex().upper()


def interpret(program, **environment):
    """What a program prints in a process that interprets the kernels."""
    given = os.environ | {"TRITON_INTERPRET": "1", "REGROW_BACKEND": "triton"} | environment
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_interpreted_kernels_have_the_bits_of_the_definition():
    faults = json.loads(interpret(inspect.getsource(_faults) + "\n_faults()"))
    assert faults.pop("count") > 100
    assert faults == {}


def _faults():
    import json

    import torch

    from regrow.exact import comparison, definition
    from regrow.exact.gpu import launch

    faults = {"count": 0}
    for name, test in comparison.kernel_faults(("triton",)):
        faults["count"] += 1
        if fault := test():
            faults[name] = fault
    for name, layout in comparison.LAYOUTS.items():
        x = comparison.sample((2, 9, 40), 1)
        for dtype in (torch.bfloat16, torch.float32, torch.float64):
            found, expected = (k.split(x, layout, dtype) for k in (launch, definition))
            if found.data.dtype != dtype or not torch.equal(found.data, expected.data):
                faults[f"{name} {dtype}"] = "digits differ"
    print(json.dumps(faults))


def test_interpreted_training_ends_at_the_same_hash():
    assert interpret(inspect.getsource(_train) + "\nprint(_train())").strip() == _train()


def _train():
    import dataclasses
    import tempfile
    from pathlib import Path

    import torch

    from regrow.train.loop import train
    from regrow.train.task import Batch
    from regrow.train.tasks.pretraining import Pretraining
    from tests.train.toy import CONFIG, SETTINGS, watch

    config = dataclasses.replace(CONFIG, layers=1, vocabulary=70, context=8)
    settings = dataclasses.replace(SETTINGS, steps=2, micro_batch=1)
    with tempfile.TemporaryDirectory() as scratch:
        task = Pretraining(config, settings.seed)
        tokens = torch.arange(18).view(2, 9)
        return train(task, settings, lambda step: Batch(tokens * step), Path(scratch), watch()).digest()
