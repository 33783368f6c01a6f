"""GGUF files, written here as llama.cpp's converter lays them out: the same decoder with the same numbers."""

import gguf as library
import numpy as np
import pytest
import torch

from regrow.errors import InputError
from regrow.formats.gguf_writer import gguf_bytes
from regrow.model import gguf, weights
from regrow.model.gguf_writing import written

from ..exporting.models import config, numbers
from .test_families import MODELS, made

ARCHITECTURES = {
    "llama": "llama", "llama tied": "llama", "llama wide heads": "llama", "llama linear": "llama", "qwen2": "qwen2",
    "qwen2 tied": "qwen2", "qwen3": "qwen3", "olmo2": "olmo2", "gpt2": "gpt2", "gpt_neox": "gptneox",
    "gpt_neox half": "gptneox", "mistral": "llama",
}  # fmt: skip


def laid_out(name, key, values, config):
    """A tensor of Hugging Face's as it lies in a file."""
    architecture = ARCHITECTURES[name]
    if architecture == "llama" and ("q_proj" in key or "k_proj" in key):
        heads = config.num_attention_heads if "q_proj" in key else config.num_key_value_heads
        return values.view(heads, 2, values.shape[0] // heads // 2, -1).transpose(1, 2).reshape(values.shape)
    if architecture == "gpt2" and values.dim() == 2 and ".c_" in key:
        return values.T
    if architecture == "gptneox" and "query_key_value" in key:
        heads = config.num_attention_heads
        return values.view(heads, 3, -1).transpose(0, 1).reshape(values.shape)
    return values


def write(path, name, model, quantised=None, **more):
    """The file of a model; a `quantised` type is for its matrices."""
    architecture, config = ARCHITECTURES[name], model.config
    writer = library.GGUFWriter(path, architecture)
    layers, width, heads = config.num_hidden_layers, config.hidden_size, config.num_attention_heads
    hidden = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * width
    numbers = {
        "block_count": layers, "embedding_length": width, "attention.head_count": heads, "feed_forward_length": hidden,
        "context_length": config.max_position_embeddings,
    }  # fmt: skip
    rope = getattr(config, "rope_parameters", None) or {}
    epsilon = getattr(config, "rms_norm_eps", None)
    if epsilon is None:
        epsilon = getattr(config, "layer_norm_eps", None) or config.layer_norm_epsilon
        writer.add_float32(f"{architecture}.attention.layer_norm_epsilon", epsilon)
    else:
        writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", epsilon)
    if keys := getattr(config, "num_key_value_heads", None):
        numbers["attention.head_count_kv"] = keys
    if getattr(config, "head_dim", None):
        numbers["attention.key_length"] = numbers["attention.value_length"] = config.head_dim
    if rope:
        turned = rope.get("partial_rotary_factor", 1.0) * (getattr(config, "head_dim", None) or width // heads)
        numbers["rope.dimension_count"] = int(turned)
        writer.add_float32(f"{architecture}.rope.freq_base", rope["rope_theta"])
        if rope["rope_type"] == "linear":
            writer.add_string(f"{architecture}.rope.scaling.type", "linear")
            writer.add_float32(f"{architecture}.rope.scaling.factor", rope["factor"])
    if architecture == "gptneox":
        writer.add_bool("gptneox.use_parallel_residual", config.use_parallel_residual)
    for key, number in {**numbers, **more}.items():
        writer.add_uint32(f"{architecture}.{key}", number)
    arch = next(one for one, called in library.MODEL_ARCH_NAMES.items() if called == architecture)
    names, stored = library.get_tensor_name_map(arch, layers), {}
    for key, values in model.state_dict().items():
        tied = getattr(config, "tie_word_embeddings", False) and key in ("lm_head.weight", "embed_out.weight")
        if tied or key.endswith((".attn.bias", "masked_bias", "inv_freq")):
            continue
        stored[key] = laid_out(name, key, values, config).contiguous().numpy()
        called = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if quantised is not None and values.dim() == 2:
            data = library.quants.quantize(stored[key], quantised)
            writer.add_tensor(called, data, raw_dtype=quantised)
        else:
            writer.add_tensor(called, stored[key])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_file_is_the_model_that_it_was_made_of(name, tmp_path):
    model = made(name)
    model.save_pretrained(tmp_path)
    write(tmp_path / "model.gguf", name, model)
    config, parameters = weights.load(tmp_path)
    found = gguf.load(tmp_path / "model.gguf")
    assert found.parameters.keys() == parameters.keys()
    assert all(torch.equal(found.parameters[one], parameters[one]) for one in parameters)
    alike = {**vars(config), "family": "", "rope_original_context": 0}
    assert {**vars(found.config), "family": "", "rope_original_context": 0} == alike
    assert found.config.family == ("llama" if name == "mistral" else config.family)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_numbers_are_those_that_the_blocks_stand_for(kind, tmp_path):
    MODELS["wider"] = (MODELS["llama"][0], MODELS["llama"][1] | {"hidden_size": 64, "intermediate_size": 96})
    ARCHITECTURES["wider"] = "llama"
    try:
        model = made("wider")
        write(tmp_path / "model.gguf", "wider", model, library.GGMLQuantizationType[kind])
    finally:
        del MODELS["wider"], ARCHITECTURES["wider"]
    found = gguf.load(tmp_path / "model.gguf").parameters
    down = model.state_dict()["model.layers.1.mlp.down_proj.weight"].numpy()
    type = library.GGMLQuantizationType[kind]
    wanted = library.quants.dequantize(library.quants.quantize(down, type), type)
    assert np.array_equal(found["layers.001.mlp.down"].numpy(), wanted)
    assert not np.array_equal(wanted, down)
    norm = model.state_dict()["model.layers.1.post_attention_layernorm.weight"]
    assert torch.equal(found["layers.001.mlp.norm"], norm)


def fused(path, rows=slice(None)):
    """The same file, with queries, keys and values of each layer as one."""
    reader = library.GGUFReader(path)
    writer = library.GGUFWriter(path.with_suffix(".fused"), reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if not key.startswith(("GGUF.", "general.architecture")):
            writer.add_key_value(key, field.contents(), field.types[0])
    stored = {one.name: one for one in reader.tensors}
    for name, one in stored.items():
        if ".attn_q." in name:
            parts = [stored[name.replace("attn_q", f"attn_{part}")] for part in "qkv"]
            data = np.concatenate([part.data for part in parts])[rows]
            writer.add_tensor(name.replace("attn_q", "attn_qkv"), data, raw_dtype=one.tensor_type)
        elif ".attn_k." not in name and ".attn_v." not in name:
            writer.add_tensor(name, one.data, raw_dtype=one.tensor_type)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    return path.with_suffix(".fused")


@pytest.mark.parametrize(("family", "type"), [("llama", "Q8_0"), ("llama", "F32"), ("qwen2", "Q4_0")])
def test_queries_keys_and_values_may_be_one(family, type, tmp_path):
    """As the converter writes them where it is asked to; those of a Llama are turned as they are alone."""
    made = config(family, qkv_bias=True, out_bias=family == "llama")
    whole = written(made, numbers(made), type)
    (tmp_path / "model.gguf").write_bytes(gguf_bytes(whole.metadata, whole.tensors))
    alone, joined = gguf.load(tmp_path / "model.gguf"), gguf.load(fused(tmp_path / "model.gguf"))
    assert joined.config == alone.config
    assert all(torch.equal(joined.parameters[name], x) for name, x in alone.parameters.items())
    with pytest.raises(InputError, match=r"`blk.0.attn_qkv.weight` is \(96, 64\), and the keys tell of 128 rows"):
        gguf.load(fused(tmp_path / "model.gguf", rows=slice(96)))


def test_what_is_not_known_is_named(tmp_path):
    path = tmp_path / "model.gguf"
    writer = library.GGUFWriter(path, "mamba")
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), np.float32))
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    with pytest.raises(InputError, match='of the architecture "mamba" cannot be read'):
        gguf.load(path)
    model = made("llama")
    write(path, "llama", model, **{"attention.key_length": 20})
    with pytest.raises(InputError, match="the keys tell of"):
        gguf.load(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="cannot be read"):
        gguf.load(path)
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(InputError, match="does not begin with"):
        gguf.load(path)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("rope.dimension_count", "x", 'must be a number, not "x"'),
        ("attention.key_length", "x", 'must be a number, not "x"'),
        ("rope.freq_base", [10_000.0, 500_000.0], "layers that are not all alike are not known here"),
        ("context_length", [96, 96], "layers that are not all alike are not known here"),
        ("attention.head_count_kv", [2, 2], "layers that are not all alike are not known here"),
        ("block_count", None, "missing"),
        ("rope.freq_base", -1.0, "must be at least 1"),
    ],
)
def test_a_key_of_another_type_is_told_by_its_name_in_the_file(key, value, why, tmp_path, monkeypatch):
    plain = library.GGUFWriter.add_key_value

    def changed(writer, name, said, kind, **more):
        if name != f"llama.{key}":
            plain(writer, name, said, kind, **more)
        elif value is not None:
            plain(writer, name, value, library.GGUFValueType.get_type(value))

    monkeypatch.setattr(library.GGUFWriter, "add_key_value", changed)
    model = made("llama")
    write(tmp_path / "model.gguf", "llama", model, **({key: 12} if key == "attention.key_length" else {}))
    with pytest.raises(InputError, match=why) as error:
        gguf.load(tmp_path / "model.gguf")
    assert error.value.where.endswith(f"model.gguf: llama.{key}")
