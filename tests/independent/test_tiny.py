"""The second implementation trains ``examples/tiny`` to the digests of ``regrow``.

python -m pytest tests/independent/test_tiny.py
"""

import dataclasses
import json
import threading
import tomllib
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from . import evaluation, training
from .decoder import Shape, initial

TINY = Path(__file__).parents[2] / "examples" / "tiny"
STEPS = 3


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The folder with the tokens and the tokenizer of the example, as the lock promises them."""
    from regrow.building.locking import Mode, locked_recipe
    from regrow.engine import evaluate
    from regrow.store import Store, copy_tree

    def quiet(event):
        pass

    folder = tmp_path_factory.mktemp("tiny")
    locked = locked_recipe(TINY, Mode.LOCKED, sources=None, offline=True, listener=quiet)
    stop = threading.Event()
    with Store(folder / "store") as store:
        made = evaluate(
            locked.graph,
            store,
            scope="tiny",
            listener=quiet,
            stop=stop,
            only={"tokenize"},
            surroundings=locked.surroundings,
        )
        for name in ("tokenize", "tokenizer"):
            assert made.results[name].digest == locked.promised[name]
            copy_tree(made.results[name].path, folder / name)
    return folder


@dataclasses.dataclass(frozen=True)
class Example:
    """What training and measuring are given, read as anybody would."""

    folder: Path

    @property
    def lock(self):
        return tomllib.loads((TINY / "regrow.lock").read_text("utf-8"))

    @property
    def facts(self):
        return json.loads((self.folder / "tokenize" / "tokens.json").read_text("utf-8"))

    def parameters(self, stage):
        return next(one["parameters"] for one in self.lock["stage"] if one["name"] == stage)

    def row(self, part):
        return np.fromfile(self.folder / "tokenize" / f"{part}.bin", "<u2")

    @property
    def shape(self):
        return Shape(vocabulary=self.facts["vocabulary"], **self.parameters("pretrain")["architecture"])

    @property
    def run(self):
        return training.Run.of_recipe(self.parameters("pretrain")["train"], self.shape.context)

    @property
    def tokenizer(self):
        return Tokenizer.from_file(str(self.folder / "tokenizer" / "tokenizer.json"))

    def measure(self, state):
        """What training notes on the way."""
        run, shape, end = self.run, self.shape, self.facts["end_of_text"]
        most = run.micro_batch * run.micro_batches_per_step
        loss = evaluation.on_the_way(shape, state.parameters, self.row("validation"), most)
        found = evaluation.generate(shape, state.parameters, [end], 32, 0.8, 40, run.seed, end)
        return {"validation_loss": loss, "sample": self.tokenizer.decode(found)}


@pytest.fixture
def example(inputs):
    return Example(inputs)


def test_the_first_steps_have_the_states_of_regrow(example, tmp_path):
    shape, run, row = example.shape, example.run, example.row("train")
    state = training.State(initial(shape, run.seed))
    state.link()
    for number in range(1, STEPS + 1):
        training.step(shape, run, state, training.batch(row, run, number, shape.context))
        state.link()
    losses, chain = regrow(example.folder / "tokenize", shape, run, tmp_path)
    assert state.losses == losses
    assert state.chain == chain


def regrow(tokens, shape, run, scratch):
    """The losses and the chain of the first steps, with a link for each, as the training loop has them."""
    from regrow.corpus.tokens import TokenShards
    from regrow.model.config import DecoderConfig
    from regrow.train import loop, state
    from regrow.train.settings import Settings
    from regrow.train.task import Batch
    from regrow.train.tasks.pretraining import Pretraining

    shards, done = TokenShards.open(tokens), []
    settings = Settings(**dataclasses.asdict(run) | {"checkpoint_every": 1})
    sequences = run.micro_batch * run.micro_batches_per_step
    watch = loop.Watch(lambda **facts: done.append(facts), lambda: len(done) == STEPS, stop)
    with pytest.raises(Stopped):
        loop.train(
            Pretraining(DecoderConfig(**dataclasses.asdict(shape)), run.seed), settings,
            lambda step: Batch(shards.batch(run.seed, step, sequences, shape.context)), scratch, watch,
        )  # fmt: skip
    saved = state.restore(scratch)
    return saved.losses, saved.chain


class Stopped(Exception):
    """The run was stopped."""


def stop():
    raise Stopped


@pytest.mark.slow
def test_the_whole_run_gives_what_the_lock_promises(example):
    shape, facts = example.shape, example.facts
    state = training.train(shape, example.run, example.row("train"), measure=example.measure)
    assert training.artifact_digest(shape, state, facts["end_of_text"]) == example.lock["outputs"]["pretrain"]
    measured = evaluation.evaluation(
        shape, state.parameters, example.row("train"), example.row("validation"), facts["validation_bytes"]
    )
    files = {
        "evaluation.json": training.json_page(measured),
        "samples.json": training.json_page(list(samples(example, state))),
    }
    assert training.digest_of_files(files) == example.lock["outputs"]["evaluate"]


def samples(example, state):
    """What the model writes; the tokenizer is a library of others."""
    tokenizer, asked = example.tokenizer, example.parameters("evaluate")
    end = example.facts["end_of_text"]
    for prompt in asked["prompts"]:
        ids = [end, *tokenizer.encode(prompt, add_special_tokens=False).ids]
        found = evaluation.generate(
            example.shape, state.parameters, ids, asked["sample_tokens"], asked["temperature"], 40, asked["seed"], end
        )
        yield {"prompt": prompt, "text": tokenizer.decode(found), "tokens": len(found)}
