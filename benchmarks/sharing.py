"""What a worker needs, and how long a step takes, by how training is held: `python -m benchmarks.sharing`.

Starts the workers anew for each way, with one thread each. Prints the highest memory of the last worker besides what it
had when it had trained a small model, what the plan says, and the processor and other seconds of a step.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as the command line does before torch is loaded; regrow.cli says why
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import torch
import torch.distributed

from benchmarks.training_state import VOCABULARY, shape
from regrow.exact.pieces import recomputing
from regrow.exact.workers import connected
from regrow.model.config import DecoderConfig
from regrow.recipe.kind import Sharing
from regrow.train import state
from regrow.train.batches import Given
from regrow.train.loop import step
from regrow.train.memory import keep_freed_memory
from regrow.train.section import Train, training_needs
from regrow.train.settings import Settings
from regrow.train.task import Batch
from regrow.train.tasks.pretraining import Pretraining


def work(rank: int, said: argparse.Namespace, sharing: Sharing, folder: Path, told: Any) -> None:
    """Some steps of a worker."""
    keep_freed_memory()
    _warm(folder / str(rank))
    architecture = shape(said.millions, said.context)
    settings = Settings(
        steps=100, micro_batch=said.micro_batch, micro_batches_per_step=said.micro_batches, learning_rate=1e-3,
        warmup=1, decay="cosine", final_learning_rate=1e-4, weight_decay=0.1, beta1=0.9, beta2=0.95, epsilon=1e-8,
        clip=1.0, seed=1, checkpoint_every=100,
    )  # fmt: skip
    task = Pretraining(DecoderConfig(vocabulary=VOCABULARY, **architecture.model_dump()), 1)
    c10d: Any = torch.distributed  # not all of it is typed
    store = c10d.FileStore(str(folder / "store"), said.workers)
    before, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    with connected(store, rank, said.workers, sharing.copies) as workers, recomputing(sharing.recompute):
        current = state.begin(folder, task, workers)
        for number in range(said.steps):
            random = torch.Generator().manual_seed(number)
            tokens = torch.randint(0, VOCABULARY, (settings.sequences_per_step, said.context + 1), generator=random)
            start = time.process_time(), time.perf_counter()
            step(task, settings, current, Given.all(Batch(tokens), settings.micro_batch), workers)
            seconds.append((time.process_time() - start[0], time.perf_counter() - start[1]))
        digest = current.digest(workers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    told.put((rank, digest, 1024 * peak, *(statistics.median(times) for times in zip(*seconds[1:], strict=True))))


def _warm(scratch: Path) -> None:
    """Load all that training loads."""
    task = Pretraining(DecoderConfig(vocabulary=64, **shape(0.1, 32).model_dump()), 1)
    settings = Settings(
        steps=1, micro_batch=1, micro_batches_per_step=1, learning_rate=1e-3, warmup=1, decay="cosine",
        final_learning_rate=1e-4, weight_decay=0.1, beta1=0.9, beta2=0.95, epsilon=1e-8, clip=1.0, seed=1,
        checkpoint_every=1,
    )  # fmt: skip
    step(task, settings, state.begin(scratch, task), Given.all(Batch(torch.ones((1, 33), dtype=torch.int64)), 1))


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--millions", type=float, default=25.0)
    options.add_argument("--context", type=int, default=256)
    options.add_argument("--micro-batch", type=int, default=4)
    options.add_argument("--micro-batches", type=int, default=4)
    options.add_argument("--steps", type=int, default=4)
    options.add_argument("--ways", type=int, nargs="+", default=[0, 1, 2, 3], help="Lines of the table.")
    said = options.parse_args()
    architecture = shape(said.millions, said.context)
    train = Train(tokens=10**9, micro_batch=said.micro_batch, micro_batches_per_step=said.micro_batches)
    context, digests = multiprocessing.get_context("spawn"), set()
    print("shard recompute   memory     plan   processor s   s")
    ways = [*itertools.product((False, True), repeat=2)]
    for shard, recompute in (ways[number] for number in said.ways):
        sharing = Sharing(said.workers, 1 if shard else said.workers, recompute=recompute)
        with tempfile.TemporaryDirectory() as folder:
            told = context.SimpleQueue()
            given = said, sharing, Path(folder), told
            processes = [context.Process(target=work, args=(rank, *given)) for rank in range(said.workers)]
            for process in processes:
                process.start()
            found = sorted(told.get() for _ in processes)
            for process in processes:
                process.join()
        digests |= {digest for _, digest, *_ in found}
        _, _, peak, processor, seconds = found[-1]
        planned = training_needs(architecture, train, VOCABULARY, sharing).memory
        print(
            f"{shard!s:5} {recompute!s:9} {peak / 1e6:5.0f} MB {planned / 1e6:5.0f} MB {processor:9.2f} {seconds:9.2f}"
        )
    print("one state" if len(digests) == 1 else f"{len(digests)} states: a mistake")


if __name__ == "__main__":
    main()
