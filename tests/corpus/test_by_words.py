"""Word by word texts have the tokens that the library makes of them as a whole."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.corpus import by_words, tokenizer
from regrow.corpus.by_words import Words
from regrow.corpus.tokenizer import LLAMA3, QWEN2, Tokenizer
from regrow.errors import InputError

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
PARTS = (
    " ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u2028", "\x1c", "a", "the", " the", "don't", "'s", "'", "1", "234", "!",
    "...", "(", "e\u0301", "\u0301", "\u00e9", "\u03a3", "\u4e16", "\u2026", "\U0001f600", "<|endoftext|>", "A",
    "\u017f",
)  # fmt: skip


def _split(pattern: str) -> dict[str, Any]:
    part = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [part, {**BYTES, "use_regex": False}]}


CHANGES: dict[str, dict[str, Any]] = {
    "learnt": {},
    "blank first": {"pre_tokenizer": {**BYTES, "add_prefix_space": True}},
    "digits": {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, {**BYTES, "add_prefix_space": True}]}},
    "llama": {"pre_tokenizer": _split(LLAMA3)},
    "qwen": {"pre_tokenizer": _split(QWEN2), "normalizer": {"type": "NFC"}},
    "compatible": {"normalizer": {"type": "NFKC"}},
    "apart": {"normalizer": {"type": "NFKD"}},
    "small letters": {"normalizer": {"type": "Lowercase"}},
    "whole": {"pre_tokenizer": {**BYTES, "use_regex": False}},
}  # fmt: skip


@pytest.fixture(scope="module", params=CHANGES)
def known(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    chance = random.Random(1)
    tokenizer.write(tokenizer.learn(["".join(chance.choices(PARTS, k=200)) for _ in range(200)], 600), folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **CHANGES[request.param]}))
    return Tokenizer.open(folder)


@given(st.lists(st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=2)), max_size=30).map("".join), max_size=5))
def test_tokens_are_those_of_the_whole_text(known: Tokenizer, texts: list[str]) -> None:
    words = Words(known)
    for _ in range(2):  # the second time they are known
        assert [row.tolist() for row in words.tokens(texts)] == known.documents(texts)


def test_what_is_forgotten_is_asked_for_again(known: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_words, "_MOST", 5000)
    words, chance = Words(known), random.Random(2)
    for _ in range(40):
        texts = ["".join(chance.choices(PARTS, k=40)) for _ in range(3)]
        assert [row.tolist() for row in words.tokens(texts)] == known.documents(texts)


@pytest.mark.parametrize("known", ["learnt"], indirect=True)
def test_a_word_is_asked_for_once(known: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    documents = Tokenizer.documents
    monkeypatch.setattr(Tokenizer, "documents", lambda self, texts: asked.extend(texts) or documents(self, texts))
    words = Words(known)
    for text in ("to be, or not to be", "or to  be\n to be"):
        words.tokens([text])
    assert asked == ["to", " be,", " or", " not", " to", " be", "or", "  be\n to"]


def test_a_character_without_bytes_is_named_with_what_stands_before_it(tmp_path: Path) -> None:
    tokenizer.write(tokenizer.learn(["abc"], 257), tmp_path)
    path = tmp_path / "tokenizer.json"
    said = json.loads(path.read_text("utf-8"))
    said["model"]["vocab"]["zz"] = said["model"]["vocab"].pop("z")
    path.write_text(json.dumps(said))
    with pytest.raises(InputError, match=r"U\+007A cannot be said") as error:
        Words(Tokenizer.open(tmp_path)).tokens(["a word and", "another one: z"])
    assert "another one" in error.value.where
