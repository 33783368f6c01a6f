"""Was a GGUF file, whoever made it, quantised from the model that it is said to come from?

Each of its tensors is made once more of the parent's numbers, as :mod:`regrow.formats.gguf_blocks` defines the types.
Equal bytes are that tensor. Other programs choose scales in other ways, so for the rest is asked what can be seen all
the same: whether each number is the nearest to the parent's that the block, with its own scale, can stand for, and
whether the scale is as fine as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError
from regrow.formats import gguf_blocks
from regrow.formats.gguf import Header
from regrow.formats.gguf_steps import KNOWN, Steps, steps
from regrow.formats.header import Stored
from regrow.model import gguf, weights
from regrow.model.gguf_layout import EMBEDDING, HEAD, architecture_of
from regrow.model.gguf_writing import Laid, laid
from regrow.printable import escaped
from regrow.words import counted, some

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

SAME, NEAR, FAR = "same", "near", "far"

_COARSE = 2
"""Times as large as needed may a step be; programs that search for scales change them by a few percent."""

_CLAIM = "regrow.weights_sha256"
_NOT_SHOWN = (
    "What this does not show: that the parent is harmless. A model can be prepared so that it behaves, and what is "
    "quantised from it does not, and then both are as they are said to be.",
    "Tokenizer, chat template and the other keys of the file were not compared.",
)


@dataclass(frozen=True)
class Likeness:
    """What became of a tensor.

    Attributes:
        name: in the file.
        type: of its numbers.
        verdict: ``same`` bytes, ``near`` (within half a step of the parent under the file's own scales), or ``far``.
        why: of one that is far.
        steps: the largest distance from the parent, in steps.
        beyond: the share of numbers that are further away than they should be.
    """

    name: str
    type: str
    verdict: str
    why: str = ""
    steps: float = 0.0
    beyond: float = 0.0


@dataclass(frozen=True)
class Parentage:
    """What a file and a model have in common.

    Attributes:
        parent: the digest of the parent's weights.
        claimed: the digest that the file says its parent has; empty if it says none.
        tensors: one by one.
        missing: tensors that the parent has and the file has not.
        added: tensors that the file has and such a model has not.
    """

    parent: str
    claimed: str
    tensors: tuple[Likeness, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether every tensor is the parent's, byte for byte."""
        return self.near and all(one.verdict == SAME for one in self.tensors)

    @property
    def near(self) -> bool:
        """Whether every tensor is the parent's, as far as can be seen."""
        return not (self.missing or self.added or any(one.verdict == FAR for one in self.tensors))

    @property
    def exit_code(self) -> int:
        """3 if something is not the parent's."""
        return 0 if self.near else 3

    def lines(self) -> Iterator[str]:
        """For people."""
        verdicts = [one.verdict for one in self.tensors]
        same, near = verdicts.count(SAME), verdicts.count(NEAR)
        if self.same:
            yield f"Quantised from this parent: {counted(same, 'tensor')}, and each is the same when it is made again"
        elif self.near:
            yield f"As if quantised from this parent by another program: {same} of {len(verdicts)} tensors are the same"
        else:
            yield "Not quantised from this parent, or changed since:"
        if near:
            names = some(one.name for one in self.tensors if one.verdict == NEAR)
            yield f"  within half a step of the parent under the file's own scales: {counted(near, 'tensor')}: {names}"
        yield from (f"  `{escaped(one.name)}` ({one.type}): {one.why}" for one in self.tensors if one.verdict == FAR)
        if self.missing:
            yield f"  not in the file: {some(self.missing)}"
        if self.added:
            yield f"  not in such a model: {escaped(some(self.added))}"
        if self.claimed not in ("", self.parent):
            yield f"  The file says that its parent has other weights, with the digest {escaped(self.claimed)}"
        yield from (f"  {line}" for line in _NOT_SHOWN)
        yield f"  The parent's weights: {self.parent}"

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"same": self.same, "near": self.near, **asdict(self), "limits": list(_NOT_SHOWN)}


def compare_with_parent(path: Path, parent: Path) -> Parentage:
    """Quantise a parent again, and compare.

    Args:
        path: a GGUF file.
        parent: the folder of a model, or a GGUF file of one that was not rounded as much.

    Raises:
        InputError: if one of them cannot be read, or the parent cannot be written as GGUF at all.
    """
    header = gguf.header_of(path)
    made, digest = _parent(parent)
    architecture = header.values.get("general.architecture")
    if architecture != made[0]:
        raise InputError(
            "these are models of two kinds",
            where=str(path),
            why=f"the file is of the architecture `{escaped(str(architecture))}`, and {parent} is one of `{made[0]}`",
        )
    wanted = dict(made[1].tensors)
    stored = {tensor.name: tensor for tensor in header.tensors}
    if HEAD in stored and HEAD not in wanted:
        wanted[HEAD] = wanted[EMBEDDING]  # where they are one, a file may have it twice
    again, data = Laid(wanted, made[1].whole), gguf.Data(path, header)
    tensors = tuple(_compared(data, stored[name], again) for name in wanted if name in stored)
    return Parentage(
        digest,
        _claim(header),
        tensors,
        tuple(name for name in wanted if name not in stored),
        tuple(name for name in stored if name not in wanted),
    )


