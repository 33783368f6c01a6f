"""A model tuned on conversations, as users see it: from the recipe to release, steps and rebuild."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import regrow
from regrow.errors import RegrowError
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.weights import Ends, save
from regrow.release import Release
from regrow.tracing.steps import pieces

CONFIG = DecoderConfig(
    vocabulary=300, layers=2, width=16, heads=2, kv_heads=1, hidden=24, context=96, head_norm="head", family="qwen3"
)
TEMPLATE = (
    "{% for m in messages %}{{ '<|endoftext|>' + m.role + ': ' + m.content }}{% endfor %}{{ '<|endoftext|>' }}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
RECIPE = """\
recipe = 1

[model]
name = "talker"
licence = "MIT"

[base]
fetch = "file:base"
licence = "Apache-2.0"

[[source]]
name = "talk"
fetch = "file:talk"
format = "conversations"
licence = "CC0-1.0"
availability = "open"

[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"

[corpus]
near_duplicates = 0
validation = 0.2

[finetune]
tokens = 768
context = 48
micro_batch = 2
micro_batches_per_step = 2
learning_rate = 1e-2
"""
LONG = (3, 7)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, a base and conversations beside it, and `release`."""
    from regrow.corpus import tokenizer

    root = tmp_path_factory.mktemp("conversations")
    talk, texts, base = (root / "talker" / name for name in ("talk", "texts", "base"))
    for folder in (talk, texts, base):
        folder.mkdir(parents=True)
    text = "one two three four five six seven " * 9
    (texts / "a.txt").write_text(text)
    said = ((f"one two {number}?", f"three four {number}. " * (20 if number in LONG else 1)) for number in range(12))
    lines = (json.dumps({"prompt": asked, "completion": answered}) for asked, answered in said)
    (talk / "talk.jsonl").write_text("\n".join(lines))
    tokenizer.write(tokenizer.learn([text, "user: assistant: " * 9], 300), base)
    theirs = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    (base / "tokenizer_config.json").write_text(json.dumps({**theirs, "chat_template": TEMPLATE}))
    save(base, CONFIG, initialise(CONFIG, 3), Ends(0, 0))
    (root / "talker" / "regrow.toml").write_text(RECIPE)
    events: list[dict[str, object]] = []
    regrow.build(root / "talker", root / "release", store=root / "store", listener=events.append)
    (root / "told.txt").write_text("\n".join(str(event["text"]) for event in events if event["event"] == "tally"))
    return root


def test_what_is_longer_than_a_sequence_is_told_and_recorded(built: Path) -> None:
    assert "2 conversations of 12 documents left out: longer than 49 tokens" in (built / "told.txt").read_text()
    start = {row["id"]: row["start"] for row in Release.at(built / "release").manifest(["id"], ["start"]).to_pylist()}
    talk = (built / "talker" / "talk" / "talk.jsonl").read_bytes()
    assert sorted(talk[: start[one]].count(b"\n") for one in left_out_of(built)) == [*LONG]


def left_out_of(built: Path) -> list[str]:
    said = json.loads((built / "release" / "training" / "left_out.json").read_text())
    assert said["reason"] == "longer than 49 tokens"
    return list(said["documents"])


def test_a_step_shows_the_conversations_that_it_saw(built: Path) -> None:
    release = Release.at(built / "release")
    found = [pieces(release, step, text=True, store=built / "store") for step in range(1, 5)]
    assert all({piece.sequence for piece in step} == {0, 1, 2, 3} for step in found)
    seen = [piece for step in found for piece in step]
    assert {piece.source for piece in seen} == {"talk", "texts"}
    assert not {piece.document for piece in seen} & {*left_out_of(built)}
    said = [piece.text for piece in seen if piece.source == "talk"]
    assert all(text.startswith("user: one two ") and "assistant: three four " in text for text in said if text)


def test_it_is_built_again_to_the_same_bits(built: Path, tmp_path: Path) -> None:
    report = regrow.verify(built / "release", sources=built / "talker", store=tmp_path / "store")
    assert report.verdict.value == "same", report


def test_the_release_talks_as_its_base_did(built: Path) -> None:
    from regrow.corpus.chat import ChatTemplate, Message

    for folder in (built / "release", built / "talker" / "base"):
        template = ChatTemplate.open(folder)
        assert template is not None
        asked = template.render([Message("user", "one")], prompt=True)
        assert asked == "<|endoftext|>user: one<|endoftext|>assistant: "


def test_a_context_too_short_for_every_conversation_is_refused(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "talker", tmp_path / "talker")
    shutil.rmtree(tmp_path / "talker" / "texts")
    texts = RECIPE[RECIPE.index('[[source]]\nname = "texts"') : RECIPE.index("[corpus]")]
    recipe = RECIPE.replace(texts, "").replace("context = 48", "context = 8")
    (tmp_path / "talker" / "regrow.toml").write_text(recipe)
    (tmp_path / "talker" / "regrow.lock").unlink()
    with pytest.raises(RegrowError, match="no conversation fits into sequences of 8 tokens") as error:
        regrow.build(tmp_path / "talker", tmp_path / "release", store=tmp_path / "store")
    assert "the shortest of" in str(error.value) and not (tmp_path / "release").exists()
