"""Matrices of small integers in files: bit by bit as others pack them, and what is wrong with a file is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from regrow.errors import InputError
from regrow.model import packed, weights
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.packed import Codes

CONFIG = DecoderConfig(vocabulary=40, layers=1, width=32, heads=2, kv_heads=1, hidden=64, context=16)
NAME = "layers.000.mlp.down"
MODULE = "model.layers.0.mlp.down_proj"


def codes(bits: int, rows: int = 32, columns: int = 64) -> Codes:
    half = 1 << (bits - 1)
    integers = (torch.arange(rows * columns).view(rows, columns) * 7 % (2 * half) - half).to(torch.int8)
    return Codes(integers, torch.arange(1, 1 + rows * columns // 32).view(rows, -1) / 64, bits)


@pytest.fixture(params=[4, 8])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    parameters = initialise(CONFIG, 1)
    weights.save(tmp_path, CONFIG, parameters, weights.Ends.both(0), {NAME: codes(request.param)})
    return tmp_path


def test_words_are_filled_from_the_lowest_bits() -> None:
    four = Codes(torch.tensor([[-8, -7, 0, 1, 2, 3, 7, -1] * 4], dtype=torch.int8), torch.ones(1, 1), 4)
    [word, *_] = packed.tensors("m", four)["m.weight_packed"][0].tolist()
    assert word & 0xFFFFFFFF == 0x7FBA9810
    eight = Codes(torch.tensor([[-128, -127, 0, 127] * 8], dtype=torch.int8), torch.ones(1, 1), 8)
    [word, *_] = packed.tensors("m", eight)["m.weight_packed"][0].tolist()
    assert word & 0xFFFFFFFF == 0xFF800100


@pytest.mark.parametrize("bits", [4, 8])
def test_others_pack_and_unpack_as_we_do(bits: int) -> None:
    theirs = pytest.importorskip("compressed_tensors.compressors.pack_quantized.helpers")
    matrix = codes(bits)
    found = packed.tensors("m", matrix)
    assert torch.equal(theirs.pack_to_int32(matrix.integers, bits), found["m.weight_packed"])
    assert torch.equal(theirs.unpack_from_int32(found["m.weight_packed"], bits, torch.Size((32, 64))), matrix.integers)


def test_they_are_read_as_they_were(folder: Path) -> None:
    [(name, found)] = weights.load_codes(folder).items()
    matrix = codes(found.bits)
    assert name == NAME
    assert torch.equal(found.integers, matrix.integers)
    assert torch.equal(found.scales, matrix.scales)
    assert torch.equal(weights.load(folder)[1][NAME], matrix.values())


def test_a_scale_for_a_whole_row_is_a_group_too(tmp_path: Path) -> None:
    matrix = codes(8)
    row = Codes(matrix.integers, matrix.scales[:, :1], 8)
    weights.save(tmp_path, CONFIG, initialise(CONFIG, 1), weights.Ends.both(0), {NAME: row})
    assert torch.equal(weights.load(tmp_path)[1][NAME], matrix.integers * matrix.scales[:, :1])


def test_what_is_not_packed_is_named_for_others(folder: Path) -> None:
    said = json.loads((folder / "config.json").read_text())["quantization_config"]
    attention = [f"model.layers.0.self_attn.{one}_proj" for one in "koqv"]
    assert said["ignore"] == ["lm_head", "model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj", *attention]


def test_a_plain_model_has_no_integers(tmp_path: Path) -> None:
    weights.save(tmp_path, CONFIG, initialise(CONFIG, 1), weights.Ends.both(0))
    assert weights.load_codes(tmp_path) == {}
    assert "quantization_config" not in json.loads((tmp_path / "config.json").read_text())


Found = dict[str, torch.Tensor]


def _without_scale(found: Found) -> None:
    del found[f"{MODULE}.weight_scale"]


def _zero_points(found: Found) -> None:
    found[f"{MODULE}.weight_zero_point"] = torch.zeros(4, 2, dtype=torch.int32)


def _other_shape(found: Found) -> None:
    found[f"{MODULE}.weight_shape"] = torch.tensor([32, 65])


def _huge_shape(found: Found) -> None:
    found[f"{MODULE}.weight_shape"] = torch.tensor([2**62, 2**62])


def _no_columns(found: Found) -> None:
    found[f"{MODULE}.weight_shape"] = torch.tensor([32, 0])


def _few_scales(found: Found) -> None:
    found[f"{MODULE}.weight_scale"] = found[f"{MODULE}.weight_scale"][:5].clone()


def _other_type(found: Found) -> None:
    found[f"{MODULE}.weight_packed"] = found[f"{MODULE}.weight_packed"].to(torch.int64)


def _both(found: Found) -> None:
    found[f"{MODULE}.weight"] = torch.zeros(32, 64)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_without_scale, "there is no `model.layers.0.mlp.down_proj.weight_scale`"),
        (_zero_points, "only symmetric ones are read"),
        (_other_shape, "for a matrix [32, 65]"),
        (_huge_shape, "for a matrix [4611686018427387904, 4611686018427387904]"),
        (_no_columns, "for a matrix [32, 0]"),
        (_few_scales, "with scales [5, 2]"),
        (_other_type, "are not of the types that they should be"),
        (_both, "and packed too"),
    ],
)
def test_what_does_not_fit_is_told(folder: Path, change: Callable[[Found], None], why: str) -> None:
    found = load_file(folder / weights.WEIGHTS)
    change(found)
    save_file(found, folder / weights.WEIGHTS)
    for read in (weights.load, weights.load_codes):
        with pytest.raises(InputError) as caught:
            read(folder)
        assert why in caught.value.why


def test_another_way_to_quantise_is_named(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(InputError, match='quantised by "gptq"') as caught:
        weights.load(folder)
    assert "quantization_config" in (caught.value.where or "")
