"""A decoder as the files others load: canonical safetensors with the tensor names of Hugging Face's Llama."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor

from regrow.errors import InputError
from regrow.formats.safetensors import canonical_bytes as canonical_bytes
from regrow.formats.safetensors import safetensors_bytes as safetensors_bytes
from regrow.model.config import HUGGING_FACE, DecoderConfig, shape_in
from regrow.recipe.problems import Origin, explain
from regrow.recipe.schema import Architecture

_DAMAGED = "`regrow verify` names the files that are damaged"


def to_hugging_face(config: DecoderConfig, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters under the names, and in the pieces, of Hugging Face's ``LlamaForCausalLM``."""
    tensors = {"model.embed_tokens.weight": parameters["embed"], "model.norm.weight": parameters["norm"]}
    if not config.tied_embeddings:
        tensors["lm_head.weight"] = parameters["head"]
    for i in range(config.layers):
        for name, (ours, rows) in _pieces(config, i).items():
            tensors[name] = parameters[ours][rows]
    return tensors


def from_hugging_face(config: DecoderConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`to_hugging_face`."""
    parameters = {"embed": tensors["model.embed_tokens.weight"]}
    for i in range(config.layers):
        pieces: dict[str, list[Tensor]] = {}
        for name, (ours, _) in _pieces(config, i).items():
            pieces.setdefault(ours, []).append(tensors[name])
        parameters |= {ours: torch.cat(parts) for ours, parts in pieces.items()}
    parameters["norm"] = tensors["model.norm.weight"]
    if not config.tied_embeddings:
        parameters["head"] = tensors["lm_head.weight"]
    return parameters


def _pieces(config: DecoderConfig, layer: int) -> dict[str, tuple[str, slice]]:
    """Hugging Face's tensor names of a layer, each with our tensor and its rows there."""
    ours, theirs = f"layers.{layer:03}", f"model.layers.{layer}"
    queries, keys = config.heads * config.head_width, config.kv_heads * config.head_width
    whole = slice(None)
    return {
        f"{theirs}.input_layernorm.weight": (f"{ours}.attention.norm", whole),
        f"{theirs}.self_attn.q_proj.weight": (f"{ours}.attention.qkv", slice(0, queries)),
        f"{theirs}.self_attn.k_proj.weight": (f"{ours}.attention.qkv", slice(queries, queries + keys)),
        f"{theirs}.self_attn.v_proj.weight": (f"{ours}.attention.qkv", slice(queries + keys, queries + 2 * keys)),
        f"{theirs}.self_attn.o_proj.weight": (f"{ours}.attention.out", whole),
        f"{theirs}.post_attention_layernorm.weight": (f"{ours}.mlp.norm", whole),
        f"{theirs}.mlp.gate_proj.weight": (f"{ours}.mlp.gate_up", slice(0, config.hidden)),
        f"{theirs}.mlp.up_proj.weight": (f"{ours}.mlp.gate_up", slice(config.hidden, 2 * config.hidden)),
        f"{theirs}.mlp.down_proj.weight": (f"{ours}.mlp.down", whole),
    }


def save(directory: Path, config: DecoderConfig, parameters: Mapping[str, Tensor], end_of_text: int) -> None:
    """Write ``model.safetensors``, ``config.json`` and ``generation_config.json``."""
    (directory / "model.safetensors").write_bytes(safetensors_bytes(to_hugging_face(config, parameters)))
    generation = {"bos_token_id": end_of_text, "do_sample": True, "eos_token_id": end_of_text, "temperature": 0.8}
    for name, value in (("config", config.hugging_face(end_of_text)), ("generation_config", generation)):
        (directory / f"{name}.json").write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load(directory: Path) -> tuple[DecoderConfig, dict[str, Tensor]]:
    """Read what :func:`save` wrote.

    Raises:
        InputError: if the directory holds no model of this kind.
    """
    path = directory / "config.json"
    try:
        config = _config(json.loads(path.read_text(encoding="utf-8")), path)
        arrays = load_file(directory / "model.safetensors")
        parameters = from_hugging_face(config, {name: torch.from_numpy(a) for name, a in arrays.items()})
        if {name: tuple(p.shape) for name, p in parameters.items()} != config.shapes():
            raise ValueError("the shapes of its tensors are not those that config.json tells")
        return config, parameters
    except FileNotFoundError as error:
        raise InputError(
            f"`{directory}` is not a model", why=f"it has no `{Path(str(error.filename)).name}`",
            hint="give the folder that `regrow build` wrote",
        ) from error  # fmt: skip
    except (LookupError, ValueError, TypeError, ArithmeticError, RuntimeError, OSError, SafetensorError) as error:
        raise InputError(
            "this model cannot be read", where=str(directory), why=str(error) or type(error).__name__,
            hint="only decoders of the Llama kind as `regrow build` writes them can be read",
        ) from error  # fmt: skip


class _Shape(Architecture):
    """What a ``config.json`` has to say. How many tokens there are at most is told by the weights."""

    vocabulary: int = Field(description="Tokens to tell apart.", ge=1)


def _config(values: Mapping[str, Any], path: Path) -> DecoderConfig:
    """What a ``config.json`` says, within the bounds that a recipe has: beyond them nobody knows what would follow.

    Raises:
        InputError: naming the first key that is wrong.
    """
    try:
        return DecoderConfig(**_Shape.model_validate(shape_in(values), strict=True).model_dump())
    except ValidationError as error:
        first, *_ = explain(error, _Shape, Origin(str(path), values), lambda at: HUGGING_FACE[str(at[0])])
        raise InputError(first.what, where=first.where, why=first.why, hint=_DAMAGED) from error
