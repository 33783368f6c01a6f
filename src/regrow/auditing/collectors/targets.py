"""What a user asks to audit: an address of the hub is taken for the model that its page is about."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from regrow.auditing import names
from regrow.errors import RecipeError
from regrow.sources.addresses import shown

_HOSTS = frozenset(("huggingface.co", "hf.co"))
_AT_REVISION = frozenset(("tree", "blob", "raw", "resolve", "commit", "commits", "blame"))
_CAN = "an audit takes hf:ORGANISATION/NAME, the address of a model on the hub, or a path on this machine"
_OTHERS = {
    "datasets": ("a data set", "audit a model that was made from it"),
    "spaces": ("an application", "audit the model that it runs"),
    "collections": ("a collection", "audit one of its models"),
    "papers": ("a paper", "audit the model that it is about"),
    **dict.fromkeys(
        ("models", "docs", "blog", "posts", "tasks", "pricing", "join", "login", "settings", "organizations", "search"),
        ("a page of the hub itself", "open the page of a model and take its address"),
    ),
}
"""First parts of paths that are no organisation: what such a page is about, and what to do."""


def target(text: str) -> str:
    """``hf:org/name@revision`` for an address of a model on the hub; anything but an address is given back as it is.

    Raises:
        RecipeError: if it is an address of something else.
    """
    address = _address(text.strip())
    if address is None:
        return text
    path = _path_on_hub(address)
    if path is None:
        raise RecipeError(f"`{shown(text)}` is no model of the hub", why=_CAN, hint=_elsewhere(address))
    return _model(text, [unquote(part) for part in path.split("/") if part])


def _address(text: str) -> SplitResult | None:
    """The parts of an address; one of the hub may lack its scheme, as browsers show it."""
    bare = text.partition("/")[0].lower().removeprefix("www.")
    if bare in _HOSTS and not Path(text).exists():
        text = f"https://{text}"
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return None
    try:
        return urlsplit(text)
    except ValueError as error:
        raise RecipeError(f"`{shown(text)}` makes no sense as an address", hint=_CAN) from error


def _path_on_hub(address: SplitResult) -> str | None:
    """The path of an address on the hub, or on the mirror that HF_ENDPOINT names; None if it is anywhere else."""
    if address.scheme not in ("http", "https"):
        return None
    if (address.hostname or "").removeprefix("www.") in _HOSTS:
        return address.path
    with suppress(ValueError):
        own = urlsplit(os.environ.get("HF_ENDPOINT", "").strip().rstrip("/"))
        hosts = [one.netloc.lower().rpartition("@")[2] for one in (own, address)]
        if own.netloc and hosts[0] == hosts[1] and f"{address.path}/".startswith(f"{own.path}/"):
            return address.path.removeprefix(own.path)
    return None


def _elsewhere(address: SplitResult) -> str:
    if address.scheme in ("http", "https"):
        return "download or clone what is there, and name its folder"
    return "name the path itself" if address.scheme == "file" else f"write it as {_CAN.partition('takes ')[2]}"


def _model(text: str, parts: list[str]) -> str:
    """The model that a page is about, by the parts of its path."""
    parts = parts[2:] if parts[:2] == ["api", "models"] else parts
    first = parts[0] if parts else "models"
    if first in _OTHERS:
        kind, todo = _OTHERS[first]
        raise RecipeError(f"`{shown(text)}` is {kind}, not a model", why=_CAN, hint=todo)
    at = next((i for i, part in enumerate(parts[:3]) if i and part in (*_AT_REVISION, "revision")), None)
    name = "/".join(parts[: at or 2])
    if not names.is_id(name):
        raise RecipeError(f"`{shown(text)}` is not the address of a model", why=_CAN, hint="look at the spelling")
    rest = parts[at + 1 :] if at else []
    revision = "/".join(rest[:3] if rest[:1] == ["refs"] else rest[:1])
    return f"hf:{name}@{revision}" if revision else f"hf:{name}"
