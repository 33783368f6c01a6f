"""The two files of an adapter, as PEFT reads and writes them, and a third: which base it was made for.

Names of tensors are ``base_model.model.`` with the path of a module and ``.lora_A.weight``, float32 ``(r, inputs)``, or
``.lora_B.weight``, ``(outputs, r)``. For a table of vectors they are ``.lora_embedding_A``, ``(r, vectors)``, and
``.lora_embedding_B``, ``(width, r)``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError
from regrow.formats.header import printable
from regrow.words import listed, shown

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
BASE = "base.json"
FILES = (CONFIG, WEIGHTS, BASE)

PREFIX = "base_model.model."
_PICKLE = "adapter_model.bin"
_LARGEST_CONFIG = 1 << 20
_LARGEST_RANK = 1 << 16
_MOST_REPEATS = 4
_TYPES = ("F32", "F16", "BF16")
_SUPPORTED = "what is read is LoRA of PEFT: rank, alpha, rsLoRA, DoRA, rank and alpha patterns, modules to save"
_UNTOUCHED = (True, False, None, "gaussian", "eva", "orthogonal")
"""Ways of PEFT to begin an adapter that leave the base as it is."""

_READ = (
    "alpha_pattern", "bias", "ensure_weight_tying", "exclude_modules", "init_lora_weights", "layers_pattern",
    "layers_to_transform", "lora_alpha", "modules_to_save", "peft_type", "r", "rank_pattern", "target_modules",
    "use_dora", "use_rslora",
)  # fmt: skip

# Keys that say nothing of what an adapter computes beside a base in float32.
_REMARKS = (
    "auto_mapping", "base_model_name_or_path", "eva_config", "fan_in_fan_out", "inference_mode", "lora_dropout",
    "megatron_core", "peft_version", "qalora_group_size", "revision", "runtime_config", "task_type",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What ``adapter_config.json`` says.

    Attributes:
        rank: of the narrow matrices, unless a pattern says another.
        alpha: their product counts ``alpha / rank`` times; with ``rslora`` ``alpha / sqrt(rank)`` times.
        rslora: see ``alpha``.
        dora: whether rows of the changed matrix are brought to a length that was learned.
        targets: which modules are changed: the ends of their names, or one regular expression.
        excluded: which of these are not, alike.
        layers: numbers of the layers to which the targets apply; empty for all.
        rank_pattern: the end of a name, as a regular expression -> rank.
        alpha_pattern: the same for alpha.
        saved: modules that were learned whole.
        ties: whether the embedding and a head that is the same are changed together.
    """

    rank: int
    alpha: float
    rslora: bool = False
    dora: bool = False
    targets: tuple[str, ...] | str = ()
    excluded: tuple[str, ...] | str = ()
    layers: tuple[int, ...] = ()
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    saved: tuple[str, ...] = ()
    ties: bool = False

    def rank_of(self, module: str) -> int:
        """The rank of a module."""
        return int(_by_pattern(self.rank_pattern, module, self.rank))

    def scale(self, module: str) -> float:
        """How much the product of a module's narrow matrices counts."""
        rank, alpha = self.rank_of(module), _by_pattern(self.alpha_pattern, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.rslora else rank)

    def chooses(self, module: str) -> bool:
        """Whether it is to be changed, by PEFT's rules."""
        if _among(self.excluded, module) or not _among(self.targets, module):
            return False
        number = next((int(part) for part in module.split(".") if part.isdecimal()), None)
        return not self.layers or number in self.layers


@dataclass(frozen=True)
class Files:
    """An adapter as it was read.

    Attributes:
        settings: what its configuration says.
        tensors: float32 by name, without the prefix that all names have.
        base: sha256 of the base's weights in our files, where that is known.
    """

    settings: Settings
    tensors: Mapping[str, Tensor]
    base: str | None


