"""Which segments of a run are checked, and how likely it is that a check of so many passes over a lie.

The draw is a pure function of what the release committed to and of a word that the verifier says afterwards. So nobody
can prepare the segments that will be looked at, and whoever hears the word draws the same ones.
"""

from __future__ import annotations

import hashlib
import secrets
from math import ceil, comb

ALWAYS = 2
"""The first segment and the last, which are looked at whatever is drawn."""


def nonce() -> str:
    """A word that nobody could foresee."""
    return secrets.token_hex(16)


def drawn(root: str, word: str, segments: int, count: int) -> tuple[int, ...]:
    """The numbers of the segments that are checked, from 0, in order.

    Args:
        root: the hash at the end of the chain.
        word: the verifier's.
        segments: how many there are.
        count: how many are wanted; at least the first and the last are taken.
    """
    always = {0, segments - 1}
    others = [number for number in range(segments) if number not in always]
    place = {one: hashlib.sha256(f"regrow/draw/1\n{root}\n{word}\n{one}\n".encode()).digest() for one in others}
    chosen = sorted(others, key=place.__getitem__)[: max(0, count - len(always))]
    return tuple(sorted({*always, *chosen}))


def told(probability: float) -> str:
    """A probability with two digits, never less than it is: who checks has to know the most that a liar may hope."""
    return f"{ceil(round(100 * probability, 9)) / 100:.2f}"


def missed(segments: int, checked: int, changed: int) -> float:
    """How likely a check passes over a run of which some segments are not what they are said to be.

    The one who changed them knows that the first and the last are always looked at, and changed others. A segment that
    follows from its beginning as it should is none of them, however wrong that beginning is.

    Args:
        segments: how many there are.
        checked: how many were checked, the first and the last among them.
        changed: how many are not right.
    """
    hidden = max(0, segments - ALWAYS)
    looked = min(hidden, max(0, checked - ALWAYS))
    if not hidden or changed > hidden:
        return 0.0
    return comb(hidden - changed, looked) / comb(hidden, looked)
