"""Licences beside each other: whether one is the other, and which leaves more freedom."""

from __future__ import annotations

from collections.abc import Sequence

from regrow.licences.catalogue import Kind, get
from regrow.licences.expressions import Alternatives

_NONE = frozenset(
    ("", "unknown", "none", "unlicensed", "unlicenced", "noassertion", "no license", "no licence", "proprietary")
)
_ORDER = list(Kind)


def names_none(tag: str) -> bool:
    """Whether a tag says that there is no licence, or that it is not known."""
    return tag.strip().casefold() in _NONE


def covers(declared: str, found: str) -> bool:
    """Whether a declared licence is the found one, or a family that it belongs to."""
    return declared == found or found in get(declared).members or declared in get(found).members


def freest(ways: Alternatives) -> tuple[str, ...]:
    """The way that leaves the most freedom, which whoever may choose can take."""
    return min(ways, key=_burden)


def _burden(ids: Sequence[str]) -> tuple[int, ...]:
    licences = [get(id) for id in ids]
    limits = sum(len(clause.limits) for licence in licences for clause in licence.clauses)
    denied = sum(4 - len(licence.permits) for licence in licences)
    kinds = max(_ORDER.index(licence.kind) for licence in licences)
    closed, duties = (sum(not licence.open for licence in licences), sum(len(licence.clauses) for licence in licences))
    return (limits + denied, closed, kinds, duties)
