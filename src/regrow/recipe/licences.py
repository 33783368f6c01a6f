"""Licences as SPDX expressions."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from regrow.words import closest

if TYPE_CHECKING:
    from license_expression import Licensing

_OWN = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")
_NO_TERMS = frozenset(
    (
        *("none", "noassertion", "na", "unknown", "other", "custom", "proprietary", "closed", "commercial"),
        *("copyrighted", "allrightsreserved", "nolicense", "nolicence", "unlicensed"),
    )
)
_LIKENESS = 0.75  # of short names that differ in what they mean, such as `openrail` and `OpenSSL`, less is chance
_NOT_LISTED = "if the SPDX list does not have it, write"
_WAYS_OUT = "use an SPDX identifier such as `CC0-1.0`, or `LicenseRef-` and a name of your own for other terms"


def canonical(expression: str) -> str:
    """A licence as the SPDX list spells it; empty if it is not an SPDX expression."""
    return "" if fault(expression) else str(_licensing().parse(expression))


def fault(expression: str) -> tuple[str, str] | None:
    """What is wrong with a licence and what to do about it; None if it is an SPDX expression.

    Known are the identifiers of the SPDX list, in any case, and every ``LicenseRef-...``.
    """
    from license_expression import ExpressionError, ExpressionParseError

    if not expression.strip():
        return "must not be empty", _WAYS_OUT
    licensing = _licensing()
    try:
        symbols = licensing.license_symbols(licensing.parse(expression, strict=True), unique=True, decompose=True)
    except (ExpressionError, ExpressionParseError):
        return (
            f"`{expression}` is not a licence expression",
            "write one SPDX identifier, or join several with AND, OR and WITH: `MIT OR Apache-2.0`",
        )
    unknown = [name for name in (str(symbol.key) for symbol in symbols) if not _known(name)]
    return (f"`{unknown[0]}` is not a known licence", _remedy(unknown[0])) if unknown else None


def _known(name: str) -> bool:
    return name in _licensing().known_symbols or _OWN.fullmatch(name) is not None


def _remedy(name: str) -> str:
    if _plain(name) in ("publicdomain", "pd"):
        return "write `LicenseRef-PublicDomain`"
    if name.lower().startswith("licenseref-"):
        return "write `LicenseRef-` and a name of letters, digits, `.` and `-`"
    if _plain(name) in _NO_TERMS:
        return "for terms of somebody's own write `LicenseRef-` and a name for them, such as `LicenseRef-Proprietary`"
    names = {_plain(alias): key for key, symbol in _licensing().known_symbols.items() for alias in symbol.aliases}
    names |= {_plain(key): key for key in _licensing().known_symbols}
    asked = re.sub("licen[cs]e|version|^the", "", _plain(name)) or _plain(name)
    if match := closest(asked, names, _LIKENESS):
        return f"did you mean `{names[match]}`?"
    own = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")
    return f"{_NOT_LISTED} `LicenseRef-{own}`" if own else _WAYS_OUT


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())


@cache
def _licensing() -> Licensing:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()
