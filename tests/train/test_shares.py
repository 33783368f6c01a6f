"""Every task computes the same with parameters that are gathered layer by layer, here from one who holds all."""

import dataclasses
import re

import pytest
import torch

from regrow.exact.workers import ALONE, Alone
from regrow.model.decoder import initialise
from regrow.train import loop
from regrow.train.shares import Turn, turns
from regrow.train.task import Batch
from regrow.train.tasks import finetuning, lora, preference
from regrow.train.tasks.distilling import Distilling
from regrow.train.tasks.finetuning import Finetuning
from regrow.train.tasks.lora import Lora
from regrow.train.tasks.lora_preference import LoraPreferring
from regrow.train.tasks.preference import Preferring
from tests.train.toy import CONFIG, SETTINGS, TASK, batch, watch

BEGUN = initialise(CONFIG, 3)
TWO_STEPS = dataclasses.replace(SETTINGS, steps=2)
TARGETS = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj")
WHOLE = ("layers.001.attention.qkv",)
SMALL = dataclasses.replace(CONFIG, layers=1, skips=())

TASKS = {
    "pretraining": TASK,
    "skips": dataclasses.replace(TASK, config=dataclasses.replace(CONFIG, layers=3, skips=((0, 2),))),
    "tied": dataclasses.replace(TASK, config=dataclasses.replace(CONFIG, tied_embeddings=True)),
    "finetuning": Finetuning(CONFIG, 16, ("head", "layers.000.mlp.norm", "layers.001.attention.out"), None),
    "lora": Lora(CONFIG, 16, TARGETS, 2, 0.5, WHOLE, 5, None),
    "distilling": Distilling(SMALL, CONFIG, 16, 2.0, 0.5, 0, lambda: initialise(SMALL, 4), lambda: BEGUN),
    "preferring": Preferring(CONFIG, 16, 0.3, None),
    "lora preferring": LoraPreferring(CONFIG, 16, TARGETS, 2, 0.5, WHOLE, 5, None, beta=0.3),
}


class Holder(Alone):
    """One of two who hold a copy, the other of whom holds nothing."""

    count = 2

    def rows(self, count):
        return slice(0, count)


class Holding(Alone):
    """The only worker, and yet its parameters are gathered."""

    holders = Holder()


def pairs(step):
    """Two answers in each sequence."""
    segments = torch.tensor([1] * 7 + [0] + [2] * 7 + [0]).expand(6, 16).contiguous()
    return Batch(batch(step).tokens, segments > 0, segments)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_ends_at_the_same_state(name, tmp_path, monkeypatch):
    for module in (finetuning, lora, preference):
        monkeypatch.setattr(module, "given_in", lambda source: {key: x.clone() for key, x in BEGUN.items()})
    task, given = TASKS[name], pairs if "preferring" in name else batch
    alone, held = (
        loop.train(task, TWO_STEPS, given, tmp_path / str(i), watch(), workers, recompute=bool(i))
        for i, workers in enumerate((ALONE, Holding()))
    )
    assert alone.chain == held.chain
    assert all(torch.equal(x, held.parameters[key]) for key, x in alone.parameters.items())


@pytest.mark.parametrize("name", TASKS)
def test_layers_are_all_that_is_gathered_apart(name):
    task = TASKS[name]
    names = {*task.trained(), *task.frozen()}
    assert {*task.layered()} & names == {key for key in names if re.match(r"((teacher|reference)\.)?layers\.", key)}


def test_every_micro_batch_has_its_turn_and_all_holders_come_together():
    class Of(Alone):
        def __init__(self, rank, count, holders):
            super().__init__(rank, count)
            self.__dict__["near"] = Alone(rank % holders, holders)

        holders = property(lambda self: self.near)

    for count in (1, 2, 5, 7):
        for workers, holders in ((1, 1), (4, 1), (4, 2), (4, 4), (6, 3)):
            numbers = []
            for rank in range(workers):
                one = Of(rank, workers, holders)
                found = turns(count, one)
                mine = [turn.number(one) for turn in found]
                numbers += [number for number in mine if number is not None]
                assert [turn.is_last(one) for turn in found] == [False] * (len(found) - 1) + [True]
                for turn, number in zip(found, mine, strict=True):
                    assert (one.holders.rank < turn.senders(one)) == (number is not None)
            assert sorted(numbers) == list(range(count))
    assert Turn(4, 5).senders(Of(0, 4, 2)) == 1
    assert Turn(4, 5).senders(Of(2, 4, 2)) == 0
