"""One training step on a CUDA device, ours against plain torch: tokens a second, memory, and ratios.

    python -m benchmarks.gpu                              # 110M (called 125M) and 1B parameters, context 2048
    python -m benchmarks.gpu --sizes 125M --profile       # and where our time goes
    python -m benchmarks.gpu --seconds 200 --json
    python -m benchmarks.gpu --exact                      # only whether the device computes exactly

The peers are the same decoder with scaled_dot_product_attention and fused AdamW: ``float32`` (strict) and ``tf32`` as
they are, and ``bf16`` under autocast, ``torch.compile`` and with flash attention. A row is printed when it is measured:
the median of some steps, all kinds in one process, one after the other. What there is no time for is said. Without a
CUDA device it measures the CPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks import plain
from regrow.exact.comparison import kernel_faults
from regrow.exact.registry import cuda_gemm_backends
from regrow.exact.selection import current
from regrow.exact.selftest import cuda_fault, gemm_fault
from regrow.model.config import DecoderConfig
from regrow.train import loop
from regrow.train.batches import Given
from regrow.train.settings import Settings
from regrow.train.state import State
from regrow.train.task import Batch
from regrow.train.tasks.pretraining import Pretraining

SIZES: dict[str, dict[str, Any]] = {
    "3M": {"vocabulary": 4096, "layers": 6, "width": 192, "heads": 3, "kv_heads": 1, "hidden": 512},
    "125M": {"vocabulary": 32768, "layers": 12, "width": 768, "heads": 12, "kv_heads": 12, "hidden": 2048},
    "1B": {"vocabulary": 32768, "layers": 20, "width": 2048, "heads": 16, "kv_heads": 8, "hidden": 5632},
}
TOKENS = {"3M": 4096, "125M": 16384, "1B": 8192}
PEERS = ("float32", "tf32", "bf16")
KINDS = ("ours", *PEERS)
UNCOUNTED = 3  # steps in which kernels are compiled and memory is found


def case(size: str, context: int) -> tuple[DecoderConfig, Settings, Tensor]:
    """A decoder, a run of one micro-batch a step, and tokens for it."""
    config = DecoderConfig(context=context, **SIZES[size])
    batch = TOKENS[size] // context
    settings = Settings(1000, batch, 1, 1e-3, 10, "cosine", 1e-4, 0.1, 0.9, 0.95, 1e-8, 1.0, 1, 100)
    tokens = torch.randint(0, config.vocabulary, (batch, context + 1), generator=torch.Generator().manual_seed(1))
    return config, settings, tokens


def start(config: DecoderConfig, seed: int) -> dict[str, Tensor]:
    """Initial parameters made fast: their values do not matter for the time."""
    generator = torch.Generator().manual_seed(seed)
    shapes = config.shapes().items()
    return {n: torch.ones(s) if len(s) == 1 else torch.randn(s, generator=generator) * 0.02 for n, s in shapes}


def ours(size: str, context: int) -> Callable[[], object]:
    """A function that does one of our steps."""
    config, settings, tokens = case(size, context)
    device = current().device
    state = State.initial({name: p.to(device) for name, p in start(config, 1).items()})
    task, batch = Pretraining(config, seed=1), Batch(tokens.to(device))
    return lambda: loop.step(task, settings, state, Given.all(batch, settings.micro_batch))


def theirs(size: str, context: int, kind: str) -> Callable[[], object]:
    """A function that does one plain torch step."""
    config, settings, tokens = case(size, context)
    device = current().device
    torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
    model = plain.PlainDecoder(config, first=start).to(device)
    model.cosine, model.sine, tokens = model.cosine.to(device), model.sine.to(device), tokens.to(device)
    adamw = plain.optimizer(model, settings)
    forward = torch.compile(model) if kind == "bf16" and device.type == "cuda" else model

    def step() -> None:
        adamw.zero_grad(set_to_none=True)
        with ExitStack() as stack:
            if kind == "bf16":
                stack.enter_context(torch.autocast(device.type, torch.bfloat16))
                if device.type == "cuda":  # and nothing else, so that the row is what it says
                    stack.enter_context(sdpa_kernel(SDPBackend.FLASH_ATTENTION))
            loss = forward(tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        adamw.step()

    return step


def seconds(function: Callable[[], object]) -> float:
    """How long one call takes, until the device has done it."""
    start = time.perf_counter()
    function()
    if current().device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(kind: str, size: str, context: int, steps: int, until: float, profiled: bool) -> dict[str, Any]:
    """The times of some steps and the peak memory, or why there are none; no step begins after ``until``."""
    cuda = current().device.type == "cuda"
    if time.monotonic() >= until:
        return {"fault": "no time left"}
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    try:
        run = ours(size, context) if kind == "ours" else theirs(size, context, kind)
        times: list[float] = []
        while len(times) < UNCOUNTED + steps and (len(times) <= UNCOUNTED or time.monotonic() < until):
            times.append(seconds(run))
        if profiled and kind == "ours":
            profile(run)
        return {"times": times[UNCOUNTED:], "bytes": torch.cuda.max_memory_allocated() if cuda else 0}
    except torch.OutOfMemoryError:
        return {"fault": "out of memory"}
    except Exception as error:  # whatever a compiler or a driver throws: the other rows are worth having
        return {"fault": f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"}


def forget() -> None:
    """Give back what a kind took."""
    torch.compiler.reset()
    gc.collect()
    if current().device.type == "cuda":
        torch.cuda.empty_cache()


def profile(run: Callable[[], object]) -> None:
    """Print what our step spends its time on."""
    with torch.profiler.profile() as found:
        seconds(run)
    by = "cuda_time_total" if current().device.type == "cuda" else "cpu_time_total"
    print(found.key_averages().table(sort_by=by, row_limit=25), flush=True)


def line(kind: str, size: str, one: dict[str, Any], own: dict[str, Any]) -> str:
    """A measurement as text."""
    if "fault" in one:
        return f"  {kind:<8} {one['fault']}"
    median = statistics.median(one["times"])
    ratio = f"ours/{kind} {statistics.median(own['times']) / median:.2f}" if "times" in own and kind != "ours" else ""
    speed, memory = TOKENS[size] / median, one["bytes"] / 2**30
    return f"  {kind:<8} {median * 1e3:9.1f} ms  {speed:10.0f} tokens/s  {memory:6.1f} GiB  {ratio}".rstrip()


def exact() -> bool:
    """Say of every way to multiply on the device whether it is exact, and then of all kernels together."""
    device, sound = torch.device("cuda"), True
    for gemm in cuda_gemm_backends():
        begun = time.perf_counter()
        fault = gemm_fault(gemm, device)
        print(f"  {gemm.name:<9} {fault or 'exact'}, {time.perf_counter() - begun:.0f} s", flush=True)
    begun = time.perf_counter()
    for name, test in kernel_faults(("triton",)):
        if fault := test():
            print(f"  {name}: {fault}", flush=True)
            sound = False
    print(f"  kernels   {'exact' if sound else 'not exact'}, {time.perf_counter() - begun:.0f} s", flush=True)
    return sound and not cuda_fault()


def machine() -> str:
    """What the figures were measured on."""
    backend = current()
    if backend.device.type == "cuda":
        import triton

        capability = ".".join(map(str, torch.cuda.get_device_capability()))
        device = f"{torch.cuda.get_device_name()} (compute capability {capability}, CUDA {torch.version.cuda})"
        return f"{device}, torch {torch.__version__}, triton {triton.__version__}, {backend}"
    return f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {backend}"


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["125M", "1B"], choices=list(SIZES))
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=10, help="counted of each kind, at most")
    parser.add_argument("--seconds", type=float, default=300.0, help="for all of it; what is left then is not measured")
    parser.add_argument("--profile", action="store_true", help="print where our time goes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--exact", action="store_true", help="say whether the device computes exactly, and end")
    arguments = parser.parse_args()
    if arguments.exact:
        raise SystemExit(0 if exact() else 1)
    until = time.monotonic() + arguments.seconds
    if not arguments.json:
        print(machine(), flush=True)
    for size in arguments.sizes:
        parameters, context = plain.parameters(case(size, arguments.context)[0]), arguments.context
        if not arguments.json:
            print(
                f"{size} ({parameters / 1e6:.0f} million parameters), {TOKENS[size]} tokens a step, context {context}"
            )
        found: dict[str, dict[str, Any]] = {}
        for kind in KINDS:
            found[kind] = measure(kind, size, context, arguments.steps, until, arguments.profile)
            forget()
            if not arguments.json:
                print(line(kind, size, found[kind], found["ours"]), flush=True)
        if arguments.json:
            row = {"size": size, "parameters": parameters, "context": context, "kinds": found, "machine": machine()}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
