"""Names of models: what a file writes, as an id that two files agree on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from urllib.parse import unquote, urlsplit

from regrow.data import toml

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?", re.ASCII)
_HUB = re.compile(r"(www\.)?(huggingface|hf)\.(co|com)")


def model(text: str) -> str:
    """``hf:org/name`` for an id, or the address of a model on the hub; else nothing."""
    text = text.strip()
    if "://" in text:
        text = _of_address(text)
    text = text.removeprefix("hf:").partition("@")[0]
    text = moved().get(text, text)
    return f"hf:{text}" if "/" in text and _ID.fullmatch(text) and ".." not in text else ""


@cache
def moved() -> Mapping[str, str]:
    """The old ids without an organisation that the hub leads to others."""
    return {name: f"{owner}/{name}" for owner, names in toml("auditing.collectors", "moved").items() for name in names}


@cache
def pages() -> Mapping[str, Mapping[str, str]]:
    """The first parts of addresses on the hub that are no organisation's, with ``what`` is there and what ``todo``."""
    return {path: page for page in toml("auditing.collectors", "pages")["page"] for path in page["paths"]}


def _of_address(text: str) -> str:
    try:
        address = urlsplit(text)
        host = address.hostname or ""
    except ValueError:
        return ""
    parts = path_parts(address.path) if is_hub(host) else []
    return "" if not parts or parts[0] in pages() else "/".join(parts[:2])


def path_parts(path: str) -> list[str]:
    """The parts of the path of an address on the hub, the organisation first where it is about a model."""
    parts = [unquote(part) for part in path.split("/") if part]
    return parts[2:] if parts[:2] == ["api", "models"] else parts


def is_hub(host: str) -> bool:
    """Whether a host is the hub of models; its forum, its applications and its stores of files are others."""
    return _HUB.fullmatch(host.lower()) is not None


def is_id(text: str) -> bool:
    """Whether it could be the id of a model on the hub; old ones have no organisation."""
    return bool(_ID.fullmatch(text)) and ".." not in text


def is_path(text: str) -> bool:
    """Whether it is a place on somebody's machine."""
    return text.startswith(("/", "./", "../", "~", "\\")) or text.count("/") > 1 or bool(re.match(r"[A-Za-z]:\\", text))


def short(id: str) -> str:
    """An id for people: without scheme and revision."""
    return id.removeprefix("hf:").removeprefix("path:").partition("@")[0]


def comparable(id: str) -> str:
    """An id without scheme, revision and case: equal ones mean one model."""
    return short(id).casefold()


def plain(text: str) -> str:
    """A name without organisation, case, revision and punctuation, to see whether two are alike."""
    last = short(text).rstrip("/").rpartition("/")[2]
    return re.sub(r"[^a-z0-9]+", "", last.lower())


def same(one: str, other: str) -> bool:
    """Whether two ids mean the same model, as far as names can tell."""
    one, other = comparable(one), comparable(other)
    return one == other or (("/" not in one or "/" not in other) and plain(one) == plain(other))


def revision(text: str) -> str:
    """The part of a name after ``@``, or nothing."""
    found = text.partition("@")[2].partition("+")[0].strip()
    return found if re.fullmatch(r"[\w./-]{1,100}", found) else ""


def on_hub(text: str) -> str:
    """As :func:`model`, for what stands where the hub wants an id, as in ``base_model``: old ones have one word."""
    return model(text) or (f"hf:{text}" if is_id(text) else "")


def is_of_hub(id: str) -> bool:
    """Whether it is an id of the hub. What a folder or a file is called is none, whatever it looks like."""
    return id.startswith("hf:")
