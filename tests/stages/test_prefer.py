"""Learning from pairs: the loss and its gradient, what a pair is from row to batch, what is refused, a whole recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import regrow
from regrow.corpus.documents import Documents
from regrow.corpus.split import Split
from regrow.corpus.tokenizer import Tokenizer
from regrow.corpus.tokens import TokenShards
from regrow.errors import RegrowError
from regrow.exact.comparison import difference, sample
from regrow.exact.selection import use
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.model.weights import from_hugging_face, load, to_hugging_face
from regrow.stages.lora import LoraParameters
from regrow.stages.prefer import PreferParameters
from regrow.store.digest import tree_digest
from regrow.train.task import Batch
from regrow.train.tasks import tasks
from regrow.train.tasks.lora import A, B
from regrow.train.tasks.lora_preference import LoraPreferring
from regrow.train.tasks.preference import REFERENCE, Preferring
from tests.models import CONFIG as PLAIN
from tests.models import TEXTS, model, recipe

from .conftest import Bench

CONFIG = replace(PLAIN, context=96)
TEMPLATE = (
    "{% for m in messages %}{{ '<|endoftext|>' + m.role + ': ' + m.content }}{% endfor %}{{ '<|endoftext|>' }}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
SAID = [
    ("one two?", "three four five.", "six."),
    ("three?", "four one.", "seven two one."),
    ("five six?", "six.", "one."),
]
ROWS = [{"prompt": prompt, "chosen": chosen, "rejected": rejected} for prompt, chosen, rejected in SAID]
RUN = {"tokens": 600, "context": 60, "micro_batch": 1, "micro_batches_per_step": 1, "validate_every": 0}
GOLDEN = "e7fe579882a51a90292e3be96480c49bc2e81a2d34598276dbdbb1a1116bef14"

LORA_GOLDEN = "86bb9bf93e942fd34916e02d14c0c4da606a564de8efc5584551e6f2cc473119"


def user(said: str) -> dict[str, str]:
    return {"role": "user", "content": said}


def assistant(said: str) -> dict[str, str]:
    return {"role": "assistant", "content": said}


def elsewhere(bench: Bench, name: str) -> Bench:
    """A bench with a scratch folder of its own."""
    (bench.root / name).mkdir()
    return Bench(bench.root / name)


def base(folder: Path, config: DecoderConfig = CONFIG) -> Path:
    """A model with a chat template."""
    model(folder, config, texts=(*TEXTS, "user: assistant: " * 9))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": TEMPLATE}))
    return folder


def found_in(bench: Bench, *rows: dict[str, Any]) -> Documents:
    lines = "\n".join(map(json.dumps, rows))
    return Documents.open(bench.documents({"a.jsonl": lines}, format="conversations", max_unreadable=1.0))


def tokens(bench: Bench, source: Path, *rows: dict[str, Any], held_out: int = 1) -> Path:
    kept = found_in(bench, *rows).kept
    split = bench.root / f"split-{bench.count}"
    split.mkdir()
    Split.write(split, {"train": kept, "validation": kept[:held_out]}, [])
    return bench.run("tokenize", {}, split=split, tokenizer=source)


@pytest.fixture
def given(bench: Bench) -> dict[str, Path]:
    source = base(bench.root / "base")
    return {"weights": source, "tokenizer": source, "tokens": tokens(bench, source, *ROWS)}


def batch_of(given: dict[str, Path], context: int = 60) -> Batch:
    shards = TokenShards.open(given["tokens"])
    return Batch(*shards.sequences("train", range(shards.windows("train", context, pairs=True)), context, pairs=True))


def moved(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters that are no longer the reference, and the reference."""
    own = {name: x + 0.3 * y for (name, x), y in zip(parameters.items(), initialise(CONFIG, 9).values(), strict=True)}
    return {name: x.requires_grad_() for name, x in own.items()} | {f"{REFERENCE}{n}": x for n, x in parameters.items()}