def write(folder: Path, settings: Settings, tensors: Mapping[str, Tensor], base: str, turned: bool = False) -> None:
    """Write an adapter: the same bytes for the same numbers.

    Args:
        folder: gets the files.
        settings: without patterns, which we never need.
        tensors: as in :class:`Files`.
        base: sha256 of the base's weights.
        turned: whether the base's matrices have a row for each input, which PEFT wants to be told.
    """
    from regrow.formats.safetensors import write_safetensors

    alpha = int(settings.alpha) if settings.alpha == int(settings.alpha) else settings.alpha
    said: dict[str, Any] = {
        "alpha_pattern": {}, "base_model_name_or_path": None, "bias": "none", "fan_in_fan_out": turned,
        "inference_mode": True, "init_lora_weights": True, "lora_alpha": alpha, "lora_dropout": 0.0,
        "modules_to_save": sorted(settings.saved) or None, "peft_type": "LORA", "r": settings.rank,
        "rank_pattern": {}, "revision": None, "target_modules": sorted(settings.targets), "task_type": "CAUSAL_LM",
        "use_dora": settings.dora, "use_rslora": settings.rslora,
    }  # fmt: skip
    for name, members in ((CONFIG, said), (BASE, {"model.safetensors": {"sha256": base}})):
        (folder / name).write_text(json.dumps(members, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_safetensors(folder / WEIGHTS, {f"{PREFIX}{name}": x for name, x in tensors.items()})


def find(root: Path) -> Path:
    """The folder of the one adapter in a folder and those below it.

    Raises:
        InputError: if there is none, or there are several.
    """
    found = sorted(path.parent for path in root.rglob(CONFIG) if path.is_file())
    if not found:
        raise InputError("there is no adapter", why=f"there is no `{CONFIG}`")
    if len(found) > 1:
        names = listed([str((one / CONFIG).relative_to(root)) for one in found])
        raise InputError(f"there are {len(found)} adapters: {names}", hint="choose one with `select` or `exclude`")
    return found[0]


def require_base(recorded: str | None, given: str, where: str = "") -> None:
    """See that an adapter was made for a base.

    Args:
        recorded: sha256 of the weights that the adapter names; None if it names none.
        given: that of the base.
        where: the adapter lies.

    Raises:
        InputError: if it was made for another.
    """
    if recorded not in (None, given):
        raise InputError(
            "the adapter was made for another base",
            where=where,
            why=f"it records weights with the sha256 {recorded}, and these have {given}",
            hint="get the base that it was made for, or train an adapter for this one",
        )


def read(folder: Path) -> Files:
    """Read an adapter.

    Raises:
        InputError: if it is damaged, or is or does what is not known here; it says which.
    """
    settings = _settings(members(folder / CONFIG))
    return Files(settings, dict(_tensors(folder)), _base(folder))


def _settings(said: Mapping[str, Any]) -> Settings:
    """What a configuration says, if all of it is understood."""
    kind = said.get("peft_type")
    if kind != "LORA":
        raise _refused(f"adapters of the kind {shown(kind)} cannot be read", "peft_type", "")
    if said.get("bias") not in (None, "none"):
        raise _refused("the biases of the base were trained", "bias", f"`bias` is {shown(said['bias'])}")
    if said.get("init_lora_weights") not in _UNTOUCHED:
        way = shown(said["init_lora_weights"])
        raise _refused("the adapter goes with another base", "init_lora_weights", f"beginning it by {way} changed that")
    known = {
        "rank": _number(said, "r", 1, _LARGEST_RANK, whole=True),
        "alpha": _number(said, "lora_alpha", 0, 1e6),
        "rslora": _truth(said, "use_rslora"),
        "dora": _truth(said, "use_dora"),
        "ties": _truth(said, "ensure_weight_tying"),
        "targets": _names(said, "target_modules"),
        "excluded": _names(said, "exclude_modules"),
        "saved": _list(said, "modules_to_save"),
        "layers": _layers(said),
        "rank_pattern": _pattern(said, "rank_pattern", 1, whole=True),
        "alpha_pattern": _pattern(said, "alpha_pattern", 0),
    }
    if strange := sorted(key for key, value in said.items() if value and key not in _READ + _REMARKS):
        raise _refused(f"the adapter uses {listed(map(printable, strange))}", strange[0], "which is not known here")
    return Settings(**known)


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    import torch
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS
    _require_sound(folder)
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118, it is no dict
                if not name.startswith(PREFIX):
                    raise _damaged(f"`{printable(name)}` does not begin with `{PREFIX}`")
                if (kind := file.get_slice(name).get_dtype()) not in _TYPES:
                    raise _damaged(f"`{printable(name)}` is of the type {kind}, and not one of {listed(_TYPES)}")
                values = file.get_tensor(name).to(torch.float32, copy=True)
                if not bool(values.isfinite().all()):
                    raise _damaged(f"`{printable(name)}` holds what is no number")
                yield name.removeprefix(PREFIX), values
    except (SafetensorError, OSError) as error:
        raise _damaged(str(error)) from error


def _require_sound(folder: Path) -> None:
    """Look at the header before anything is made of it."""
    from regrow.formats.safetensors import read_header

    path = folder / WEIGHTS
    if not path.is_file():
        pickled = (folder / _PICKLE).exists()
        only = f"it has `{_PICKLE}`, which could run programs and is never opened" if pickled else ""
        hint = "save it with `safe_serialization=True`" if pickled else f"`{CONFIG}` and `{WEIGHTS}` belong together"
        raise InputError(f"the adapter has no `{WEIGHTS}`", why=only, hint=hint)
    with path.open("rb") as file:
        problems = read_header(file, path.stat().st_size).problems.found
    if problems:
        raise _damaged(next(iter(problems.values()))[0])


def _base(folder: Path) -> str | None:
    if not (folder / BASE).exists():
        return None
    entry = members(folder / BASE).get("model.safetensors")
    value = entry.get("sha256") if isinstance(entry, dict) else None
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise InputError(f"`{BASE}` of the adapter names no base", why="it holds no sha256 of `model.safetensors`")
    return value


def members(path: Path) -> dict[str, Any]:
    """What a file of JSON says.

    Raises:
        InputError: if it is none, or too long.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_CONFIG + 1)
        if len(text) > _LARGEST_CONFIG:
            raise ValueError("it is longer than any configuration")
        values = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"`{path.name}` of the adapter cannot be read", why=printable(str(error))) from error
    if not isinstance(values, dict):
        raise InputError(f"`{path.name}` of the adapter holds no table of keys and values")
    return values


def _number(said: Mapping[str, Any], key: str, low: float, high: float, whole: bool = False) -> Any:
    value = said.get(key)
    if not _is_number(value, low, high, whole):
        kind = "a whole number" if whole else "a number"
        raise _wrong(key, f"it is {shown(value)}, and not {kind} from {low:,} to {int(high):,}")
    return value


def _is_number(value: Any, low: float, high: float, whole: bool) -> bool:
    return type(value) in ((int,) if whole else (int, float)) and low <= value <= high


def _truth(said: Mapping[str, Any], key: str) -> bool:
    value = said.get(key)
    if value not in (None, True, False):
        raise _wrong(key, f"it is {shown(value)}, and neither true nor false")
    return bool(value)


def _list(said: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = said.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise _wrong(key, "it is no list of names")
    return tuple(value)


def _names(said: Mapping[str, Any], key: str) -> tuple[str, ...] | str:
    value = said.get(key)
    return _expression(key, value) if isinstance(value, str) else _list(said, key)


def _layers(said: Mapping[str, Any]) -> tuple[int, ...]:
    value = said.get("layers_to_transform")
    found = [] if value is None else [value] if type(value) is int else value
    if not isinstance(found, list) or not all(type(one) is int for one in found):
        raise _wrong("layers_to_transform", "it is no list of numbers")
    return tuple(found)


def _pattern(said: Mapping[str, Any], key: str, low: float, whole: bool = False) -> Mapping[str, Any]:
    value = said.get(key) or {}
    if not isinstance(value, dict) or not all(_is_number(one, low, _LARGEST_RANK, whole) for one in value.values()):
        raise _wrong(key, f"it is no table of patterns and numbers from {low} to {_LARGEST_RANK:,}")
    return {_expression(key, pattern): number for pattern, number in value.items()}


def _expression(key: str, pattern: str) -> str:
    """A stranger's regular expression that takes no longer to look for than names are long, to a small power."""
    repeats = len(re.findall(r"[*+{]", pattern))
    if len(pattern) > 1000 or repeats > _MOST_REPEATS or re.search(r"\)[*+{]", pattern):
        raise _wrong(key, f"the pattern {shown(pattern)} could take forever: it repeats too much")
    try:
        re.compile(pattern)
    except re.error as error:
        raise _wrong(key, f"{shown(pattern)} is no pattern: {error}") from error
    return pattern


def _by_pattern(patterns: Mapping[str, float], module: str, otherwise: float) -> float:
    return next((value for pattern, value in patterns.items() if fits(pattern, module)), otherwise)


def fits(pattern: str, module: str) -> bool:
    """Whether a module's name ends as the key of a pattern says; a regular expression, as PEFT has it."""
    return re.match(rf"(.*\.)?({pattern})$", module) is not None


def _among(targets: tuple[str, ...] | str, module: str) -> bool:
    if isinstance(targets, str):
        return targets == "all-linear" or re.fullmatch(targets, module) is not None
    return any(module == target or module.endswith(f".{target}") for target in targets)


def _refused(what: str, key: str, why: str) -> InputError:
    return InputError(what, where=f"{CONFIG}: {key}", why=why, hint=_SUPPORTED)


def _wrong(key: str, why: str) -> InputError:
    return InputError(f"`{key}` of the adapter makes no sense", where=f"{CONFIG}: {key}", why=why, hint=_SUPPORTED)


def _damaged(why: str) -> InputError:
    return InputError(f"`{WEIGHTS}` cannot be read", why=why, hint="get the adapter again, or ask who made it")
