"""GPTQ to 4 bits in groups of 32, against llm-compressor: in turn, on the same model and the same calibration text.

    python -m benchmarks.gptq SmolLM2-135M-Instruct.Q4_1.gguf --peer ~/llmcompressor/bin/python

llm-compressor asks for a transformers of its own, so it has an environment of its own, whose Python is named. The time
of both is that of the work alone: the model and the tokens are in memory before, and nothing is written. Their files
are read by our reader, and all models are measured by the same code on text that comes after what they were made by.
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
from pathlib import Path

import numpy as np

HELD_OUT = 16


def ours(model: Path, rows: Path, out: Path) -> float:
    """Quantise with the stage's own functions; seconds."""
    import torch

    from regrow.compression.calibration import changed
    from regrow.compression.rounding import Grid
    from regrow.model.decoder import Decoder
    from regrow.model.weights import ends, load, save
    from regrow.stages.calibrating import matrices
    from regrow.stages.quantise import Rounding

    config, parameters = load(model)
    tokens, rounding = torch.from_numpy(np.load(rows)), Rounding(Grid(4, 32), 0.01)
    names = matrices(config, ("*",))
    changed(Decoder(config), parameters, tokens[:1, :64], rounding.gptq)  # compiles, or reads what was compiled
    rounding = Rounding(Grid(4, 32), 0.01)
    begin = time.perf_counter()
    changed(Decoder(config), parameters, tokens, rounding.gptq)
    seconds = time.perf_counter() - begin
    assert set(names) == set(rounding.codes)
    save(out, config, parameters, ends(model), rounding.codes)
    return seconds


def theirs(model: Path, rows: Path, out: Path) -> float:
    """The same by llm-compressor; seconds."""
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
    begin = time.perf_counter()
    oneshot(
        model=there, dataset=data, recipe=modifier, max_seq_length=tokens.shape[1], batch_size=8,
        num_calibration_samples=len(tokens), shuffle_calibration_samples=False,
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    there.save_pretrained(out, save_compressed=True)
    return seconds


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


def prepared(file: Path, text: str, context: int, count: int, root: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """The folder of the model, and its tokens of the text: to calibrate with, and to measure with."""
    from regrow.corpus import tokenizers
    from regrow.corpus.tokenizer import Tokenizer
    from regrow.model import gguf, weights

    folder = root / "model"
    folder.mkdir()
    model = gguf.load(file)
    weights.save(folder, model.config, model.parameters, gguf.ends(model.metadata))
    tokenizers.from_gguf(gguf.metadata(file), file.name, folder)
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
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    if options.text:
        text = options.text.read_text()
    else:
        from pydoc_data.topics import topics

        text = "\n\n".join(topics[name] for name in sorted(topics))
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        folder, some, held = prepared(options.file, text, options.context, options.rows, root)
        np.save(root / "rows.npy", some)
        print(f"as it is: perplexity {perplexity(folder, held):.3f}", flush=True)
        pythons = {"regrow": sys.executable, "llm-compressor": options.peer}
        ratios = []
        for pair in range(options.pairs):
            seconds = {}
            for name, python in pythons.items():
                if python is None:
                    continue
                out = root / f"{name}-{pair}"
                out.mkdir()
                call = [python, __file__, "--one", name, str(folder), str(root / "rows.npy"), str(out)]
                done = subprocess.run(call, check=True, capture_output=True, text=True)
                seconds[name] = json.loads(done.stdout.splitlines()[-1])
                print(f"{name}: {seconds[name]:.1f} s, perplexity {perplexity(out, held):.3f}", flush=True)
            if len(seconds) == 2:
                ratios.append(seconds["regrow"] / seconds["llm-compressor"])
        if ratios:
            print(f"median ratio {statistics.median(ratios):.3f}")


def one(name: str, *paths: str) -> None:
    """One run in a process of its own."""
    print(json.dumps((ours if name == "regrow" else theirs)(*map(Path, paths))))


if __name__ == "__main__":
    one(*sys.argv[2:]) if sys.argv[1:2] == ["--one"] else main()
