"""How fast a model writes and reads a prompt, against transformers in float32, in turn and in one process.

    python -m benchmarks.inference SmolLM2-135M-Instruct.Q4_1.gguf --threads 2

or a folder of Hugging Face's libraries, of which transformers reads all numbers as float32. Both write the likeliest
tokens with a cache of keys and values. It is checked first that they write the same, and how far the logits of the
prompts are apart; transformers in float64 says which of the two is nearer to the truth.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

PROMPTS = (
    "The capital of France is",
    "Once upon a time there was a lighthouse keeper who",
    "def fibonacci(n):\n    ",
    "Water boils at a lower temperature on a mountain because",
    "To be, or not to be, that is the question:",
)
LONG = 512
TOGETHER = 8


def parsed() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="a GGUF file, or a folder")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--llama", action="store_true", help="compare with llama.cpp, too; made for files of Q8_0")
    return parser.parse_args()


def main() -> None:
    """Print how far logits are apart, and the rates of both."""
    options = parsed()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(options.threads))
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from regrow.model import gguf, weights
    from regrow.model.cache import Cache
    from regrow.model.decoder import Decoder
    from regrow.model.sampling import Sampling, generate

    torch.set_num_threads(options.threads)
    path: Path = options.file
    config, parameters = (weights if path.is_dir() else gguf).load_weights(path)
    decoder = Decoder(config)
    print(f"weights in memory: {sum(one.nbytes for one in parameters.values()) / 1e6:.0f} MB", flush=True)
    folder, file = path, dict[str, Any]()
    asked: dict[str, Any] = {"dtype": torch.float32}
    if path.is_file():
        folder, file = path.parent, {"gguf_file": path.name}
        asked |= {**file, "quantization_config": GgufConfig(dequantize=True)}
    theirs = AutoModelForCausalLM.from_pretrained(folder, **asked).train(False)
    encode = AutoTokenizer.from_pretrained(folder, **file)
    prompts = [encode(prompt)["input_ids"] for prompt in PROMPTS]
    long = list(itertools.islice(itertools.cycle(token for prompt in prompts for token in prompt), LONG))

    def ours_write(prompt: list[int], count: int) -> list[int]:
        return list(generate(decoder, parameters, prompt, count, Sampling(temperature=0.0)))

    def theirs_write(prompt: list[int], count: int) -> list[int]:
        given = torch.tensor([prompt])
        settings: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        found = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=count, **settings)
        tokens: list[int] = found[0, len(prompt) :].tolist()
        return tokens

    def ours_together(count: int) -> list[list[int]]:
        caches, new = [Cache() for _ in range(TOGETHER)], [torch.tensor(prompts[0])] * TOGETHER
        written: list[list[int]] = [[] for _ in range(TOGETHER)]
        for _ in range(count):
            final = decoder.step(parameters, new, caches)
            last = torch.tensor([len(tokens) for tokens in new]).cumsum(0) - 1
            new = list(decoder.outputs(parameters, final[last]).argmax(1, keepdim=True))
            for text, token in zip(written, new, strict=True):
                text.append(int(token))
        return written

    def theirs_together(count: int) -> list[list[int]]:
        given = torch.tensor([prompts[0]] * TOGETHER)
        settings: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        found = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=count, **settings)
        rows: list[list[int]] = found[:, len(prompts[0]) :].tolist()
        return rows

    with torch.no_grad():
        wider = AutoModelForCausalLM.from_pretrained(folder, **asked).double().train(False)
        for prompt in (*prompts, long):
            ids = torch.tensor([prompt])
            mine, other, true = decoder.logits(parameters, ids), theirs(ids).logits, wider(ids).logits
            apart = [float(x.abs().max()) for x in (mine - other, mine - true, other - true)]
            words = "logits of {:3} tokens: ours and theirs {:.1e} apart, from float64 {:.1e} and {:.1e}"
            print(words.format(len(prompt), *apart), flush=True)
        del wider
        for prompt in prompts:
            same = ours_write(prompt, options.tokens) == theirs_write(prompt, options.tokens)
            print(f"{options.tokens} tokens behind {len(prompt)}: {'equal' if same else 'NOT EQUAL'}", flush=True)
        for what, prompt, written in (("writing", prompts[0], options.tokens), ("reading", long, 1)):
            count = written if what == "writing" else len(prompt)
            both = partial(ours_write, prompt, written), partial(theirs_write, prompt, written)
            compare(what, options.pairs, count, *both)
        together = partial(ours_together, options.tokens), partial(theirs_together, options.tokens)
        compare(f"writing {TOGETHER} texts", options.pairs, TOGETHER * options.tokens, *together)
        if options.llama:
            from llama_cpp import Llama

            other = Llama(str(path), n_ctx=LONG + options.tokens, n_threads=options.threads, verbose=False)

            def llama_writes(prompt: list[int], count: int) -> list[int]:
                other.reset()
                return list(itertools.islice(other.generate(prompt, temp=0.0), count))

            pair = partial(ours_write, prompts[0], options.tokens), partial(llama_writes, prompts[0], options.tokens)
            compare("writing", options.pairs, options.tokens, *pair, other="llama.cpp")


def compare(
    what: str,
    pairs: int,
    tokens: int,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    other: str = "transformers",
) -> None:
    """Medians of both rates, and of the ratios of the pairs, by the clock and by the processor's time."""
    rates, ratios, work = [], [], []
    for _ in range(pairs):
        (mine, mine_work), (yours, yours_work) = timed(ours), timed(theirs)
        rates.append((tokens / mine, tokens / yours))
        ratios.append(yours / mine)
        work.append(yours_work / mine_work)
    first, second = (statistics.median(rate) for rate in zip(*rates, strict=True))
    ratio, busy = statistics.median(ratios), statistics.median(work)
    words = f"{what}: regrow {first:.1f} tokens/s, {other} {second:.1f}, ratio {ratio:.2f}"
    print(f"{words}, of processor time {busy:.2f}", flush=True)


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, by the clock and of the processor."""
    begin, busy = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - begin, time.process_time() - busy


if __name__ == "__main__":
    main()
