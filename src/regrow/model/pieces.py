"""How others cut a parameter of ours into tensors: each way to do so, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from regrow.model.config import DecoderConfig

if TYPE_CHECKING:
    from torch import Tensor


class Form(Protocol):
    """One parameter of ours as one or more modules of theirs, weights and biases alike."""

    @property
    def turned(self) -> bool:
        """Whether their matrices have a row for each input, and not for each output."""

    @property
    def modules(self) -> tuple[str, ...]:
        """Their names, ``*`` for the number of the layer."""

    def apart(self, config: DecoderConfig, parameter: Tensor) -> Sequence[Tensor]:
        """Their tensors, in the order of the names; views, if possible."""

    def together(self, config: DecoderConfig, tensors: Sequence[Tensor]) -> Tensor:
        """The inverse."""


@dataclass(frozen=True)
class Whole:
    """The same tensor."""

    turned: ClassVar[bool] = False

    module: str

    @property
    def modules(self) -> tuple[str, ...]:
        """See :class:`Form`."""
        return (self.module,)

    def apart(self, config: DecoderConfig, parameter: Tensor) -> Sequence[Tensor]:
        """See :class:`Form`."""
        return (parameter,)

    def together(self, config: DecoderConfig, tensors: Sequence[Tensor]) -> Tensor:
        """See :class:`Form`."""
        return tensors[0]


class Transposed(Whole):
    """A matrix whose rows are inputs; a bias is the same."""

    turned: ClassVar[bool] = True

    def apart(self, config: DecoderConfig, parameter: Tensor) -> Sequence[Tensor]:
        """See :class:`Form`."""
        return (parameter.mT if parameter.dim() == 2 else parameter,)

    def together(self, config: DecoderConfig, tensors: Sequence[Tensor]) -> Tensor:
        """See :class:`Form`."""
        return self.apart(config, tensors[0])[0].contiguous()


@dataclass(frozen=True)
class Heads:
    """Queries, keys and values as three."""

    turned: ClassVar[bool] = False

    query: str
    key: str
    value: str

    @property
    def modules(self) -> tuple[str, ...]:
        """See :class:`Form`."""
        return self.query, self.key, self.value

    def apart(self, config: DecoderConfig, parameter: Tensor) -> Sequence[Tensor]:
        """See :class:`Form`."""
        pieces: Sequence[Tensor] = parameter.split(list(config.qkv))
        return pieces

    def together(self, config: DecoderConfig, tensors: Sequence[Tensor]) -> Tensor:
        """See :class:`Form`."""
        return _joined(tensors)


@dataclass(frozen=True)
class Gated:
    """Gate and up as two."""

    turned: ClassVar[bool] = False

    gate: str
    up: str

    @property
    def modules(self) -> tuple[str, ...]:
        """See :class:`Form`."""
        return self.gate, self.up

    def apart(self, config: DecoderConfig, parameter: Tensor) -> Sequence[Tensor]:
        """See :class:`Form`."""
        pieces: Sequence[Tensor] = parameter.split(config.hidden)
        return pieces

    def together(self, config: DecoderConfig, tensors: Sequence[Tensor]) -> Tensor:
        """See :class:`Form`."""
        return _joined(tensors)


class HeadByHead(Whole):
    """Query, key and value of the first head, then those of the second, and so on; as many keys as queries."""

    def apart(self, config: DecoderConfig, parameter: Tensor) -> Sequence[Tensor]:
        """See :class:`Form`."""
        return (_swapped(parameter, 3, config.heads),)

    def together(self, config: DecoderConfig, tensors: Sequence[Tensor]) -> Tensor:
        """See :class:`Form`."""
        return _swapped(tensors[0], config.heads, 3)


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    import torch  # not for those who only ask what a family calls things

    return torch.cat(tuple(tensors))


def _swapped(x: Tensor, outer: int, inner: int) -> Tensor:
    return x.view(outer, inner, -1).transpose(0, 1).reshape(x.shape)
