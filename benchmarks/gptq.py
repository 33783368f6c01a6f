"""GPTQ to 4 bits in groups of 32, against llm-compressor: in turn, on the same model and the same calibration text.

    python -m benchmarks.gptq SmolLM2-135M-Instruct.Q4_1.gguf --peer ~/llmcompressor/bin/python

llm-compressor asks for a transformers of its own, so it has an environment of its own, whose Python is named. The time
of both is that of the work alone: the model and the tokens are in memory before, and nothing is written. Their files
are read by our reader, and all models are measured by the same code on text that comes after what they were made by.
Where others use the machine too, the time of processors says more; give each one thread (``OMP_NUM_THREADS=1``).
The text is Python's own help unless another is named.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

HELD_OUT = 16
Used = tuple[float, float]
"""Seconds by the clock, and of processors."""


def ours(model: Path, rows: Path, out: Path) -> Used:
    """Quantise with the stage's own functions."""
    import torch

    from regrow.compression.calibration import changed
    from regrow.compression.rounding import Grid
    from regrow.model.decoder import Decoder, initialise
    from regrow.model.weights import ends, load, save
    from regrow.stages.calibrating import matrices
    from regrow.stages.quantise import Rounding

    config, parameters = load(model)
    tokens = torch.from_numpy(np.load(rows))
    small = replace(config, vocabulary=64, layers=1, width=64, hidden=64, heads=2, kv_heads=1, head_width=32)
    first = tokens[:2, :32] % 64  # compiles
    changed(Decoder(small), initialise(small, 1), matrices(small, ("*",)), first, Rounding(Grid(4, 32), 0.01).gptq)
    names, rounding = matrices(config, ("*",)), Rounding(Grid(4, 32), 0.01)
    used = timed(lambda: changed(Decoder(config), parameters, names, tokens, rounding.gptq))
    save(out, config, parameters, ends(model), rounding.codes)
    return used


def theirs(model: Path, rows: Path, out: Path) -> Used:
    """The same by llm-compressor."""
    import torch
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.gptq import GPTQModifier
    from transformers import AutoModelForCausalLM

    tokens = np.load(rows)
    there = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    data = Dataset.from_dict({"input_ids": tokens.tolist(), "attention_mask": np.ones_like(tokens).tolist()})
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}
    groups = {"group_0": {"targets": ["Linear"], "weights": {**weights, "actorder": "static"}}}
    modifier = GPTQModifier(config_groups=groups, ignore=["lm_head"], dampening_frac=0.01)
    used = timed(lambda: oneshot(
        model=there, dataset=data, recipe=modifier, max_seq_length=tokens.shape[1], batch_size=8,
        num_calibration_samples=len(tokens), shuffle_calibration_samples=False,
    ))  # fmt: skip
    there.save_pretrained(out, save_compressed=True)
    return used


def timed(work: Callable[[], object]) -> Used:
    """Do it."""
    clock, processors = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processors


def perplexity(folder: Path, rows: np.ndarray) -> float:
    """Of sequences, in our arithmetic."""
    import torch

    from regrow.model.decoder import Decoder
    from regrow.model.weights import load

    config, parameters = load(folder)
    decoder = Decoder(config)
    with torch.no_grad():
        losses = [float(decoder(parameters, torch.from_numpy(rows[i : i + 4]))) for i in range(0, len(rows), 4)]
    return math.exp(math.fsum(losses) / len(losses))


def prepared(
    file: Path, layers: int | None, text: str, context: int, count: int, root: Path
) -> tuple[Path, np.ndarray, np.ndarray]:
    """The folder of the model, and its tokens of the text: to calibrate with, and to measure with."""
    from regrow.corpus import gguf_tokenizer
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.model import gguf, weights

    folder = root / "model"
    folder.mkdir()
    model = gguf.load(file)
    config = replace(model.config, layers=layers or model.config.layers)
    weights.save(folder, config, {name: model.parameters[name] for name in config.shapes()}, gguf.ends(model.metadata))
    gguf_tokenizer.from_gguf(gguf.metadata(file), file.name, folder)
    ids = Tokenizer.open(folder).documents([text])[0]
    needed = (count + HELD_OUT) * context + 1
    if len(ids) < needed:
        raise SystemExit(f"the text has {len(ids)} tokens, and {needed} are needed")
    some = np.array(ids[: count * context], np.int64).reshape(count, context)
    after = np.array(ids[count * context : needed], np.int64)
    held = np.stack([after[i * context : (i + 1) * context + 1] for i in range(HELD_OUT)])
    return folder, some, held


def main() -> None:
    """Print the times of each pair, the median of their ratios, and the perplexities."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--peer", help="the Python of an environment with llm-compressor")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--layers", type=int, help="only the first so many; perplexities mean nothing then")
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    if options.text:
        text = options.text.read_text()
    else:
        from pydoc_data.topics import topics

        text = "\n\n".join(topics[name] for name in sorted(topics))
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        folder, some, held = prepared(options.file, options.layers, text, options.context, options.rows, root)
        np.save(root / "rows.npy", some)
        print(f"as it is: perplexity {perplexity(folder, held):.3f}", flush=True)
        pythons = {"regrow": sys.executable, "llm-compressor": options.peer}
        ratios = []
        for pair in range(options.pairs):
            used: dict[str, Used] = {}
            for name, python in pythons.items():
                if python is None:
                    continue
                out = root / f"{name}-{pair}"
                out.mkdir()
                call = [python, __file__, "--one", name, str(folder), str(root / "rows.npy"), str(out)]
                done = subprocess.run(call, check=True, capture_output=True, text=True)
                used[name] = clock, processors = json.loads(done.stdout.splitlines()[-1])
                times = f"{clock:.1f} s by the clock, {processors:.1f} s of processors"
                print(f"{name}: {times}, perplexity {perplexity(out, held):.3f}", flush=True)
            if len(used) == 2:
                ratios.append([mine / other for mine, other in zip(*used.values(), strict=True)])
        if ratios:
            clock, processors = map(statistics.median, zip(*ratios, strict=True))
            print(f"median ratio {clock:.3f} by the clock, {processors:.3f} of processors")


def one(name: str, *paths: str) -> None:
    """One run in a process of its own."""
    print(json.dumps((ours if name == "regrow" else theirs)(*map(Path, paths))))


if __name__ == "__main__":
    one(*sys.argv[2:]) if sys.argv[1:2] == ["--one"] else main()
