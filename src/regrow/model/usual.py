"""How a model is usually let write: what ``generation_config.json`` says, as far as it is followed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

HOTTEST = 100.0
"""The highest temperature, as in a recipe."""
SEED = 1
"""The same request gives the same answer, until another seed is asked for."""
_UNHEEDED: Mapping[str, Any] = {
    "min_p": 0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "repetition_penalty": 1,
    "typical_p": 1,
}
"""What makers may say that nothing is written with here, and what then makes no difference."""


@dataclass(frozen=True)
class Usual:
    """How tokens are chosen where nobody asks for another way; by default what the model holds likely, as it is.

    Attributes:
        temperature: 0 is the likeliest token.
        top_k: so many of the likeliest; 0 is all.
        top_p: so much of the likeliest.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    @staticmethod
    def of(said: Mapping[str, Any]) -> Usual:
        """What can be followed of what a maker says; a model that does not sample takes the likeliest."""
        if said.get("do_sample") is False:
            return Usual(temperature=0.0)
        temperature, top_k, top_p = (said.get(name) for name in ("temperature", "top_k", "top_p"))
        return Usual(
            min(max(float(temperature), 0.0), HOTTEST) if _is_number(temperature) else Usual.temperature,
            max(0, top_k) if type(top_k) is int else Usual.top_k,  # others say -1 for all
            float(top_p) if _is_number(top_p) and 0 < top_p <= 1 else Usual.top_p,
        )


def stops(said: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts before which a model usually ends what it writes, where nobody names others."""
    named = said.get("stop_strings")
    each = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    return tuple(one for one in each if isinstance(one, str) and one)


def unheeded(said: Mapping[str, Any]) -> list[str]:
    """What a maker says of how a model is let write that is not done here."""
    return [name for name, value in _UNHEEDED.items() if said.get(name, value) not in (value, None)]


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
