"""Effects in words: the same in a terminal, a card and a page."""

from __future__ import annotations

from regrow.report.data import Effect
from regrow.report.render import share, size

_KEPT = {"exact": "exactly", "rounding": "but for rounding"}


def function(effect: Effect) -> str:
    """Whether the function was kept."""
    if effect.function in _KEPT:
        return f"kept {_KEPT[effect.function]}"
    by = "" if effect.difference is None else f", logits by up to {effect.difference:.3g}"
    return f"changed{by}"


def weights(effect: Effect) -> str:
    """How much of the weights was changed."""
    if not effect.changed:
        return "none of the weights that both have"
    rank = f"more than {effect.rank_bound}" if effect.rank is None else str(effect.rank)
    return f"{share(effect.changed, 1)} of the weights, by matrices of rank {rank} at most"


def bits(effect: Effect) -> str:
    """Bits per byte before and after; empty if there is no text to measure on."""
    before, after = effect.bits
    return "" if before is None or after is None else f"{before:.3f} -> {after:.3f} bits per byte"


def sizes(effect: Effect) -> str:
    """The size before and after, if it is another one."""
    before, after = effect.size
    return "" if before == after else f"{size(before)} -> {size(after)}"


def zeros(effect: Effect) -> str:
    """How many zeros there are, if they are many."""
    return f"{share(effect.zeros, 1)} zeros" if effect.zeros >= 0.05 else ""


def effect(one: Effect) -> str:
    """All of it in a line."""
    return "; ".join(part for part in (function(one), weights(one), bits(one), zeros(one), sizes(one)) if part)
