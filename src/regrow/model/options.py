"""What an option may be: said once, by its type, and checked wherever a value comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args, get_origin

from regrow.errors import RegrowError
from regrow.words import listed, shown


class OptionError(RegrowError, ValueError):
    """An option that no decoder can have; ``where`` names it."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True)
class Within:
    """Bounds of a number.

    Attributes:
        low: the smallest there may be.
        high: the largest.
        open: whether the smallest is itself too small.
    """

    low: float
    high: float = math.inf
    open: bool = False

    def fault(self, value: float) -> str:
        """What is wrong with a number, in words; nothing if it fits."""
        if value < self.low or (self.open and value == self.low):
            return f"must be {'more than' if self.open else 'at least'} {self.low:g}, not {shown(value)}"
        if value > self.high:
            high = self.high if isinstance(self.high, int) else f"{self.high:g}"
            return f"must be at most {high}, not {shown(value)}"
        return ""


def checked(where: str, hint: Any, value: Any) -> Any:
    """The value, if it fits the type: a whole number, a number, true or false, one of some texts, or pairs of numbers.

    Args:
        where: what the error names.
        hint: the type, ``Annotated`` with :class:`Within` if it has bounds.
        value: anything that JSON can say.

    Raises:
        OptionError: if it does not.
    """
    if get_origin(hint) is Literal:
        if value not in (names := get_args(hint)):
            raise OptionError(f"must be one of {listed(names)}, not {shown(value)}", where=where)
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple) or not all(map(_is_pair, value)):
            raise OptionError(f"must be a list of pairs of whole numbers, not {shown(value)}", where=where)
        return tuple((first, second) for first, second in value)
    kind, *rest = get_args(hint) or (hint,)
    if fault := _FAULTS[kind](value) or "".join(bounds.fault(value) for bounds in rest):
        raise OptionError(fault, where=where)
    return float(value) if kind is float else value


def _of_flag(value: Any) -> str:
    return "" if isinstance(value, bool) else f"must be true or false, not {shown(value)}"


def _of_text(value: Any) -> str:
    return "" if isinstance(value, str) else f"must be a text, not {shown(value)}"


def _of_whole(value: Any) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return "" if whole else f"must be a whole number, not {shown(value)}"


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and not any(map(_of_whole, value))


def _of_number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"must be a number, not {shown(value)}"
    return "" if isinstance(value, int) or math.isfinite(value) else "must be a finite number"


_FAULTS = {bool: _of_flag, str: _of_text, int: _of_whole, float: _of_number}
