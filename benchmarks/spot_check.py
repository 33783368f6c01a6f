"""What a check of parts costs beside the build: `python -m benchmarks.spot_check [--segments 40] [--states 8]`.

Builds a small model whose run has so many segments, then checks 3 of them in a store of its own, as a stranger does who
has only the release and the texts. Prints the processor time of both, of training alone in both, and the share that the
check takes; and how likely a run with a tenth of its segments changed is passed over.
"""

import argparse
import os
import random
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as the command line does before torch is loaded; regrow.cli says why

import regrow
from regrow.verifying.spot import Wanted, spot_check

RECIPE = """
recipe = 1

[model]
name = "measured"
licence = "CC0-1.0"

[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"

[corpus]
near_duplicates = 0

[tokenizer]
vocabulary = 1024

[architecture]
layers = {layers}
width = {width}
heads = 4
context = 128

[train]
tokens = {tokens}
micro_batch = 8
micro_batches_per_step = 2
checkpoint_every = {every}
validate_every = 0
states = {states}

[evaluate]
prompts = ["the"]
sample_tokens = 8
"""
TRAINING = "pretrain"


class Clock:
    """The processor time that passes while training and other stages run, by the events."""

    def __init__(self) -> None:
        self.started = self.before = time.process_time()
        self.training = 0.0
        self.within = False

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take an event."""
        now = time.process_time()
        self.training += now - self.before if self.within else 0.0
        self.before = now
        if event.get("event") in ("stage-start", "stage-done"):
            self.within = event["event"] == "stage-start" and event.get("stage") == TRAINING

    @property
    def passed(self) -> float:
        """Since it was made."""
        return time.process_time() - self.started


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--segments", type=int, default=40)
    options.add_argument("--steps", type=int, default=400)
    options.add_argument("--states", type=int, default=39)
    options.add_argument("--width", type=int, default=128)
    options.add_argument("--layers", type=int, default=4)
    options.add_argument("--tries", type=int, default=3)
    said = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="regrow-benchmark-") as place:
        root = Path(place)
        (root / "recipe" / "texts").mkdir(parents=True)
        chance = random.Random(1)
        words = [
            "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chance.randint(2, 9)))
            for _ in range(3000)
        ]
        for number in range(400):
            text = " ".join(chance.choice(words) for _ in range(900))
            (root / "recipe" / "texts" / f"{number:03}.txt").write_text(f"{text}.\n")
        recipe = RECIPE.format(
            tokens=said.steps * 16 * 128,
            every=said.steps // said.segments,
            states=said.states,
            width=said.width,
            layers=said.layers,
        )
        (root / "recipe" / "regrow.toml").write_text(recipe)
        built = Clock()
        regrow.build(root / "recipe", root / "release", store=root / "store", listener=built)
        build, trained = built.passed, built.training
        print(f"build: {build:.1f} s of processor time, of which {trained:.1f} s training {said.steps} steps")
        for number in range(said.tries):
            clock = Clock()
            wanted = Wanted(3, nonce=f"word {number}", sources=root / "recipe")
            found = spot_check(root / "release", wanted, listener=clock, stop=threading.Event())
            assert not found.lie, found.lie
            run = found.looked[0]
            check = clock.passed
            print(
                f"check {number + 1}: {check:.1f} s, {check / build:.1%} of the build; {run.steps[0]} steps in "
                f"{clock.training:.1f} s, {clock.training / trained:.1%} of training; passed over: "
                f"{run.figure.passed_over:.2f} with {run.figure.changed} changed"
            )


if __name__ == "__main__":
    main()