def test_a_pair_is_two_segments_beside_each_other(given: dict[str, Path]) -> None:
    batch, said = batch_of(given), Tokenizer.open(given["tokenizer"])
    assert batch.mask is not None and batch.segments is not None
    assert TokenShards.open(given["tokens"]).pairs("train") == 3
    read, learnt = [], []
    for row in range(len(batch.tokens)):
        for number in range(1, int(batch.segments[row].max()) + 1):
            here = batch.segments[row] == number
            end = batch.tokens[row, 1:][here][-1:].tolist()
            read.append(said.decode(batch.tokens[row, :-1][here].tolist() + end))
            learnt.append(said.decode(batch.tokens[row, 1:][here & batch.mask[row]].tolist()))
    assert sorted(zip(learnt[::2], learnt[1::2], strict=True)) == sorted((one, other) for _, one, other in SAID)
    assert sorted(read) == sorted(f"user: {p}assistant: {a}" for p, *answers in SAID for a in answers)
    assert torch.equal(Batch.unpacked(batch.packed()).segments, batch.segments)


def test_the_loss_is_that_of_the_paper_computed_answer_by_answer(given: dict[str, Path]) -> None:
    """As TRL's `sigmoid` loss, written out: each answer read alone, in float64 from the logits on."""
    task = Preferring(CONFIG, 60, 0.3, given["weights"])
    parameters, batch = moved(dict(task.initial())), batch_of(given)
    before = {name: parameters[f"{REFERENCE}{name}"] for name in task.trained()}
    shards = TokenShards.open(given["tokens"])
    row, losses = torch.from_numpy(shards.read("train").astype("int64")), []
    cuts = [i for i in range(len(row) - 1) if row[i] == 0 and row[i + 1] == 0] + [len(row) - 1]  # ends and begins

    def said(values: dict[str, Tensor], ids: Tensor) -> Tensor:
        logits = Decoder(CONFIG).logits({name: x.detach() for name, x in values.items()}, ids[None, :-1])[0]
        each = logits.double().log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        begin = int((ids == 0).nonzero()[1]) + 1  # the second special token begins the answer's turn
        asked = len(Tokenizer.open(given["tokenizer"]).documents(["assistant: "])[0])
        return each[begin + asked - 1 :].sum()

    starts = [0, *(cut + 1 for cut in cuts[:-1])]
    answers = [row[start : cut + 1] for start, cut in zip(starts, cuts, strict=True)]
    grown = [said(parameters, ids) - said(before, ids) for ids in answers]
    losses = [-functional.logsigmoid(0.3 * (c - r)) for c, r in zip(grown[::2], grown[1::2], strict=True)]
    expected = float(sum(losses) / 3)
    assert batch.tokens.shape[0] > 0 and abs(expected - 0.6931) > 1e-3
    assert float(task.loss(parameters, batch).detach()) == pytest.approx(expected, rel=3e-3)


def test_the_gradient_is_that_of_autograd(given: dict[str, Path]) -> None:
    """Of the part that is new, from what the output matrix reads to the loss, against torch in float64."""
    from regrow.exact import layers
    from regrow.exact import operations as ops

    ids, targets = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3, 3, 3]), torch.arange(10) * 3
    x, weight, known = sample((10, 16), 1), sample((40, 16), 2), sample((4,), 3) - 9.0

    def ours(x: Tensor, weight: Tensor) -> Tensor:
        sums = ops.group_sums(ops.linear_log_probabilities(x, weight, targets), ids, 4)
        return layers.cross_entropy(((sums - known) * 0.1).view(-1, 2), torch.zeros(2, dtype=torch.int64))

    def theirs(x: Tensor, weight: Tensor) -> Tensor:
        each = (x @ weight.T).log_softmax(-1).gather(1, targets[:, None])[:, 0]
        sums = torch.zeros(4, dtype=torch.float64).index_add(0, ids, each) - known
        return -functional.logsigmoid(0.1 * (sums[::2] - sums[1::2])).mean()

    def run(function: Any, dtype: torch.dtype) -> list[Tensor]:
        inputs = [one.to(dtype).requires_grad_() for one in (x, weight)]
        loss = function(*inputs)
        return [loss.detach(), *torch.autograd.grad(loss, inputs)]

    found = run(ours, torch.float32)
    for one, expected in zip(found, run(theirs, torch.float64), strict=True):
        assert float((one - expected).abs().max()) <= 3e-3 * float(expected.abs().max())
    for other in (("reference", "float64"), ("numba", "float32"), ("numba", "int8")):
        with use(*other):
            assert difference(run(ours, torch.float32), found) == ""


