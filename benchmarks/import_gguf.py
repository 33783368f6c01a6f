"""How long it takes to read a GGUF file, against transformers, in turn and in one process.

    python -m benchmarks.import_gguf SmolLM2-135M-Instruct.Q4_1.gguf

transformers needs `accelerate` for it. Both give float32; that all numbers are equal is checked.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from regrow.model import gguf, weights


def ours(path: Path) -> Mapping[str, Tensor]:
    """The tensors as they are called in transformers."""
    model = gguf.load(path)
    return weights.to_hugging_face(model.config, model.parameters)


def theirs(path: Path) -> Mapping[str, Tensor]:
    """The same by transformers."""
    from transformers import AutoModelForCausalLM, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    found: Mapping[str, Tensor] = model.state_dict()
    return found


def timed(read: Callable[[Path], Mapping[str, Tensor]], path: Path) -> tuple[float, Mapping[str, Tensor]]:
    """Seconds, and what was read."""
    begin = time.perf_counter()
    found = read(path)
    return time.perf_counter() - begin, found


def main() -> None:
    """Print the times of each pair, and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    for _ in range(options.pairs):
        (mine, one), (other, two) = timed(ours, options.file), timed(theirs, options.file)
        if any(not torch.equal(values, two[name]) for name, values in one.items()):
            raise SystemExit("the numbers differ")
        ratios.append(mine / other)
        print(f"regrow {mine:.2f} s, transformers {other:.2f} s, ratio {mine / other:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
