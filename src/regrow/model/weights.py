"""A decoder with its parameters as a folder that others load: one way in, one way out, for every family.

Example:
    >>> save(Path("out"), config, parameters, Ends.both(0))
    >>> config, parameters = load(Path("out"))
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from regrow.errors import InputError
from regrow.formats.safetensors import SIZES, Dtype, write_safetensors
from regrow.model import packed
from regrow.model.coding import Matrix, Piece, joined, together
from regrow.model.config import DecoderConfig
from regrow.model.families import families
from regrow.model.family import Family
from regrow.model.foreign import WHOLE
from regrow.model.options import OptionError
from regrow.model.packed import Codes
from regrow.model.pieces import Form, Transposed
from regrow.words import DAMAGED, listed, shown, some

CONFIG = "config.json"
GENERATION = "generation_config.json"
WEIGHTS = "model.safetensors"

_STOP_TEXTS = "stop_strings"
INDEX = f"{WEIGHTS}.index.json"
LARGEST_FILE = 50 * 10**9
"""Bytes of tensors in a file of weights, with more than which transformers writes several, and so do we."""

_WEIGHT = ".weight"
_HEAD = "lm_head"
"""What transformers calls the head of every family, whatever it is called in the files."""
_LARGEST_CONFIG = 1 << 20
_TYPES = ("F32", "F16", "BF16")  # float32 has all numbers of the other two
_COMPUTED = (".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq")
"""What older files hold besides parameters: masks and frequencies, which everybody computes from the configuration."""


def _usual() -> dict[str, Any]:
    return {"do_sample": True, "temperature": 0.8}


@dataclass(frozen=True)
class Ends:
    """The tokens that begin and end a text, which may be one and the same, and how a model is usually let write one.

    Attributes:
        begin: stands before a text.
        end: stands behind a text.
        others: more tokens at which a model stops to write, such as the one that ends an answer.
        pad: stands where a text is filled up, if the model says one.
        settings: of ``generation_config.json`` for those who write with it: switches, numbers and texts to stop at.
    """

    begin: int
    end: int
    others: tuple[int, ...] = ()
    pad: int | None = None
    settings: Mapping[str, Any] = field(default_factory=_usual)

    @staticmethod
    def both(token: int) -> Ends:
        """One token for both."""
        return Ends(token, token)

    @property
    def stops(self) -> tuple[int, ...]:
        """The tokens at which a model stops to write."""
        return (self.end, *self.others)

    def also(self, token: int | None) -> Ends:
        """The same, where a model stops at one more token, if there is one and it does not yet."""
        return self if token is None or token in self.stops else replace(self, others=(*self.others, token))


def save(
    directory: Path,
    config: DecoderConfig,
    parameters: Mapping[str, Tensor],
    ends: Ends,
    codes: Mapping[str, Codes] = MappingProxyType({}),
    dtype: Dtype = "float32",
    largest: int = LARGEST_FILE,
) -> None:
    """Write the files of the decoder's family, of which no more than a mebibyte is copied at a time.

    Args:
        directory: where they go.
        config: the decoder.
        parameters: float32, by our names: those that are written as they are.
        ends: the tokens that begin and end a text.
        codes: those that are written as small integers.
        dtype: what the other numbers are stored as, each as the nearest one, ties to even.
        largest: bytes of tensors in a file of weights; with more than that, there are several and an index. A tensor
            is never cut.

    Raises:
        OptionError: if the family has no such decoder.
        InputError: if a number becomes infinite, or integers are not all of the same bits and groups.
    """
    said = {"bos_token_id": ends.begin, "eos_token_id": list(ends.stops) if ends.others else ends.end}
    values = {**_family(config.family).write(config), "dtype": dtype, "torch_dtype": dtype, **said}
    generation = {**ends.settings, **said, **({} if ends.pad is None else {"pad_token_id": ends.pad})}
    if codes:
        _require_alike(codes)
        values["quantization_config"] = packed.description(next(iter(codes.values())), _plain(config, codes))
    tensors = _apart(config, parameters, codes)
    groups = list(_groups(tensors, dtype, largest))
    members: dict[str, Any] = {CONFIG: values, GENERATION: generation}
    if len(groups) > 1:
        members[INDEX] = _index(tensors, groups, dtype)
    for name, group in zip(_names(len(groups)), groups, strict=True):
        kept = frozenset(filter(packed.is_scale, group))
        write_safetensors(directory / name, {one: tensors[one] for one in group}, dtype, kept=kept)
    for name, value in members.items():
        (directory / name).write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _size(name: str, x: Tensor, dtype: Dtype) -> int:
    shortened = x.dtype == torch.float32 and not packed.is_scale(name)
    return x.numel() * (SIZES[dtype] if shortened else x.element_size())


def _require_alike(codes: Mapping[str, Codes]) -> None:
    if len(kinds := {(one.bits, one.group) for one in codes.values()}) > 1:
        told = " and ".join(f"{bits} bits in groups of {group}" for bits, group in sorted(kinds))
        raise InputError(
            f"a model with integers of {told} cannot be written", why="its `config.json` says them once for all",
            hint="`[quantise]` writes all anew, as one of them",
        )  # fmt: skip


def _groups(tensors: Mapping[str, Tensor], dtype: Dtype, largest: int) -> Iterator[list[str]]:
    """The names of tensors that share a file, in their order: as many as it may hold, and at least one."""
    group, size = list[str](), 0
    for name in sorted(tensors):
        more = _size(name, tensors[name], dtype)
        if group and size + more > largest:
            yield group
            group, size = [], 0
        group.append(name)
        size += more
    yield group


def _names(count: int) -> list[str]:
    stem, ending = WEIGHTS.split(".")
    return [WEIGHTS] if count == 1 else [f"{stem}-{i + 1:05}-of-{count:05}.{ending}" for i in range(count)]


def _index(tensors: Mapping[str, Tensor], groups: Sequence[Sequence[str]], dtype: Dtype) -> dict[str, Any]:
    count, size = sum(x.numel() for x in tensors.values()), sum(_size(name, x, dtype) for name, x in tensors.items())
    places = {name: file for file, group in zip(_names(len(groups)), groups, strict=True) for name in group}
    return {"metadata": {"total_parameters": count, "total_size": size}, "weight_map": places}


def load_config(directory: Path) -> DecoderConfig:
    """The decoder that a directory tells of.

    Raises:
        InputError: if it tells of none of a family that is known.
    """
    if not (directory / CONFIG).exists():
        raise _no_model(directory, CONFIG)
    return _config(directory)


def load(directory: Path) -> tuple[DecoderConfig, dict[str, Tensor]]:
    """Read what :func:`save` wrote, or transformers; numbers of fewer bits become float32, which has them all.

    Raises:
        InputError: if the directory holds no model of a family that is known, or a damaged one.
    """
    config = load_config(directory)
    wanted = _family(config.family).shapes(config)
    with _stored(directory) as stored:
        called = _called(wanted, stored, _head(directory, config, stored))
        _require(directory, wanted, {ours: stored[name].get_slice(name) for ours, name in called.items()})
        tensors = {ours: stored[called[ours]].get_tensor(called[ours]).to(torch.float32, copy=True) for ours in wanted}
    return config, from_hugging_face(config, tensors)


def load_weights(directory: Path) -> tuple[DecoderConfig, dict[str, Matrix]]:
    """Read a model that is to run: matrices that are stored as integers stay such, as far as they can, and those of
    bfloat16 or float16 as well.

    Raises:
        InputError: as :func:`load`.
    """
    config, found = load_config(directory), dict[str, Matrix]()
    for ours, form, files in _pieces(directory, config):
        packs = [Piece.of(file.codes()) for file in files.values() if isinstance(file, packed.Stored)]
        matrix: Matrix | None = joined(form, config, packs) if len(packs) == len(files) else None
        found[ours] = _numbers(ours, form, config, files) if matrix is None else matrix
    return config, found


def numbers(directory: Path) -> Iterator[tuple[str, Tensor]]:
    """The parameters of a model by our names, one after the other: matrices of bfloat16 or float16 as such, all else as
    float32.

    Raises:
        InputError: as :func:`load`.
    """
    config = load_config(directory)
    for ours, form, files in _pieces(directory, config):
        yield ours, _numbers(ours, form, config, files)


def _pieces(directory: Path, config: DecoderConfig) -> Iterator[tuple[str, Form, dict[str, Any]]]:
    """The name of each parameter, how it is cut, and what gives its pieces, by their names in the files."""
    family = _family(config.family)
    with _stored(directory) as stored:
        called = _called(family.shapes(config), stored, _head(directory, config, stored))
        found = {ours: stored[name].get_slice(name) for ours, name in called.items()}
        _require(directory, family.shapes(config), found)
        for ours, form, theirs in family.places(config):
            yield ours, form, {called[name]: stored[called[name]] for name in theirs}


def _numbers(name: str, form: Form, config: DecoderConfig, files: Mapping[str, Any]) -> Tensor:
    return together(name, form, config, [file.get_tensor(piece) for piece, file in files.items()])


def load_codes(directory: Path) -> dict[str, Codes]:
    """The parameters that are stored as small integers; :func:`load` gives the numbers that they stand for.

    A parameter of which the files hold only some pieces as integers is not among them.

    Raises:
        InputError: as :func:`load`.
    """
    config = load_config(directory)
    with _stored(directory) as stored:
        found = {name: one.codes() for name, one in stored.items() if isinstance(one, packed.Stored)}
    joined: dict[str, Codes] = {}
    for ours, form, theirs in _family(config.family).places(config):
        pieces = [found[name] for name in theirs if name in found]
        if len(pieces) == len(theirs) and len({(one.bits, one.group) for one in pieces}) == 1:
            integers, scales = (
                form.together(config, [getattr(one, part) for one in pieces]) for part in ("integers", "scales")
            )
            joined[ours] = Codes(integers, scales, pieces[0].bits)
    return joined


def require_packable(config: DecoderConfig) -> None:
    """Make sure that matrices of such a decoder can be written as small integers.

    Raises:
        InputError: if others could not read them.
    """
    if any(isinstance(form, Transposed) for form in _family(config.family).parameters.values()):
        raise InputError(
            f"models of the kind `{config.family}` cannot be written as small integers",
            why="their files hold matrices turned, and what packs them is made for rows",
            hint="leave `[quantise]` out",
        )


@contextmanager
def _stored(directory: Path) -> Iterator[dict[str, Any]]:
    """The names of all tensors, each with what gives it."""
    with ExitStack() as stack:
        stored: dict[str, Any] = {}
        for name in files(directory):
            try:
                file = stack.enter_context(safe_open(directory / name, "pt"))
            except (SafetensorError, OSError) as error:
                raise _unreadable(directory, f"`{name}`: {error}") from error
            keys = file.keys()
            if twice := [key for key in keys if key in stored]:
                raise _unreadable(directory, f"two files hold {some(twice)}")
            stored |= dict.fromkeys(keys, file)
        try:
            whole = packed.unpacked(stored)
        except (ValueError, SafetensorError) as error:
            raise _unreadable(directory, str(error)) from error
        yield whole


def files(directory: Path) -> list[str]:
    """The names of the files of weights: one, or those that an index lists.

    Raises:
        InputError: if there are none, or not all of them.
    """
    if (directory / WEIGHTS).exists():
        return [WEIGHTS]
    if not (directory / INDEX).exists():
        raise _no_model(directory, WEIGHTS)
    table = _members(directory, directory / INDEX).get("weight_map")
    names = set(table.values()) if isinstance(table, dict) and all(map(_is_text, table.values())) else set[str]()
    if not names or any(Path(name).name != name for name in names):
        raise _unreadable(directory, f"`{INDEX}` lists no files beside it")
    if missing := sorted(name for name in names if not (directory / name).is_file()):
        raise _unreadable(directory, f"of the files that `{INDEX}` lists, {some(missing)} is not there")
    return sorted(names)


def digest(directory: Path) -> str:
    """The sha256 of the file of weights; of several files, of what ``sha256sum`` prints of them.

    Raises:
        InputError: as :func:`files`.
    """
    sums = {name: _sha256(directory / name) for name in files(directory)}
    lines = "".join(f"{found}  {name}\n" for name, found in sums.items())
    return next(iter(sums.values())) if len(sums) == 1 else hashlib.sha256(lines.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ends(directory: Path, otherwise: int | None = None) -> Ends:
    """The tokens that begin and end a text, for a stage that gives weights of the kind it takes. Of several that end
    one, the first is meant, and the others are kept; where the files do not say one, it is ``otherwise``.

    Raises:
        InputError: if the folder does not say them.
    """
    names = [name for name in (GENERATION, CONFIG) if (directory / name).exists()]
    said = [_members(directory, directory / name) for name in names]
    stops = _tokens(said, "eos_token_id") or ((otherwise,) if otherwise is not None else ())
    if not stops:
        raise _unreadable(directory, f"{listed(names)} do not say which token ends a text")
    begin, *_ = (*_tokens(said, "bos_token_id"), stops[0])
    settings = _settings(said[0]) if names[0] == GENERATION else _usual()
    return Ends(begin, stops[0], stops[1:], next(iter(_tokens(said[:1], "pad_token_id")), None), settings)


def _settings(said: Mapping[str, Any]) -> dict[str, Any]:
    """How a model is let write, but for tokens, whose numbers may change, and names of code."""
    return {key: value for key, value in said.items() if not key.endswith(("_id", "_ids")) and _is_setting(key, value)}


def _is_setting(key: str, value: Any) -> bool:
    if isinstance(value, list):
        return key == _STOP_TEXTS and all(map(_is_text, value))
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _tokens(said: Iterable[Mapping[str, Any]], key: str) -> tuple[int, ...]:
    """Those that the first of several files says which says any, each once."""
    values = (members.get(key) for members in said)
    found = (value if isinstance(value, list) else [value] for value in values)
    return next((tokens for one in found if (tokens := tuple(dict.fromkeys(x for x in one if type(x) is int)))), ())


def to_hugging_face(config: DecoderConfig, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters under the names, and in the pieces, that transformers has for the decoder's family."""
    return _family(config.family).apart(config, parameters)


