"""A decoder out of a GGUF file, in float32, whatever its numbers are stored as.

What keys and tensors are called is declared in :mod:`regrow.model.gguf_layout`; what the bytes of quantised blocks
stand for, the ``gguf`` package knows. :mod:`regrow.model.gguf_writing` writes such files.

Example:
    >>> model = load(Path("SmolLM2-135M-Instruct.Q4_1.gguf"))
    >>> model.config.layers
    30
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError
from regrow.formats.gguf import Header, read_header
from regrow.formats.header import Stored
from regrow.model.config import DecoderConfig
from regrow.model.families import families
from regrow.model.family import Family
from regrow.model.gguf_layout import (
    ARCHITECTURES,
    DIMENSIONS,
    EMBEDDING,
    FREQUENCIES,
    HEAD,
    KEYS,
    OWN_ROTARY,
    ROTARY,
    SCALING,
    SCALINGS,
    laid_out,
)
from regrow.model.options import OptionError
from regrow.model.pieces import Heads
from regrow.model.weights import Ends
from regrow.words import listed, shown, some

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from regrow.model.coding import Matrix, Piece

STORED = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q6_K")
"""The types of tensors that are read."""

_NUMBERS = frozenset((*KEYS, *ROTARY, DIMENSIONS))
_WHOLE = frozenset((
    *(f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "merges", "scores")),
    "tokenizer.chat_template",
    *(f"{architecture}.{key}" for architecture in ARCHITECTURES for key in (*_NUMBERS, SCALING)),
))  # fmt: skip
"""What is asked for whole: of a tokenizer, its lists; of a decoder, numbers, and a list of them is not its length."""


@dataclass(frozen=True)
class Model:
    """What a file holds.

    Attributes:
        config: the decoder.
        parameters: float32, by our names.
        metadata: key -> value; lists of the tokenizer are tuples.
    """

    config: DecoderConfig
    parameters: dict[str, Tensor]
    metadata: Mapping[str, Any]


def metadata(path: Path) -> Mapping[str, Any]:
    """What a file says of itself and of its tokenizer.

    Raises:
        InputError: if its header is broken.
    """
    return header_of(path).values


def ends(said: Mapping[str, Any]) -> Ends:
    """The tokens that begin and end a text; where a file does not say one, it is the other, or the first."""
    begin, end = (said.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
    known = [token for token in (end, begin) if type(token) is int] or [0]
    turn = said.get("tokenizer.ggml.eot_token_id")
    return Ends(begin if type(begin) is int else known[0], known[0]).also(turn if type(turn) is int else None)


def load(path: Path) -> Model:
    """Read a model, all of it as float32.

    Raises:
        InputError: if the file is broken, or holds a model or numbers that are not known here.
    """
    config, family, stored, data = _opened(path)
    tensors = {name: data.numbers(stored[name]).reshape(shape) for name, shape in family.shapes(config).items()}
    return Model(config, family.together(config, tensors), data.header.values)


def load_weights(path: Path) -> tuple[DecoderConfig, dict[str, Matrix]]:
    """Read a model that is to run: matrices that are stored as integers stay such, as far as they can, and those of
    bfloat16 or float16 as well.

    Raises:
        InputError: as :func:`load`.
    """
    from regrow.model.coding import joined, together

    config, family, stored, data = _opened(path)
    shapes = family.shapes(config)
    found: dict[str, Matrix] = {}
    for ours, form, theirs in family.places(config):
        pieces = [data.piece(stored[name]) for name in theirs]
        known = [piece for piece in pieces if piece is not None]
        matrix: Matrix | None = joined(form, config, known) if len(known) == len(pieces) else None
        if matrix is None:
            tensors = [data.stored(stored[name]).reshape(shapes[name]) for name in theirs]
            matrix = together(ours, form, config, tensors)
        found[ours] = matrix
    return config, found


def _opened(path: Path) -> tuple[DecoderConfig, Family, dict[str, Stored], Data]:
    """What a file tells of its decoder, and its tensors, which are those of one."""
    header = header_of(path)
    architecture = _architecture(path, header)
    stored = {tensor.name: tensor for tensor in header.tensors}
    data = Data(path, header)
    head, embedding = stored.get(HEAD), stored.get(EMBEDDING)
    tied = head is None or (ARCHITECTURES[architecture].head and data.are_equal(head, embedding))
    config = config_of(str(path), header.values, {tensor.name: tensor.shape for tensor in header.tensors}, tied)
    family = laid_out(architecture)
    stored |= _split(path, config, family, stored)
    _require(path, family.shapes(config), stored, {HEAD} if tied else set())
    if config.rope_scaling == "llama3":
        _require_frequencies(path, config, data.numbers(stored[FREQUENCIES]))
    return config, family, stored, data


def header_of(path: Path) -> Header:
    """The header of a file.

    Raises:
        InputError: if it is broken, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file, path.stat().st_size, _WHOLE)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    for examples in header.problems.found.values():
        raise _unreadable(path, examples[0])
    return header


