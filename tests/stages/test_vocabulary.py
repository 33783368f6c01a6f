"""Models that get other tokens: the tokenizer and the rows, together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from regrow.corpus import tokenizer as learning
from regrow.corpus.tokenizer import Tokenizer
from regrow.corpus.vocabulary import Changed
from regrow.errors import RegrowError
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.model.weights import Ends, ends, load, save
from regrow.stages import KINDS
from regrow.store.digest import tree_digest

from .conftest import Bench

TEXTS = ["one two three four five six seven " * 9, "the moon, the mast and the sea; the rest is silence " * 9]
CONFIG = DecoderConfig(vocabulary=300, layers=2, width=16, heads=2, kv_heads=1, hidden=24, context=64)
SENTENCE = "the sea and <|user|> the moon <|endoftext|> seven"
THEIRS: Mapping[str, Any] = {
    "add_bos_token": True,
    "additional_special_tokens": ["<|pad|>", "<|spare|>"],
    "bos_token": "<|endoftext|>",
    "eos_token": "<|endoftext|>",
    "pad_token": "<|pad|>",
    "tokenizer_class": "PreTrainedTokenizerFast",
}
TEMPLATE = "{% for m in messages %}<|chat|>{{ m.content }}{% endfor %}"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of 296 tokens, four of them added, and a model with 300 rows, in one folder."""
    folder = tmp_path_factory.mktemp("base")
    learnt = learning.learn(TEXTS, 292)
    learning.write(learnt, folder)
    raw = json.loads((folder / "tokenizer.json").read_text())
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    named = ("<|pad|>", "<|spare|>", "<|chat|>", "<|other|>")
    raw["added_tokens"] += [{"id": 292 + i, "content": text, **plain} for i, text in enumerate(named)]
    raw["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|pad|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<|pad|>": {"id": "<|pad|>", "ids": [292], "tokens": ["<|pad|>"]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(raw))
    decoder = {str(one["id"]): {k: v for k, v in one.items() if k != "id"} for one in raw["added_tokens"]}
    (folder / "tokenizer_config.json").write_text(json.dumps({**THEIRS, "added_tokens_decoder": decoder}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    save(folder, CONFIG, initialise(CONFIG, 3), Ends(0, 0))
    return folder


def changed(bench: Bench, base: Path, multiple: int = 0, **said: Any) -> tuple[Path, Path]:
    """A changed tokenizer and changed weights."""
    tokenizer = bench.run("vocabulary-tokenizer", said, tokenizer=base, files=base)
    return tokenizer, bench.run("vocabulary", {"multiple": multiple}, weights=base, tokenizer=tokenizer)


def logits(folder: Path, tokens: Tensor) -> Tensor:
    config, parameters = load(folder)
    with torch.no_grad():
        return Decoder(config).logits(parameters, tokens)


def spellings(folder: Path) -> dict[str, int]:
    raw = json.loads((folder / "tokenizer.json").read_text())
    return {**raw["model"]["vocab"], **{one["content"]: one["id"] for one in raw["added_tokens"]}}


def test_eight_more_tokens_leave_the_logits_of_the_others_to_the_bit(bench: Bench, base: Path) -> None:
    tokenizer, weights = changed(bench, base, add=[f"<|tool {i}|>" for i in range(8)])
    tokens = torch.tensor([[5, 17, 280, 3, 291, 100, 64, 0]])
    before, after = logits(base, tokens), logits(weights, tokens)
    assert (before.shape[-1], after.shape[-1]) == (300, 304)
    assert torch.equal(after[..., :296], before[..., :296])
    assert Tokenizer.open(tokenizer).vocabulary == 304
    assert (ends(weights).begin, ends(weights).end) == (0, 0)


def test_a_new_row_is_the_mean_of_what_the_text_was_before(bench: Bench, base: Path) -> None:
    tokenizer, weights = changed(bench, base, add=["<|user|>", " moons"], special=False)
    pieces = Tokenizer.open(base).documents(["<|user|>", " moons"])
    before, after = load(base)[1]["embed"].numpy(), load(weights)[1]["embed"].numpy()
    for number, of in zip((296, 297), pieces, strict=True):
        assert len(of) > 1
        assert np.allclose(after[number], before[of].astype(np.float64).mean(0), atol=1e-9)
    assert np.array_equal(after[298:], before[298:])
    assert [one.text for one in Changed.open(tokenizer).added] == ["<|user|>", " moons"]
    assert Tokenizer.open(tokenizer).prompt("the moons<|user|>")[-2:] == [297, 296]
    assert Tokenizer.open(tokenizer).decode([296]) == "<|user|>"


def test_an_untied_head_gets_rows_too_and_a_tied_one_stays_tied(bench: Bench, base: Path, tmp_path: Path) -> None:
    untied = replace(CONFIG, tied_embeddings=False)
    save(tmp_path, untied, initialise(untied, 4), Ends(0, 0))
    tokenizer = bench.run("vocabulary-tokenizer", {"add": ["<|user|>"]}, tokenizer=base, files=base)
    config, parameters = load(bench.run("vocabulary", {"multiple": 64}, weights=tmp_path, tokenizer=tokenizer))
    assert (config.vocabulary, config.tied_embeddings) == (320, False)
    of = Tokenizer.open(base).documents(["<|user|>"])[0]
    before = load(tmp_path)[1]["head"]
    assert torch.allclose(parameters["head"][296], before[of].mean(0), atol=1e-7)
    assert torch.allclose(parameters["head"][300:], before[:296].mean(0), atol=1e-7)
    tied = bench.run("vocabulary", {}, weights=base, tokenizer=tokenizer)
    assert json.loads((tied / "config.json").read_text())["tie_word_embeddings"] is True
    assert "head" not in load(tied)[1]


def test_a_token_that_ends_an_answer_ends_what_is_written(bench: Bench, base: Path, tmp_path: Path) -> None:
    """A plain base, to which a template and its tokens are given."""
    folder = shutil.copytree(base, tmp_path / "base")
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}<|done|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
    )
    tokenizer, weights = changed(bench, folder, add=["<|turn|>", "<|done|>"])
    assert ends(weights).stops == (0, Tokenizer.open(tokenizer).id("<|done|>"))
    assert json.loads((weights / "generation_config.json").read_text())["eos_token_id"] == [0, 297]


def test_what_the_base_says_of_writing_stays(bench: Bench, base: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(base, tmp_path / "base")
    said = {"eos_token_id": [0, 295], "pad_token_id": 292, "temperature": 0.6, "top_p": 0.95, "do_sample": True}
    others = {
        "stop_strings": ["END"],
        "transformers_version": "5.0.0",
        "suppress_tokens": [7],
        "cache": "somebodys.code",
    }
    (folder / "generation_config.json").write_text(json.dumps({**said, **others}))
    imported = bench.run("import-weights", {}, files=folder, tokenizer=folder)
    kept = {**said, "bos_token_id": 0, "stop_strings": ["END"]}
    assert json.loads((imported / "generation_config.json").read_text()) == kept
    tokenizer = bench.run("vocabulary-tokenizer", {"drop": ["<|spare|>"]}, tokenizer=base, files=base)
    weights = bench.run("vocabulary", {}, weights=imported, tokenizer=tokenizer)
    now = {**kept, "eos_token_id": [0, 294]}  # counted anew
    assert json.loads((weights / "generation_config.json").read_text()) == now
    (folder / "generation_config.json").write_text('{"eos_token_id": 0, "pad_token_id": -1, "temperature": NaN}')
    odd = bench.run("import-weights", {}, files=folder, tokenizer=folder)
    assert json.loads((odd / "generation_config.json").read_text()) == {"bos_token_id": 0, "eos_token_id": 0}


@pytest.mark.parametrize(("multiple", "rows"), [(0, 301), (1, 297), (8, 304), (128, 384)])
def test_rows_that_no_token_has_stay_or_become_a_multiple(bench: Bench, base: Path, multiple: int, rows: int) -> None:
    add = [f"<|{i}|>" for i in range(5 if not multiple else 1)]
    assert load(changed(bench, base, multiple, add=add)[1])[0].vocabulary == rows


def test_tokens_that_are_dropped_leave_the_others_with_their_rows(bench: Bench, base: Path) -> None:
    tokenizer, weights = changed(bench, base, drop=["<|spare|>"], add=["<|user|>"])
    before, after = spellings(base), spellings(tokenizer)
    assert set(before) - set(after) == {"<|spare|>"}
    assert sorted(after.values()) == list(range(296))
    (_, old), (config, new) = load(base), load(weights)
    assert config.vocabulary == 299
    for token in set(before) & set(after):
        assert torch.equal(new["embed"][after[token]], old["embed"][before[token]]), token
    raw = json.loads((tokenizer / "tokenizer.json").read_text())
    assert raw["post_processor"]["special_tokens"]["<|pad|>"]["ids"] == [after["<|pad|>"]]
    said = json.loads((tokenizer / "tokenizer_config.json").read_text())
    assert {number: one["content"] for number, one in said["added_tokens_decoder"].items()} == {
        str(one["id"]): one["content"] for one in raw["added_tokens"]
    }
    assert said["additional_special_tokens"] == ["<|pad|>"]
    assert (tokenizer / "chat_template.jinja").read_text() == TEMPLATE


def test_a_word_that_is_dropped_is_spelled_with_its_parts(bench: Bench, base: Path) -> None:
    made = json.loads((base / "tokenizer.json").read_text())["model"]["merges"]
    pairs = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in made]
    used = {part for pair in pairs for part in pair}
    last = next("".join(pair) for pair in reversed(pairs) if "".join(pair) not in used)
    tokenizer, _ = changed(bench, base, drop=[last])
    before, after = Tokenizer.open(base), Tokenizer.open(tokenizer)
    for text in TEXTS:
        found = after.documents([text])[0]
        assert after.letters([found]) == [text]
        assert len(found) > len(before.documents([text])[0]) or last not in "".join(before.letters([[before.id(last)]]))
    assert after.id(last) is None


@pytest.mark.parametrize("said", [{"add": ["<|user|>", " and the"]}, {"drop": ["<|spare|>"], "add": ["<|user|>"]}])
def test_it_loads_elsewhere_with_the_same_numbers(
    bench: Bench, base: Path, tmp_path: Path, said: dict[str, Any]
) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer, weights = changed(bench, base, **said)
    for folder in (tokenizer, weights):
        for path in folder.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(SENTENCE)["input_ids"] == Tokenizer.open(tokenizer).prompt(SENTENCE)
    assert {theirs.convert_ids_to_tokens(number): number for number in range(len(theirs))} == spellings(tokenizer)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert model.config.vocab_size >= len(theirs)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"drop": ["nowhere"]}, 'there is no token "nowhere" to drop'),
        ({"drop": ["a"]}, "it is one of the 256 bytes"),
        ({"drop": ["<|endoftext|>"]}, "it ends a text|it is the"),
        ({"drop": ["<|pad|>"]}, "it is the `pad_token` of `tokenizer_config.json`"),
        ({"drop": ["<|chat|>"]}, "the chat template writes it"),
        ({"drop": ["Ġth"]}, "would never be made again"),
        ({"add": ["<|pad|>"]}, "cannot become a token"),
        ({"add": ["<|a|>", "<|a|>"]}, "cannot become a token"),
        ({"add": [" moon"]}, "cannot become a token"),
        ({"add": ["Ġmoon"]}, "cannot become a token"),
        ({"add": [""]}, "it is empty"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    bench: Bench, base: Path, said: dict[str, Any], words: str
) -> None:
    with pytest.raises(RegrowError, match=words) as caught:
        bench.run("vocabulary-tokenizer", said, tokenizer=base, files=base)
    assert words in str(caught.value) or "|" in words
    assert not list(bench.root.glob("01-*/tokenizer.json"))


