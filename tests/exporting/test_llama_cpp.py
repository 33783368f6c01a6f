"""What llama.cpp computes from files that were written here, against what is computed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regrow.compression.rounding import Grid, nearest
from regrow.corpus.tokenizer import Tokenizer
from regrow.exporting.adapter import as_gguf
from regrow.exporting.gguf import prepared
from regrow.formats.gguf_writer import gguf_bytes
from regrow.model import weights
from regrow.model.decoder import Decoder
from regrow.model.sampling import Sampling, generate
from regrow.recipe.facts import Facts

from ..model.test_gguf import fused
from .ask_llama import ask
from .models import folder
from .test_adapter import adapter, merged

pytest.importorskip("llama_cpp")
pytestmark = pytest.mark.slow

PROMPTS = [[(37 * i) % 290 + 1 for i in range(20)], [(13 * i) % 250 + 3 for i in range(11)]]
TEXTS = ["Hello world, it's 1234 of\n\n  the   best!", "<|endoftext|> café 😀 naïve", "  x", " don't", "one two three"]
LLAMA3 = {"rope_scaling": "llama3", "rope_factor": 8.0, "rope_original_context": 24, "rope_theta": 500.0}
LINEAR = {"rope_scaling": "linear", "rope_factor": 4.0}
YARN = {"rope_scaling": "yarn", "rope_factor": 4.0, "rope_original_context": 24, "rope_theta": 500.0}
DYNAMIC = {"rope_scaling": "dynamic", "rope_factor": 4.0, "rope_original_context": 16, "rope_theta": 500.0}
BIASED = {"qkv_bias": True, "out_bias": True, "mlp_bias": True}


def answer(model: Path, tmp_path: Path, more: int = 32, lora: Path | None = None) -> dict[str, Any]:
    return ask(model, tmp_path, PROMPTS, TEXTS, more, lora)


def written(model: Path, type: str) -> Path:
    path = model / f"{type}.gguf"
    with path.open("wb") as file:
        prepared(model, model, type, Facts(name="small")).write(file)
    return path


def distance(found: dict[str, Any], model: Path) -> float:
    """The largest difference of a logit."""
    return max(differences(found, model))


def differences(found: dict[str, Any], model: Path) -> list[float]:
    """The largest difference of a logit, of each prompt."""
    config, parameters = weights.load(model)
    decoder = Decoder(config)
    with torch.no_grad():
        own = [decoder.logits(parameters, torch.tensor([prompt]))[0].numpy() for prompt in PROMPTS]
    rows = [np.array(row["logits"]) for row in found["rows"]]
    return [float(np.abs(one - other).max()) for one, other in zip(own, rows, strict=True)]


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("llama", {}), ("llama", LLAMA3), ("llama", LINEAR), ("llama", BIASED), ("mistral", {}), ("qwen2", {}),
        ("qwen3", {}), ("olmo2", {}), ("llama", YARN), ("qwen2", {**YARN, "rope_beta_fast": 16.0}),
    ],
)  # fmt: skip
def test_it_says_the_same(family: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = folder(tmp_path / "model", family, **options)
    found = answer(written(model, "F32"), tmp_path)
    config, parameters = weights.load(model)
    for prompt, row in zip(PROMPTS, found["rows"], strict=True):
        assert list(generate(Decoder(config), parameters, prompt, 32, Sampling(0.0))) == row["said"]
    assert distance(found, model) < 2e-4


def test_one_length_of_dynamic_scaling(tmp_path: Path) -> None:
    """The length of the first prompt, for which alone the logits are those of the model."""
    model = folder(tmp_path / "model", **DYNAMIC)
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        prepared(model, model, "F32", Facts(), context=len(PROMPTS[0])).write(file)
    found = answer(path, tmp_path, more=1)
    assert differences(found, model)[0] < 2e-4 < differences(found, model)[1]
    assert found["metadata"]["llama.context_length"] == "20"
    assert found["metadata"]["regrow.rope.rope_type"] == "dynamic"


@pytest.mark.parametrize(("bits", "type"), [(4, "Q4_0"), (4, "Q8_0"), (8, "Q8_0")])
def test_integers_are_computed_with_as_they_are(bits: int, type: str, tmp_path: Path) -> None:
    """It rounds activations to eight bits; integers of four that were rounded once more are off by 0.8."""
    model = folder(tmp_path / "plain", hidden=128)
    config, parameters = weights.load(model)
    codes = {
        name: nearest(x, Grid(bits, 32)) for name, x in parameters.items() if name.startswith("layers.") and x.dim() > 1
    }
    weights.save(model, config, parameters, weights.Ends(0, 0), codes)
    assert distance(answer(written(model, type), tmp_path, more=1), model) < 0.2


@pytest.mark.parametrize("type", ["F32", "Q8_0"])
def test_it_reads_queries_keys_and_values_as_one_as_we_do(type: str, tmp_path: Path) -> None:
    model = folder(tmp_path / "model")
    alone = answer(written(model, type), tmp_path, more=1)
    joined = answer(fused(model / f"{type}.gguf"), tmp_path, more=1)
    for one, other in zip(alone["rows"], joined["rows"], strict=True):
        assert np.allclose(one["logits"], other["logits"], atol=1e-5)


@pytest.mark.parametrize(
    ("family", "type", "bound"),
    [
        ("llama", "F16", 5e-3), ("llama", "BF16", 5e-2), ("qwen3", "F16", 5e-3), ("llama", "Q8_0", 0.2),
        ("gpt2", "F32", 1e-2), ("gpt_neox", "F32", 1e-2), ("gpt_neox", "F16", 2e-2),
    ],
)  # fmt: skip
def test_logits_are_within_a_bound(family: str, type: str, bound: float, tmp_path: Path) -> None:
    """Of short types it rounds activations too; GELU is a table of F16, in another form than GPT-NeoX has it."""
    model = folder(tmp_path / "model", family)
    found = answer(written(model, type), tmp_path, more=1)
    assert distance(found, model) < bound


def test_it_cuts_texts_in_the_same_way(tmp_path: Path) -> None:
    model = folder(tmp_path / "model")
    found = answer(written(model, "F32"), tmp_path, more=1)
    own = Tokenizer.open(model)
    # A text that is no prompt: what looks like a special token is its letters.
    assert found["texts"] == [[*own.start, *ids] for ids in own.documents(TEXTS)]
    assert found["ends"] == [0, 0]
    assert found["metadata"]["general.name"] == "small"


@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_is_what_it_is_when_merged(rslora: bool, tmp_path: Path) -> None:
    base = folder(tmp_path / "model")
    other = adapter(tmp_path / "adapter", base, use_rslora=rslora)
    keys, tensors = as_gguf(other, base)
    (tmp_path / "adapter.gguf").write_bytes(gguf_bytes(keys, tensors))
    found = answer(written(base, "F32"), tmp_path, more=1, lora=tmp_path / "adapter.gguf")
    assert distance(found, base) > 0.05
    assert distance(found, merged(tmp_path / "merged", base, other)) < 5e-4
