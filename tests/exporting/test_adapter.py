"""Adapters as PEFT writes them, copied and written as GGUF."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gguf as library
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from regrow.errors import InputError
from regrow.exporting.adapter import as_gguf, copied
from regrow.formats.gguf_writer import gguf_bytes
from regrow.model import weights
from regrow.model.weights import Ends, save

from .models import folder

MODULES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.down_proj")
PREFIX = "base_model.model."


def adapter(path: Path, base: Path, modules: tuple[str, ...] = MODULES, rank: int = 4, **said: Any) -> Path:
    """An adapter of a base, over some modules of its last layer."""
    path.mkdir()
    usual = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 8, "bias": "none",
        "target_modules": [name.rpartition(".")[2] for name in modules], "base_model_name_or_path": "somebody/base",
    }  # fmt: skip
    (path / "adapter_config.json").write_text(json.dumps({**usual, **said}))
    random, tensors = torch.Generator().manual_seed(5), {}
    for name, x in load_file(base / "model.safetensors").items():
        if name.endswith(".weight") and ".1." in name and any(module in name for module in modules):
            module = name.removesuffix(".weight")
            tensors[f"{PREFIX}{module}.lora_A.weight"] = torch.randn(rank, x.shape[1], generator=random) * 0.3
            tensors[f"{PREFIX}{module}.lora_B.weight"] = torch.randn(x.shape[0], rank, generator=random) * 0.3
    save_file(tensors, path / "adapter_model.safetensors", {"format": "pt"})
    return path


def merged(path: Path, base: Path, adapter: Path) -> Path:
    """The base with an adapter merged into it."""
    path.mkdir()
    said = json.loads((adapter / "adapter_config.json").read_text())
    found, change = load_file(base / "model.safetensors"), load_file(adapter / "adapter_model.safetensors")
    for key in [key for key in change if key.endswith("lora_A.weight")]:
        a, b = change[key], change[key.replace("lora_A", "lora_B")]
        scale = said["lora_alpha"] / (math.sqrt(a.shape[0]) if said.get("use_rslora") else a.shape[0])
        found[key.removeprefix(PREFIX).replace("lora_A.", "")] += scale * (b @ a)
    config, _ = weights.load(base)
    save(path, config, weights.from_hugging_face(config, found), Ends(0, 0))
    return path


def pairs(keys: Any, tensors: Any, tmp_path: Path) -> tuple[float, dict[str, np.ndarray]]:
    """Alpha and the tensors, as the library reads them."""
    (tmp_path / "adapter.gguf").write_bytes(gguf_bytes(keys, tensors))
    reader = library.GGUFReader(tmp_path / "adapter.gguf")
    return float(reader.fields["adapter.lora.alpha"].parts[-1][0]), {one.name: one.data for one in reader.tensors}


@pytest.mark.parametrize(
    ("family", "modules"),
    [
        ("llama", MODULES),
        ("qwen3", MODULES),
        ("gpt_neox", ("attention.query_key_value", "mlp.dense_h_to_4h")),
    ],
)
@pytest.mark.parametrize("rslora", [False, True])
def test_the_change_is_that_of_the_merged_model(
    family: str, modules: tuple[str, ...], rslora: bool, tmp_path: Path
) -> None:
    """Alpha over rank times B times A is what separates the matrices of the merged model's file from the base's."""
    base = folder(tmp_path / "base", family)
    other = adapter(tmp_path / "adapter", base, modules, use_rslora=rslora)
    alpha, found = pairs(*as_gguf(other, base), tmp_path)
    assert len(found) == 2 * len(modules)
    whole = merged(tmp_path / "merged", base, other)
    files = [_tensors(model, tmp_path) for model in (base, whole)]
    changed = {name for name in files[0] if not np.array_equal(files[0][name], files[1][name])}
    assert changed == {name.removesuffix(".lora_a") for name in found if name.endswith(".lora_a")}
    for name in changed:
        a, b = found[f"{name}.lora_a"], found[f"{name}.lora_b"]
        assert np.allclose(alpha / a.shape[0] * (b @ a), files[1][name] - files[0][name], atol=1e-5), name


def _tensors(model: Path, tmp_path: Path) -> dict[str, np.ndarray]:
    from regrow.model.gguf_writing import written

    made = written(*weights.load(model), "F32")
    (tmp_path / "file.gguf").write_bytes(gguf_bytes(made.metadata, made.tensors))
    return {one.name: np.array(one.data) for one in library.GGUFReader(tmp_path / "file.gguf").tensors}


def test_ranks_of_their_own_are_told_by_the_shapes(tmp_path: Path) -> None:
    base = folder(tmp_path / "base")
    other = adapter(tmp_path / "adapter", base, rank_pattern={"k_proj": 2})
    path = other / "adapter_model.safetensors"
    tensors = load_file(path)
    for key in [key for key in tensors if "k_proj" in key]:
        tensors[key] = (tensors[key][:2] if "lora_A" in key else tensors[key][:, :2]).contiguous()
    save_file(tensors, path)
    assert pairs(*as_gguf(other, base), tmp_path)[0] == 8
    (other / "adapter_config.json").write_text(
        json.dumps({**json.loads((other / "adapter_config.json").read_text()), "use_rslora": True})
    )
    with pytest.raises(InputError, match="an adapter with several alphas"):
        as_gguf(other, base)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"use_dora": True}, "an adapter with `use_dora`"),
        ({"alpha_pattern": {"q_proj": 3}}, "an adapter with several alphas"),
        ({"modules_to_save": ["lm_head"]}, "an adapter with `modules_to_save`"),
        ({"peft_type": "IA3"}, 'adapters of the kind "IA3" cannot be read'),
        ({"bias": "all"}, "the biases of the base were trained"),
        ({"lora_alpha": "much"}, "`lora_alpha` of the adapter makes no sense"),
    ],
)
def test_what_a_file_cannot_tell_is_refused(said: dict[str, Any], what: str, tmp_path: Path) -> None:
    base = folder(tmp_path / "base")
    with pytest.raises(InputError, match=what):
        as_gguf(adapter(tmp_path / "adapter", base, **said), base)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t | {f"{PREFIX}model.embed_tokens.lora_embedding_A": torch.zeros(4, 300)}, "embed_tokens"),
        (lambda t: t | {f"{PREFIX}lm_head.lora_A.weight": torch.zeros(4, 64)}, "one matrix and not two"),
        (lambda t: {key.replace("layers.1", "layers.7"): x for key, x in t.items()}, "the base has no matrix"),
        (lambda t: {key: x[:, :3].contiguous() for key, x in t.items()}, "and the base has"),
        (lambda t: {}, "there are no tensors in it"),
        (lambda t: {key: x.to(torch.int8) for key, x in t.items()}, "is of the type I8"),
    ],
)
def test_what_does_not_fit_the_base_is_named(change: Any, why: str, tmp_path: Path) -> None:
    base = folder(tmp_path / "base")
    other = adapter(tmp_path / "adapter", base)
    tensors = change(load_file(other / "adapter_model.safetensors"))
    save_file(tensors, other / "adapter_model.safetensors")
    with pytest.raises(InputError) as error:
        as_gguf(other, base)
    assert why in str(error.value)


def test_files_of_strangers_are_read_with_care(tmp_path: Path) -> None:
    base = folder(tmp_path / "base")
    other = adapter(tmp_path / "adapter", base)
    (other / "adapter_model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match=r"`adapter_model.safetensors` cannot be read"):
        as_gguf(other, base)
    for text in ("[]", "{", "[" * 100_000, '{"a": "' + "x" * (1 << 20)):
        (other / "adapter_config.json").write_text(text)
        with pytest.raises(InputError, match=r"`adapter_config.json` of the adapter"):
            as_gguf(other, base)
    with pytest.raises(InputError, match="there is no adapter"):
        copied(base, tmp_path)


def test_a_copy_names_the_base_that_was_asked_for(tmp_path: Path) -> None:
    base = folder(tmp_path / "base")
    other = adapter(tmp_path / "adapter", base)
    for name, output in (("", "same"), ("org/name", "named")):
        (tmp_path / output).mkdir()
        copied(other, tmp_path / output, name)
        text = (tmp_path / output / "adapter_config.json").read_text()
        said = json.loads(text)
        assert said["base_model_name_or_path"] == (name or "somebody/base")
        assert list(said) == sorted(said)
        assert {**said, "base_model_name_or_path": ""} == {
            **json.loads((other / "adapter_config.json").read_text()), "base_model_name_or_path": "",
        }  # fmt: skip
        tensors = (tmp_path / output / "adapter_model.safetensors").read_bytes()
        assert tensors == (other / "adapter_model.safetensors").read_bytes()


def test_peft_reads_the_copy(tmp_path: Path) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    base = folder(tmp_path / "base")
    other = adapter(tmp_path / "adapter", base, use_rslora=True)
    (tmp_path / "copy").mkdir()
    copied(other, tmp_path / "copy", str(base))
    plain = transformers.AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        found = peft.PeftModel.from_pretrained(plain, tmp_path / "copy")(torch.tensor([[5, 9, 30]])).logits
        whole = transformers.AutoModelForCausalLM.from_pretrained(merged(tmp_path / "merged", base, other))
        wanted = whole(torch.tensor([[5, 9, 30]])).logits
    assert float((found - wanted).abs().max()) < 1e-4