def test_a_row_that_is_not_finite_makes_its_gradients_nan() -> None:
    from regrow.exact import operations as ops

    x, weight = sample((4, 8), 1), sample((9, 8), 2).requires_grad_()
    x[2, 0] = torch.nan
    x.requires_grad_()
    found = ops.linear_log_probabilities(x, weight, torch.arange(4))
    dx, dweight = torch.autograd.grad(found.nan_to_num().sum(), (x, weight))
    assert found.isnan().tolist() == [False, False, True, False]
    assert dx.isnan().any(1).tolist() == [False, False, True, False] and bool(dweight.isnan().any())


def test_it_does_not_matter_what_a_pair_is_packed_with(given: dict[str, Path]) -> None:
    task = Preferring(CONFIG, 60, 0.1, given["weights"])
    parameters = moved(dict(task.initial()))
    wide, narrow = batch_of(given, 90), batch_of(given, 45)
    assert wide.tokens.shape[0] < narrow.tokens.shape[0]
    lone = [task.loss(parameters, batch).detach() for batch in narrow.split(1)]
    assert len(lone) == 3
    assert float(task.loss(parameters, wide).detach()) == pytest.approx(float(sum(lone)) / 3, rel=1e-6)


def test_at_the_beginning_nothing_is_preferred(given: dict[str, Path]) -> None:
    task = Preferring(CONFIG, 60, 0.1, given["weights"])
    loss = task.loss({**task.initial(), **task.given()}, batch_of(given))
    assert float(loss) == pytest.approx(0.693147, abs=1e-6)
    other = tasks()["preferring"](task.description())
    assert other == task
    assert torch.equal(other.loss({**task.initial(), **task.given()}, Batch.unpacked(batch_of(given).packed())), loss)


def test_it_learns_to_prefer(bench: Bench, given: dict[str, Path]) -> None:
    said = {**RUN, "tokens": 1800, "micro_batch": 3, "learning_rate": 1e-2, "beta": 1.0}
    found = bench.run("prefer", said, **given)
    losses = [json.loads(line)["loss"] for line in (found / "losses.jsonl").read_text().splitlines()]
    assert losses[0] == pytest.approx(0.693147, abs=1e-6) and losses[-1] < 0.2, losses
    task, after = Preferring(CONFIG, 60, 1.0, given["weights"]), load(found)[1]
    assert float(task.loss({**after, **task.given()}, batch_of(given))) < 0.2
    with use("reference", "float64"):
        assert tree_digest(elsewhere(bench, "other").run("prefer", said, **given)) == tree_digest(found)
    # If it fails, bump the version of the kind.
    assert tree_digest(found) == GOLDEN


def test_finetuning_learns_the_chosen_answers(bench: Bench, given: dict[str, Path]) -> None:
    plain = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in ROWS]
    alone = {**given, "tokens": tokens(bench, given["weights"], *plain)}
    shards = [TokenShards.open(one["tokens"]) for one in (given, alone)]
    row, learnt = shards[0].read("train"), shards[0].learnt("train")
    assert row[learnt].tolist() == [token for place in range(3) for token in shards[0].learnt_of("train", place)]
    assert shards[0].validation_bytes == shards[1].validation_bytes == len("three four five.")
    said = {**RUN, "tokens": 180}
    tuned = [elsewhere(bench, f"run-{i}").run("finetune", said, **one) for i, one in enumerate((given, alone))]
    assert tree_digest(tuned[0]) == tree_digest(tuned[1])


