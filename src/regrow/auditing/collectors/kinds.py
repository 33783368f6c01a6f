"""What a file is taken for by its name. Nothing is believed on account of a name; it only says who should read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import PurePosixPath

from regrow.auditing.data import toml

PICKLED = frozenset((".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".h5", ".hdf5", ".keras"))
"""Loading one of these may run code that is in it."""

_LICENCE = re.compile(
    r"(un)?licen[cs]es?\b|licen[cs]e[-_.]|copying|copyright|notice|(acceptable|prohibited)?[-_]?use[-_]policy|terms",
    re.IGNORECASE,
)
_WORDS = frozenset(("", ".md", ".txt", ".rst", ".html", ".pdf"))
_MODEL_NAMES = re.compile(r"(pytorch_|adapter_|tf_|flax_)?model|consolidated|checkpoint|weights|rng|optimizer", re.I)


@cache
def _kinds(table: str) -> Mapping[str, str]:
    """Names or endings of files -> kinds."""
    return {name: kind for kind, names in toml("collectors", "kinds")[table].items() for name in names}


def kind(path: str) -> str:
    """``weights``, ``config``, ``tokenizer``, ``card``, ``licence``, ``code``, ``data``, ..., ``other``."""
    place = PurePosixPath(path)
    name, suffix = place.name.lower(), place.suffix.lower()
    if known := _kinds("names").get(name):
        return known
    if name == "readme.md":
        return "card"
    if _LICENCE.match(name) and (suffix in _WORDS or suffix[1:].isupper() or not suffix[1:].isalpha()):
        return "licence"
    if name.endswith(".intoto.json") or place.parts[0] in ("provenance", "attestations"):
        return "provenance"
    if suffix in PICKLED:
        return "weights" if _MODEL_NAMES.match(name) else "pickled"
    return _kinds("endings").get(suffix, "other")
