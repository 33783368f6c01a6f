"""Distillation: of a student, all of whose parameters are trained, from a teacher that stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from regrow.exact import operations as ops
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder
from regrow.train.task import Batch, Shape

TEACHER = "teacher."
"""What the names of the teacher's parameters begin with."""

Made = Callable[[], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Distilling:
    """A decoder that learns from another's logits and from the text.

    Attributes:
        config: the shape of the student.
        teacher: that of the teacher, of the same vocabulary.
        context: how many tokens of each sequence are to be predicted; at most those of either.
        temperature: divides the logits of both.
        share: of the teacher's divergence in the loss; the rest is cross-entropy.
        top: how many of the teacher's tokens are kept at each place; 0 for all.
        begin: gives the student's parameters before the first step; None for workers, who are sent them.
        known: gives the teacher's, as :func:`regrow.train.given.given_in` does; likewise.
    """

    name: ClassVar[str] = "distilling"

    config: DecoderConfig
    teacher: DecoderConfig
    context: int
    temperature: float
    share: float
    top: int
    begin: Made | None = field(default=None, compare=False)
    known: Made | None = field(default=None, compare=False)

    def trained(self) -> Mapping[str, Shape]:
        """The student's."""
        return self.config.shapes()

    def frozen(self) -> Mapping[str, Shape]:
        """The teacher's."""
        return {f"{TEACHER}{name}": shape for name, shape in self.teacher.shapes().items()}

    def layered(self) -> Collection[str]:
        """Those of the layers of both."""
        return (*self.config.layered(), *(f"{TEACHER}{name}" for name in self.teacher.layered()))

    def initial(self) -> Mapping[str, Tensor]:
        """The student's, as they are given."""
        return _made(self.begin)

    def given(self) -> Mapping[str, Tensor]:
        """The teacher's."""
        return {f"{TEACHER}{name}": values for name, values in _made(self.known).items()}

    def loss(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The mix of divergence and cross-entropy, in nats, with the square of the temperature in the former."""
        final, targets = self._student.predictions(parameters, batch.tokens, batch.mask, batch.segments)
        theirs = {name.removeprefix(TEACHER): x for name, x in parameters.items() if name.startswith(TEACHER)}
        with torch.no_grad():
            read, _ = self._teacher.predictions(theirs, batch.tokens, batch.mask, batch.segments)
        known = read, self._teacher.head(theirs)
        return ops.linear_distillation(
            final, self._student.head(parameters), targets, known, self.temperature, self.share, self.top
        )

    def description(self) -> Mapping[str, Any]:
        """Both shapes, and how the loss is mixed."""
        return {
            "config": asdict(self.config), "teacher": asdict(self.teacher), "context": self.context,
            "temperature": self.temperature, "share": self.share, "top": self.top,
        }  # fmt: skip

    @staticmethod
    def described(description: Mapping[str, Any]) -> Distilling:
        """The task of a description."""
        configs = {name: DecoderConfig(**description[name]) for name in ("config", "teacher")}
        return Distilling(**{**description, **configs})

    @cached_property
    def _student(self) -> Decoder:
        return Decoder(self.config)

    @cached_property
    def _teacher(self) -> Decoder:
        return Decoder(self.teacher)


def _made(make: Made | None) -> Mapping[str, Tensor]:
    if make is None:
        raise AssertionError("the first worker has the parameters")
    return make()


TASK = Distilling