ALIKE = [user("one"), assistant("two")]


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"prompt": "one", "chosen": "two", "rejected": "six"}, 2),
        ({"prompt": "one", "system": "be", "chosen": "two", "rejected": "six"}, 3),
        ({"prompt": [user("one")], "chosen": [assistant("two")], "rejected": [assistant("six")]}, 2),
        ({"chosen": [user("one"), assistant("two")], "rejected": [user("one"), assistant("six")]}, 2),
        ({"prompt": "one", "chosen": ALIKE, "rejected": [user("one"), assistant("six")], "messages": ALIKE}, 2),
    ],
)
def test_the_shapes_of_rows(bench: Bench, row: dict[str, Any], messages: int) -> None:
    (document,) = found_in(bench, row).kept
    said = json.loads(document.text)
    assert [*said] == ["chosen", "rejected"] and len(said["chosen"]) == len(said["rejected"]) == messages
    assert said["chosen"][:-1] == said["rejected"][:-1]
    assert (said["chosen"][-1], said["rejected"][-1]) == (assistant("two"), assistant("six"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "one"}, "no conversation"),
        ({"prompt": "one", "chosen": "two"}, "no conversation"),
        ({"prompt": "one", "chosen": "two", "rejected": "two"}, "a pair of equal answers"),
        ({"prompt": "one", "chosen": "two", "rejected": None}, "a message that is no text"),
        ({"prompt": "one", "chosen": "two", "rejected": " "}, "an empty message"),
        ({"chosen": "two", "rejected": "six"}, "a conversation that begins with an answer"),
        ({"chosen": ALIKE, "rejected": [user("two"), assistant("six")]}, "a pair of different questions"),
        ({"chosen": ALIKE, "rejected": [*ALIKE, user("two"), assistant("six")]}, "a pair of different questions"),
        ({"chosen": [*ALIKE, user("x")], "rejected": [*ALIKE, user("y")]}, "a pair without an answer"),
        ({"prompt": "six", "chosen": ALIKE, "rejected": ALIKE}, "a pair of different questions"),
        ({"prompt": "one", "chosen": [], "rejected": "six"}, "a conversation without an answer"),
    ],
)
def test_a_row_that_is_no_pair_is_left_out_and_told(bench: Bench, row: dict[str, Any], reason: str) -> None:
    found = found_in(bench, row, ROWS[0])
    assert len(found.kept) == 1
    assert [(one.reason, "line 1" in one.detail) for one in found.excluded] == [(reason, True)]


def test_answers_that_are_equal_when_clean_are_left_out(bench: Bench) -> None:
    lines = "\n".join(map(json.dumps, [{"prompt": "one", "chosen": "two\r\n", "rejected": "two\n"}, ROWS[0]]))
    given = bench.documents({"a.jsonl": lines}, format="conversations")
    found = Documents.open(bench.run("clean", {}, documents=[given]))
    assert [one.reason for one in found.excluded] == ["a pair of equal answers"] and len(found.kept) == 1


def test_only_what_comes_after_what_both_have_in_common_is_learnt(bench: Bench) -> None:
    source, again = base(bench.root / "base"), [*ALIKE, user("three")]
    rows = {"chosen": [*again, assistant("four")], "rejected": [*again, assistant("five")]}
    shards = TokenShards.open(tokens(bench, source, rows))
    learnt = shards.read("train")[shards.learnt("train")].tolist()
    assert Tokenizer.open(source).decode(learnt) == "four"


def texts(bench: Bench, source: Path) -> Path:
    documents = bench.documents({"a.txt": "one two three " * 40})
    split = bench.root / "texts"
    split.mkdir()
    kept = Documents.open(documents).kept
    Split.write(split, {"train": kept, "validation": []}, [])
    return bench.run("tokenize", {}, split=split, tokenizer=source)


def test_a_corpus_without_pairs_is_refused(bench: Bench, given: dict[str, Path]) -> None:
    source = given["weights"]
    with pytest.raises(RegrowError, match="nothing in the texts that says which of two answers is better"):
        bench.run("prefer", RUN, **{**given, "tokens": texts(bench, source)})
    mixed = tokens(bench, source, *ROWS, {"prompt": "one", "completion": "two"})
    with pytest.raises(RegrowError, match="1 document of 4 are no pairs of answers"):
        bench.run("prefer", RUN, **{**given, "tokens": mixed})


def test_pairs_longer_than_a_sequence_are_left_out(tmp_path: Path, bench: Bench, given: dict[str, Path]) -> None:
    long = {"prompt": "one", "chosen": "two " * 90, "rejected": "six"}
    some = tokens(bench, given["weights"], *ROWS, long)
    found = bench.run("prefer", RUN, **{**given, "tokens": some})
    assert len(json.loads((found / "left_out.json").read_text())["documents"]) == 1
    with pytest.raises(RegrowError, match="no pair fits into sequences of 60 tokens"):
        bench.run("prefer", RUN, **{**given, "tokens": tokens(bench, given["weights"], long)})


def test_a_run_is_not_gone_on_with() -> None:
    with pytest.raises(ValueError, match="cannot be gone on with"):
        PreferParameters(tokens=4096, optimizer="continue")


SOURCE = (
    '[[source]]\nname = "pairs"\nfetch = "file:pairs"\nformat = "conversations"\nlicence = "CC0-1.0"\n'
    'availability = "open"\n\n[corpus]\nnear_duplicates = 0\nvalidation = 0.2\n\n[evaluate]\nprompts = []\n'
)
TABLE = "[prefer]\ntokens = 480\ncontext = 60\nmicro_batch = 2\nmicro_batches_per_step = 1\nlearning_rate = 1e-3\n"


