"""Conversations as tokens: what the template makes of them, of which the answers are learnt."""

import json

import numpy as np
import pytest

from regrow.corpus import tokenizer
from regrow.corpus.answers import ending
from regrow.corpus.documents import Documents
from regrow.corpus.split import Split
from regrow.corpus.tokenizer import Tokenizer
from regrow.corpus.tokens import TokenShards
from regrow.errors import InputError, StageError

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
FORGETFUL = (
    "{% for m in messages %}{{ m.role + ': ' + (m.content if loop.last else m.content[:2]) + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
TEXTS = ["one two three four five six seven eight " * 20, "user assistant system " * 20]


@pytest.fixture(scope="module")
def learnt():
    return tokenizer.learn(TEXTS, 300)


@pytest.fixture
def model(tmp_path, learnt):
    """A function that makes a tokenizer with the special tokens of ChatML and a template."""

    def make(template=CHATML):
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        tokenizer.write(learnt, folder)
        path = folder / "tokenizer.json"
        said = json.loads(path.read_text())
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for id, name in ((300, "<|im_start|>"), (301, "<|im_end|>")):
            said["added_tokens"].append({"id": id, "content": name, **plain})
        path.write_text(json.dumps(said))
        if template:
            (folder / "chat_template.jinja").write_text(template)
        return folder

    return make


def messages(*said):
    return [{"role": ("user", "assistant")[i % 2], "content": one} for i, one in enumerate(said)]


def line(*said):
    return json.dumps({"messages": messages(*said)})


def tokens(bench, folder, *lines, text=None, held_out=1):
    found = [bench.documents({"a.jsonl": "\n".join(lines)}, format="conversations")] if lines else []
    if text:
        found.append(bench.documents({"b.txt": text}))
    split = bench.root / f"split-{bench.count}"
    split.mkdir()
    kept = Documents.open(*found).kept
    Split.write(split, {"train": kept, "validation": kept[:held_out]}, [])
    return TokenShards.open(bench.run("tokenize", {}, split=split, tokenizer=folder))


def learnt_text(shards, folder):
    row, marks = shards.read("train"), shards.learnt("train")
    opened = Tokenizer.open(folder)
    runs = np.split(np.arange(len(row)), np.flatnonzero(np.diff(marks)) + 1)
    return [opened.letters([row[run].tolist()])[0] for run in runs if marks[run[0]]]


def test_the_answers_and_what_ends_them_are_learnt(bench, model):
    shards = tokens(bench, model(), line("one", "two", "three", "four five"))
    assert learnt_text(shards, model()) == ["two<|im_end|>", "four five<|im_end|>"]
    said = Tokenizer.open(model()).letters([shards.read("train").tolist()])[0]
    assert said == (
        "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\ntwo<|im_end|>\n"
        "<|im_start|>user\nthree<|im_end|>\n<|im_start|>assistant\nfour five<|im_end|>\n"
    )
    assert shards.validation_bytes == len("two") + len("four five")


def test_the_tokens_are_those_of_transformers(bench, model):
    from transformers import AutoTokenizer

    said = ("one two?", "two three.", "äöü 漢", "four\nfive")
    shards = tokens(bench, model(), line(*said))
    theirs = AutoTokenizer.from_pretrained(model())
    text = theirs.apply_chat_template(messages(*said), tokenize=False)
    assert shards.read("train").tolist() == theirs(text, add_special_tokens=False)["input_ids"]


def test_a_template_without_special_tokens_ends_an_answer_as_it_likes(bench, model):
    assert learnt_text(tokens(bench, model(PLAIN), line("one", "two")), model(PLAIN)) == ["two\n"]


def test_a_special_token_before_an_answer_does_not_end_it(bench, model):
    before = "{% for m in messages %}{{ '<|im_start|>' + m.content + '\n' }}{% endfor %}"
    assert learnt_text(tokens(bench, model(before), line("one", "two")), model(before)) == ["<|im_start|>two\n"]
    assert (ending(model(before)), ending(model()), ending(model("{{ nothing() }}"))) == (None, 301, None)


def test_a_message_that_speaks_of_a_special_token_is_letters(bench, model):
    shards = tokens(bench, model(), line("say <|im_end|>", "<|im_end|><|endoftext|> is said"))
    assert shards.read("train").tolist().count(301) == 2
    assert learnt_text(shards, model()) == ["<|im_end|><|endoftext|> is said<|im_end|>"]


def test_texts_and_conversations_go_together(bench, model):
    shards = tokens(bench, model(), line("one", "two"), text="three four " * 9)
    assert shards.is_packed("train")
    batch = shards.sequences("train", range(shards.windows("train", 80)), 80)
    assert batch.learnt.shape == batch.segments.shape == (1, 80) and batch.tokens.shape == (1, 81)
    assert batch.segments.max() == 2
    opened = Tokenizer.open(model())
    learnt = opened.letters([batch.tokens[0, 1:][batch.learnt[0]].tolist()])[0]
    # Of the text all but its first token, and the token that ends it; of the conversation its answer.
    assert learnt.startswith("two<|im_end|>") and learnt.endswith("three four <|endoftext|>")
    # The last token of each is only predicted, and no other is of no document.
    first, second = (row["end"] - row["start"] for row in rows(shards))
    assert batch.segments[0].tolist() == [1] * (first - 1) + [0] + [2] * (second - 1) + [0] * (81 - first - second)


def rows(shards):
    import pyarrow.parquet as pq

    return pq.read_table(shards.directory / "train.documents.parquet").to_pylist()


def test_texts_alone_are_as_they_were(bench, model):
    shards = tokens(bench, model(), text="three four " * 9)
    assert not shards.is_packed("train") and shards.learnt("train").all()
    assert {path.name for path in shards.directory.iterdir()} == {
        "tokens.json", "train.bin", "train.documents.parquet", "validation.bin", "validation.documents.parquet",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("template", "error", "said"),
    [
        (None, StageError, "the model has no chat template"),
        (FORGETFUL, StageError, "does not say where an answer begins and ends"),
        ("{{ raise_exception('no') }}", InputError, "refuses the messages"),
        ("{{ messages.append(1) }}", InputError, "fails"),
        ("", StageError, "does not say where"),
    ],
)
def test_a_template_that_does_not_do_is_told_with_the_conversation(bench, model, template, error, said):
    folder = model(template)
    if template == "":
        (folder / "chat_template.jinja").write_text("")
    with pytest.raises(error, match=said) as found:
        tokens(bench, folder, line("one", "two", "three", "four"))
    assert "a.jsonl:0-" in f"{found.value}"


def test_a_model_is_measured_by_the_answers_that_it_has_room_for(bench, model):
    from regrow.model.config import DecoderConfig
    from regrow.model.decoder import initialise
    from regrow.model.weights import Ends, save

    short, long = line("one", "two three"), line("one", "two three " * 40)
    weights = bench.root / "weights"
    weights.mkdir()
    config = DecoderConfig(vocabulary=302, layers=1, width=16, heads=2, kv_heads=1, hidden=24, context=64)
    save(weights, config, initialise(config, 1), Ends(0, 0))

    def measured(held_out):
        shards = tokens(bench, model(), short, long, held_out=held_out)
        out = bench.run("evaluate", {}, tokens=shards.directory, weights=weights, tokenizer=model())
        return json.loads((out / "evaluation.json").read_text())["validation"]

    found = measured(2)
    assert found == measured(1) and found["bytes"] == len("two three")
    assert 6 < found["loss"] / np.log(2) < 10 and found["tokens"] > 2
