"""How fast a model whose matrices are codes writes and reads here, beside torch's products of its numbers in float32.

    python -m benchmarks.codes [--bits 4 8] [--threads 2]

The model is made up, of SmolLM2-135M's shape, so that nothing has to be fetched. Torch multiplies with matrices of the
same shapes in float32 and does nothing else: with its products nobody is faster in float32. The best of some runs
counts, and kernels are compiled before.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from functools import partial

TOGETHER = 8
LONG = 512


def parsed() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 8], choices=[4, 8])
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--tokens", type=int, default=16, help="that are written for each text")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="as many as there are processors unless told")
    return parser.parse_args()


def main() -> None:
    """Print the rates of both."""
    options = parsed()
    if options.threads:
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), str(options.threads))
    import torch

    from regrow.exact.coded import BLOCK, Coded, Stacked
    from regrow.exact.coded_products import ways
    from regrow.model.cache import Cache
    from regrow.model.config import DecoderConfig
    from regrow.model.decoder import Decoder

    if options.threads:
        torch.set_num_threads(options.threads)
    config = DecoderConfig(
        vocabulary=49152, layers=options.layers, width=576, heads=9, kv_heads=3, hidden=1536, context=2 * LONG
    )
    shapes, made = config.shapes(), torch.Generator().manual_seed(1)
    print(f"ways: {', '.join(ways())}; threads: {torch.get_num_threads()}", flush=True)

    def codes(shape: tuple[int, ...], bits: int) -> Coded:
        half = 1 << (bits - 1)
        integers = torch.randint(-half, half, shape, dtype=torch.int8, generator=made)
        scales = torch.rand((shape[0], shape[1] // BLOCK), generator=made) / 16 / half
        return Coded.of(integers, scales, None, (-half, half - 1))

    def write(weights: Mapping[str, torch.Tensor | Coded | Stacked], prompts: list[torch.Tensor], count: int) -> None:
        caches, new = [Cache() for _ in prompts], prompts
        for _ in range(count):
            final = Decoder(config).step(weights, new, caches)
            last = torch.tensor([len(tokens) for tokens in new]).cumsum(0) - 1
            new = list(Decoder(config).outputs(weights, final[last]).argmax(1, keepdim=True))

    matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2}
    with torch.no_grad():
        theirs = plain_products(matrices, options.runs)
        for bits in options.bits:
            weights: Mapping[str, torch.Tensor | Coded | Stacked] = {
                name: codes(shape, bits) if name in matrices else torch.ones(shape) for name, shape in shapes.items()
            }
            short, long = torch.arange(1, 9), torch.arange(LONG)
            for what, rows, prompts, count in (
                ("writing", 1, [short], options.tokens),
                (f"writing {TOGETHER} texts", TOGETHER, [short] * TOGETHER, options.tokens),
                ("reading", LONG, [long], 1),
            ):
                write(weights, prompts, 1)
                ours = best(options.runs, partial(write, weights, prompts, count))
                words = f"{bits} bits, {what}: {rows * count / ours:.1f} tokens/s"
                print(f"{words}, torch's products alone {rows / theirs[rows]:.1f}", flush=True)


def plain_products(shapes: Mapping[str, tuple[int, ...]], runs: int) -> dict[int, float]:
    """Seconds of torch's products of so many rows with matrices; of a prompt, only its end with that of the tokens."""
    import torch

    matrices = {name: torch.rand(shape) for name, shape in shapes.items()}

    def multiply(rows: int) -> None:
        for name, matrix in matrices.items():
            torch.ones(1 if name == "embed" and rows == LONG else rows, matrix.shape[1]) @ matrix.T

    return {rows: best(runs, partial(multiply, rows)) for rows in (1, TOGETHER, LONG)}


def best(runs: int, run: Callable[[], object]) -> float:
    """Seconds of the quickest run."""
    found = []
    for _ in range(runs):
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
    return min(found)


if __name__ == "__main__":
    main()
