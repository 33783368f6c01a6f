"""Where the numbers of two models differ: the first tensor, the first number in it, its bits, and how far apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.errors import RecipeError

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, Callable[[], torch.Tensor]]

_KINDS = {"float64": "int64", "float32": "int32", "float16": "int16", "bfloat16": "int16"}
_PARTS = ("parameter", "first", "second")


@dataclass(frozen=True)
class Element:
    """The first number of the first tensor in which two models differ.

    Attributes:
        tensor: its name.
        index: of the number, one for each dimension.
        first: its value in one.
        second: its value in the other.
        bits: both as hexadecimal digits.
        ulps: how many numbers of the type lie between them; None between numbers of other signs, or none at all.
        differing: how many numbers of the tensor differ.
        size: how many it has.
        largest: the largest difference in it.
    """

    tensor: str
    index: tuple[int, ...]
    first: float
    second: float
    bits: tuple[str, str]
    ulps: int | None
    differing: int
    size: int
    largest: float

    @property
    def place(self) -> str:
        """The tensor, and the number in it."""
        return f"{self.tensor}[{', '.join(map(str, self.index))}]" if self.index else self.tensor

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"  first number that differs: {self.place}"
        ulps = "" if self.ulps is None else f", {self.ulps:,} apart in units of the last place"
        yield f"    {self.first!r} ({self.bits[0]}) and {self.second!r} ({self.bits[1]}){ulps}"
        yield f"    {self.differing:,} of its {self.size:,} numbers differ, by {self.largest:.3g} at most"


def compared(first: Tensors, second: Tensors) -> tuple[Element | None, tuple[str, ...]]:
    """The first number that differs, and how many tensors do.

    Args:
        first: tensor -> how it is read.
        second: those of the other.
    """
    both, element, other = sorted(first.keys() & second.keys()), None, 0
    for name in both:
        found = _compared(name, first[name](), second[name]())
        other += found is not None
        element = element or (found if isinstance(found, Element) else None)
    told = [f"{other:,} of {len(both):,} differ"] if other else []
    for label, left, right in (("first", first, second), ("second", second, first)):
        if alone := sorted(left.keys() - right.keys()):
            told.append(
                f"only in the {label}: {', '.join(alone[:3])}" + (f" and {len(alone) - 3:,} more" * (len(alone) > 3))
            )
    return element, tuple(told)


def tensors_of(path: Path) -> Tensors:
    """The tensors of the weights in a folder, or in a file.

    Raises:
        RecipeError: if they cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    found: dict[str, Callable[[], torch.Tensor]] = {}
    for file in files:
        if file.name.startswith("optimizer."):
            continue
        try:
            with safe_open(file, "pt") as opened:
                found |= {name: partial(_read, file, name) for name in opened.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            hint = "`regrow verify` names the files of a release that are damaged"
            raise RecipeError("the weights cannot be read", where=str(file), why=str(error), hint=hint) from error
    return found


def tensors_of_state(file: Path, like: Tensors) -> Tensors:
    """The tensors of a complete state, as :func:`regrow.train.state.keep` writes it.

    Args:
        file: the state.
        like: those of another state of the same run, for the names and shapes: ``parameter.NAME`` and so on.
    """
    import numpy as np
    import torch

    values, place = np.memmap(file, dtype="<f4", mode="r"), 0
    found: dict[str, Callable[[], torch.Tensor]] = {}
    for name in sorted(like, key=lambda one: (_PARTS.index(one.partition(".")[0]), one)):
        shape = like[name]().shape
        piece = np.array(values[place : place + shape.numel()], np.float32)
        if piece.size < shape.numel():
            break
        found[name] = partial(torch.from_numpy, piece.reshape(shape))
        place += shape.numel()
    return found


def _read(file: Path, name: str) -> torch.Tensor:
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        found: torch.Tensor = opened.get_tensor(name)
    return found


def _compared(name: str, left: torch.Tensor, right: torch.Tensor) -> Element | str | None:
    """None if two tensors are the same, bit for bit."""
    import torch

    if left.dtype != right.dtype or left.shape != right.shape:
        return f"{name}: {left.dtype} {tuple(left.shape)}, and {right.dtype} {tuple(right.shape)}"
    kind = _KINDS.get(str(left.dtype).removeprefix("torch."))
    numbers = [x.contiguous().view(getattr(torch, kind)) if kind else x for x in (left, right)]
    where = (numbers[0] != numbers[1]).reshape(-1)
    count = int(where.sum())
    if not count:
        return None
    place = int(where.to(torch.uint8).argmax())
    bits = [int(x.reshape(-1)[place]) for x in numbers]
    width = left.element_size()
    apart = (left.to(torch.float64) - right.to(torch.float64)).abs()
    return Element(
        name,
        tuple(int(one) for one in torch.unravel_index(torch.tensor(place), left.shape)) if left.dim() else (),
        float(left.reshape(-1)[place]),
        float(right.reshape(-1)[place]),
        (_hex(bits[0], width), _hex(bits[1], width)),
        abs(bits[0] - bits[1]) if kind and (bits[0] < 0) == (bits[1] < 0) else None,
        count,
        left.numel(),
        float(apart[apart.isfinite()].max()) if bool(apart.isfinite().any()) else math.nan,
    )


def _hex(bits: int, width: int) -> str:
    return f"{bits & (1 << 8 * width) - 1:0{2 * width}x}"