def _architecture(path: Path, header: Header) -> str:
    name = header.values.get("general.architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise InputError(
            f"a model of the architecture {shown(name)} cannot be read", where=f"{path}: general.architecture",
            why="its tensors have names and an order that are not known here",
            hint=f"known are {listed(ARCHITECTURES)}",
        )  # fmt: skip
    return name


def config_of(file: str, said: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], tied: bool) -> DecoderConfig:
    """The decoder that a file tells, in the words of the family's ``config.json``: what that leaves out is as usual in
    the family.

    Args:
        file: what errors call it.
        said: the metadata; its architecture is one that is known.
        shapes: of the tensors, by their names.
        tied: whether the head is the embedding.

    Raises:
        InputError: if there is no such decoder; names the key.
    """
    architecture = str(said["general.architecture"])
    family = families()[ARCHITECTURES[architecture].family]
    keys = dict(_keys(file, said))
    options = {option: keys[key] for key, (_, option) in KEYS.items() if key in keys}
    options["vocabulary"] = shapes.get(EMBEDDING, (0,))[0]
    options["tied_embeddings"] = tied
    options["qkv_bias"] = "blk.0.attn_q.bias" in shapes or "blk.0.attn_qkv.bias" in shapes
    options["out_bias"] = "blk.0.attn_output.bias" in shapes
    options["mlp_bias"] = "blk.0.ffn_down.bias" in shapes
    values: dict[str, Any] = {place: value for option, value in options.items() if (place := family.place(option))}
    if rotary := family.place("rope_theta"):
        values[rotary] = _rotary(file, said, keys, options, FREQUENCIES in shapes)
    try:
        config = family.read(values)
    except OptionError as error:
        where = f"{file}: {_said_by(said, family, error.where)}"
        raise InputError(error.what, where=where, why=error.why, hint=error.hint) from error
    lost = [name for name, value in options.items() if getattr(config, name) != value and name != "head_width"]
    if lost:
        raise _unreadable(file, f"no model of the kind `{family.name}` has such {listed(lost)}")
    return config


