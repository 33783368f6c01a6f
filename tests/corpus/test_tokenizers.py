"""Tokenizers of others: what does not fit together is named, and a prompt begins as transformers begins it."""

import json

import numpy as np
import pytest
from tokenizers.pre_tokenizers import ByteLevel

from regrow.corpus.gguf_tokenizer import from_gguf
from regrow.corpus.tokenizer import Tokenizer
from regrow.corpus.tokenizers import take_over
from regrow.errors import InputError

TOKENS = ("<|endoftext|>", "<|begin|>", *sorted(ByteLevel.alphabet()), "ab", "abc")
SAID = {
    "model": "gpt2", "pre": "gpt-2", "tokens": TOKENS, "token_type": (3, 3, *(1 for _ in TOKENS[2:])),
    "merges": ("a b", "ab c"), "bos_token_id": 1, "eos_token_id": 0, "add_bos_token": True,
}  # fmt: skip


def written(folder, template=None, **changes):
    folder.mkdir(exist_ok=True)
    said = {f"tokenizer.ggml.{key}": value for key, value in {**SAID, **changes}.items() if value is not None}
    from_gguf(said | ({"tokenizer.chat_template": template} if template else {}), "model.gguf", folder)
    return folder


@pytest.mark.parametrize(
    ("part", "value", "why"),
    [
        ("tokens", tuple(range(len(TOKENS))), "no list of what it should be"),
        ("tokens", (*TOKENS[:-1], "ab"), '"ab" is there twice'),
        ("token_type", (3, 3), "there are 2 types for 260 tokens"),
        ("token_type", None, "it is missing"),
        ("merges", (1, 2), "no list of what it should be"),
        ("merges", ("a b", "a b"), '"a b" is there twice'),
        ("merges", ("a xy",), 'of or makes "xy", which is no token'),
        ("merges", ("a d",), 'of or makes "ad", which is no token'),
        ("merges", ("a b c",), "is not two tokens"),
        ("merges", ("",), "is not two tokens"),
        ("bos_token_id", 260, "260 is none of the 260 tokens"),
        ("eos_token_id", "x", '"x" is none of the 260 tokens'),
    ],
)
def test_parts_that_do_not_fit_are_named(tmp_path, part, value, why):
    with pytest.raises(InputError, match=why) as error:
        written(tmp_path, **{part: value})
    assert error.value.where == f"model.gguf: tokenizer.ggml.{part}"
    assert "verify" not in error.value.hint


def test_a_tokenizer_that_would_lose_letters_is_refused(tmp_path):
    few = (*TOKENS[:2], "a", "b", "ab")
    with pytest.raises(InputError, match="no token for 254 of the 256 bytes"):
        written(tmp_path, tokens=few, token_type=(3, 3, 1, 1, 1), merges=("a b",))


def test_a_long_template_comes_along_whole(tmp_path):
    template = "{# ü #}" * 50_000
    assert (written(tmp_path, template) / "chat_template.jinja").read_text("utf-8") == template


def test_what_is_taken_over_is_told_by_its_own_name(tmp_path):
    source = written(tmp_path / "source")
    said = json.loads((source / "tokenizer.json").read_text("utf-8"))
    said["decoder"] = {"type": "Metaspace"}
    (source / "tokenizer.json").write_text(json.dumps(said))
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="what is known here is byte-level BPE") as error:
        take_over(source, tmp_path / "out")
    assert error.value.where == "tokenizer.json" and "verify" not in error.value.hint


def _template(*special):
    parts = [{"SpecialToken": {"id": token, "type_id": 0}} for token in special]
    ids = {token: {"id": token, "ids": [TOKENS.index(token)], "tokens": [token]} for token in special}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    pair = {"Sequence": {"id": "B", "type_id": 0}}
    return {
        "type": "TemplateProcessing", "single": [*parts, text], "pair": [*parts, text, pair], "special_tokens": ids
    }  # fmt: skip


_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


@pytest.mark.parametrize("begins", [None, True, False])
@pytest.mark.parametrize("bos", [None, "<|begin|>", {"__type": "AddedToken", "content": "<|begin|>"}])
@pytest.mark.parametrize(
    "template",
    [None, _BYTES, _template("<|begin|>"), {"type": "Sequence", "processors": [_BYTES, _template("<|begin|>")]}],
)
def test_a_prompt_begins_as_that_of_transformers(tmp_path, begins, bos, template):
    from transformers import AutoTokenizer

    folder = written(tmp_path)
    said = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps({**said, "post_processor": template}))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": "<|endoftext|>"}
    config |= {} if begins is None else {"add_bos_token": begins}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").unlink()
    assert Tokenizer.open(folder).prompt("abc") == AutoTokenizer.from_pretrained(folder)("abc").input_ids


def test_tokens_say_their_bytes_and_no_others(tmp_path):
    tokenizer = Tokenizer.open(written(tmp_path / "one"))
    data = "abc, h\u00e9 \U0001f600 ab".encode()
    (ids,) = tokenizer.documents([data.decode()])
    tokens = np.array(ids, np.uint32)
    assert tokenizer.say(tokens, data) and tokenizer.say(tokens[:0], b"")
    for others, wrong in ((tokens[:-1], data), (tokens[::-1].copy(), data), (tokens, data[:-1]), (tokens[:0], b"a")):
        assert not tokenizer.say(others, wrong)
    assert tokenizer.say(np.array([tokenizer.end_of_text], np.uint32), b"<|endoftext|>")
