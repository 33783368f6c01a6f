"""Pieces of a computation, such as the layers of a decoder, and what of each is in memory when. It changes no bit.

A piece can be computed once more when its gradient is asked for, so that what lies inside of it need not be kept (Chen
et al., 2016). And its parameters can be *shares*: of each a worker holds some rows, and all workers gather them where
the piece is computed, forwards and backwards, and let go of them again (ZeRO-3; Rajbhandari et al., 2020).

Example:
    >>> with recomputing():
    ...     y = piece(lambda parameters, x: linear(x, parameters["weight"]), {"weight": weight}, x)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from regrow.exact.operations import once

_PLACE = "regrow_share"

_recomputing: ContextVar[bool] = ContextVar("regrow_recomputing", default=False)

Given = TypeVar("Given")
Made = TypeVar("Made")
Parameters = Mapping[str, Tensor]


class Source(Protocol):
    """Where shares become whole, and where the gradients go. Every worker makes the same calls in the same order."""

    def whole(self, names: Sequence[str]) -> Mapping[str, Tensor]:
        """Whole parameters by name; those asked for last are still there."""

    def take(self, names: Sequence[str], gradients: Sequence[Tensor]) -> None:
        """The gradients of whole parameters."""


@dataclass(frozen=True)
class _Share:
    """What is known of a tensor that stands for a whole one.

    Attributes:
        name: of the whole.
        source: has it.
    """

    name: str
    source: Source


def share(x: Tensor, name: str, source: Source) -> Tensor:
    """The same tensor, of which it is said that it stands for a whole one. Only a piece can compute with that."""
    setattr(x, _PLACE, _Share(name, source))
    return x


@contextmanager
def recomputing(asked: bool = True) -> Iterator[None]:
    """Whether pieces are computed once more, within the block, when their gradients are asked for."""
    token = _recomputing.set(asked)
    try:
        yield
    finally:
        _recomputing.reset(token)


def piece(compute: Callable[[Parameters, Given], Made], parameters: Parameters, given: Given) -> Made:
    """What a piece makes of its parameters and of what it is given.

    Args:
        compute: a pure function.
        parameters: whole ones and shares; in a step, no share is of two pieces that gradients go through.
        given: tensors, or what has some.
    """
    shares = {key: found for key, x in parameters.items() if (found := getattr(x, _PLACE, None)) is not None}

    def computed(given: Given) -> Made:
        return compute({**parameters, **_gathered(parameters, shares)}, given)

    if torch.is_grad_enabled() and _recomputing.get():
        # What it draws is no concern: nothing here is random but by its own seed.
        return cast(Made, checkpoint(computed, given, use_reentrant=False, preserve_rng_state=False))
    if not (torch.is_grad_enabled() and shares):
        return computed(given)
    kept = _Kept(*_names(shares))
    with saved_tensors_hooks(kept.pack, kept.unpack):
        return computed(given)


def _names(shares: Mapping[str, _Share]) -> tuple[Source, tuple[str, ...]]:
    """The source, which is one for all shares of a piece, and what they are called there."""
    return next(iter(shares.values())).source, tuple(one.name for one in shares.values())


def _gathered(parameters: Parameters, shares: Mapping[str, _Share]) -> Parameters:
    if not shares:
        return {}
    source, names = _names(shares)
    wholes = source.whole(names)
    found = {key: wholes[one.name] for key, one in shares.items()}
    trained = [key for key in shares if parameters[key].requires_grad]
    if trained and torch.is_grad_enabled():
        asked = tuple(shares[key].name for key in trained)
        found |= zip(trained, _Whole.apply(source, names, asked, *(parameters[key] for key in trained)), strict=True)
    return found


class _Whole(Function):
    """From shares to whole parameters. Backwards the gradients go to the source, and none to the shares."""

    @staticmethod
    def forward(
        ctx: Any, source: Source, names: Sequence[str], asked: Sequence[str], *shares: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.source, ctx.asked = source, asked
        wholes = source.whole(names)
        return tuple(wholes[name].detach() for name in asked)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, ...]:
        ctx.source.take(ctx.asked, gradients)
        return (None,) * (3 + len(gradients))


@dataclass(frozen=True)
class _Kept:
    """What is kept of a piece for its gradient: of whole parameters the names alone, by which they are gathered again.

    Attributes:
        source: has them.
        names: of all that the piece reads.
    """

    source: Source
    names: tuple[str, ...]

    def pack(self, x: Tensor) -> Tensor | str:
        """A name for a whole parameter."""
        for name, whole in self.source.whole(self.names).items():
            if x.data_ptr() == whole.data_ptr() and x.shape == whole.shape and x.is_contiguous():
                return name
        return x

    def unpack(self, kept: Tensor | str) -> Tensor:
        """The parameter of a name."""
        return self.source.whole(self.names)[kept] if isinstance(kept, str) else kept
