"""Text from a release. python -m pytest tests/serve/test_generate.py"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regrow.corpus import tokenizer
from regrow.corpus.conversations import Message
from regrow.corpus.tokenizer import END_OF_TEXT, Tokenizer
from regrow.errors import InputError, RecipeError
from regrow.model import weights
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.recipe.kind import Call
from regrow.serve.generate import Generator
from regrow.stages import evaluate
from regrow.store import sums

TEXT = "Say it now, say it again, and say what the old man said. "
PROMPT = f"Say {END_OF_TEXT} now"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is not trained, with a tokenizer that is."""
    folder = tmp_path_factory.mktemp("release")
    tokenizer.write(tokenizer.learn([TEXT * 3], 270), folder)
    config = DecoderConfig(vocabulary=270, layers=1, width=64, heads=2, kv_heads=2, hidden=64, context=32)
    scaled = {name: value * (3.0 if value.dim() > 1 else 1.0) for name, value in initialise(config, 1).items()}
    weights.save(folder, config, scaled, weights.Ends.both(0))
    return folder


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("prompt", [PROMPT, "Say it", "", "wörds"])
def test_a_chat_writes_what_the_samples_of_a_build_say(release: Path, tmp_path: Path, prompt: str) -> None:
    settings = evaluate.EvaluateParameters(prompts=(prompt,), sample_tokens=12, temperature=0.7, seed=5)
    context = SimpleNamespace(emit=lambda *_, **__: None)
    call = Call("evaluate", settings, {"tokenizer": (release,), "weights": (release,)}, tmp_path, tmp_path, context)  # type: ignore[arg-type]
    config, parameters = weights.load(release)
    [sample] = evaluate._samples(Decoder(config), parameters, 0, call)
    written = Generator.load(release).generate(prompt, max_tokens=12, temperature=0.7, top=40, seed=5)
    assert "".join(written) == sample["text"]
    assert sample["tokens"]


def test_a_prompt_may_mean_the_special_token_and_a_document_means_its_letters(release: Path) -> None:
    opened = Tokenizer.open(release)
    first, *prompt = opened.prompt(PROMPT)
    [document] = opened.documents([PROMPT])
    assert first == opened.end_of_text and opened.end_of_text in prompt
    assert opened.end_of_text not in document and len(document) > len(prompt)
    assert opened.letters([document, prompt]) == [PROMPT, PROMPT]
    assert (opened.decode(document), opened.decode(prompt)) == (PROMPT, "Say  now")
    assert [first, *prompt] == opened.prompt(PROMPT)  # whatever was asked in between


@pytest.mark.usefixtures("hasty")
def test_threads_that_ask_for_prompts_and_documents_do_not_disturb_each_other(release: Path) -> None:
    opened = Tokenizer.open(release)
    prompt, documents = opened.prompt(PROMPT), opened.documents([PROMPT])
    with ThreadPoolExecutor(2) as pool:
        prompts = pool.submit(lambda: [opened.prompt(PROMPT) for _ in range(2000)])
        texts = pool.submit(lambda: [opened.documents([PROMPT]) for _ in range(2000)])
    assert prompts.result() == [prompt] * 2000
    assert texts.result() == [documents] * 2000


