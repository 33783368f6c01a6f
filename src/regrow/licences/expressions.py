"""SPDX expressions over the licences of the catalogue."""

from __future__ import annotations

from functools import cache
from typing import Any

from regrow.licences.catalogue import find

_LONGEST = 500  # characters, and so few terms that every combination can be written out
_MOST = 12  # licences in an expression

Alternatives = tuple[tuple[str, ...], ...]


def alternatives(expression: str) -> Alternatives | None:
    """The ways in which an expression can be met, each a set of licence ids that hold together.

    A way with a licence that the catalogue has not is left out where another way is left; None where none is, or where
    it is not an expression.

        >>> alternatives("MIT OR (Apache-2.0 AND CC-BY-4.0)")
        (('mit',), ('apache-2.0', 'cc-by-4.0'))
    """
    if single := find(expression):
        return ((single.id,),)
    if len(expression) > _LONGEST or not any(f" {word} " in expression.upper() for word in ("AND", "OR", "WITH")):
        return None
    ways = [tuple(dict.fromkeys(way)) for way in _ways(expression)]
    known = [tuple(licence.id for tag in way if (licence := find(tag))) for way in ways]
    whole = [ids for ids, way in zip(known, ways, strict=True) if len(ids) == len(way)]
    return tuple(dict.fromkeys(whole)) or None


def _ways(expression: str) -> list[tuple[str, ...]]:
    """The expression as alternatives of tags; no alternative if it is not an expression."""
    from license_expression import ExpressionError, ExpressionParseError, Licensing

    licensing = Licensing()
    try:
        parsed = licensing.parse(expression)
        if parsed is None or len(licensing.license_symbols(parsed)) > _MOST:
            return []
        plain = licensing.dnf(parsed)
    except (ExpressionError, ExpressionParseError, RecursionError):
        return []
    alternatives = plain.args if isinstance(plain, licensing.OR) else (plain,)
    return [tuple(map(_tag, licensing.license_symbols(way, decompose=False))) for way in alternatives]


def _tag(symbol: Any) -> str:
    """The licence of a symbol. An exception of SPDX only adds permissions, so those of its licence are safe to read."""
    exception = getattr(symbol, "exception_symbol", None)
    if exception is None:
        return str(symbol.key)
    return str(symbol.license_symbol.key if exception.key.casefold() in _exceptions() else symbol)


@cache
def _exceptions() -> frozenset[str]:
    """Those that SPDX lists; whatever else follows WITH may take as well as add."""
    from license_expression import get_license_index

    listed = (str(entry["spdx_license_key"]) for entry in get_license_index() if entry.get("is_exception"))
    return frozenset(key.casefold() for key in listed if not key.startswith("LicenseRef"))
