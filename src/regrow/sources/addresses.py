"""Addresses on the web: which are safe to fetch, and what of them others may see."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from regrow.errors import InputError

_PARTS = re.compile(r"((?:[a-z][a-z0-9+.-]*:)?/*)([^/?#]*)(.*)", re.DOTALL | re.IGNORECASE)
_HOST = re.compile(r"(localhost|\[[0-9a-f:.]+\]|[^:]*\.[^:]*)(:[0-9]*)?", re.IGNORECASE)
_SECRET_WORDS = frozenset((
    "auth", "authorization", "bearer", "credential", "credentials", "jwt", "key", "pass", "passphrase", "passwd",
    "password", "pw", "pwd", "sas", "secret", "session", "sid", "sig", "signature", "token",
))  # fmt: skip
_SECRET_PARTS = ("apikey", "authkey", "credential", "passw", "secret", "sessionid", "signature", "token")
_SECRET_VALUE = re.compile(r"gh[opsur]_|github_pat_|glpat-|hf_|xox[abp]-|sk-|AKIA|ASIA|eyJ")
"""How the tokens of well-known sites begin, and those that are JSON."""


def has_password(url: str) -> bool:
    """Whether an address holds a user name or a password.

    A ``/``, ``?`` or ``#`` in a password ends the host, so that the rules make a host of the user and a path of the
    rest. An ``@`` behind a host that is none gives that away.
    """
    _, host, rest = _split(url)
    return "@" in host or _runs_on(host, rest)


def secrets(url: str) -> tuple[str, ...]:
    """The names of what looks like a credential behind the path of an address."""
    behind = re.split("[?#]", url, maxsplit=1)[1:]
    pairs = parse_qsl(re.sub("[?#]", "&", "".join(behind)))
    return tuple(name for name, value in pairs if _names_secret(name) or _SECRET_VALUE.match(value))


def shown(url: str) -> str:
    """An address as messages may hold it: without user, password, query and fragment."""
    scheme, host, rest = _split(url)
    host = host.rpartition("@")[2]
    text = (host + rest).rpartition("@")[2] if _runs_on(host, rest) else host + rest
    return scheme + re.split("[?#]", text, maxsplit=1)[0]


def require_safe(url: str, *, plain: bool) -> None:
    """Make sure that nobody can read or change what is fetched.

    Args:
        url: the address.
        plain: True to allow plain http with this machine.

    Raises:
        InputError: if somebody could, or the address makes no sense.
    """
    try:
        parts = urlsplit(url)
        scheme, host, sound = parts.scheme, parts.hostname, parts.port != 0
    except ValueError:
        scheme, host, sound = "https", None, False
    if scheme != "https" and not (plain and scheme == "http" and host in ("localhost", "127.0.0.1", "::1")):
        raise InputError(
            f"`{shown(url)}` is not safe to fetch",
            why="only https keeps others from reading and changing what is sent",
            hint="use an https address",
        )
    if not host or not sound:
        raise InputError(f"`{shown(url)}` is no address", hint="an address names a host, and perhaps a port of it")


def _split(url: str) -> tuple[str, str, str]:
    """What stands before the host, in its place and after it, however few slashes somebody wrote."""
    match = _PARTS.fullmatch(url.replace("\\", "/"))
    assert match is not None, "it fits everything"
    return match[1], match[2], match[3]


def _runs_on(host: str, rest: str) -> bool:
    """Whether what stands in the place of the host is the beginning of a user and a password."""
    return "@" in rest and not _HOST.fullmatch(host)


def _names_secret(name: str) -> bool:
    """Whether a parameter called so is likely to be one: ``access_token``, ``X-Amz-Signature``, ``AWSAccessKeyId``."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", name).lower()
    return bool(_SECRET_WORDS.intersection(re.split(r"[^a-z0-9]+", words))) or any(
        part in re.sub(r"[^a-z0-9]+", "", words) for part in _SECRET_PARTS
    )
