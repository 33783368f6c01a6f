"""One training step, ours against plain torch, in alternation in one process.

    python benchmarks/train_step.py                 # a table
    python benchmarks/train_step.py --json          # one object per row
    python benchmarks/train_step.py --sizes 3M --contexts 256 --steps 9
    python benchmarks/train_step.py --threads 1 --processor-time --kinds float32

Held to AVX2, all three libraries and what Numba compiles:

    export MKL_ENABLE_INSTRUCTIONS=AVX2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 NUMBA_CPU_NAME=haswell
    export NUMBA_CPU_FEATURES=+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2,+cx16,+movbe

A row gives the median over pairs of (our time / their time) for the same decoder, data and optimizer: eager
float32 with scaled_dot_product_attention and fused AdamW, and the same under bfloat16 autocast. Peak memory is that
of a child process that does steps of one kind only.
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

os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as the command line does before torch is loaded; regrow.cli says why

import torch

import plain
from regrow.exact.selection import current
from regrow.model.config import DecoderConfig
from regrow.train import loop
from regrow.train.memory import keep_freed_memory
from regrow.train.settings import Settings
from regrow.train.state import State
from regrow.train.task import Batch
from regrow.train.tasks.pretraining import Pretraining

SIZES = {
    "3M": {"vocabulary": 4096, "layers": 6, "width": 192, "heads": 3, "kv_heads": 1, "hidden": 512},
    "25M": {"vocabulary": 8192, "layers": 8, "width": 448, "heads": 7, "kv_heads": 7, "hidden": 1216},
    "125M": {"vocabulary": 32768, "layers": 12, "width": 768, "heads": 12, "kv_heads": 12, "hidden": 2048},
}
TOKENS = {"3M": 4096, "25M": 4096, "125M": 2048}


def case(size: str, context: int) -> tuple[DecoderConfig, Settings, torch.Tensor]:
    """A decoder, a run of one micro-batch a step, and tokens for it."""
    config = DecoderConfig(context=context, **SIZES[size])
    batch = TOKENS[size] // context
    settings = Settings(1000, batch, 1, 1e-3, 10, "cosine", 1e-4, 0.1, 0.9, 0.95, 1e-8, 1.0, 1, 100)
    tokens = torch.randint(0, config.vocabulary, (batch, context + 1), generator=torch.Generator().manual_seed(1))
    return config, settings, tokens


def ours(size: str, context: int) -> Callable[[], object]:
    """A function that does one of our steps."""
    config, settings, tokens = case(size, context)
    task = Pretraining(config, seed=1)
    state = State.initial(task.initial())
    return lambda: loop.step(task, settings, state, Batch(tokens))


def theirs(size: str, context: int, bf16: bool) -> Callable[[], object]:
    """A function that does one plain torch step."""
    config, settings, tokens = case(size, context)
    model = plain.PlainDecoder(config)
    adamw = plain.optimizer(model, settings)
    return lambda: plain.step(model, adamw, settings, 10, tokens, bf16)


KINDS = {"ours": ours, "float32": lambda s, c: theirs(s, c, False), "bf16": lambda s, c: theirs(s, c, True)}


def seconds(function: Callable[[], object], clock: Callable[[], float]) -> float:
    """How long one call takes."""
    start = clock()
    function()
    return clock() - start


def _peak(kind: str, size: str, context: int, threads: int, pipe: object) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()
    run = KINDS[kind](size, context)
    for _ in range(2):
        run()
    # Not ru_maxrss, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    pipe.send(int(status.split("VmHWM:")[1].split()[0]))  # type: ignore[attr-defined]


def peak_kilobytes(kind: str, size: str, context: int, threads: int) -> int:
    """Peak resident memory of a fresh process that does two steps of one kind."""
    context_ = multiprocessing.get_context("spawn")
    here, there = context_.Pipe()
    process = context_.Process(target=_peak, args=(kind, size, context, threads, there))
    process.start()
    peak = here.recv()
    process.join()
    return int(peak)


def measure(
    size: str, context: int, steps: int, threads: int, peers: list[str], clock: Callable[[], float]
) -> dict[str, object]:
    """A row of the table."""
    runs = {kind: KINDS[kind](size, context) for kind in ("ours", *peers)}
    for run in runs.values():
        run()
        run()
    times: dict[str, list[float]] = {kind: [] for kind in runs}
    for _ in range(steps):
        for kind, run in runs.items():
            times[kind].append(seconds(run, clock))
    ratios = {kind: statistics.median(a / b for a, b in zip(times["ours"], times[kind], strict=True)) for kind in peers}
    peaks = {kind: peak_kilobytes(kind, size, context, threads) for kind in ("ours", "float32")}
    return {
        "size": size,
        "parameters": plain.parameters(case(size, context)[0]),
        "context": context,
        **{f"ratio_{kind}": round(ratio, 3) for kind, ratio in ratios.items()},
        "peak_memory_ratio": round(peaks["ours"] / peaks["float32"], 3),
        "seconds": {kind: round(statistics.median(t), 4) for kind, t in times.items()},
        "backend": str(current()),
    }


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--contexts", nargs="+", type=int, default=[256, 1024])
    parser.add_argument("--steps", type=int, default=7, help="pairs counted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", default=["float32", "bf16"], choices=["float32", "bf16"], help="peers")
    parser.add_argument("--processor-time", action="store_true", help="of all threads, where others use the machine")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    clock = time.process_time if arguments.processor_time else time.perf_counter
    for size in arguments.sizes:
        for context in arguments.contexts:
            row = measure(size, context, arguments.steps, arguments.threads, arguments.kinds, clock)
            if arguments.json:
                print(json.dumps(row), flush=True)
            else:
                ratios = " ".join(f"ours/{kind} {row[f'ratio_{kind}']:<6}" for kind in arguments.kinds)
                rest = f"memory {row['peak_memory_ratio']:<6} {row['seconds']} {row['backend']}"
                print(f"{size:>5} context {context:<5} {ratios} {rest}", flush=True)


if __name__ == "__main__":
    main()