def _keys(file: str, said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys of the architecture, without its name in front."""
    prefix = f"{said['general.architecture']}."
    for key, value in said.items():
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix)
        if name in _NUMBERS and type(value) not in (int, float, bool):
            raise InputError(
                f"must be a number, not {shown(value)}", where=f"{file}: {key}",
                why="layers that are not all alike are not known here" if isinstance(value, tuple) else "",
            )  # fmt: skip
        yield name, _plain(value)


def _said_by(said: Mapping[str, Any], family: Family, place: str) -> str:
    """The key of the file for one of ``config.json``; what is told by no key is told by the shapes of tensors."""
    prefix = f"{said['general.architecture']}."
    keys = [key for key, (_, option) in KEYS.items() if family.place(option) == place]
    keys = [key for key in keys if f"{prefix}{key}" in said] or keys
    members = {**{member: key for key, (_, member) in ROTARY.items()}, "partial_rotary_factor": DIMENSIONS}
    keys += [key for member, key in members.items() if place.endswith(f".{member}")]
    return f"{prefix}{keys[0]}" if keys else place


def _plain(value: Any) -> Any:
    """A float32 of the file as the decimal number that was meant: 1e-05 and not 9.999999747378752e-06."""
    import numpy as np

    return float(str(np.float32(value))) if isinstance(value, float) else value


def _rotary(
    file: str, said: Mapping[str, Any], keys: Mapping[str, Any], options: Mapping[str, Any], divided: bool
) -> dict[str, Any]:
    kind = keys.get(SCALING, "none")
    if kind not in list(SCALINGS):
        raise InputError(
            f"positions that are scaled as {shown(kind)} cannot be read", where=f"{file}: {SCALING}",
            hint=f"known are {listed(SCALINGS)}",
        )  # fmt: skip
    table = {"rope_theta": 10000.0, **{member: keys[key] for key, (_, member) in ROTARY.items() if key in keys}}
    table["rope_type"] = SCALINGS[kind]
    if divided:
        table |= {member: _plain(said[key]) for key, (_, member) in OWN_ROTARY.items() if key in said}
        if table["rope_type"] != "llama3":
            raise InputError(
                "this model cannot be read", where=f"{file}: {FREQUENCIES}",
                why="it turns its heads at frequencies of its own, as Llama 3.1 does, and does not say by which rule",
                hint="take the model's folder with its `config.json` instead",
            )  # fmt: skip
    if turned := keys.get(DIMENSIONS):
        width = options.get("head_width") or options["width"] // max(1, options["heads"])
        table["partial_rotary_factor"] = turned / width if width else None
    return table


def _split(path: Path, config: DecoderConfig, family: Family, stored: dict[str, Stored]) -> dict[str, Stored]:
    """Queries, keys and values that a file has as one, which is taken out: rows above each other are bytes behind each
    other.
    """
    found: dict[str, Stored] = {}
    for _, form, theirs in family.places(config):
        joined = theirs[0].replace(".attn_q.", ".attn_qkv.")
        if not isinstance(form, Heads) or joined not in stored or stored.keys() & set(theirs):
            continue
        whole = stored.pop(joined)
        _require_known(path, whole)
        if whole.shape[:1] != (sum(config.qkv),):
            raise _unreadable(path, f"`{joined}` is {whole.shape}, and the keys tell of {sum(config.qkv)} rows")
        place, row = whole.begin, ((whole.end or whole.begin) - whole.begin) // sum(config.qkv)
        for name, rows in zip(theirs, config.qkv, strict=True):
            count, shape = whole.count // sum(config.qkv) * rows, (rows, *whole.shape[1:])
            found[name] = replace(whole, name=name, count=count, shape=shape, begin=place, end=place + rows * row)
            place += rows * row
    return found


def _require(path: Path, wanted: Mapping[str, tuple[int, ...]], stored: Mapping[str, Stored], also: set[str]) -> None:
    """The tensors are those of the decoder, told before anything large is read."""
    if missing := [name for name in wanted if name not in stored]:
        raise _unreadable(path, f"it lacks {some(missing)}")
    if extra := [name for name in sorted(stored) if name not in wanted and name not in {*also, FREQUENCIES}]:
        raise _unreadable(path, f"it has tensors that such a model does not have: {some(extra)}")
    for name, shape in wanted.items():
        if stored[name].shape != shape:
            raise _unreadable(path, f"`{name}` is {stored[name].shape}, and the keys tell of {shape}")
        _require_known(path, stored[name])


def _require_known(path: Path, tensor: Stored) -> None:
    if tensor.dtype not in STORED:
        raise InputError(
            f"numbers of the type {tensor.dtype} cannot be read", where=f"{path}: {tensor.name}",
            hint=f"known are {listed(STORED)}",
        )  # fmt: skip


def _require_frequencies(path: Path, config: DecoderConfig, found: Tensor) -> None:
    import torch

    from regrow.model.rotary import divisors

    wanted = divisors(config)
    if found.shape != wanted.shape or not torch.equal(found, wanted):
        raise _unreadable(path, f"`{FREQUENCIES}` has other numbers than `regrow.rope` tells of")


class Data:
    """The tensors of a file, which is mapped; one tensor's blocks are turned into numbers at a time."""

    def __init__(self, path: Path, header: Header) -> None:
        import numpy as np

        self.header = header
        self._data = np.memmap(path, mode="r", dtype=np.uint8, offset=header.data)

    def numbers(self, tensor: Stored) -> Tensor:
        """What a tensor stands for, float32."""
        import gguf
        import numpy as np
        import torch

        kind, rows = gguf.GGMLQuantizationType[tensor.dtype], tensor.shape[0] if len(tensor.shape) > 1 else 1
        numbers = gguf.quants.dequantize(self.raw(tensor).reshape(rows, -1), kind).astype(np.float32, copy=True)
        return torch.from_numpy(numbers).reshape(tensor.shape)

    def stored(self, tensor: Stored) -> Tensor:
        """The same, but bfloat16 and float16 as such."""
        import numpy as np
        import torch

        kind = {"BF16": torch.bfloat16, "F16": torch.float16}.get(tensor.dtype)
        if kind is None:
            return self.numbers(tensor)
        return torch.from_numpy(np.frombuffer(self.raw(tensor).tobytes(), np.int16).copy()).view(kind)

    def piece(self, tensor: Stored) -> Piece | None:
        """A matrix as the integers that it is stored as, if it is."""
        from regrow.model import gguf_blocks

        if tensor.dtype not in gguf_blocks.KINDS or len(tensor.shape) != 2:
            return None
        return gguf_blocks.piece(tensor.dtype, self.raw(tensor), tensor.shape)

    def are_equal(self, one: Stored, other: Stored | None) -> bool:
        """Whether a tensor is another once more, byte for byte."""
        import numpy as np

        return other is not None and one.dtype == other.dtype and np.array_equal(self.raw(one), self.raw(other))

    def raw(self, tensor: Stored) -> np.ndarray[Any, Any]:
        """The bytes of a tensor."""
        raw: np.ndarray[Any, Any] = self._data[tensor.begin : tensor.end]
        return raw


def _unreadable(path: Path | str, why: str) -> InputError:
    hint = "get the file again, which may have been cut off or changed, or take another"
    return InputError("this model cannot be read", where=str(path), why=why, hint=hint)