def from_hugging_face(config: DecoderConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`to_hugging_face`."""
    return _family(config.family).together(config, tensors)


def _apart(config: DecoderConfig, parameters: Mapping[str, Tensor], codes: Mapping[str, Codes]) -> dict[str, Tensor]:
    """As :func:`to_hugging_face`; rows of integers and of their scales are cut as rows of numbers are."""
    found: dict[str, Tensor] = {}
    for ours, form, theirs in _family(config.family).places(config):
        if ours not in codes:
            found |= zip(theirs, form.apart(config, parameters[ours]), strict=True)
            continue
        for name, piece in zip(theirs, codes[ours].apart(form, config), strict=True):
            found |= packed.tensors(name.removesuffix(_WEIGHT), piece)
    return found


def _plain(config: DecoderConfig, codes: Mapping[str, Codes]) -> Iterator[str]:
    """The modules with a matrix that is written as it is. A head that is the embedding is a module all the same."""
    family = _family(config.family)
    yield from dict.fromkeys((_HEAD, *family.parameters["head"].modules))
    for ours, _, theirs in family.places(config):
        if ours not in codes and ours.startswith("layers.") and len(config.shapes()[ours]) == 2:
            yield from (name.removesuffix(_WEIGHT) for name in theirs)


def _called(wanted: Iterable[str], stored: Iterable[str], head: str) -> dict[str, str]:
    """The names of parameters -> those in the files: files of a body alone leave out what it is called in the whole.

    What everybody computes is not among them, nor a head that is the embedding once more.
    """
    kept = [name for name in stored if name in wanted or not (name.endswith(_COMPUTED) or name == head)]
    body = next((name.split(".")[0] + "." for name in wanted if "." in name), "")
    bare = not any(name.startswith(body) for name in kept)
    return {f"{body}{name}" if bare and f"{body}{name}" in wanted else name: name for name in kept}


def _head(directory: Path, config: DecoderConfig, stored: Mapping[str, Any]) -> str:
    """The name of a head that is stored although it is the embedding."""
    if not config.tied_embeddings:
        return ""
    parts = _family(config.family).parameters
    head, embed = (f"{parts[part].modules[0]}.weight" for part in ("head", "embed"))
    embed = embed if embed in stored else embed.partition(".")[2]
    if head not in stored or embed not in stored:
        return ""
    one, other = (stored[name].get_tensor(name) for name in (head, embed))
    if not torch.equal(one, other):
        why = f"`{CONFIG}` says that head and embedding are one, and `{head}` has other numbers than `{embed}`"
        raise _unreadable(directory, why)
    return head


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _family(name: str) -> Family:
    if name not in families():
        raise OptionError(f"there is no family `{name}`", where="family", hint=f"there are {listed(families())}")
    return families()[name]


def _config(directory: Path) -> DecoderConfig:
    """What ``config.json`` says, within the bounds that a decoder has: beyond them nobody knows what would follow."""
    path = directory / CONFIG
    values = _members(directory, path)
    if "model_type" not in values:
        raise _unreadable(directory, f"`{CONFIG}` has no `model_type`")
    if (name := values["model_type"]) not in list(families()):
        raise InputError(
            f"a model of the kind {shown(name)} cannot be read", where=f"{path}: model_type",
            why="its tensors have names and an order that are not known here", hint=f"known are {listed(families())}",
        )  # fmt: skip
    _require_no_code(path, values.get("auto_map"))
    _require_method(path, values.get("quantization_config"))
    try:
        return families()[name].read(values)
    except OptionError as error:
        raise InputError(
            error.what, where=f"{path}: {error.where}", why=error.why, hint=error.hint or DAMAGED
        ) from error


def _require_no_code(path: Path, said: object) -> None:
    """A model that names classes of its own may compute something else than the family that it calls itself."""
    if named := [key for key in (said if isinstance(said, dict) else ()) if key != "AutoTokenizer"]:
        raise InputError(
            f"this model brings code of its own, for {listed(named)}", where=f"{path}: auto_map",
            why="code of a stranger is never run here, and without it the numbers may mean something else",
            hint="take a model that the classes of transformers compute; or, if they do, a copy without `auto_map`",
        )  # fmt: skip


def _require_method(path: Path, said: object) -> None:
    """Numbers that are stored in another way would be taken for what they are not, or for missing."""
    if said is None:
        return
    method = said.get("quant_method") if isinstance(said, dict) else None
    form = said.get("format") if isinstance(said, dict) else None
    if (method, form) != (packed.METHOD, packed.FORMAT):
        told = f"{shown(method)} as {shown(form)}" if method == packed.METHOD else shown(method)
        raise InputError(
            f"a model that was quantised by {told} cannot be read", where=f"{path}: quantization_config",
            why="its numbers are stored in a way that is not known here",
            hint=f"known is `{packed.METHOD}` as `{packed.FORMAT}`; or take the model as it was before",
        )  # fmt: skip


def _members(directory: Path, path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_CONFIG + 1)
        if len(text) > _LARGEST_CONFIG:
            raise ValueError("it is longer than any configuration")
        values = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(directory, f"`{path.name}`: {error}") from error
    if not isinstance(values, dict):
        raise _unreadable(directory, f"`{path.name}` holds no table of keys and values")
    return values


def _require(directory: Path, wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, Any]) -> None:
    """The tensors are those of the decoder, told before anything large is read."""
    if missing := [name for name in wanted if name not in found]:
        raise _unreadable(directory, f"`{WEIGHTS}` lacks {some(missing)}")
    if extra := [name for name in sorted(found) if name not in wanted]:
        raise _unreadable(directory, f"`{WEIGHTS}` has tensors that such a model does not have: {some(extra)}")
    for name, shape in wanted.items():
        there = tuple(found[name].get_shape())
        if there != shape:
            raise _unreadable(
                directory,
                f"the shapes of its tensors are not those that {CONFIG} tells: `{name}` is {there}, not {shape}",
            )
        if (kind := found[name].get_dtype()) not in _TYPES:
            raise _unreadable(directory, f"`{name}` holds numbers of the type {kind}, and not one of {listed(_TYPES)}")


def _no_model(directory: Path, name: str) -> InputError:
    return InputError("this is not a model", where=str(directory), why=f"it has no `{name}`", hint=WHOLE)


def _unreadable(directory: Path, why: str) -> InputError:
    return InputError(
        "this model cannot be read", where=str(directory), why=why,
        hint=f"what can be read are models of the kinds {listed(families())}; {DAMAGED}",
    )  # fmt: skip
