"""GGUF files that are written here: read back as the same decoder, and laid out as the converter lays them out."""

from __future__ import annotations

from pathlib import Path

import gguf as library
import numpy as np
import pytest
import torch

from regrow.errors import InputError
from regrow.formats.gguf_writer import gguf_bytes
from regrow.model import gguf, weights
from regrow.model.config import DecoderConfig
from regrow.model.gguf_writing import FILE_TYPES, written

from ..exporting.models import FAMILIES, config, numbers
from . import test_gguf as laid_out

LONGER = {
    "rope_scaling": "llama3", "rope_factor": 8.0, "rope_original_context": 24, "rope_theta": 500.0, "context": 96,
}  # fmt: skip
MODELS = {
    **{family: (family, {}) for family in FAMILIES},
    "tied": ("mistral", {"tied_embeddings": True}),
    "untied": ("olmo2", {"tied_embeddings": False}),
    "in turn": ("gpt_neox", {"parallel": False, "tied_embeddings": False}),
    "biased": ("llama", {"qkv_bias": True, "out_bias": True, "mlp_bias": True}),
    "linear": ("qwen2", {"rope_scaling": "linear", "rope_factor": 4.0, "rope_theta": 1e6, "norm_epsilon": 1e-6}),
    "llama3": ("llama", LONGER),
}


def file(path: Path, config: DecoderConfig, parameters: dict[str, torch.Tensor], type: str = "F32") -> Path:
    made = written(config, parameters, type)
    path.write_bytes(gguf_bytes(made.metadata, made.tensors))
    return path


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
    ],
)
def test_what_a_file_cannot_tell_is_refused(family: str, options: dict[str, object], said: str) -> None:
    made = config(family, **options)
    with pytest.raises(InputError, match=said):
        written(made, numbers(made), "F32")


def test_a_scaling_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dynamic NTK is written without a key elsewhere, and then silently not done."""
    from regrow.model import keys

    made = config("llama", rope_scaling="linear", rope_factor=2.0)
    monkeypatch.setitem(keys.SCALINGS, "linear", "other")
    monkeypatch.setitem(keys.SCALINGS, "dynamic", "linear")
    with pytest.raises(InputError, match=r"positions that are scaled as .*dynamic"):
        written(made, numbers(made), "F32")


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
        gguf_bytes(*(lambda w: (w.metadata, w.tensors))(written(made, parameters, "F16")))