def lora(given: dict[str, Path], whole: tuple[str, ...] = ()) -> tuple[LoraPreferring, dict[str, Tensor]]:
    """A task, and parameters of it that are no longer those of the beginning."""
    targets = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj")
    task = LoraPreferring(CONFIG, 60, targets, 4, 2.0, whole, 1, given["weights"], beta=0.3)
    parameters = {**task.initial(), **task.given()}
    for seed, name in enumerate(task.trained()):
        parameters[name] = parameters[name] + 0.4 * sample(tuple(parameters[name].shape), seed)
    return task, parameters


@pytest.mark.parametrize("whole", [(), ("norm",)])
def test_an_adapter_is_measured_against_its_base(given: dict[str, Path], whole: tuple[str, ...]) -> None:
    task, parameters = lora(given, whole)
    base, batch = load(given["weights"])[1], batch_of(given)
    assert set(task.frozen()) == {*base, *(f"{REFERENCE}{name}" for name in whole)} - {*whole}  # nothing is there twice
    first = task.loss({**task.initial(), **task.given()}, batch)
    assert float(first) == pytest.approx(0.693147, abs=1e-6)
    merged = dict(base)
    for name in whole:
        merged[name] = parameters[name]
    files = to_hugging_face(CONFIG, merged)
    for name in task.targets:
        files[f"{name}.weight"] = files[f"{name}.weight"] + 2.0 * parameters[f"{name}{B}"] @ parameters[f"{name}{A}"]
    whole_model = Preferring(CONFIG, 60, 0.3)
    wanted = whole_model.loss(
        {**from_hugging_face(CONFIG, files), **{f"{REFERENCE}{name}": x for name, x in base.items()}}, batch
    )
    found = task.loss(parameters, batch)
    assert abs(float(wanted) - 0.693147) > 1e-3
    assert float(found) == pytest.approx(float(wanted), rel=1e-3)
    other = tasks()["lora-preferring"](task.description())
    assert other == task and torch.equal(other.loss(parameters, batch), found)


def test_an_adapter_learns_to_prefer(bench: Bench, given: dict[str, Path]) -> None:
    said = {**RUN, "tokens": 1800, "micro_batch": 3, "learning_rate": 3e-2, "beta": 1.0, "preferences": True}
    found = bench.run("lora", said, **given)
    losses = [json.loads(line)["loss"] for line in (found / "losses.jsonl").read_text().splitlines()]
    assert losses[0] == pytest.approx(0.693147, abs=1e-6) and losses[-1] < 0.4, losses
    assert tree_digest(found) == LORA_GOLDEN  # if it fails, bump the version of the kind
    with pytest.raises(ValueError, match="only pairs of answers have a use for it"):
        LoraParameters(tokens=4096, beta=0.5)
    split = bench.split({f"{i}.txt": "one two three " * 20 for i in range(5)})
    texts = bench.run("tokenize", {}, split=split, tokenizer=given["tokenizer"])
    with pytest.raises(RegrowError, match="nothing in the texts that says which of two answers is better"):
        bench.run("lora", said, **{**given, "tokens": texts})


LORA_TABLE = TABLE.replace("[prefer]", "[lora]").replace("1e-3", "1e-2") + "preferences = true\n"


@pytest.mark.parametrize("table", [TABLE, LORA_TABLE])
def test_a_recipe_with_pairs_is_built_and_built_again(tmp_path: Path, table: str) -> None:
    from regrow.release import Release
    from regrow.tracing.steps import pieces

    folder = recipe(tmp_path / "child", SOURCE, table, texts=False)
    base(folder / "base")
    (folder / "pairs").mkdir()
    rows = [{**row, "prompt": f"{row['prompt']} {number}"} for number in range(4) for row in ROWS]
    (folder / "pairs" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    regrow.build(folder, tmp_path / "release", store=tmp_path / "store")
    seen = pieces(Release.at(tmp_path / "release"), 1, text=True, store=tmp_path / "store")
    assert seen and all(piece.text and piece.text.count("user: ") == 2 for piece in seen)
    report = regrow.verify(tmp_path / "release", sources=folder, store=tmp_path / "other")
    assert report.verdict.value == "same", report
