"""One training step, ours against plain torch, in alternation in one process.

    python -m benchmarks.train_step                 # a table
    python -m benchmarks.train_step --json          # one object per row
    python -m benchmarks.train_step --sizes 3M --contexts 256 --steps 9
    python -m benchmarks.train_step --threads 1 --processor-time --kinds float32
    python -m benchmarks.train_step --threads 1 --apart   # where the time of our step goes

Held to AVX2, all three libraries and what Numba compiles:

    export MKL_ENABLE_INSTRUCTIONS=AVX2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 NUMBA_CPU_NAME=haswell
    export NUMBA_CPU_FEATURES=+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2,+cx16,+movbe

A row gives the median over pairs of (our time / their time) for the same decoder, data and optimizer: eager
float32 with scaled_dot_product_attention and fused AdamW, and the same under bfloat16 autocast. Peak memory is that
of a child process that does steps of one kind only. Where a machine is slow or small, ``--tokens`` makes steps smaller
than the table's, down to one sequence.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as the command line does before torch is loaded; regrow.cli says why

import torch

from benchmarks import plain
from regrow.exact import kernel
from regrow.exact.selection import current
from regrow.model.config import DecoderConfig
from regrow.train import loop
from regrow.train.batches import Given
from regrow.train.memory import keep_freed_memory
from regrow.train.settings import Settings
from regrow.train.state import State
from regrow.train.task import Batch
from regrow.train.tasks.pretraining import Pretraining

SIZES: dict[str, dict[str, Any]] = {
    "3M": {"vocabulary": 4096, "layers": 6, "width": 192, "heads": 3, "kv_heads": 1, "hidden": 512},
    "25M": {"vocabulary": 8192, "layers": 8, "width": 448, "heads": 7, "kv_heads": 7, "hidden": 1216},
    "125M": {"vocabulary": 32768, "layers": 12, "width": 768, "heads": 12, "kv_heads": 12, "hidden": 2048},
}
TOKENS = {"3M": 4096, "25M": 4096, "125M": 2048}

APART = {
    "products": ("multiply", "pack_right"),
    "attention": ("attend", "attend_backward", "over_queries"),
    "digits": ("_split_rows_kernel", "_split_columns_kernel"),
}
"""Kernels that do more than go through numbers, by what they are for."""


def case(size: str, context: int, tokens: int) -> tuple[DecoderConfig, Settings, torch.Tensor]:
    """A decoder, a run of one micro-batch of so many tokens a step, and the tokens."""
    config = DecoderConfig(context=context, **SIZES[size])
    batch = max(1, tokens // context)
    settings = Settings(1000, batch, 1, 1e-3, 10, "cosine", 1e-4, 0.1, 0.9, 0.95, 1e-8, 1.0, 1, 100)
    shape, generator = (batch, context + 1), torch.Generator().manual_seed(1)
    return config, settings, torch.randint(0, config.vocabulary, shape, generator=generator)


def ours(size: str, context: int, tokens: int) -> Callable[[], object]:
    """A function that does one of our steps."""
    config, settings, rows = case(size, context, tokens)
    task = Pretraining(config, seed=1)
    state = State.initial(task.initial())
    return lambda: loop.step(task, settings, state, Given.all(Batch(rows), settings.micro_batch))


def theirs(size: str, context: int, tokens: int, bf16: bool) -> Callable[[], object]:
    """A function that does one plain torch step."""
    config, settings, rows = case(size, context, tokens)
    model = plain.PlainDecoder(config)
    adamw = plain.optimizer(model, settings)
    return lambda: plain.step(model, adamw, settings, 10, rows, bf16)


KINDS: dict[str, Callable[[str, int, int], Callable[[], object]]] = {
    "ours": ours,
    "float32": lambda size, context, tokens: theirs(size, context, tokens, False),
    "bf16": lambda size, context, tokens: theirs(size, context, tokens, True),
}


def seconds(function: Callable[[], object], clock: Callable[[], float]) -> float:
    """How long one call takes."""
    start = clock()
    function()
    return clock() - start


def _peak(kind: str, size: str, context: int, tokens: int, threads: int, pipe: object) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()
    run = KINDS[kind](size, context, tokens)
    for _ in range(2):
        run()
    # Not ru_maxrss, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    pipe.send(int(status.split("VmHWM:")[1].split()[0]))  # type: ignore[attr-defined]


def peak_kilobytes(kind: str, size: str, context: int, tokens: int, threads: int) -> int:
    """Peak resident memory of a fresh process that does two steps of one kind."""
    context_ = multiprocessing.get_context("spawn")
    here, there = context_.Pipe()
    process = context_.Process(target=_peak, args=(kind, size, context, tokens, threads, there))
    process.start()
    peak = here.recv()
    process.join()
    return int(peak)


def measure(
    size: str, context: int, tokens: int, steps: int, threads: int, peers: list[str], clock: Callable[[], float]
) -> dict[str, object]:
    """A row of the table."""
    runs = {kind: KINDS[kind](size, context, tokens) for kind in ("ours", *peers)}
    for run in runs.values():
        run()
        run()
    times: dict[str, list[float]] = {kind: [] for kind in runs}
    for _ in range(steps):
        for kind, run in runs.items():
            times[kind].append(seconds(run, clock))
    ratios = {kind: statistics.median(a / b for a, b in zip(times["ours"], times[kind], strict=True)) for kind in peers}
    peaks = {kind: peak_kilobytes(kind, size, context, tokens, threads) for kind in ("ours", "float32")}
    return {
        "size": size,
        "parameters": plain.parameters(case(size, context, tokens)[0]),
        "context": context,
        "tokens": tokens,
        **{f"ratio_{kind}": round(ratio, 3) for kind, ratio in ratios.items()},
        "peak_memory_ratio": round(peaks["ours"] / peaks["float32"], 3),
        "seconds": {kind: round(statistics.median(t), 4) for kind, t in times.items()},
        "backend": str(current()),
    }


def apart(size: str, context: int, tokens: int, steps: int, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of our step, by what its kernels are for, and outside of them."""
    run = ours(size, context, tokens)
    run()
    names = {name: part for part, names in APART.items() for name in names}
    computed = kernel._SharedKernel.__call__
    found: list[dict[str, float]] = []

    def timed(self: Any, *arguments: Any, threads: int = 0) -> None:
        start = clock()
        computed(self, *arguments, threads=threads)
        part = names.get(self._shared.__name__, "element by element")
        found[-1][part] += clock() - start

    kernel._SharedKernel.__call__ = timed  # type: ignore[method-assign]
    try:
        for _ in range(steps):
            found.append(dict.fromkeys([*APART, "element by element", "outside of kernels"], 0.0))
            whole = seconds(run, clock)
            found[-1]["outside of kernels"] = whole - sum(found[-1].values())
    finally:
        kernel._SharedKernel.__call__ = computed  # type: ignore[method-assign]
    return {part: statistics.median(one[part] for one in found) for part in found[0]}


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--contexts", nargs="+", type=int, default=[256, 1024])
    parser.add_argument("--steps", type=int, default=7, help="pairs counted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", default=["float32", "bf16"], choices=["float32", "bf16"], help="peers")
    parser.add_argument("--processor-time", action="store_true", help="of all threads, where others use the machine")
    parser.add_argument("--apart", action="store_true", help="where the processor time of our step goes; no peers")
    parser.add_argument("--tokens", type=int, help="in a step, instead of the size's own number")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    clock = time.process_time if arguments.processor_time else time.perf_counter
    for size in arguments.sizes:
        for context in arguments.contexts:
            tokens = arguments.tokens or TOKENS[size]
            if arguments.apart:
                parts = apart(size, context, tokens, arguments.steps, time.process_time)
                told = {part: round(took, 4) for part, took in parts.items()}
                print(f"{size:>5} context {context:<5} {told} {current()}", flush=True)
                continue
            row = measure(size, context, tokens, arguments.steps, arguments.threads, arguments.kinds, clock)
            if arguments.json:
                print(json.dumps(row), flush=True)
            else:
                ratios = " ".join(f"ours/{kind} {row[f'ratio_{kind}']:<6}" for kind in arguments.kinds)
                rest = f"memory {row['peak_memory_ratio']:<6} {row['seconds']} {row['backend']}"
                print(f"{size:>5} context {context:<5} {ratios} {rest}", flush=True)


if __name__ == "__main__":
    main()
