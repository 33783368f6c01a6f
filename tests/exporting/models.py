"""Small models with a tokenizer, as folders, to export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regrow.corpus import tokenizer
from regrow.model.config import DecoderConfig
from regrow.model.weights import Ends, save

TEXTS = [f"text {number}: it's one two three four five six seven, 1234 times.\n\n" * 5 for number in range(12)]
SIZES: dict[str, Any] = {"vocabulary": 300, "layers": 2, "width": 64, "heads": 4, "hidden": 96, "context": 96}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"kv_heads": 2},
    "mistral": {"kv_heads": 2, "tied_embeddings": False},
    "qwen2": {"kv_heads": 2, "qkv_bias": True},
    "qwen3": {"kv_heads": 2, "head_norm": "head", "head_width": 32, "tied_embeddings": False},
    "olmo2": {"kv_heads": 4, "head_norm": "whole", "norm_place": "after"},
    "gpt2": {
        "kv_heads": 4, "positions": "learned", "norm": "layer", "gated": False, "qkv_bias": True, "out_bias": True,
        "mlp_bias": True, "activation": "gelu_tanh",
    },
    "gpt_neox": {
        "kv_heads": 4, "norm": "layer", "gated": False, "qkv_bias": True, "out_bias": True, "mlp_bias": True,
        "activation": "gelu", "parallel": True, "rope_share": 0.25,
    },
}  # fmt: skip


def config(family: str, **options: Any) -> DecoderConfig:
    """A small decoder of a family."""
    return DecoderConfig(**{"kv_heads": 2, **SIZES, **FAMILIES.get(family, {}), "family": family, **options})


def numbers(config: DecoderConfig, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random parameters, gains and biases included, large enough for the logits to differ; the same everywhere."""
    random = np.random.default_rng(seed)
    found = {}
    for name, shape in config.shapes().items():
        x = torch.from_numpy(random.integers(-(1 << 20), 1 << 20, shape).astype(np.float32))
        x *= (0.17 if len(shape) == 2 else 0.35) / (1 << 20)
        found[name] = x + 1.0 if len(shape) == 1 and not name.endswith(".bias") else x
    return found


def folder(path: Path, family: str = "llama", seed: int = 0, **options: Any) -> Path:
    """A model with a tokenizer that was learnt here, as another's folder."""
    path.mkdir(parents=True, exist_ok=True)
    tokenizer.write(tokenizer.learn(TEXTS, 300), path)
    theirs = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    (path / "tokenizer_config.json").write_text(json.dumps(theirs))
    made = config(family, **options)
    save(path, made, numbers(made, seed), Ends(0, 0))
    return path
