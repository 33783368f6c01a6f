"""What the CUDA kernels of products and attention compile to, without a device: registers, spills and shared memory.

    python -m tools.gpu_kernels                               # all of it, minutes
    python -m tools.gpu_kernels --capabilities 90 --widths 128 --digits int8

Triton brings the assembler of each device. A kernel is compiled for operands as a model of ordinary widths has them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from torch import Tensor

from regrow.exact import grid
from regrow.exact.gpu import launch, products

POINTERS = {
    torch.float32: "*fp32", torch.float64: "*fp64", torch.int32: "*i32", torch.int64: "*i64", torch.int8: "*i8",
    torch.bfloat16: "*bf16",
}  # fmt: skip
# Bytes that a program can share: A100; H100, H200 and B200.
SHARED = {80: 163 << 10, 90: 227 << 10, 100: 227 << 10}
DIGITS = {"int8": torch.int8, "bf16": torch.bfloat16}
_OPTIONS = ("num_warps", "num_stages")
_MULTIPLIES = re.compile(r"\b((?:wgmma\.mma_async|mma\.sync|tcgen05\.mma)\S*)")


@dataclass(frozen=True)
class Compiled:
    """A kernel: intermediate code and PTX, and how many bytes a program shares."""

    asm: dict[str, Any]
    shared: int


@dataclass(frozen=True)
class Resources:
    """What the assembler says that a thread has: registers, and bytes written to memory for want of them; what a
    program shares, in bytes; and the instruction that multiplies.
    """

    registers: int
    spilled: int
    shared: int
    multiplies: str


Launch = Callable[..., None]


@contextmanager
def instead(stand_in: Launch) -> Iterator[None]:
    """Have kernels launched by something else in this block."""
    usual = launch.start
    launch.start = stand_in
    try:
        yield
    finally:
        launch.start = usual


def compiling(seen: dict[str, Compiled], capability: int = 90, of: Callable[[str], bool] = lambda name: True) -> Launch:
    """A stand-in for the launch of a kernel: compiles it for a device that is not there, once for each name."""

    def start(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
        name = kernel.fn.__name__ + str(constants.get("KIND", ""))
        if name not in seen and of(name):
            seen[name] = _compiled(kernel, arguments, constants, capability)

    return start


def _compiled(kernel: Any, arguments: tuple[Any, ...], constants: dict[str, Any], capability: int) -> Compiled:
    options = {name: constants.pop(name) for name in _OPTIONS if name in constants}
    signature, attributes = dict.fromkeys(constants, "constexpr"), {}
    for i, (parameter, argument) in enumerate(zip(kernel.params, arguments, strict=False)):
        if isinstance(argument, Tensor):
            signature[parameter.name] = POINTERS[argument.dtype]
            aligned = argument.data_ptr() % 16 == 0
        elif argument == 1 and isinstance(argument, int) and not parameter.do_not_specialize:
            signature[parameter.name], constants[parameter.name] = "constexpr", 1
            aligned = False
        else:
            signature[parameter.name] = "fp32" if isinstance(argument, float) else "i32"
            aligned = isinstance(argument, int) and argument % 16 == 0 and not parameter.do_not_specialize
        if aligned:
            attributes[(i,)] = [["tt.divisibility", 16]]
    source = triton.compiler.ASTSource(kernel, signature=signature, constexprs=constants, attrs=attributes)
    target = triton.backends.compiler.GPUTarget("cuda", capability, 32)
    found = triton.compile(source, target=target, options=options | {"enable_fp_fusion": False})
    return Compiled(found.asm, found.metadata.shared)


def resources(compiled: Compiled, capability: int) -> Resources:
    """What a kernel takes of a device, by the assembler that Triton has for it."""
    known = triton.knobs.nvidia
    tool = known.ptxas_blackwell if capability >= 100 else known.ptxas
    ptx = compiled.asm["ptx"]
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "kernel.ptx")
        source.write_text(ptx, encoding="utf-8")
        target = re.search(r"^\.target (\w+)", ptx, re.M)
        assert target, "no target in the PTX"
        command = [tool.path, "-v", f"--gpu-name={target[1]}", str(source), "-o", str(Path(scratch, "kernel.cubin"))]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers, spilled = re.search(r"Used (\d+) registers", said), re.search(r"(\d+) bytes spill stores", said)
    assert registers and spilled, f"the assembler does not say what it used: {said}"
    multiplies = _MULTIPLIES.search(ptx)
    return Resources(int(registers[1]), int(spilled[1]), compiled.shared, multiplies[1] if multiplies else "")


def kernels(capability: int, width: int, digits: torch.dtype) -> dict[str, Compiled]:
    """The kernels of products and attention, compiled for heads of a width."""
    seen: dict[str, Compiled] = {}
    own = products.TritonProducts(digits)
    x, weight = torch.zeros((1, 1024, 768)), torch.zeros((1, 2304, 768))
    q, k = torch.zeros((2, 2048, width)), torch.zeros((2, 1024, width))
    rows = torch.zeros((1, 512, 768), dtype=digits)
    with instead(
        compiling(seen, capability, {"multiply", "sums", "attend", "attend_queries", "attend_keys"}.__contains__)
    ):
        own.matmul(own.operand(x, grid.LEFT), own.operand(weight, grid.RIGHT_TRANSPOSED))
        right = launch.split(torch.zeros((1, 768, 512)), grid.RIGHT, digits)
        own.accumulate([rows] * 3, right, torch.zeros((1, 512, 512), dtype=torch.float64))
        own.attention_backward(q, q, k, k, own.attention(q, k, k, 0.125), 0.125)
    return seen


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capabilities", nargs="+", type=int, default=list(SHARED), choices=list(SHARED))
    parser.add_argument("--widths", nargs="+", type=int, default=[64, 128], help="of a head")
    parser.add_argument("--digits", nargs="+", default=list(DIGITS), choices=list(DIGITS))
    arguments = parser.parse_args()
    print("| capability | digits | width | kernel | registers | spilled | shared KiB | multiplies by |\n|" + "---|" * 8)
    for capability in arguments.capabilities:
        for digits in arguments.digits:
            for width in arguments.widths:
                for name, compiled in kernels(capability, width, DIGITS[digits]).items():
                    found = resources(compiled, capability)
                    print(
                        f"| {capability / 10} | {digits} | {width} | {name} | {found.registers} | {found.spilled} |"
                        f" {found.shared / 1024:.0f} | `{found.multiplies}` |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
