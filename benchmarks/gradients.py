"""How far are the gradients of a trained model from those of float64?

    python -m benchmarks.gradients examples/bard
    python -m benchmarks.gradients examples/bard --batches 24 --kinds regrow float32 bf16 "three digits"

Builds the recipe, takes the trained weights, and goes on reading where training ended, without changing them. A row
gives, for all parameters together and relative to float64: the error of a batch's gradient; that of the mean over the
batches, and what it would be if the errors of batches had nothing in common; and by how much the mean is longer or
shorter in its own direction. An error that is the same in every batch would steer training, others are noise.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import digits, plain, quality
from regrow.building.build import Options, build
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder
from regrow.model.weights import load

Gradients = dict[str, Tensor]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--batches", type=int, default=8)
    kinds = [kind for kind in quality.KINDS if kind != quality.REORDERED]
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds)
    arguments = parser.parse_args()
    result = build(arguments.recipe, Options(), listener=lambda event: None, stop=threading.Event())
    task, (config, weights) = quality.task_of(result), load(result.release)
    batches = [
        task.batch(task.settings.steps + i)[: task.settings.micro_batch] for i in range(1, arguments.batches + 1)
    ]
    exact = [gradients("float64", config, weights, batch) for batch in batches]
    print(f"{len(batches)} batches of {batches[0].shape[0]} x {config.context} tokens")
    print(f"{'':14} {'a batch':>9} {'the mean':>9} {'if noise':>9} {'longer by':>10}")
    for kind in arguments.kinds:
        found = (gradients(kind, config, weights, batch) for batch in batches)
        print(f"{kind:14} " + " ".join(row(exact, found)), flush=True)


def gradients(kind: str, config: DecoderConfig, weights: Gradients, batch: Tensor) -> Gradients:
    """The parameters' gradients of the mean loss of a batch, as float64."""
    if kind == "regrow":
        parameters = {name: p.clone().requires_grad_() for name, p in weights.items()}
        Decoder(config)(parameters, batch).backward()
        return {name: p.grad.double() for name, p in parameters.items() if p.grad is not None}
    linear = {"linear": digits.linear(digits.BITS[kind])} if kind in digits.BITS else {}
    model = plain.loaded(config, weights, **linear)
    if kind == "float64":
        model.double()
        model.cosine, model.sine = model.cosine.double(), model.sine.double()
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bf16"):
        loss = model(batch)
    loss.backward()
    return {name: p.double() for name, p in plain.gradients(model).items()}


def row(exact: list[Gradients], found: Iterator[Gradients]) -> Iterator[str]:
    """The columns of a kind."""
    errors = [{name: g - e[name] for name, g in gs.items()} for e, gs in zip(exact, found, strict=True)]
    mean, error = average(exact), average(errors)
    squares, wrong = sum(dot(e, e) for e in exact), sum(dot(e, e) for e in errors)
    yield f"{(wrong / squares) ** 0.5:9.1e}"
    yield f"{(dot(error, error) / dot(mean, mean)) ** 0.5:9.1e}"
    yield f"{(wrong / len(exact) ** 2 / dot(mean, mean)) ** 0.5:9.1e}"
    yield f"{dot(error, mean) / dot(mean, mean):+10.1e}"


def average(several: list[Gradients]) -> Gradients:
    """Their mean."""
    return {name: torch.stack([one[name] for one in several]).mean(0) for name in several[0]}


def dot(a: Gradients, b: Gradients) -> float:
    """The product of all parameters together."""
    return sum(float((a[name] * b[name]).sum()) for name in a)


if __name__ == "__main__":
    main()
