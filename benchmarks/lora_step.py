"""A step of tuning a real model, ours against transformers and PEFT in float32, in alternation in one process.

    python -m benchmarks.lora_step SmolLM2-135M-Instruct.Q4_1.gguf            # adapters: r 8 beside all matrices
    python -m benchmarks.lora_step SmolLM2-135M-Instruct.Q4_1.gguf --full     # all parameters
    python -m benchmarks.lora_step SmolLM2-135M-Instruct.Q4_1.gguf --bf16     # adapters, of a base in bfloat16

Tells the median over pairs of (our time / their time) for the same base, batch and optimizer, and the same of peak
memory, each of a process of its own that does steps of one kind only.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as the command line does before torch is loaded; regrow.cli says why

import numba
import torch

from regrow.exact.selection import current
from regrow.formats.safetensors import Dtype
from regrow.model import gguf, weights
from regrow.model.adapters import modules
from regrow.train import loop
from regrow.train.batches import Given
from regrow.train.memory import keep_freed_memory
from regrow.train.settings import Settings
from regrow.train.state import State
from regrow.train.task import Batch, Task
from regrow.train.tasks.finetuning import Finetuning
from regrow.train.tasks.lora import Lora

RANK, ALPHA = 8, 16
SETTINGS = Settings(1000, 4, 1, 1e-4, 10, "cosine", 1e-5, 0.0, 0.9, 0.95, 1e-8, 1.0, 1, 100)


def tokens(context: int) -> torch.Tensor:
    """A micro-batch of ids below those of every model."""
    shape = SETTINGS.micro_batch, context + 1
    return torch.randint(0, 40_000, shape, generator=torch.Generator().manual_seed(1))


def ours(folder: Path, context: int, full: bool) -> Callable[[], object]:
    """A function that does one of our steps."""
    config, batch = weights.load_config(folder), Batch(tokens(context))
    targets = modules.linear(modules.modules(config))
    task: Task = (
        Finetuning(config, context, tuple(config.shapes()), folder)
        if full
        else Lora(config, context, targets, RANK, ALPHA / RANK, (), 1, folder)
    )
    state = State.initial(task.initial(), task.given())
    return lambda: loop.step(task, SETTINGS, state, Given.all(batch, SETTINGS.micro_batch))


def theirs(folder: Path, context: int, full: bool) -> Callable[[], object]:
    """A function that does one step of transformers, with PEFT unless all parameters are trained."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    if not full:
        model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear"))
    model.train()
    given, batch = [p for p in model.parameters() if p.requires_grad], tokens(context)
    adamw = torch.optim.AdamW(given, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    def step() -> None:
        logits = model(batch[:, :-1], use_cache=False).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(given, 1.0)
        adamw.step()
        adamw.zero_grad()

    return step


KINDS = {"ours": ours, "float32": theirs}


def _have(threads: int) -> None:
    """Have torch, and our kernels, compute with so many threads."""
    torch.set_num_threads(threads)
    numba.set_num_threads(threads)


def _peak(kind: str, folder: Path, context: int, full: bool, threads: int, pipe: object) -> None:
    _have(threads)
    keep_freed_memory()
    run = KINDS[kind](folder, context, full)
    for _ in range(2):
        run()
    # Not ru_maxrss, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    pipe.send(int(status.split("VmHWM:")[1].split()[0]))  # type: ignore[attr-defined]


def peak_kilobytes(kind: str, folder: Path, context: int, full: bool, threads: int) -> int:
    """Peak resident memory of a fresh process that does two steps of one kind."""
    spawned = multiprocessing.get_context("spawn")
    here, there = spawned.Pipe()
    process = spawned.Process(target=_peak, args=(kind, folder, context, full, threads, there))
    process.start()
    peak = here.recv()
    process.join()
    return int(peak)


def seconds(function: Callable[[], object], clock: Callable[[], float]) -> float:
    """How long one call takes."""
    start = clock()
    function()
    return clock() - start


def measure(
    folder: Path, context: int, full: bool, steps: int, threads: int, clock: Callable[[], float]
) -> dict[str, object]:
    """What the command prints."""
    runs = {kind: make(folder, context, full) for kind, make in KINDS.items()}
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {kind: [] for kind in runs}
    for _ in range(steps):
        for kind, run in runs.items():
            times[kind].append(seconds(run, clock))
    del runs
    peaks = {kind: peak_kilobytes(kind, folder, context, full, threads) for kind in KINDS}
    return {
        "what": "all parameters" if full else f"LoRA, r {RANK}",
        "context": context,
        "ratio_float32": round(statistics.median(map(float.__truediv__, *times.values())), 3),
        "peak_memory_ratio": round(peaks["ours"] / peaks["float32"], 3),
        "seconds": {kind: round(statistics.median(found), 3) for kind, found in times.items()},
        "peak_megabytes": {kind: peak // 1000 for kind, peak in peaks.items()},
        "backend": str(current()),
    }


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--full", action="store_true")
    parser.add_argument(
        "--bf16", action="store_true", help="round the base to bfloat16; transformers has float32 of it"
    )
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--steps", type=int, default=5, help="pairs counted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor", action="store_true", help="count processor time, where others are at work too")
    arguments = parser.parse_args()
    _have(arguments.threads)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        model = gguf.load(arguments.gguf)
        dtype: Dtype = "bfloat16" if arguments.bf16 else "float32"
        weights.save(Path(folder), model.config, model.parameters, gguf.ends(model.metadata), dtype=dtype)
        del model
        clock = time.process_time if arguments.processor else time.perf_counter
        given = arguments.context, arguments.full, arguments.steps, arguments.threads
        print(json.dumps(measure(Path(folder), *given, clock)), flush=True)


if __name__ == "__main__":
    main()
