"""Folders for transformers: in float32 and bfloat16, in one file and in several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from regrow.compression.rounding import Grid, nearest
from regrow.errors import InputError
from regrow.exporting.hugging_face import written
from regrow.model import weights
from regrow.model.decoder import Decoder

from .models import folder


def exported(model: Path, output: Path, *options: object) -> Path:
    output.mkdir()
    written(model, output, *options)  # type: ignore[arg-type]
    return output


def test_float32_is_the_same_again(tmp_path: Path) -> None:
    model = folder(tmp_path / "model", "olmo2")
    found = exported(model, tmp_path / "out")
    for name in ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json"):
        assert (found / name).read_bytes() == (model / name).read_bytes()


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gpt2"])
def test_bfloat16_in_several_files_is_read_here_and_there(family: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = folder(tmp_path / "model", family)
    found = exported(model, tmp_path / "out", "bfloat16", 60_000)
    files = sorted(found.glob("*.safetensors"))
    assert len(files) > 2
    assert files[0].name == f"model-00001-of-{len(files):05}.safetensors"
    index = json.loads((found / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {name: path.name for path in files for name in load_file(path)}
    config, parameters = weights.load(model)
    again, halved = weights.load(found)
    assert again == config
    assert all(torch.equal(halved[name], x.to(torch.bfloat16).float()) for name, x in parameters.items())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(found)
    assert theirs.dtype == torch.bfloat16
    tensors = weights.to_hugging_face(config, halved)
    state = theirs.state_dict()
    assert all(torch.equal(state[name].float(), x) for name, x in tensors.items())
    assert len(transformers.AutoTokenizer.from_pretrained(found)) == 300


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_integers_of_few_bits_stay_that(dtype: str, tmp_path: Path) -> None:
    """The others are shortened, and not the scales: integer times scale is the number that it was."""
    pytest.importorskip("compressed_tensors")
    from transformers import AutoModelForCausalLM

    model = folder(tmp_path / "model")
    config, parameters = weights.load(model)
    codes = {name: nearest(parameters[name], Grid(4, 32)) for name in parameters if name.endswith((".qkv", ".out"))}
    weights.save(model, config, parameters, weights.Ends(0, 0), codes)
    found = exported(model, tmp_path / "out", dtype, 30_000)
    kept, (_, own) = weights.load_codes(found), weights.load(found)
    assert all(torch.equal(own[name], weights.load(model)[1][name]) for name in codes)
    assert kept.keys() == codes.keys()
    ids = torch.arange(40)[None]
    theirs = AutoModelForCausalLM.from_pretrained(found, dtype=torch.float32)
    assert (theirs(ids).logits.detach() - Decoder(config).logits(own, ids)).abs().max() < 1e-4


def test_integers_of_several_widths_are_refused(tmp_path: Path) -> None:
    config, parameters = weights.load(folder(tmp_path / "model"))
    names = ("layers.000.mlp.down", "layers.001.mlp.down")
    codes = {name: nearest(parameters[name], Grid(bits, 32)) for name, bits in zip(names, (4, 8), strict=True)}
    with pytest.raises(InputError, match="integers of 4 bits in groups of 32 and 8 bits in groups of 32"):
        weights.save(tmp_path, config, parameters, weights.Ends(0, 0), codes)


def test_a_tensor_is_never_cut(tmp_path: Path) -> None:
    model = folder(tmp_path / "model")
    found = exported(model, tmp_path / "out", "float32", 1)
    assert len(list(found.glob("*.safetensors"))) == len(load_file(model / "model.safetensors"))


def test_what_they_have_no_class_for_is_refused(tmp_path: Path) -> None:
    model = folder(tmp_path / "model", "regrow", skips=((0, 1),))
    with pytest.raises(InputError, match="cannot be written for Hugging Face's libraries") as error:
        exported(model, tmp_path / "out")
    assert error.value.why == "transformers has no class for models of the kind `regrow`"


def test_numbers_beyond_bfloat16_are_refused(tmp_path: Path) -> None:
    model = folder(tmp_path / "model")
    config, parameters = weights.load(model)
    parameters["norm"][3] = torch.finfo(torch.float32).max
    weights.save(model, config, parameters, weights.Ends(0, 0))
    with pytest.raises(InputError, match=r"`model.norm.weight` cannot be written as bfloat16"):
        exported(model, tmp_path / "out", "bfloat16")
