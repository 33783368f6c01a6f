"""Quantising and sparsifying as stages: the same bytes everywhere, files that others load, clear errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from regrow.compression import calibration, gram
from regrow.corpus.encoded import Encoded, write
from regrow.errors import InputError, Interrupted, RegrowError, StageError
from regrow.exact.selection import use
from regrow.model import weights
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.stages import KINDS
from regrow.store.digest import tree_digest
from tests.stages.conftest import Bench

TEXT = {"rows": 6, "context": 32}
GOLDEN = {
    ("quantise", "gptq"): "2f9c0ce5a46564591f6c41455450b9034bfd5931cb95cb303ea72045c854d6bb",
    ("quantise", "nearest"): "f4d1a7da907df5dee43bdebeea8919e0507c07cc5f56b264635bb94813856e34",
    ("sparsify", "magnitude"): "622e6a188895200307e0e06274ad508b2e36fb6cccba638a41541430318dabfa",
    ("sparsify", "wanda"): "caafeb2b5f7f568f435c58cb864c4f8e4dca1664045679c385b60d5db603dfca",
    ("sparsify", "sparsegpt"): "6fcceeef2cfdf0775ded2600ff0965091b4fa41476b1ba8c4c7bedba028f36bd",
}
QUANTISED = ("layers.000.attention.qkv", "layers.000.attention.out", "layers.000.mlp.gate_up", "layers.000.mlp.down")


def records(folder: Path, name: str = "quantised.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.mark.parametrize(("kind", "method"), GOLDEN)
def test_the_output_is_what_it_was(kind: str, method: str, bench: Bench, model: Path, tokens: Path) -> None:
    folder = bench.run(kind, {"method": method, **TEXT}, weights=model, tokens=tokens)
    assert tree_digest(folder) == GOLDEN[kind, method], f"bump the version of `{kind}`"
    assert KINDS[kind].version == 1


@pytest.mark.parametrize("batch", [7, 64])
def test_batches_change_nothing(
    batch: int, bench: Bench, model: Path, tokens: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration.changed, "__defaults__", (batch,))
    monkeypatch.setattr(gram, "_ROWS", 5)
    for (kind, method), digest in GOLDEN.items():
        assert tree_digest(bench.run(kind, {"method": method, **TEXT}, weights=model, tokens=tokens)) == digest


def test_what_multiplies_changes_nothing(bench: Bench, model: Path, tokens: Path) -> None:
    with use("reference", "float64"):
        folder = bench.run("quantise", {"method": "gptq", **TEXT}, weights=model, tokens=tokens)
    assert tree_digest(folder) == GOLDEN["quantise", "gptq"]


def test_another_process_of_one_thread_gives_the_same(tmp_path: Path, model: Path, tokens: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.stages.conftest import Bench\n"
        "from regrow.store.digest import tree_digest\n"
        "root, model, tokens = map(Path, sys.argv[1:])\n"
        f"print(tree_digest(Bench(root).run('quantise', {{'method': 'gptq', **{TEXT}}}, weights=model, tokens=tokens)))"
    )
    alone = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    root = Path(__file__).parents[2]
    said = subprocess.run(
        [sys.executable, "-c", code, tmp_path, model, tokens],
        env={**os.environ, **alone, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == GOLDEN["quantise", "gptq"]


@pytest.mark.parametrize(("bits", "group"), [(4, 32), (8, 32), (4, 64)])
def test_it_is_read_again_as_it_was_meant(bits: int, group: int, bench: Bench, model: Path, tokens: Path) -> None:
    asked = {"bits": bits, "group": group, "parameters": ["*.attention"], **TEXT}
    folder = bench.run("quantise", asked, weights=model, tokens=tokens)
    config, parameters = weights.load(folder)
    codes, before = weights.load_codes(folder), weights.load(model)[1]
    assert set(codes) == {name for name in parameters if name.endswith((".qkv", ".out"))}
    for name, value in parameters.items():
        if name in codes:
            assert (codes[name].bits, codes[name].group) == (bits, group)
            assert torch.equal(value, codes[name].values())
            assert codes[name].integers.unique().numel() <= 2**bits
        else:
            assert torch.equal(value, before[name])
    assert weights.load_config(folder) == config


def test_fewer_bits_are_fewer_bytes(bench: Bench, model: Path) -> None:
    sizes = [
        (bench.run("quantise", {"method": "nearest", "bits": bits}, weights=model) / weights.WEIGHTS).stat().st_size
        for bits in (4, 8)
    ]
    assert sizes[0] < sizes[1] < 0.4 * (model / weights.WEIGHTS).stat().st_size


def test_each_matrix_is_on_record(bench: Bench, model: Path, tokens: Path) -> None:
    folder = bench.run("quantise", {"parameters": ["layers.0"], **TEXT}, weights=model, tokens=tokens)
    assert records(folder) == [
        {"matrix": name, "method": "gptq", "bits": 4, "group": 32, "unread_columns": 0} for name in QUANTISED
    ]


def test_a_matrix_of_which_too_little_is_known_is_rounded_to_the_nearest_and_on_record(
    bench: Bench, model: Path, tokens: Path
) -> None:
    asked = {"damping": 0.0, "rows": 1, "context": 4}
    folder = bench.run("quantise", asked, weights=model, tokens=tokens)
    nearest = bench.run("quantise", {"method": "nearest"}, weights=model)
    assert {(one["method"], one["why"]) for one in records(folder)} == {
        ("nearest", "the Gram matrix is not positive definite")
    }
    assert (folder / weights.WEIGHTS).read_bytes() == (nearest / weights.WEIGHTS).read_bytes()
    pruned = bench.run("sparsify", {"method": "sparsegpt", **asked}, weights=model, tokens=tokens)
    assert {one["method"] for one in records(pruned, "sparsified.jsonl")} == {"wanda"}


def test_a_matrix_reads_what_changed_ones_before_it_give(bench: Bench, model: Path, tokens: Path) -> None:
    """What stays as it is in the second layer would otherwise be the same, whatever becomes of the first."""
    both = bench.run("quantise", TEXT, weights=model, tokens=tokens)
    second = bench.run("quantise", {"parameters": ["layers.1"], **TEXT}, weights=model, tokens=tokens)
    name = "layers.001.mlp.down"
    assert not torch.equal(weights.load(both)[1][name], weights.load(second)[1][name])


def test_zeros_stay_zeros(bench: Bench, model: Path, tokens: Path) -> None:
    sparse = bench.run("sparsify", {"structure": "2:4", **TEXT}, weights=model, tokens=tokens)
    both = bench.run("quantise", TEXT, weights=sparse, tokens=tokens)
    for name, value in weights.load(both)[1].items():
        if name.endswith(QUANTISED[0][10:]):
            assert ((value == 0).view(-1, 4).sum(1) >= 2).all()


def test_what_follows_writes_plain_numbers(bench: Bench, model: Path, tokens: Path) -> None:
    quantised = bench.run("quantise", {"method": "nearest"}, weights=model)
    plain = bench.run("sparsify", {"method": "magnitude", "share": 1e-9}, weights=quantised)
    assert not weights.load_codes(plain)
    before, after = (weights.load(folder)[1] for folder in (quantised, plain))
    assert all(torch.equal(before[name], after[name]) for name in before)


FAMILIES = {
    "llama": {},
    "untied": {"family": "llama", "tied_embeddings": False},
    "qwen2": {"qkv_bias": True},
    "qwen3": {"head_norm": "head"},
    "olmo2": {"head_norm": "whole", "norm_place": "after"},
    "gpt_neox": {
        "kv_heads": 4, "norm": "layer", "parallel": True, "rope_share": 0.25, "qkv_bias": True, "out_bias": True,
        "mlp_bias": True, "gated": False, "activation": "gelu", "tied_embeddings": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bits", [4, 8])
def test_others_load_it(family: str, bits: int, bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    from transformers import AutoModelForCausalLM

    shape = {"vocabulary": 64, "layers": 2, "width": 64, "heads": 4, "kv_heads": 2, "hidden": 96, "context": 32}
    config = DecoderConfig(**{**shape, "family": family, **FAMILIES[family]})
    (tmp_path / "plain").mkdir()
    weights.save(tmp_path / "plain", config, initialise(config, 2), weights.Ends.both(0))
    asked = {"method": "nearest", "bits": bits, "parameters": ["*.mlp", "layers.1"]}
    folder = bench.run("quantise", asked, weights=tmp_path / "plain")
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.arange(48).view(2, 24)
    with torch.no_grad():
        found = theirs(ids).logits
    _, parameters = weights.load(folder)
    assert (Decoder(config).logits(parameters, ids) - found).abs().max() < 1e-5


def said(bench: Bench, kind: str, asked: dict[str, Any], **inputs: Any) -> str:
    with pytest.raises(RegrowError) as caught:
        bench.run(kind, asked, **inputs)
    assert not any((bench.root / f"{bench.count:02}-{kind}").iterdir())
    return str(caught.value)


@pytest.mark.parametrize("kind", ["quantise", "sparsify"])
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"rows": 32, "context": 32}, ("makes 31 sequences, and 32 are to be read", ".rows`")),
        ({"context": 64}, ("longer than the model's 32", ".context` to 32")),
        ({"parameters": ["layers.7"]}, ("no parameter fits `layers.7`",)),
        ({"parameters": ["embed"]}, ("`embed` fits no matrix of a layer", "`*.attention.qkv`")),
        ({"parameters": ["*.norm", "*.mlp"]}, ("`*.norm` fits no matrix of a layer",)),
    ],
)
def test_what_cannot_be_done_is_told(
    kind: str, asked: dict[str, Any], words: tuple[str, ...], bench: Bench, model: Path, tokens: Path
) -> None:
    text = said(bench, kind, {**TEXT, **asked}, weights=model, tokens=tokens)
    assert all(word in text for word in words), text


@pytest.mark.parametrize("kind", ["quantise", "sparsify"])
def test_conversations_are_read_one_behind_the_other(kind: str, bench: Bench, model: Path, tmp_path: Path) -> None:
    """However long each is: what packing them into sequences of this length would leave out or fill up is no matter."""
    spoken = [Encoded(str(i), [i + 1] * 20, [False] * 10 + [True] * 10) for i in range(13)]
    spoken.append(Encoded("long", [40] * 50, [True] * 50))
    write(tmp_path, {"train": spoken, "validation": []}, vocabulary=64, end_of_text=0)
    made = bench.run(kind, {"rows": 9, "context": 32}, weights=model, tokens=tmp_path)
    assert (made / "model.safetensors").is_file()
    text = said(bench, kind, {"rows": 10, "context": 32}, weights=model, tokens=tmp_path)
    assert "makes 9 sequences, and 10 are to be read" in text


@pytest.mark.parametrize(("kind", "method"), [("quantise", "gptq"), ("sparsify", "wanda"), ("sparsify", "sparsegpt")])
def test_no_text_is_told(kind: str, method: str, bench: Bench, model: Path) -> None:
    text = said(bench, kind, {"method": method}, weights=model)
    assert f"there is no text for the method `{method}` to read" in text


def small(folder: Path, **shape: Any) -> Path:
    usual = {"vocabulary": 64, "layers": 1, "width": 48, "heads": 2, "kv_heads": 1, "hidden": 66, "context": 32}
    config = DecoderConfig(**{**usual, **shape})
    folder.mkdir()
    weights.save(folder, config, initialise(config, 1), weights.Ends.both(0))
    return folder


def test_rows_that_groups_do_not_divide_are_told(bench: Bench, tmp_path: Path) -> None:
    text = said(bench, "quantise", {"method": "nearest"}, weights=small(tmp_path / "small"))
    assert "groups of 32 do not divide the rows of `layers.000.attention.qkv`, of 48 numbers" in text
    text = said(bench, "quantise", {"method": "nearest", "group": 64}, weights=small(tmp_path / "other", width=96))
    assert "set `quantise.group` to 32" in text
    text = said(bench, "sparsify", {"method": "magnitude", "structure": "2:4"}, weights=small(tmp_path / "third"))
    assert "the rows of `layers.000.mlp.down`, of 66 numbers, are no whole fours" in text


def test_tokens_of_another_tokenizer_are_told(bench: Bench, tmp_path: Path, tokens: Path) -> None:
    model = small(tmp_path / "small", vocabulary=50, width=64, hidden=96)
    assert "the tokens are 64, and the model knows 50" in said(
        bench, "quantise", {"rows": 1, "context": 8}, weights=model, tokens=tokens
    )


def test_a_family_whose_files_cannot_hold_integers_is_told(bench: Bench, tmp_path: Path) -> None:
    gpt2 = {
        "kv_heads": 2, "positions": "learned", "norm": "layer", "gated": False, "activation": "gelu_tanh",
        "qkv_bias": True, "out_bias": True, "mlp_bias": True, "family": "gpt2", "width": 64, "hidden": 96,
    }  # fmt: skip
    model = small(tmp_path / "small", **gpt2)
    assert "models of the kind `gpt2`" in said(bench, "quantise", {"method": "nearest"}, weights=model)


def test_a_model_that_computes_no_numbers_is_told(bench: Bench, tmp_path: Path, tokens: Path) -> None:
    config, parameters = weights.load(small(tmp_path / "small", width=64, hidden=96))
    parameters["layers.000.attention.norm"] = torch.full((64,), torch.inf)
    (tmp_path / "broken").mkdir()
    weights.save(tmp_path / "broken", config, parameters, weights.Ends.both(0))
    asked = {"rows": 1, "context": 8}
    assert "what is no number" in said(bench, "quantise", asked, weights=tmp_path / "broken", tokens=tokens)


def test_two_of_four_is_a_half() -> None:
    with pytest.raises(ValueError, match="two of four is a half, and not"):
        KINDS["sparsify"].parameters(structure="2:4", share=0.3)


def test_it_stops_when_it_is_asked_to(bench: Bench, model: Path, tokens: Path) -> None:
    with pytest.raises(Interrupted):
        bench.run("quantise", TEXT, stopped=True, weights=model, tokens=tokens)


def test_errors_are_of_the_right_kind(bench: Bench, model: Path) -> None:
    with pytest.raises(StageError):
        bench.run("quantise", {}, weights=model)
    with pytest.raises(InputError):
        bench.run("quantise", {"method": "nearest", "parameters": ["head"]}, weights=model)
