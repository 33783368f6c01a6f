"""One training step on a CUDA device, ours against plain torch: tokens a second, memory, and ratios.

    python benchmarks/gpu.py                              # 110M (called 125M) and 1B parameters, context 2048
    python benchmarks/gpu.py --sizes 125M --profile       # and where our time goes
    python benchmarks/gpu.py --json

The peers are the same decoder with scaled_dot_product_attention and fused AdamW under ``torch.compile``: ``float32``
(strict), ``tf32``, and ``bf16`` (autocast, torch's fused attention). Each kind runs in a process of its own, in turn,
for several rounds; a figure is the median over all of its steps. Without a CUDA device it measures the CPU.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import plain
from regrow.exact.selection import current
from regrow.model.config import DecoderConfig
from regrow.train import loop
from regrow.train.settings import Settings
from regrow.train.state import State
from regrow.train.task import Batch
from regrow.train.tasks.pretraining import Pretraining

SIZES = {
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
    return lambda: loop.step(task, settings, state, batch)


def theirs(size: str, context: int, kind: str, compiled: bool) -> Callable[[], object]:
    """A function that does one plain torch step."""
    config, settings, tokens = case(size, context)
    device = current().device
    plain.initialise = start
    torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
    model = plain.PlainDecoder(config).to(device)
    model.cosine, model.sine, tokens = model.cosine.to(device), model.sine.to(device), tokens.to(device)
    adamw = plain.optimizer(model, settings)
    forward = torch.compile(model) if compiled else model

    def step() -> None:
        adamw.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=kind == "bf16"):
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


def worker(kind: str, size: str, context: int, steps: int, options: dict[str, Any], pipe: Any) -> None:
    """Send the times of some steps and the peak memory, or why there are none."""
    try:
        run = ours(size, context) if kind == "ours" else theirs(size, context, kind, options["compiled"])
        for _ in range(UNCOUNTED):
            seconds(run)
        times = [seconds(run) for _ in range(steps)]
        if options["profile"] and kind == "ours":
            profile(run)
        device = current().device.type
        pipe.send({"times": times, "bytes": torch.cuda.max_memory_allocated() if device == "cuda" else 0})
    except torch.OutOfMemoryError:
        pipe.send({"fault": "out of memory"})


def profile(run: Callable[[], object]) -> None:
    """Print what our step spends its time on."""
    with torch.profiler.profile() as found:
        seconds(run)
    by = "cuda_time_total" if current().device.type == "cuda" else "cpu_time_total"
    print(found.key_averages().table(sort_by=by, row_limit=25), flush=True)


def alone(kind: str, size: str, context: int, steps: int, options: dict[str, Any]) -> dict[str, Any]:
    """What :func:`worker` sends from a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=worker, args=(kind, size, context, steps, options, there))
    process.start()
    there.close()
    try:
        return dict(here.recv())
    except EOFError:
        return {"fault": "the process ended early"}
    finally:
        process.join()


def measure(size: str, context: int, steps: int, rounds: int, options: dict[str, Any]) -> dict[str, Any]:
    """A row of the table for each kind."""
    found: dict[str, dict[str, Any]] = {kind: {"times": [], "bytes": 0} for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS:
            if "fault" not in found[kind]:
                one = alone(kind, size, context, steps, options | {"profile": options["profile"] and number == 0})
                found[kind] = (
                    one if "fault" in one else {"times": found[kind]["times"] + one["times"], "bytes": one["bytes"]}
                )
    return {"size": size, "parameters": plain.parameters(case(size, context)[0]), "context": context, "kinds": found}


def lines(row: dict[str, Any]) -> list[str]:
    """A measurement as text."""
    size, context = row["size"], row["context"]
    texts = [
        f"{size} ({row['parameters'] / 1e6:.0f} million parameters), {TOKENS[size]} tokens a step, context {context}"
    ]
    our_times = row["kinds"]["ours"].get("times")
    for kind, one in row["kinds"].items():
        if "fault" in one:
            texts.append(f"  {kind:<8} {one['fault']}")
            continue
        median = statistics.median(one["times"])
        ratio = f"ours/{kind} {statistics.median(our_times) / median:.2f}" if our_times and kind != "ours" else ""
        speed, memory = TOKENS[size] / median, one["bytes"] / 2**30
        texts.append(f"  {kind:<8} {median * 1e3:9.1f} ms  {speed:10.0f} tokens/s  {memory:6.1f} GiB  {ratio}".rstrip())
    return texts


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
    parser.add_argument("--steps", type=int, default=10, help="counted in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--eager", action="store_true", help="peers without torch.compile")
    parser.add_argument("--profile", action="store_true", help="print where our time goes")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    options = {"compiled": not arguments.eager, "profile": arguments.profile}
    if not arguments.json:
        print(machine(), flush=True)
    for size in arguments.sizes:
        row = measure(size, arguments.context, arguments.steps, arguments.rounds, options)
        print(json.dumps(row | {"machine": machine()}) if arguments.json else "\n".join(lines(row)), flush=True)


if __name__ == "__main__":
    main()