def test_a_tokenizer_of_another_model_is_refused(bench: Bench, base: Path, tmp_path: Path) -> None:
    small = replace(CONFIG, vocabulary=200)
    save(tmp_path, small, initialise(small, 4), Ends(0, 0))
    tokenizer = bench.run("vocabulary-tokenizer", {"add": ["<|user|>"]}, tokenizer=base, files=base)
    with pytest.raises(RegrowError, match="the model knows 200 tokens, and the tokenizer had 296"):
        bench.run("vocabulary", {}, weights=tmp_path, tokenizer=tokenizer)


def test_rows_for_a_tokenizer_that_was_not_changed_are_refused(bench: Bench, base: Path) -> None:
    with pytest.raises(RegrowError, match="what became of the tokens cannot be read"):
        bench.run("vocabulary", {}, weights=base, tokenizer=base)


def test_the_beginning_of_a_prompt_stays(bench: Bench, tmp_path: Path) -> None:
    learning.write(learning.learn(TEXTS, 280), tmp_path)
    assert Tokenizer.open(tmp_path).start == (0,)
    tokenizer = bench.run("vocabulary-tokenizer", {"add": ["<|user|>"]}, tokenizer=tmp_path, files=tmp_path)
    assert Tokenizer.open(tokenizer).start == (0,)


GOLDEN = {
    "vocabulary-tokenizer": "971aa9fff9fdcb9120a800315e252e92cb2cecb32fbb80a39264c25ad54709f9",
    "vocabulary": "61a8c4669bb6690daa85670817e140705d7bda0c24b4a4eb3bcf52726b47dd36",
}


def test_the_output_is_what_it_was(bench: Bench, base: Path) -> None:
    """If one fails, bump the version of the kind, and then the digest."""
    outputs = changed(bench, base, 64, add=["<|user|>"], drop=["<|spare|>"])
    found = {kind: tree_digest(output) for kind, output in zip(GOLDEN, outputs, strict=True)}
    assert [KINDS[kind].version for kind in GOLDEN] == [1, 2]
    assert found == GOLDEN
