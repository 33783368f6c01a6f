"""The model of a recipe beside the same model trained by plain torch: same data order, initial weights and schedule.

    python benchmarks/quality.py examples/bard                # float32
    python benchmarks/quality.py examples/bard --bf16         # bfloat16 autocast

Builds the recipe (from the store where it can), trains the peer, prints the validation bits per byte of both, and
notes the peer's in the release's ``buildinfo/comparison.json``, where `regrow report` finds it.
"""

from __future__ import annotations

import argparse
import json
import math
import threading
from pathlib import Path

import torch

import plain
from regrow.corpus.tokens import TokenShards
from regrow.engine import StageResult
from regrow.release.build import Options, build
from regrow.stages.pretrain import PretrainParameters, decoder_config, training_settings

BATCH = 16


def main() -> None:
    """Build, train the peer, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()
    result = build(arguments.recipe, Options(), listener=lambda event: None, stop=threading.Event())
    stages = {stage.name: stage for stage in result.stages}
    name = "bf16" if arguments.bf16 else "float32"
    theirs = peer(stages, arguments.bf16)
    ours = result.evaluation["validation"]["bits_per_byte"]
    print(f"regrow {ours:.4f}, {name} {theirs:.4f} bits per byte; ratio {ours / theirs:.4f}")
    note = result.release / "buildinfo" / "comparison.json"
    known = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    note.write_text(json.dumps(known | {name: {"bits_per_byte": theirs}}, indent=1) + "\n", encoding="utf-8")


def peer(stages: dict[str, StageResult], bf16: bool) -> float:
    """Validation bits per byte of the peer."""
    parameters = PretrainParameters.model_validate(stages["pretrain"].ingredients["parameters"])
    shards = TokenShards.open(stages["tokenize"].path)
    config, settings = decoder_config(parameters.architecture, shards.vocabulary), training_settings(parameters)
    model = plain.PlainDecoder(config, settings.seed)
    adamw = plain.optimizer(model, settings)
    count = settings.micro_batch * settings.micro_batches_per_step
    for number in range(1, settings.steps + 1):
        loss = plain.step(
            model, adamw, settings, number, shards.batch(settings.seed, number, count, config.context), bf16
        )
        if number % 20 == 0:
            print(f"step {number}/{settings.steps}, loss {loss:.3f}", flush=True)
    return validation(model, shards, config.context) / math.log(2.0) / shards.validation_bytes


def validation(model: plain.PlainDecoder, shards: TokenShards, context: int) -> float:
    """The summed loss over the validation tokens, in the windows that the evaluate stage uses."""
    tokens = torch.from_numpy(shards.read("validation").astype("int64"))
    whole = (len(tokens) - 1) // context
    total = 0.0
    with torch.no_grad():
        for start in range(0, whole, BATCH):
            rows = range(start, min(whole, start + BATCH))
            batch = torch.stack([tokens[row * context : (row + 1) * context + 1] for row in rows])
            total += float(model(batch)) * len(rows) * context
        rest = tokens[whole * context :]
        if len(rest) > 1:
            total += float(model(rest[None])) * (len(rest) - 1)
    return total


if __name__ == "__main__":
    main()
