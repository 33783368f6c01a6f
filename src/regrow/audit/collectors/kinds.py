"""What a file is taken for by its name. Nothing is believed on account of a name; it only says who should read it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

PICKLED = frozenset((".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".h5", ".hdf5", ".keras"))
"""Loading one of these may run code that is in it."""

_LICENCE = re.compile(
    r"(un)?licen[cs]es?\b|licen[cs]e[-_.]|copying|copyright|notice|(acceptable|prohibited)?[-_]?use[-_]policy|terms",
    re.IGNORECASE,
)
_WORDS = frozenset(("", ".md", ".txt", ".rst", ".html", ".pdf"))
_BY_NAME = {
    "config.json": "config",
    "adapter_config.json": "config",
    "generation_config.json": "config",
    "quantize_config.json": "config",
    "model_index.json": "config",
    "mergekit_config.yml": "config",
    "mergekit_config.yaml": "config",
    "mergekit_moe_config.yml": "config",
    "mergekit_moe_config.yaml": "config",
    "regrow.toml": "recipe",
    "regrow.lock": "lock",
    "tokenizer.json": "tokenizer",
    "tokenizer_config.json": "tokenizer",
    "special_tokens_map.json": "tokenizer",
    "vocab.json": "tokenizer",
    "vocab.txt": "tokenizer",
    "merges.txt": "tokenizer",
}
_BY_SUFFIX = {
    **dict.fromkeys((".safetensors", ".gguf", ".onnx", ".msgpack"), "weights"),
    **dict.fromkeys((".py", ".sh", ".ipynb", ".rs", ".c", ".cc", ".cpp", ".cu", ".go", ".jl", ".js", ".ts"), "code"),
    **dict.fromkeys((".parquet", ".arrow", ".jsonl", ".csv", ".tsv", ".zst", ".npy", ".npz"), "data"),
    **dict.fromkeys((".md", ".rst", ".pdf", ".html", ".txt"), "document"),
}
_MODEL_NAMES = re.compile(r"(pytorch_|adapter_|tf_|flax_)?model|consolidated|checkpoint|weights|rng|optimizer", re.I)


def kind(path: str) -> str:
    """``weights``, ``config``, ``tokenizer``, ``card``, ``licence``, ``code``, ``data``, ..., ``other``."""
    place = PurePosixPath(path)
    name, suffix = place.name.lower(), place.suffix.lower()
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name == "readme.md":
        return "card"
    if _LICENCE.match(name) and (suffix in _WORDS or suffix[1:].isupper() or not suffix[1:].isalpha()):
        return "licence"
    if name.endswith(".intoto.json") or place.parts[0] in ("provenance", "attestations"):
        return "provenance"
    if suffix in PICKLED:
        return "weights" if _MODEL_NAMES.match(name) else "pickled"
    return _BY_SUFFIX.get(suffix, "other")
