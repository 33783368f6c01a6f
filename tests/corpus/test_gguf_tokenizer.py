"""Tokenizers written into GGUF files: read back as the same tokenizer, and under the name that engines have for it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from regrow.corpus import tokenizer
from regrow.corpus.gguf_tokenizer import from_gguf, to_gguf
from regrow.corpus.tokenizer import LLAMA3, QWEN2, Tokenizer
from regrow.errors import InputError, Note
from regrow.formats.gguf_writer import Array, Value

TEXTS = ["one two three, it's 1234 times four\n\n  and cafe\u0301 naïve 😀", "<|endoftext|> one", " don't", "x" * 40]
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def split(pattern: str) -> dict[str, Any]:
    part = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [part, {**BYTES, "trim_offsets": False, "use_regex": False}]}


def learnt(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.write(tokenizer.learn(TEXTS * 3, 320), folder)
    return folder


def changed(folder: Path, change: Mapping[str, Any], model: Mapping[str, Any] | None = None) -> Path:
    """A tokenizer of somebody else's, of which something is different."""
    path = learnt(folder) / "tokenizer.json"
    said = json.loads(path.read_text())
    said |= change
    said["model"] |= model or {}
    path.write_text(json.dumps(said))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    return folder


def keys(found: Mapping[str, Value | Array]) -> dict[str, Any]:
    return {key: value.value if isinstance(value, Value) else value.values for key, value in found.items()}


def back(found: Mapping[str, Value | Array], folder: Path) -> Tokenizer:
    folder.mkdir()
    from_gguf(keys(found), "model.gguf", folder)
    return Tokenizer.open(folder)


@pytest.mark.parametrize(
    ("name", "cut", "model"),
    [
        ("gpt-2", BYTES, {}),
        ("gpt-2", {"type": "Sequence", "pretokenizers": [{**BYTES, "trim_offsets": False}]}, {}),
        ("smollm", {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTES]}, {}),
        ("llama-bpe", split(LLAMA3), {"ignore_merges": True}),
        ("dbrx", split(LLAMA3), {}),
        ("qwen2", split(QWEN2), {}),
    ],
)
def test_a_tokenizer_comes_back(name: str, cut: dict[str, Any], model: dict[str, Any], tmp_path: Path) -> None:
    folder = changed(tmp_path / "own", {"pre_tokenizer": cut}, model)
    own = Tokenizer.open(folder)
    found = to_gguf(folder, own.vocabulary + 3, 0, 0)
    assert keys(found)["tokenizer.ggml.pre"] == name
    again = back(found, tmp_path / "again")
    assert again.vocabulary == own.vocabulary
    assert again.documents(TEXTS[1:]) == own.documents(TEXTS[1:])
    assert [again.prompt(text) for text in TEXTS[1:]] == [own.prompt(text) for text in TEXTS[1:]]
    assert json.loads((tmp_path / "again" / "tokenizer.json").read_text())["model"]["ignore_merges"] == bool(model)


def test_one_that_was_learnt_here_says_what_a_release_of_it_says(tmp_path: Path) -> None:
    from regrow.building.engines import equip
    from regrow.model.config import DecoderConfig
    from regrow.model.decoder import initialise
    from regrow.model.weights import Ends, save

    artifact, release = learnt(tmp_path / "artifact"), learnt(tmp_path / "release")
    config = DecoderConfig(vocabulary=320, layers=1, width=16, heads=2, kv_heads=1, hidden=16, context=16)
    save(release, config, initialise(config, 1), Ends.both(0))
    equip(release)
    said = keys(to_gguf(artifact, 320, 0, 0))
    assert said == keys(to_gguf(release, 320, 0, 0))
    assert said["tokenizer.ggml.add_bos_token"] is True
    assert [said[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "eos", "padding")] == [0, 0, 0]


def test_rows_without_a_token_get_one_that_no_text_makes(tmp_path: Path) -> None:
    folder = changed(tmp_path / "own", {})
    count = Tokenizer.open(folder).vocabulary
    said = keys(to_gguf(folder, count + 2, 0, 0))
    assert said["tokenizer.ggml.tokens"][count:] == (f"[PAD{count}]", f"[PAD{count + 1}]")
    assert said["tokenizer.ggml.token_type"][count:] == (5, 5)
    assert said["tokenizer.ggml.token_type"][:2] == (3, 1)
    assert said["tokenizer.ggml.add_bos_token"] is False


def test_chat_templates_come_along(tmp_path: Path) -> None:
    folder = changed(tmp_path / "own", {})
    settings = {"eos_token": "<|endoftext|>", "chat_template": [
        {"name": "default", "template": "A{{ 1 }}"}, {"name": "tool_use", "template": "B"},
    ]}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    said = keys(to_gguf(folder, 400, 0, 0))
    assert {key: said[key] for key in said if "chat" in key} == {
        "tokenizer.chat_template": "A{{ 1 }}",
        "tokenizer.chat_template.tool_use": "B",
    }
    (folder / "chat_template.jinja").write_text("C\n")
    assert keys(to_gguf(folder, 400, 0, 0))["tokenizer.chat_template"] == "C\n"


@pytest.mark.parametrize(
    ("change", "model", "why"),
    [
        ({"pre_tokenizer": {**BYTES, "add_prefix_space": True}}, {}, "it is none of `gpt-2`"),
        ({"pre_tokenizer": split(QWEN2)}, {"ignore_merges": True}, "only with the other `ignore_merges`"),
        ({"normalizer": {"type": "Lowercase"}}, {}, "it changes the letters of a text first"),
        ({}, {"dropout": 0.5}, "its merges have `dropout`"),
    ],
)
def test_what_no_key_says_is_refused(change: Any, model: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the tokenizer cannot be written as GGUF") as error:
        to_gguf(changed(tmp_path, change, model), 400, 0, 0)
    assert why in error.value.why


def test_a_normal_form_is_noted_where_its_name_does_not_imply_it(tmp_path: Path) -> None:
    with pytest.warns(Note, match="NFC"):
        to_gguf(changed(tmp_path / "a", {"normalizer": {"type": "NFC"}}), 400, 0, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_gguf(changed(tmp_path / "b", {"normalizer": {"type": "NFC"}, "pre_tokenizer": split(QWEN2)}), 400, 0, 0)


def test_more_tokens_than_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written as GGUF"):
        to_gguf(learnt(tmp_path), 100, 0, 0)
