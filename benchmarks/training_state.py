"""What a training run spends on its state: `python -m benchmarks.training_state [--millions 25] [--micro-batches 4]`.

Prints the processor time of a step, of a link of the chain and of a checkpoint, the share of a run that the last two
are at the settings' defaults, and the highest memory with what the plan says.
"""

import argparse
import math
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as the command line does before torch is loaded; regrow.cli says why

import torch

from regrow.model.architecture import Architecture, parameter_count
from regrow.model.config import DecoderConfig
from regrow.train import reading, state
from regrow.train.loop import step
from regrow.train.section import Train, training_needs
from regrow.train.settings import Settings
from regrow.train.task import Batch
from regrow.train.tasks.pretraining import Pretraining

VOCABULARY = 8192


def shape(millions: float, context: int) -> Architecture:
    """A decoder of about as many parameters."""
    width = 64 * max(1, round(math.sqrt(millions * 1e6 / (12 * 8)) / 64))
    return Architecture(
        layers=8, width=width, heads=width // 64, hidden=64 * round(width * 8 / 3 / 64), context=context
    )


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--millions", type=float, default=25.0)
    options.add_argument("--context", type=int, default=256)
    options.add_argument("--micro-batch", type=int, default=4)
    options.add_argument("--micro-batches", type=int, default=4)
    options.add_argument("--steps", type=int, default=3)
    said = options.parse_args()

    architecture = shape(said.millions, said.context)
    sequences = said.micro_batch * said.micro_batches
    train = Train(
        tokens=sequences * said.context, micro_batch=said.micro_batch, micro_batches_per_step=said.micro_batches
    )
    settings = Settings(
        steps=100, micro_batch=said.micro_batch, micro_batches_per_step=said.micro_batches, learning_rate=1e-3,
        warmup=1, decay="cosine", final_learning_rate=1e-4, weight_decay=0.1, beta1=0.9, beta2=0.95, epsilon=1e-8,
        clip=1.0, seed=1, checkpoint_every=train.checkpoint_every,
    )  # fmt: skip
    task = Pretraining(DecoderConfig(vocabulary=VOCABULARY, **architecture.model_dump()), 1)
    before = _peak()
    with tempfile.TemporaryDirectory() as folder:
        current = state.begin(Path(folder), task)
        took: dict[str, list[float]] = {"step": [], "link": [], "save": []}
        for number in range(said.steps + 1):
            batch = Batch(torch.randint(0, VOCABULARY, (sequences, said.context + 1)))
            took["step"].append(_timed(lambda batch=batch: step(task, settings, current, batch)))
            if number == 0:
                took["step"].clear()  # kernels were loaded
        for _ in range(3):
            took["link"].append(_timed(current.link))
            took["save"].append(_timed(lambda: state.save(current, Path(folder))))
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    middle = {name: sorted(times)[len(times) // 2] for name, times in took.items()}
    count = parameter_count(architecture, VOCABULARY)
    print(f"{count / 1e6:.1f}M parameters, {said.micro_batches} micro-batches of {said.micro_batch} x {said.context}")
    print("processor seconds: " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in middle.items()))
    links = middle["link"] / train.checkpoint_every / middle["step"]
    print(f"of a run: links {links:.2%}, saves at most {1 / (1 + reading.TIMES_A_SAVE):.2%}")
    print(f"scratch: {size / count:.1f} bytes for each parameter")
    planned = training_needs(architecture, train, VOCABULARY).memory
    print(f"memory: {(_peak() - before) / 1e6:.0f} MB besides the program; the plan says {planned / 1e6:.0f} MB")


def _timed(work) -> float:  # type: ignore[no-untyped-def]
    start = time.process_time()
    work()
    return time.process_time() - start


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