def _parent(place: Path) -> tuple[tuple[str, Laid], str]:
    """The architecture and the tensors of the parent, and the digest of its weights."""
    if place.is_file():
        from regrow.store.digest import sha256_file

        model = gguf.load(place)
        return (architecture_of(model.config), laid(model.config, model.parameters, {})), sha256_file(place)
    config, parameters = weights.load(place)
    found = laid(config, parameters, weights.load_codes(place))
    return (architecture_of(config), found), weights.digest(place)


def _claim(header: Header) -> str:
    claim = header.values.get(_CLAIM, "")
    return claim if isinstance(claim, str) else ""


def _compared(data: gguf.Data, stored: Stored, parent: Laid) -> Likeness:
    import numpy as np

    name, type, x = stored.name, stored.dtype, parent.tensors[stored.name]
    if stored.shape != tuple(x.shape):
        return Likeness(name, type, FAR, f"its shape is {stored.shape}, and the parent's {tuple(x.shape)}")
    raw = data.raw(stored)
    if type in gguf_blocks.ENCODED and _bytes(parent, name, type) == raw.tobytes():
        return Likeness(name, type, SAME)
    if type not in gguf.STORED:
        return Likeness(name, type, FAR, "numbers of this type cannot be read here")
    with np.errstate(invalid="ignore", over="ignore"):  # a stranger's scale may be anything
        values = data.numbers(stored).numpy()
    return _distance(name, type, raw, values, x.contiguous().numpy())


def _bytes(parent: Laid, name: str, type: str) -> bytes:
    """What we would have written; nothing if the parent's numbers do not fit into the type."""
    try:
        return parent.encoded(name, type)
    except InputError:
        return b""


def _distance(name: str, type: str, raw: Array, values: Array, wanted: Array) -> Likeness:
    """How far the numbers of a tensor are from the parent's."""
    import numpy as np

    block = steps(raw, type) if type in KNOWN else _plain(values, type)
    x, value = (one.reshape(-1, block.size).astype(np.float64) for one in (wanted, values))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        inside = x.clip(block.lowest, block.highest)
        off = np.abs(inside - value) - block.slack > block.step / 2
        # Of some types the largest number lies a step outside of what its block can stand for.
        outside = np.abs(x - inside) - block.slack > block.step + block.unit / 2 * block.levels
        bad = off | outside | ~np.isfinite(value)
        away = np.abs(x - value) / block.step
    share, most = float(bad.mean()), float(away[np.isfinite(away)].max(initial=0))
    if share:
        why = f"{share:.2%} of the numbers are further from the parent's than half a step, and one is {most:,.1f} steps"
        return Likeness(name, type, FAR, why, most, share)
    if times := _coarser(block, x):
        why = f"its scales are {times:,.1f} times as coarse as they need be, so that any number would pass"
        return Likeness(name, type, FAR, why, most, share)
    return Likeness(name, type, NEAR, "", most, share)


def _plain(values: Array, type: str) -> Steps:
    """Of numbers that stand for themselves: the step is to the next such number, and only the nearest will do."""
    import numpy as np

    flat = values.reshape(-1, 1)
    kind = np.float16 if type == "F16" else np.float32
    with np.errstate(over="ignore", invalid="ignore"):
        step = np.abs(np.spacing(flat.astype(kind))).astype(np.float64) * (1 << 16 if type == "BF16" else 1)
    none = np.zeros_like(step)
    return Steps(1, step, none - np.inf, none + np.inf, none, none, 0, False)


def _coarser(block: Steps, x: Array) -> float:
    """How many times the coarsest scale is what it need be, if that is too much; otherwise 0."""
    import numpy as np

    if not block.levels:
        return 0.0
    lowest, highest = np.minimum(x.min(1, keepdims=True), 0), np.maximum(x.max(1, keepdims=True), 0)
    needed = (np.maximum(-lowest, highest) * 2 if block.around else highest - lowest) / block.levels
    allowed = _COARSE * needed + block.unit + 2 * block.slack
    if not (block.step > allowed).any():
        return 0.0
    times = block.step / np.where(needed > 0, needed, np.inf)
    return max(float(times.max()), float(_COARSE))
