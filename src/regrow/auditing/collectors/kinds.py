"""What a file is taken for by its name, or by its first bytes where the name says nothing.

Nothing is believed on account of either; it only says who should read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import PurePosixPath

from regrow.data import toml

PICKLED = frozenset((".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".h5", ".hdf5", ".keras"))
"""Loading one of these may run code that is in it."""

_LICENCE = re.compile(
    r"(?!.*(?:third|fonts?\b|depend|vendor))(?:.{1,60}[-_. ])?"
    r"(?:(un)?licen[cs]es?|eula|lizenz|licencia|licença|licenza|许可证)(?![a-z])"
    r"|copying|copyright|notice|(acceptable|prohibited)?[-_]?use[-_]policy|terms",
    re.IGNORECASE,
)
_PART = re.compile(r"(.+\.\w+)\.(?:part(?:ial)?[-_.]?\w{0,5}|incomplete|\w{0,2}download|aria2|\d{2,5}|a[a-z])", re.I)
_ENDINGS = (
    (re.compile(rb"GGUF"), ".gguf"),
    (re.compile(rb"[\x00-\xff]{4}\0{4}\{", re.DOTALL), ".safetensors"),  # the length of its header, below 4 GiB
    (re.compile(rb"PK\x03\x04"), ".pt"),
    (re.compile(rb"\x80[\x02-\x05][\x95\x8a\x8c}\](cKXJq)]"), ".pkl"),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), ".h5"),
)
_TORCH = re.compile(rb"[^/]{1,200}/(?:data\.pkl|byteorder|version|\.format_version|\.data/)")
HEAD = 512
"""Bytes at the beginning of a file that :func:`ending` looks at."""

_WORDS = frozenset(("", ".md", ".txt", ".rst", ".html", ".pdf"))
_MODEL_NAMES = re.compile(r"(pytorch_|adapter_|tf_|flax_)?model|consolidated|checkpoint|weights|rng|optimizer", re.I)


@cache
def _kinds(table: str) -> Mapping[str, str]:
    """Names or endings of files, or names of folders -> kinds."""
    return {name: kind for kind, names in toml("auditing.collectors", "kinds")[table].items() for name in names}


def kind(path: str) -> str:
    """``weights``, ``config``, ``tokenizer``, ``card``, ``licence``, ``code``, ``data``, ``part``, ..., ``other``.

    A ``part`` is of a file of parameters that is not there as a whole: what a download that broke off leaves behind.
    """
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
    if (part := _PART.fullmatch(name)) and kind(part[1]) in ("weights", "pickled"):
        return "part"
    return _kinds("endings").get(suffix, "other")


def is_copied(path: str) -> bool:
    """Whether a file lies in a folder of what others wrote."""
    return any(_kinds("folders").get(part.lower()) for part in PurePosixPath(path).parts[:-1])


def ending(path: str, head: bytes) -> str:
    """How the name of a file would end if it told what is in it, or nothing.

    Args:
        path: the file, of a kind that its name does not tell.
        head: its beginning.
    """
    found = next((ending for pattern, ending in _ENDINGS if pattern.match(head)), "")
    # Many things are archives. One that torch writes begins with certain names; another has to be called like a model.
    is_archive = found == ".pt" and not _TORCH.match(head, 30) and not _MODEL_NAMES.match(PurePosixPath(path).name)
    return "" if is_archive else found
