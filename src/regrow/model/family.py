"""A family of models: what its files are called inside, declared once and used both ways."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from regrow.model.config import DecoderConfig
from regrow.model.keys import Member, Values
from regrow.model.options import OptionError
from regrow.model.pieces import Form
from regrow.words import listed

if TYPE_CHECKING:
    from torch import Tensor

LIBRARY = "transformers"
"""What computes nearly all families."""

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")


@dataclass(frozen=True)
class Family:
    """What a module of :mod:`regrow.model.families` declares.

    Attributes:
        name: the ``model_type`` of its ``config.json``.
        architecture: the class of transformers, or what would be its name.
        members: the keys of ``config.json`` that matter.
        parameters: our parameters, biases not named, ``*`` for numbers of layers; and what they are in the files.
        options: those that every model of the family has.
        remarks: keys of ``config.json`` that are written for others and not read.
        library: what computes it.
    """

    name: str
    architecture: str
    members: Sequence[Member]
    parameters: Mapping[str, Form]
    options: Mapping[str, Any] = field(default_factory=dict)
    remarks: Mapping[str, Any] = field(default_factory=dict)
    library: str = LIBRARY

    def read(self, values: Values) -> DecoderConfig:
        """The decoder that a ``config.json`` tells.

        Raises:
            OptionError: naming the first key that is wrong.
        """
        said: dict[str, Any] = {}
        for member in self.members:
            said |= member.read(values, said)
        try:
            # As many keys as queries, where a family or an older file has no word for it.
            return DecoderConfig(**{"kv_heads": said["heads"], **said}, **self.options, family=self.name)
        except OptionError as error:
            raise OptionError(error.what, where=self.place(error.where) or error.where, why=error.why) from error

    def place(self, option: str) -> str | None:
        """The key of ``config.json`` that says an option, if there is one."""
        return next(filter(None, (member.place(option) for member in self.members)), None)

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """The ``config.json`` of a decoder.

        Raises:
            OptionError: if the family has no such decoder.
        """
        values = {
            "architectures": [self.architecture],
            "dtype": "float32",
            "model_type": self.name,
            "torch_dtype": "float32",
            "vocab_size": config.vocabulary,
            **self.remarks,
        }
        for member in self.members:
            values |= member.write(config)
        read = self.read(values)
        if lost := [one.name for one in fields(config) if getattr(read, one.name) != getattr(config, one.name)]:
            raise OptionError(
                f"a decoder with this {listed(lost)} is not of the kind `{self.name}`",
                where="family",
                hint="choose another family",
            )
        return values

    def apart(self, config: DecoderConfig, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parameters under the names, and in the pieces, of the family."""
        tensors: dict[str, Tensor] = {}
        for ours, form, theirs in self.places(config):
            tensors |= zip(theirs, form.apart(config, parameters[ours]), strict=True)
        return tensors

    def together(self, config: DecoderConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of :meth:`apart`."""
        return {
            ours: form.together(config, [tensors[name] for name in theirs])
            for ours, form, theirs in self.places(config)
        }

    def shapes(self, config: DecoderConfig) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the tensors that the files of a decoder have."""
        import torch  # not for those who only ask what a family calls things

        empty = {name: torch.empty(shape, device="meta") for name, shape in config.shapes().items()}
        return {name: tuple(tensor.shape) for name, tensor in self.apart(config, empty).items()}

    def places(self, config: DecoderConfig) -> Iterator[tuple[str, Form, tuple[str, ...]]]:
        """Each parameter, its form, and the names of the tensors it is in the files."""
        for ours in config.shapes():
            module = ours.removesuffix(".bias")
            kind = "bias" if ours.endswith(".bias") else "weight"
            form = self.parameters[_NUMBER.sub("*", module)]
            numbers = [str(int(number)) for number in _NUMBER.findall(module)]
            yield ours, form, tuple(f"{_numbered(name, numbers)}.{kind}" for name in form.modules)


def _numbered(name: str, numbers: Sequence[str]) -> str:
    """A name with numbers in the places of its stars."""
    for number in numbers:
        name = name.replace("*", number, 1)
    return name
