"""What a user asks to audit: an address of the hub is taken for the model that its page is about."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from regrow.auditing import names
from regrow.errors import RecipeError
from regrow.sources.addresses import shown

_AT_REVISION = frozenset(("tree", "blob", "raw", "resolve", "commit", "commits", "blame"))
_CAN = "an audit takes hf:ORGANISATION/NAME, the address of a model on the hub, or a path on this machine"


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
    return _model(text, names.path_parts(path))


def _address(text: str) -> SplitResult | None:
    """The parts of an address; one of the hub may lack its scheme, as browsers show it."""
    if names.is_hub(text.partition("/")[0]) and not Path(text).exists():
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
    if names.is_hub(address.hostname or ""):
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
    if page := names.pages().get(parts[0] if parts else "models"):
        raise RecipeError(f"`{shown(text)}` is {page['what']}, not a model", why=_CAN, hint=page["todo"])
    at = next((i for i, part in enumerate(parts[:3]) if i and part in (*_AT_REVISION, "revision")), None)
    name = "/".join(parts[: at or 2])
    if not names.is_id(name):
        raise RecipeError(f"`{shown(text)}` is not the address of a model", why=_CAN, hint="look at the spelling")
    rest = parts[at + 1 :] if at else []
    revision = "/".join(rest[:3] if rest[:1] == ["refs"] else rest[:1])
    return f"hf:{name}@{revision}" if revision else f"hf:{name}"
