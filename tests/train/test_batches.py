"""Workers read their own micro-batches where they can, and learn from the same tokens in any case."""

import json
from pathlib import Path

import pytest

from regrow.corpus.encoded import Encoded, write
from regrow.corpus.tokens import TokenShards
from regrow.engine.runners import Lending
from regrow.engine.runners.location import Location
from regrow.stages.rows import Rows
from regrow.train import loop
from tests import models
from tests.train.test_workers import UNEVEN, finish, forked
from tests.train.toy import SETTINGS, TASK, watch

RUNS = """
import dataclasses
from contextlib import suppress

from regrow.cli.sharing import reading
from regrow.exact.workers import Group
from tests.train.test_batches import elsewhere, rows, shared

sent, give = [], Group.give

def counted(self, x):
    sent.append(x.shape)
    give(self, x)

Group.give = counted
rendezvous = join(worker_environment(), eligible=True)
if rendezvous.rank > 0:
    sys.exit(follow(rendezvous, threads=1, tasks=TASKS_HERE, reading=reading))
with leading(rendezvous, threads=1) as workers:
    found = {}

    def run(name, rows, settings=SETTINGS, whole=None):
        notes, seen = [], watch()
        sent.clear()
        asked = dataclasses.replace(seen, note=notes.append)
        state = workers.train(TASK, settings, whole or rows.whole, folder / name, asked, rows=rows)
        whole_batches = sum(shape == (settings.sequences_per_step, TASK.context + 1) for shape in sent)
        found[name] = {"chain": state.chain[-1]["chain"], "sent": whole_batches, "notes": notes}

    for name in ("texts", "conversations"):
        here = rows(folder / name)
        place = folder / f"shared-{name}"
        run(f"{name} here", here)
        run(f"{name} uneven", rows(folder / name, UNEVEN), UNEVEN)
        run(f"{name} at a location", elsewhere(here, shared(here, place)))
        run(f"{name} nowhere", elsewhere(here, ""))

    here = rows(folder / "texts")
    (row,) = (folder / "shared-texts").glob("inputs/*/train.bin")

    def losing(step):
        if step == 4:
            row.unlink()
        return here.whole(step)

    url = (folder / "shared-texts").as_uri()
    run("lost on the way", elsewhere(here, url), whole=losing)
    row.write_bytes((folder / "texts" / "train.bin").read_bytes()[::-1])
    run("damaged", elsewhere(here, url))
    row.write_bytes(b"")
    run("cut", elsewhere(here, url))
    (folder / "found.json").write_text(json.dumps(found))
"""


class Apart(Rows):
    """Rows of shards that workers do not find under the path that the first one has."""

    @property
    def told(self):
        told = super().told
        name = Path(told["shards"]["directory"]).name
        return {**told, "shards": {**told["shards"], "directory": f"/on/another/machine/{name}"}}


def rows(folder, settings=SETTINGS):
    shards = TokenShards.open(folder)
    count, each = settings.sequences_per_step, settings.micro_batch
    return Rows(shards, settings.seed, count, each, TASK.context, pairs=False)


def elsewhere(here, url):
    return Apart(**{**vars(here), "location": url})


def shared(here, place):
    """A location to which the shards were taken."""
    lending = Lending(Location.named(str(place)))
    lending.lend(here.shards.directory)
    return lending.url


def conversations(folder):
    """Conversations and texts, which share sequences."""
    folder.mkdir()
    documents = [
        Encoded(f"{i}", [i * j % 299 + 1 for j in range(6 + i % 9)], [j % 3 > 0 for j in range(6 + i % 9)], size=9)
        if i % 4
        else Encoded(f"{i}", [i * j % 299 + 1 for j in range(20)], size=9)
        for i in range(60)
    ]
    write(folder, {"train": documents, "validation": documents[:3]}, vocabulary=300, end_of_text=0)
    return folder


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """What a group of workers found in each run, and what one worker comes to."""
    folder = tmp_path_factory.mktemp("rows")
    models.tokens(folder / "texts")
    conversations(folder / "conversations")
    finish(forked(RUNS, folder, 3))
    expected = {}
    for name in ("texts", "conversations"):
        for settings, words in ((SETTINGS, ""), (UNEVEN, "uneven")):
            alone = folder / f"alone {name} {words}"
            state = loop.train(TASK, settings, rows(folder / name, settings).whole, alone, watch())
            expected[f"{name} {words}"] = state.chain[-1]["chain"]
    return json.loads((folder / "found.json").read_text()), expected


@pytest.mark.parametrize("name", ["texts", "conversations"])
@pytest.mark.parametrize("way", ["here", "uneven", "at a location"])
def test_each_worker_reads_its_own_and_nobody_sends_a_batch(name, way, group):
    found, expected = group
    chain = expected[f"{name} {way if way == 'uneven' else ''}"]
    assert found[f"{name} {way}"] == {"chain": chain, "sent": 0, "notes": []}


@pytest.mark.parametrize("name", ["texts", "conversations"])
def test_who_finds_the_tokens_nowhere_is_sent_them_which_is_said_once(name, group):
    found, expected = group
    one = found[f"{name} nowhere"]
    assert (one["chain"], one["sent"]) == (expected[f"{name} "], SETTINGS.steps)
    (text,) = one["notes"]  # of two micro-batches one is not the first worker's
    assert text.startswith("worker 1 cannot read its sequences of tokens: ")
    assert f"/on/another/machine/{name} is not on this machine, no `--location`" in text


@pytest.mark.parametrize(
    ("way", "sent", "words"),
    [
        ("lost on the way", 3, "`inputs/texts` is lost or damaged, `train.bin` is gone"),
        ("damaged", SETTINGS.steps, "micro-batch 2 of step 1 is not what the first worker reads"),
        ("cut", SETTINGS.steps, "`train.bin` is shorter than what was written"),
    ],
)
def test_tokens_that_are_lost_or_damaged_at_the_location_are_named_and_sent(way, sent, words, group):
    found, expected = group
    one = found[way]
    assert (one["chain"], one["sent"]) == (expected["texts "], sent)
    (text,) = one["notes"]
    assert words in text
