"""Adapters in PEFT's files: copied out for another base's name, or as the GGUF file that llama.cpp puts over a base's.

The files are ``adapter_config.json`` and ``adapter_model.safetensors``, which has two matrices for each module, A
``(rank, in)`` and B ``(out, rank)``. What a GGUF file says is one alpha; an engine scales each product by it and the
rank. So rsLoRA's scale, alpha by the root of the rank, is told by another alpha, where all ranks are the same.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.errors import InputError
from regrow.exporting.gguf import RELEASE
from regrow.formats.gguf import Kind
from regrow.formats.gguf_blocks import encode
from regrow.formats.gguf_writer import Tensor, Value
from regrow.formats.header import printable
from regrow.model import weights
from regrow.model.adapters import files
from regrow.model.adapters.files import BASE, CONFIG, WEIGHTS, Settings, members
from regrow.model.config import DecoderConfig
from regrow.model.families import families
from regrow.model.gguf_layout import InTurn, architecture_of, in_turn, laid_out
from regrow.model.pieces import Form, HeadByHead
from regrow.store import sha256_file
from regrow.words import listed, some

if TYPE_CHECKING:
    import torch

_BASE = "base_model_name_or_path"


@dataclass(frozen=True)
class Place:
    """Where a module of Hugging Face's is in a GGUF file.

    Attributes:
        name: of its matrix there.
        shape: of the matrix.
        form: how the family's files hold the parameter that it is, or is part of.
        other: how a GGUF file does.
        part: which of the parts.
    """

    name: str
    shape: tuple[int, ...]
    form: Form
    other: Form
    part: int

    def rows(self, config: DecoderConfig, b: torch.Tensor) -> torch.Tensor:
        """The rows of B in the order of the file."""
        if isinstance(self.form, HeadByHead):
            return self.form.together(config, [b])
        if isinstance(self.other, InTurn) and self.part < 2:
            return in_turn(b, (config.heads, config.kv_heads)[self.part])
        return b


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model."""
    return (folder / CONFIG).is_file() and not (folder / weights.CONFIG).is_file()


def copied(adapter: Path, output: Path, base: str = "") -> None:
    """Copy an adapter's files, its configuration in one order, and the digest of its base, if it says one.

    Args:
        adapter: its folder.
        output: where it goes.
        base: what it calls the model it belongs to; by default as before.

    Raises:
        InputError: if there is none, or it cannot be read.
    """
    _require_files(adapter)
    said = members(adapter / CONFIG)
    said[_BASE] = base or said.get(_BASE)
    (output / CONFIG).write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", "utf-8", newline="\n")
    for name in (WEIGHTS, BASE):
        if (adapter / name).is_file():
            shutil.copyfile(adapter / name, output / name)


def as_gguf(
    adapter: Path, base: Path, name: str = "", release: str = ""
) -> tuple[Mapping[str, Value], tuple[Tensor, ...]]:
    """The keys and tensors of an adapter's GGUF file, in F32.

    Args:
        adapter: its folder.
        base: the folder of the model it belongs to, of which only the configuration is read.
        name: what the model is called.
        release: the digest of the release that it is taken from, if it is.

    Raises:
        InputError: if it cannot be read, does not fit the base, or is more than such a file tells.
    """
    _require_files(adapter)
    read, config = files.read(adapter), weights.load_config(base)
    _require_told(read.settings)
    architecture = architecture_of(config)
    places, pairs = dict(_places(config, architecture)), _pairs(read.tensors)
    if strangers := [module for module in pairs if module not in places]:
        raise _unfit(f"the base has no matrix {some(map(printable, strangers))}")
    alphas, tensors = set[float](), list[Tensor]()
    for module, (a, b) in pairs.items():
        place, rank = places[module], len(a)
        if a.shape != (rank, place.shape[1]) or b.shape != (place.shape[0], rank):
            raise _unfit(
                f"of `{module}` they are {tuple(a.shape)} and {tuple(b.shape)}, and the base has {place.shape}"
            )
        alphas.add(read.settings.scale(module) * rank)
        tensors += [_tensor(f"{place.name}.lora_a", a), _tensor(f"{place.name}.lora_b", place.rows(config, b))]
    if len(alphas) > 1:
        raise _untold("an adapter with several alphas", "one cannot stand for the scales of all of its modules")
    texts = {
        "general.architecture": architecture,
        "general.type": "adapter",
        "adapter.type": "lora",
        "general.name": name,
        "general.base_model.0.name": str(members(adapter / CONFIG).get(_BASE) or ""),
        "regrow.adapter_sha256": sha256_file(adapter / WEIGHTS),
        RELEASE: release,
    }
    found = {key: Value(Kind.STRING, text) for key, text in texts.items() if text}
    if "general.base_model.0.name" in found:
        found["general.base_model.count"] = Value(Kind.UINT32, 1)
    found["adapter.lora.alpha"] = Value(Kind.FLOAT32, alphas.pop())
    return found, tuple(tensors)


def _places(config: DecoderConfig, architecture: str) -> Iterator[tuple[str, Place]]:
    """The matrices that an adapter may change, by the names of their modules."""
    family, other = families()[config.family], laid_out(architecture)
    shapes = other.shapes(config)
    for (ours, form, theirs), (_, written, names) in zip(family.places(config), other.places(config), strict=True):
        if ours not in ("embed", "positions"):
            for part, (module, name) in enumerate(zip(theirs, names, strict=True)):
                if len(shapes[name]) == 2:
                    yield module.removesuffix(".weight"), Place(name, shapes[name], form, written, part)


def _pairs(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Module -> A and B."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, x in tensors.items():
        module, _, part = name.removesuffix(".weight").rpartition(".")
        if part not in ("lora_A", "lora_B") or not name.endswith(".weight") or x.dim() != 2:
            why = "such a file has two matrices for each module of the layers or the head"
            raise _untold(f"`{printable(name)}`", why)
        found.setdefault(module, {})[part] = x.contiguous()
    if alone := [module for module, parts in found.items() if len(parts) < 2]:
        raise _unfit(f"there is one matrix and not two for {some(map(printable, alone))}")
    return {module: (found[module]["lora_A"], found[module]["lora_B"]) for module in sorted(found)}


def _require_told(settings: Settings) -> None:
    more = {"use_dora": settings.dora, "modules_to_save": settings.saved}
    if told := [key for key, value in more.items() if value]:
        raise _untold(f"an adapter with {listed(told)}", "it is more than two matrices and one scale")


def _tensor(name: str, x: torch.Tensor) -> Tensor:
    return Tensor(name, "F32", tuple(x.shape), encode(x.contiguous().numpy(), "F32"))


def _require_files(adapter: Path) -> None:
    for name in (CONFIG, WEIGHTS):
        if not (adapter / name).is_file():
            raise InputError(
                "there is no adapter", where=str(adapter), why=f"it has no `{name}`",
                hint="give the release of a recipe with `[lora]`, or the folder that PEFT wrote",
            )  # fmt: skip


def _unfit(why: str) -> InputError:
    return InputError("this adapter cannot be used", where=WEIGHTS, why=why)


def _untold(what: str, why: str) -> InputError:
    return InputError(
        f"{what} cannot be written as GGUF", why=why, hint="merge it into the model, and export that; or `--to peft`"
    )
