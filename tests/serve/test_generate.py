"""Text from a release. python -m pytest tests/serve/test_generate.py"""

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from regrow.corpus import tokenizer
from regrow.corpus.tokenizer import END_OF_TEXT, Tokenizer
from regrow.errors import InputError, RecipeError
from regrow.model import weights
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.recipe.kind import Call
from regrow.serve.generate import Generator
from regrow.stages import evaluate

TEXT = "Say it now, say it again, and say what the old man said. "
PROMPT = f"Say {END_OF_TEXT} now"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is not trained, with a tokenizer that is."""
    folder = tmp_path_factory.mktemp("release")
    tokenizer.write(tokenizer.learn([TEXT * 3], 270), folder)
    config = DecoderConfig(vocabulary=270, layers=1, width=64, heads=2, kv_heads=2, hidden=64, context=32)
    scaled = {name: value * (3.0 if value.dim() > 1 else 1.0) for name, value in initialise(config, 1).items()}
    weights.save(folder, config, scaled, end_of_text=0)
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
    call = Call("evaluate", settings, {"tokenizer": (release,)}, tmp_path, tmp_path, context)  # type: ignore[arg-type]
    config, parameters = weights.load(release)
    [sample] = evaluate._samples(Decoder(config), parameters, 0, call)
    written = Generator.load(release).generate(prompt, max_tokens=12, temperature=0.7, seed=5)
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
