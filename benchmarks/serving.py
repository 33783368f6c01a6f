"""How fast an engine writes for several at once, against transformers in float32, in turn and in one process.

    python -m benchmarks.serving SmolLM2-135M-Instruct.Q4_1.gguf --threads 2

Each writes so many tokens behind prompts of one length, which is what transformers' `generate` takes as a batch; ours
are asked for one by one. *Cold* is an engine that has read nothing, *warm* one that has read the prompts before. Time
is of the processor, since others may be at work on it; threads that wait sleep, or they would count too.
"""

from __future__ import annotations

import argparse
import os
import queue
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def parsed() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--together", type=int, nargs="+", default=[1, 8, 32])
    return parser.parse_args()


def main() -> None:
    """Print what each takes, and the ratios."""
    options = parsed()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(options.threads))
    os.environ["OMP_WAIT_POLICY"] = "passive"
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    from regrow.model.sampling import Sampling
    from regrow.serve.engine import Ended, Engine, Event, Limits, Request, Written
    from regrow.serve.generate import Generator

    torch.set_num_threads(options.threads)
    path: Path = options.file
    generator = Generator.load(path)
    asked: dict[str, Any] = {
        "gguf_file": path.name,
        "quantization_config": GgufConfig(dequantize=True),
        "dtype": torch.float32,
    }
    theirs = AutoModelForCausalLM.from_pretrained(path.parent, **asked).train(False)

    def engine() -> Engine:
        return Engine(generator.decoder, generator.parameters, Limits(memory_bytes=4 << 30))

    def ours_write(engine: Engine, prompts: list[list[int]]) -> list[list[int]]:
        heard = [queue.SimpleQueue[Event]() for _ in prompts]
        for prompt, events in zip(prompts, heard, strict=True):
            engine.submit(Request(prompt, options.tokens, Sampling(temperature=0.0)), events.put)
        return [read(events) for events in heard]

    def read(events: queue.SimpleQueue[Event]) -> list[int]:
        tokens = list[int]()
        while not isinstance(event := events.get(), Ended):
            if isinstance(event, Written):
                tokens.append(event.token)
        assert event.error is None, event.error
        return tokens

    @torch.no_grad()
    def theirs_write(prompts: list[list[int]]) -> list[list[int]]:
        given = torch.tensor(prompts)
        settings: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        found = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=options.tokens, **settings)
        tokens: list[list[int]] = found[:, given.shape[1] :].tolist()
        return tokens

    for together in options.together:
        prompts = [
            [(7 * i * i + 13 * i + 101 * one) % 40_000 for i in range(options.prompt)] for one in range(together)
        ]
        warm = engine()
        ours = ours_write(warm, prompts)  # kernels are compiled, and memory is taken
        alone = [ours_write(engine(), [prompt])[0] for prompt in prompts[:2]]
        assert ours[:2] == alone, "a text depends on its company"
        same = sum(a == b for a, b in zip(ours, theirs_write(prompts), strict=True))
        rows: dict[str, list[float]] = {"cold": [], "warm": [], "transformers": []}
        for _ in range(options.pairs):
            rows["cold"].append(_seconds(partial(ours_write, engine(), prompts)))
            rows["warm"].append(_seconds(partial(ours_write, warm, prompts)))
            rows["transformers"].append(_seconds(partial(theirs_write, prompts)))
        print(f"{together} together, prompts of {options.prompt}, {options.tokens} more; {same} texts as transformers'")
        for name, seconds in rows.items():
            rate = together * options.tokens / statistics.median(seconds)
            ratio = statistics.median(a / b for a, b in zip(rows["transformers"], seconds, strict=True))
            print(f"    {name:12} {rate:8.1f} tokens in a second of the processor, {ratio:5.2f} times", flush=True)


def _prompt(number: int, length: int) -> list[int]:
    return [(7 * i * i + 13 * i + 101 * number) % 40_000 for i in range(length)]


def _seconds(work: Callable[[], object]) -> float:
    """Of the processor, for all threads."""
    before = time.process_time()
    work()
    return time.process_time() - before


if __name__ == "__main__":
    main()
