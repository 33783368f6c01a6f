"""Adapters that PEFT writes, read and merged with the same logits; and those that make no sense, named."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from regrow.errors import InputError
from regrow.model import weights
from regrow.model.adapters import files, modules
from regrow.model.adapters.low_rank import Adapter, fitted, merged, tensors_of, unmerged
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.model.weights import Ends

SHAPE: dict[str, Any] = {
    "vocabulary": 60, "layers": 2, "width": 16, "heads": 2, "kv_heads": 1, "hidden": 24, "context": 32,
}  # fmt: skip
CONFIGS = {
    "llama": DecoderConfig(**SHAPE, tied_embeddings=True),
    "qwen3": DecoderConfig(**SHAPE, head_norm="head", family="qwen3"),
    "gpt2": DecoderConfig(
        **SHAPE | {"kv_heads": 2, "hidden": 64}, family="gpt2", positions="learned", norm="layer", gated=False,
        qkv_bias=True, out_bias=True, mlp_bias=True, activation="gelu_tanh", tied_embeddings=True,
    ),
    "gpt_neox": DecoderConfig(
        **SHAPE | {"kv_heads": 2}, family="gpt_neox", norm="layer", gated=False, qkv_bias=True, out_bias=True,
        mlp_bias=True, activation="gelu", rope_share=0.25, parallel=True,
    ),
}  # fmt: skip
TOKENS = torch.arange(2 * 20).view(2, 20) * 13 % 60

THEIRS: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("llama", {"target_modules": ["q_proj", "down_proj"], "lora_alpha": 16}),
    "every matrix": ("qwen3", {"target_modules": "all-linear"}),
    "a pattern": ("llama", {"target_modules": r".*\.1\..*_proj"}),
    "some layers": ("llama", {"target_modules": ["up_proj"], "layers_to_transform": [1]}),
    "rslora": ("llama", {"target_modules": ["v_proj"], "use_rslora": True, "lora_alpha": 3}),
    "dora": ("llama", {"target_modules": ["k_proj", "o_proj"], "use_dora": True}),
    "patterns": (
        "llama",
        {
            "target_modules": ["q_proj", "v_proj"],
            "rank_pattern": {"v_proj": 2, r"layers\.1\.self_attn\.q_proj": 3},
            "alpha_pattern": {"0.self_attn.q_proj": 32},
        },
    ),
    "a head of its own": ("llama", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    "an embedding beside its head": ("llama", {"target_modules": ["embed_tokens", "q_proj"]}),
    "a head beside its embedding": ("llama", {"target_modules": ["lm_head"]}),
    "norms": ("qwen3", {"target_modules": ["gate_proj"], "modules_to_save": ["model.norm", "embed_tokens"]}),
    "gpt2": ("gpt2", {"target_modules": ["c_attn", "mlp.c_proj"], "fan_in_fan_out": True}),
    "gpt2 dora": ("gpt2", {"target_modules": ["c_fc"], "fan_in_fan_out": True, "use_dora": True}),
    "gpt_neox": ("gpt_neox", {"target_modules": ["query_key_value", "dense"]}),
}


def base(folder: Path, config: DecoderConfig) -> Path:
    """The folder of a base with random numbers everywhere."""
    parameters = initialise(config, 3)
    torch.manual_seed(1)
    weights.save(folder, config, {name: x + torch.randn(x.shape) * 0.1 for name, x in parameters.items()}, Ends(0, 0))
    return folder


def taken(folder: Path, adapter: Path) -> tuple[DecoderConfig, dict[str, Tensor], Adapter]:
    config, parameters = weights.load(folder)
    return config, parameters, fitted(config, files.read(adapter), tensors_of(config, parameters))


SOON = ("lora", "patterns", "dora", "a head of its own", "gpt2")
"""What every run of the tests looks at; the others take as long again."""


@pytest.mark.parametrize(
    "name", [name if name in SOON else pytest.param(name, marks=pytest.mark.slow) for name in THEIRS]
)
def test_what_peft_writes_is_merged_with_its_logits(tmp_path: Path, name: str) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    family, said = THEIRS[name]
    place = base(tmp_path, CONFIGS[family])
    torch.manual_seed(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = transformers.AutoModelForCausalLM.from_pretrained(place)
        model = peft.get_peft_model(model, peft.LoraConfig(r=4, task_type="CAUSAL_LM", **said)).eval()
        with torch.no_grad():
            for parameter in (one for one in model.parameters() if one.requires_grad):
                parameter += torch.randn(parameter.shape) * 0.1
        model.save_pretrained(tmp_path / "adapter")
    expected = model(TOKENS).logits.detach()
    given = taken(place, tmp_path / "adapter")
    for made in (merged, unmerged):
        config, parameters = made(*given)
        torch.testing.assert_close(Decoder(config).logits(parameters, TOKENS), expected, rtol=0, atol=1e-4)
    weights.save(tmp_path, *merged(*given), Ends(0, 0))
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(again(TOKENS).logits.detach(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", CONFIGS)
def test_an_adapter_of_ours_says_the_same_apart_and_merged(tmp_path: Path, family: str) -> None:
    place = base(tmp_path, CONFIGS[family])
    adapter = ours(tmp_path, CONFIGS[family])
    given = taken(place, adapter)
    found = [Decoder(config).logits(x, TOKENS) for config, x in (merged(*given), unmerged(*given))]
    torch.testing.assert_close(*found, rtol=0, atol=1e-4)
    assert not torch.allclose(found[0], Decoder(CONFIGS[family]).logits(weights.load(place)[1], TOKENS), atol=1e-3)


def ours(folder: Path, config: DecoderConfig, **more: Any) -> Path:
    """An adapter beside every matrix, written by us."""
    known = modules.modules(config)
    torch.manual_seed(4)
    tensors: dict[str, Tensor] = {}
    for name in modules.linear(known):
        tensors[f"{name}.lora_A.weight"] = torch.randn(2, known[name].columns)
        tensors[f"{name}.lora_B.weight"] = torch.randn(known[name].rows, 2) * 0.02
    targets = modules.briefly(modules.linear(known), known)
    adapter = folder / "adapter"
    adapter.mkdir()
    settings = files.Settings(2, 4, targets=targets, **more)
    files.write(adapter, settings, tensors, weights.digest(folder), turned=config.family == "gpt2")
    return adapter


def test_a_sum_is_rounded_once(tmp_path: Path) -> None:
    from fractions import Fraction

    place = base(tmp_path, CONFIGS["llama"])
    config, parameters, adapter = taken(place, ours(tmp_path, CONFIGS["llama"]))
    name = "model.layers.1.mlp.up_proj"
    pair = adapter.pairs[name]
    made = tensors_of(config, merged(config, parameters, adapter)[1])[f"{name}.weight"]
    weight = tensors_of(config, parameters)[f"{name}.weight"]
    for i, j in ((0, 0), (5, 7), (23, 15)):
        exact = Fraction(float(weight[i, j])) + 2 * sum(
            Fraction(float(pair.b[i, k])) * Fraction(float(pair.a[k, j])) for k in range(2)
        )
        assert float(made[i, j]) == float(torch.tensor(float(exact), dtype=torch.float64).to(torch.float32))


LLAMA = [f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")]
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another kind": ({"peft_type": "LOHA"}, 'adapters of the kind "LOHA" cannot be read'),
    "biases": ({"bias": "all"}, "the biases of the base were trained"),
    "another base": ({"init_lora_weights": "pissa"}, 'beginning it by "pissa" changed that'),
    "something new": ({"use_qalora": True, "kasa_config": {"a": 1}}, "uses `kasa_config`, `use_qalora`"),
    "no rank": ({"r": None}, "`r` of the adapter makes no sense"),
    "rank of text": ({"r": "8"}, "not a whole number from 1"),
    "another rank": ({"r": 3}, "rank 3"),
    "a target too many": ({"target_modules": [*LLAMA, "wi"]}, "names `wi`, and the adapter changes no such module"),
    "a target too few": ({"target_modules": ["q_proj"]}, "which `target_modules` does not choose"),
    "a rank pattern": ({"rank_pattern": {"wi": 2}}, "`wi` of `rank_pattern` fits no module"),
    "an alpha pattern": ({"alpha_pattern": {"wi": 2}}, "`wi` of `alpha_pattern` fits no module"),
    "no pattern": ({"alpha_pattern": {"(": 2}}, "is no pattern"),
    "an endless pattern": ({"target_modules": "(.*)*x"}, "could take forever"),
    "a module that is not there": ({"modules_to_save": ["lm_head"]}, "holds no such module"),
    "lengths that are not there": ({"use_dora": True}, "no lengths of rows"),
    "lists of lists": ({"target_modules": [["q_proj"]]}, "it is no list of names"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_configuration_says_and_is_not_so_is_named(tmp_path: Path, name: str) -> None:
    more, said = WRONG[name]
    place, adapter = base(tmp_path, CONFIGS["llama"]), ours(tmp_path, CONFIGS["llama"])
    config = json.loads((adapter / files.CONFIG).read_text())
    (adapter / files.CONFIG).write_text(json.dumps({**config, **more}))
    with pytest.raises(InputError) as error:
        taken(place, adapter)
    assert said in str(error.value)


Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
DAMAGE: dict[str, tuple[dict[str, Tensor | None], str]] = {
    "a pair of one": ({Q: None}, "make no pair of matrices"),
    "a module less": ({Q: None, Q.replace("_A", "_B"): None}, "for which the adapter has nothing"),
    "a stranger's module": (
        {"base_model.model.encoder.wi.lora_A.weight": torch.zeros(2, 16)},
        "the base has no module `encoder.wi`",
    ),
    "a name without the prefix": ({"a": torch.zeros(1)}, "does not begin with `base_model.model.`"),
    "another width": ({Q: torch.zeros(2, 17)}, "is (2, 17), and not (2, 16)"),
    "no numbers": ({Q: torch.full((2, 16), torch.nan)}, "holds what is no number"),
    "whole numbers": ({Q: torch.zeros(2, 16, dtype=torch.int8)}, "is of the type I8"),
    "a whole module nobody names": ({"base_model.model.model.norm.weight": torch.ones(16)}, "does not name"),
    "another base's table": (
        {"base_model.model.model.embed_tokens.base_layer.weight": torch.zeros(60, 16)},
        "another than this base's",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, name: str) -> None:
    changes, said = DAMAGE[name]
    place, adapter = base(tmp_path, CONFIGS["llama"]), ours(tmp_path, CONFIGS["llama"])
    tensors = load_file(adapter / files.WEIGHTS)
    tensors = {name: x for name, x in {**tensors, **changes}.items() if x is not None}
    save_file(tensors, adapter / files.WEIGHTS)
    with pytest.raises(InputError) as error:
        taken(place, adapter)
    assert said in str(error.value)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    adapter = ours(base(tmp_path, CONFIGS["llama"]), CONFIGS["llama"])
    data = (adapter / files.WEIGHTS).read_bytes()
    for wrong, said in (
        (data[:40], "does not fit into a file"),
        (data + b"more", "belong to no tensor"),
        (b"", "does not fit into a file"),
        ((21).to_bytes(8, "little") + b'{"a":{"dtype":"F32"}}', "lacks dtype, shape or data_offsets"),
    ):
        (adapter / files.WEIGHTS).write_bytes(wrong)
        with pytest.raises(InputError) as error:
            files.read(adapter)
        assert said in str(error.value)
    (adapter / files.WEIGHTS).rename(adapter / "adapter_model.bin")
    with pytest.raises(InputError, match="the adapter has no `adapter_model") as error:
        files.read(adapter)
    assert "could run programs" in str(error.value)
    for text in ("[]", "{", "[" * 100_000, " " * (1 << 21)):
        (adapter / files.CONFIG).write_text(text)
        with pytest.raises(InputError, match=r"`adapter_config.json` of the adapter"):
            files.read(adapter)


def test_there_is_one_adapter(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no adapter"):
        files.find(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / files.CONFIG).write_text("{}")
    with pytest.raises(InputError, match="there are 2 adapters: `a/adapter_config"):
        files.find(tmp_path)
