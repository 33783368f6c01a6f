"""GGUF files that are written here: read back as the same decoder, and laid out as the converter lays them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf as library
import numpy as np
import pytest
import torch

from regrow.compression.rounding import Grid, nearest
from regrow.errors import InputError
from regrow.formats.gguf_writer import gguf_bytes
from regrow.model import gguf, weights
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder
from regrow.model.gguf_writing import FILE_TYPES, Written, written
from regrow.model.packed import Codes
from regrow.model.rotary import at_length

from ..exporting.models import FAMILIES, config, numbers
from . import test_gguf as laid_out

LONGER = {
    "rope_scaling": "llama3", "rope_factor": 8.0, "rope_original_context": 24, "rope_theta": 500.0, "context": 96,
}  # fmt: skip
YARN = {"rope_scaling": "yarn", "rope_factor": 4.0, "rope_original_context": 24}
DYNAMIC = {"rope_scaling": "dynamic", "rope_factor": 4.0, "rope_original_context": 24}
MODELS = {
    **{family: (family, {}) for family in FAMILIES},
    "tied": ("mistral", {"tied_embeddings": True}),
    "untied": ("olmo2", {"tied_embeddings": False}),
    "in turn": ("gpt_neox", {"parallel": False, "tied_embeddings": False}),
    "biased": ("llama", {"qkv_bias": True, "out_bias": True, "mlp_bias": True}),
    "linear": ("qwen2", {"rope_scaling": "linear", "rope_factor": 4.0, "rope_theta": 1e6, "norm_epsilon": 1e-6}),
    "llama3": ("llama", LONGER),
    "yarn": ("llama", YARN),
    "yarn, told": ("qwen3", {**YARN, "rope_beta_fast": 24.0, "rope_beta_slow": 2.0}),
}


def file(path: Path, config: DecoderConfig, parameters: dict[str, torch.Tensor], type: str = "F32") -> Path:
    made = written(config, parameters, type)
    path.write_bytes(gguf_bytes(made.metadata, made.tensors))
    return path


@pytest.mark.parametrize("type", ["F16", "BF16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_runs_keeps_shorter_numbers_as_they_are(family: str, type: str, tmp_path: Path) -> None:
    made = config(family)
    path = file(tmp_path / "model.gguf", made, numbers(made), type)
    wide, (_, kept) = gguf.load(path).parameters, gguf.load_weights(path)
    kind = {"F16": torch.float16, "BF16": torch.bfloat16}[type]
    assert kept["layers.000.mlp.down"].dtype == kind
    assert all(isinstance(x, torch.Tensor) and torch.equal(x.float(), wide[name]) for name, x in kept.items())


@pytest.mark.parametrize("name", MODELS)
def test_what_was_written_is_read(name: str, tmp_path: Path) -> None:
    family, options = MODELS[name]
    made = config(family, **options)
    found = gguf.load(file(tmp_path / "model.gguf", made, numbers(made)))
    wanted = numbers(made)
    assert found.parameters.keys() == wanted.keys()
    assert all(torch.equal(found.parameters[one], wanted[one]) for one in wanted)
    assert {**vars(found.config), "family": ""} == {**vars(made), "family": ""}


@pytest.mark.parametrize("name", laid_out.ARCHITECTURES)
def test_tensors_are_those_of_the_converter(name: str, tmp_path: Path) -> None:
    model = laid_out.made(name)
    model.save_pretrained(tmp_path)
    laid_out.write(tmp_path / "theirs.gguf", name, model)
    theirs = {one.name: one for one in library.GGUFReader(tmp_path / "theirs.gguf").tensors}
    if laid_out.ARCHITECTURES[name] == "gptneox" and not model.config.attention_bias:
        return  # engines want the biases: see below
    config, parameters = weights.load(tmp_path)
    ours = library.GGUFReader(file(tmp_path / "ours.gguf", config, parameters))
    assert {one.name for one in ours.tensors} == theirs.keys()
    for one in ours.tensors:
        assert one.shape.tolist() == theirs[one.name].shape.tolist()
        assert np.array_equal(one.data, theirs[one.name].data), one.name
    for key, field in library.GGUFReader(tmp_path / "theirs.gguf").fields.items():
        if key.startswith(laid_out.ARCHITECTURES[name]):
            assert ours.fields[key].parts[-1].tolist() == field.parts[-1].tolist(), key
            assert ours.fields[key].types == field.types


@pytest.mark.parametrize("type", FILE_TYPES)
def test_types_are_as_stated(type: str, tmp_path: Path) -> None:
    made = config("gpt2", hidden=80)
    reader = library.GGUFReader(file(tmp_path / "model.gguf", made, numbers(made), type))
    found = {one.name: one.tensor_type.name for one in reader.tensors}
    few = type in ("Q4_0", "Q4_1", "Q5_0", "Q5_1")
    assert found["token_embd.weight"] == ("Q8_0" if few else type)
    assert found["position_embd.weight"] == found["blk.0.attn_norm.weight"] == found["blk.1.ffn_up.bias"] == "F32"
    assert found["blk.0.attn_qkv.weight"] == type
    assert found["blk.0.ffn_down.weight"] == (type if type in ("F32", "F16", "BF16") else "F16")  # rows of 80
    assert reader.fields["general.file_type"].parts[-1].tolist() == [FILE_TYPES[type]]
    assert ("regrow.rounding" in reader.fields) == (type.startswith("Q"))
    down = gguf.load(tmp_path / "model.gguf").parameters["layers.000.attention.out"]
    kind = library.GGMLQuantizationType[type]
    plain = numbers(made)["layers.000.attention.out"].numpy()
    assert np.array_equal(down, library.quants.dequantize(library.quants.quantize(plain, kind), kind))


@pytest.mark.parametrize(
    ("family", "options", "said"),
    [
        ("llama", {"activation": "gelu"}, "this `activation`"),
        ("gpt2", {"activation": "gelu"}, "this `activation`"),
        ("qwen3", {"out_bias": True, "qkv_bias": True}, "a decoder with `out_bias`"),
        ("gpt_neox", {"qkv_bias": False, "out_bias": False}, "a decoder without `qkv_bias`"),
        ("qwen2", LONGER, 'positions that are scaled as "llama3"'),
        ("llama", {"norm_place": "both"}, "this decoder cannot be written as GGUF"),
        ("llama", DYNAMIC, r'scaled as "dynamic" cannot be written .*--context 4096'),
        ("llama", {**YARN, "rope_attention_factor": 2.0}, "`rope_parameters` with `attention_factor`"),
        ("regrow", {"skips": ((0, 1),)}, "a model of the kind `regrow` cannot be written as GGUF"),
    ],
)
def test_what_a_file_cannot_tell_is_refused(family: str, options: dict[str, object], said: str) -> None:
    made = config(family, **options)
    with pytest.raises(InputError, match=f"(?s){said}"):
        written(made, numbers(made), "F32")


@pytest.mark.parametrize("length", [16, 24, 80])
def test_one_length_of_many_is_written_without_scaling(length: int) -> None:
    """A base that grows with the length is, at one length, a base; up to the old one, the one it was."""
    made = config("llama", **DYNAMIC)
    fixed = at_length(made, length)
    assert (fixed.rope_scaling, fixed.context) == ("none", length)
    assert (fixed.rope_theta > made.rope_theta) == (length > 24)
    parameters, ids = numbers(made), torch.arange(length)[None]
    grown, plain = (Decoder(one).logits(parameters, ids) for one in (made, fixed))
    assert (grown - plain).abs().max() < 1e-4
    assert written(fixed, parameters, "F32").metadata["llama.context_length"].value == length


def quantised(config: DecoderConfig, bits: int, group: int) -> tuple[dict[str, torch.Tensor], dict[str, Codes]]:
    """Parameters of which the matrices of layers are integers, and these."""
    parameters, codes = numbers(config), {}
    for name, x in parameters.items():
        if name.startswith("layers.") and x.dim() == 2:
            codes[name] = nearest(x, Grid(bits, group))
            parameters[name] = codes[name].values()
    return parameters, codes


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt_neox"])
@pytest.mark.parametrize(
    ("bits", "group", "types"),
    [(4, 32, ("Q4_0", "Q5_0", "Q8_0")), (4, 64, ("Q4_0",)), (8, 32, ("Q8_0",)), (8, 64, ("Q8_0",))],
)
def test_integers_are_written_as_they_are(
    family: str, bits: int, group: int, types: tuple[str, ...], tmp_path: Path
) -> None:
    """Whoever reads the file computes with the very same numbers, which a second rounding would change."""
    made = config(family, hidden=128)
    parameters, codes = quantised(made, bits, group)
    for type in types:
        said = written(made, parameters, type, codes)
        (tmp_path / "model.gguf").write_bytes(gguf_bytes(said.metadata, said.tensors))
        found = gguf.load(tmp_path / "model.gguf").parameters
        assert codes
        assert all(torch.equal(found[name], parameters[name]) for name in codes)
        assert not said.rounded
        kinds = {one.name: one.tensor_type.name for one in library.GGUFReader(tmp_path / "model.gguf").tensors}
        assert kinds["blk.1.ffn_down.weight"] == type
    (tmp_path / "again.gguf").write_bytes(gguf_bytes(*_parts(written(made, parameters, types[0]))))
    again = gguf.load(tmp_path / "again.gguf").parameters
    assert types[0] == "Q5_0" or not all(torch.equal(again[name], parameters[name]) for name in codes)


def _parts(made: Written) -> tuple[Any, Any]:
    return made.metadata, made.tensors


@pytest.mark.parametrize(("bits", "type"), [(4, "Q4_1"), (8, "Q4_0"), (8, "F16")])
def test_integers_for_which_there_is_no_room_are_told(bits: int, type: str) -> None:
    made = config("llama")
    parameters, codes = quantised(made, bits, 32)
    said = written(made, parameters, type, codes)
    assert set(said.rounded.values()) == {type}
    assert f"14 are rounded once more, to `{type}`" in said.remarks()[-1]
    assert gguf_bytes(*_parts(said)) == gguf_bytes(*_parts(written(made, parameters, type)))


def test_scales_that_a_block_cannot_have_are_rounded_once_more() -> None:
    made = config("llama")
    parameters, codes = quantised(made, 4, 32)
    odd = {name: Codes(one.integers, one.scales * (1 + 2**-20), 4) for name, one in codes.items()}
    assert (
        written(made, parameters, "Q4_0", odd).rounded.keys() == written(made, parameters, "Q4_1", codes).rounded.keys()
    )
    assert not written(made, parameters, "F32", odd).rounded


def test_divisors_of_others_are_not_guessed(tmp_path: Path) -> None:
    made = config("llama", **LONGER)
    whole = written(made, numbers(made), "F32")
    keys = {key: value for key, value in whole.metadata.items() if not key.startswith("regrow.rope")}
    (tmp_path / "model.gguf").write_bytes(gguf_bytes(keys, whole.tensors))
    with pytest.raises(InputError, match="does not say by which rule"):
        gguf.load(tmp_path / "model.gguf")
    other = written(config("llama", **{**LONGER, "rope_factor": 4.0}), numbers(made), "F32")
    (tmp_path / "model.gguf").write_bytes(gguf_bytes({**whole.metadata, **keys}, other.tensors))
    with pytest.raises(InputError, match="has other numbers"):
        gguf.load(tmp_path / "model.gguf")


def test_numbers_that_do_not_fit_are_told_by_the_name_of_the_tensor() -> None:
    made = config("llama")
    parameters = numbers(made)
    parameters["layers.001.mlp.down"][0, 0] = 1e38
    with pytest.raises(InputError, match=r"`blk.1.ffn_down.weight` cannot be written as F16"):
        gguf_bytes(*_parts(written(made, parameters, "F16")))