def test_a_prompt_that_is_no_text_is_refused_before_anything_is_written(release: Path) -> None:
    with pytest.raises(RecipeError, match="the prompt is not UTF-8"):
        Generator.load(release).generate("A\udcff")


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "model.safetensors"])
def test_what_leads_out_of_the_release_is_not_opened(release: Path, tmp_path: Path, name: str) -> None:
    for path in release.iterdir():
        os.link(path, tmp_path / path.name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(release / name)
    with pytest.raises(InputError, match="no file of the release") as caught:
        Generator.load(tmp_path)
    assert caught.value.where == str(tmp_path / name)


def test_a_tokenizer_without_an_end_of_text_is_a_clear_error(tmp_path: Path) -> None:
    said = {"added_tokens": [], "normalizer": None, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (tmp_path / "tokenizer.json").write_text(json.dumps({**said, "pre_tokenizer": bytes_, "decoder": bytes_}))
    with pytest.raises(InputError, match="has no `<"):
        Tokenizer.open(tmp_path)


def tokens_of(opened: Tokenizer, data: bytes) -> list[int]:
    """A token for each byte; the library spells bytes as letters."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spelt = {byte: chr(byte) for byte in plain}
    spelt |= {byte: chr(256 + number) for number, byte in enumerate(one for one in range(256) if one not in plain)}
    return [opened._library.token_to_id(spelt[byte]) for byte in data]


@pytest.mark.parametrize(
    "data",
    [
        b"say \xe2\x82",
        b"\xff",
        b"\xe2\x82\xac\xe2",
        b"a\x80\x80b\xf0\x9f\x98",
        "n\u00f6w \u20ac".encode(),
        b"a\xef\xbf\xbd",
    ],
)
def test_pieces_are_the_whole_text_up_to_the_last_byte(release: Path, data: bytes) -> None:
    """What ends within a character is shown as other engines show it."""
    generator = Generator.load(release)
    tokens = tokens_of(generator.tokenizer, data)
    pieces = list(generator._pieces(iter(tokens)))
    assert "".join(pieces) == generator.tokenizer.decode(tokens) == data.decode("utf-8", "replace")
    assert all(len(piece) <= 3 for piece in pieces)


def changed(release: Path, target: Path, **parts: object) -> Path:
    """The release with another tokenizer."""
    for path in release.iterdir():
        os.link(path, target / path.name)
    said = json.loads((release / "tokenizer.json").read_bytes())
    (target / "tokenizer.json").unlink()
    (target / "tokenizer.json").write_text(json.dumps({**said, **parts}))
    return target


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        (
            {"normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 9}},
            '`normalizer` is "Replace"',
        ),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "`normalizer`"),
        (
            {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a|aa)+$"}}},
            "`pre_tokenizer` cuts texts at a pattern that is not known",
        ),
        ({"model": {"type": "Unigram", "vocab": []}}, '`model` is "Unigram"'),
        ({"decoder": None}, "`decoder` is null"),
        ({"model": {"type": "BPE", "vocab": {"a": 2**31}, "merges": []}}, "they are counted from 0"),
        ({"more": " " * (32 << 20)}, "more than 33,554,432 bytes"),
    ],
)
def test_a_tokenizer_that_could_run_for_ever_is_not_begun(
    release: Path, tmp_path: Path, parts: dict[str, object], why: str
) -> None:
    with pytest.raises(InputError, match="the tokenizer cannot be read") as caught:
        Generator.load(changed(release, tmp_path, **parts))
    assert why in caught.value.why


def test_a_tokenizer_that_is_nested_too_deeply_is_told(release: Path, tmp_path: Path) -> None:
    changed(release, tmp_path)
    (tmp_path / "tokenizer.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="cannot be read") as caught:
        Tokenizer.open(tmp_path)
    assert caught.value.why == "its lists and tables are nested too deeply"


def test_what_others_are_told_to_do_is_not_done_twice(release: Path, tmp_path: Path) -> None:
    """A prompt has the first token once and is not cut, whatever the file asks of other engines."""
    cut = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    opened = Generator.load(changed(release, tmp_path, truncation=cut)).tokenizer
    assert opened.prompt("Say it now") == Tokenizer.open(release).prompt("Say it now")


def test_a_tokenizer_of_another_model_is_refused(release: Path, tmp_path: Path) -> None:
    tokenizer.write(tokenizer.learn([TEXT * 3], 275), tmp_path)
    for path in release.iterdir():
        if not (tmp_path / path.name).exists():
            os.link(path, tmp_path / path.name)
    with pytest.raises(InputError, match="the tokenizer has 275 tokens, and the model knows 270"):
        Generator.load(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "model.safetensors"])
def test_a_release_answers_from_what_was_released_only(release: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(release, tmp_path / "r")
    (tmp_path / "r" / "SHA256SUMS").write_text(sums(release))
    Generator.load(tmp_path / "r")
    with (tmp_path / "r" / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(InputError, match="not the file that was released") as caught:
        Generator.load(tmp_path / "r")
    assert caught.value.where == str(tmp_path / "r" / name)


QUESTION = {"role": "user", "content": "Say it"}


@pytest.fixture(scope="module")
def talking(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    """The same, with a template."""
    folder = tmp_path_factory.mktemp("talking")
    shutil.copytree(release, folder, dirs_exist_ok=True)
    (folder / "chat_template.jinja").write_text("{% for one in messages %}{{ one.role }} {{ one.content }}{% endfor %}")
    return Generator.load(folder)


def test_messages_may_be_plain_data(talking: Generator) -> None:
    plain, ours = (
        "".join(talking.reply([one], max_tokens=8, temperature=0.0)) for one in (QUESTION, Message(**QUESTION))
    )
    parts = [{"type": "text", "text": "Say "}, {"type": "text", "text": "it"}]
    assert plain == ours == "".join(talking.reply([{**QUESTION, "content": parts}], 8, 0.0)) != ""


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        ([], "this is no conversation"),
        ("hi", "this is no conversation"),
        (QUESTION, "this is no conversation"),
        (["hi"], "this is no message"),
        ([{"role": "user"}], "this is no message"),
        ([QUESTION, {**QUESTION, "tool": ""}], "this is no message"),
        ([{**QUESTION, "role": "x"}], "nobody says this"),
        ([Message("x", "y")], "nobody says this"),
        ([{**QUESTION, "content": None}], "the prompt is no text"),
        ([{**QUESTION, "content": "\ud800"}], "the prompt is not UTF-8"),
        ([{**QUESTION, "content": [{"type": "text"}]}], "the model reads text and nothing else"),
        ([{**QUESTION, "content": [{"type": "image_url", "image_url": {}}]}], "the model reads text and nothing else"),
        ([{**QUESTION, "content": [{"type": "file"}]}], "the model reads text and nothing else"),
    ],
)
def test_what_is_no_conversation_is_told(talking: Generator, messages: Any, what: str) -> None:
    with pytest.raises(RecipeError) as caught:
        talking.reply(messages)
    assert caught.value.what == what


def test_a_prompt_that_is_too_long_is_refused_unless_its_end_will_do(talking: Generator) -> None:
    text = "one two three " * 30
    said = [{**QUESTION, "content": text}]
    end = talking.tokenizer.prompt(text)[-32:]
    for write in (lambda **asked: talking.generate(text, **asked), lambda **asked: talking.reply(said, **asked)):
        with pytest.raises(RecipeError, match="the prompt is too long") as caught:
            write()
        assert "the model reads 32 at once" in caught.value.why and "`truncate`" in caught.value.hint
        assert "".join(write(max_tokens=4, truncate=True))
    found = "".join(talking.generate(text, 6, 0.0, truncate=True))
    assert found == "".join(talking._pieces(talking._tokens(end, 6, talking.sampling(0.0))))
    assert len([*talking._tokens(end, 6, talking.sampling(0.0))]) > 1  # beyond the context, where a server ends


@pytest.mark.parametrize(
    ("prompt", "asked", "told"),
    [
        (5, {}, "the prompt is no text because it is int"),
        ("\ud800", {}, "the prompt is not UTF-8 because it has half a character after 0 characters"),
        ("a\udcff", {}, "the prompt is not UTF-8 because it has byte 0xff after 1 characters"),
        ("a", {"max_tokens": 1.5}, "`max_tokens` is not a whole number because it is 1.5"),
        ("a", {"max_tokens": -1}, "`max_tokens` is too small because it is -1"),
        ("a", {"seed": True}, "`seed` is not a whole number because it is True"),
        ("a", {"temperature": "hot"}, "`temperature` is not a number because it is 'hot'"),
        ("a", {"top": 2.0}, "`top` is not a whole number because it is 2.0"),
    ],
)
def test_what_cannot_be_asked_for_is_told(talking: Generator, prompt: Any, asked: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        "".join(talking.generate(prompt, **asked))
    assert f"{caught.value.what} because {caught.value.why}" == told
