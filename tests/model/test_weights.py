"""What is said of a folder that holds no model, a foreign one or a damaged one."""

import json
import tracemalloc
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from regrow.errors import InputError
from regrow.model import weights
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.families import families
from regrow.model.options import OptionError
from regrow.release import Release
from regrow.release.files import DamagedError
from regrow.store.digest import sha256_bytes, sha256_file
from regrow.words import listed

LLAMA = DecoderConfig(vocabulary=40, layers=2, width=16, heads=4, kv_heads=2, hidden=24, context=16)
GPT2 = DecoderConfig(
    vocabulary=40, layers=2, width=16, heads=4, kv_heads=4, hidden=24, context=16, positions="learned", norm="layer",
    gated=False, activation="gelu_tanh", qkv_bias=True, out_bias=True, mlp_bias=True, family="gpt2",
)  # fmt: skip


@pytest.fixture(params=[LLAMA, GPT2], ids=lambda config: config.family)
def folder(request, tmp_path):
    weights.save(tmp_path, request.param, initialise(request.param, 1), weights.Ends.both(0))
    return tmp_path


def said(folder):
    with pytest.raises(InputError) as caught:
        weights.load(folder)
    return caught.value


def change(folder, **keys):
    path = folder / weights.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))
    return path


def tensors(folder, change):
    found = load_file(folder / weights.WEIGHTS)
    change(found)
    save_file(found, folder / weights.WEIGHTS)


def test_an_unknown_family_is_named_and_those_there_are(folder):
    path = change(folder, model_type="mamba")
    error = said(folder)
    assert (error.what, error.where) == ('a model of the kind "mamba" cannot be read', f"{path}: model_type")
    assert error.hint == f"known are {listed(families())}"


@pytest.mark.parametrize("value", [None, 3, [], {}, ["llama"]])
def test_a_family_that_is_no_text_is_unknown(value, folder):
    change(folder, model_type=value)
    assert "cannot be read" in said(folder).what


def test_no_family_is_said(folder):
    (folder / weights.CONFIG).write_text("{}")
    assert said(folder).why == "`config.json` has no `model_type`"


def test_a_missing_key_is_named(folder):
    path = folder / weights.CONFIG
    values = json.loads(path.read_text())
    del values["vocab_size"]
    path.write_text(json.dumps(values))
    error = said(folder)
    assert (error.what, error.where) == ("missing", f"{path}: vocab_size")


def test_missing_tensors_are_named(folder):
    tensors(folder, lambda found: [found.pop(name) for name in sorted(found)[:5]])
    error = said(folder)
    assert error.what == "this model cannot be read"
    assert error.why.startswith("`model.safetensors` lacks `")
    assert error.why.endswith("and 2 more")


def test_extra_tensors_are_named(folder):
    tensors(folder, lambda found: found.update(b=torch.ones(1), a=torch.ones(1)))
    assert "has tensors that such a model does not have: `a`, `b`" in said(folder).why


def test_a_wrong_shape_is_told_with_the_right_one(folder):
    name = min(load_file(folder / weights.WEIGHTS))
    shape = tuple(load_file(folder / weights.WEIGHTS)[name].shape)
    tensors(folder, lambda found: found.update({name: torch.ones(3, 5)}))
    assert f"`{name}` is (3, 5), not {shape}" in said(folder).why


@pytest.mark.parametrize("kind", [torch.float64, torch.int8])
def test_numbers_of_another_type_are_refused(kind, folder):
    name = min(load_file(folder / weights.WEIGHTS))
    tensors(folder, lambda found: found.update({name: found[name].to(kind)}))
    assert f"`{name}` holds numbers of the type {'F64' if kind is torch.float64 else 'I8'}" in said(folder).why


def test_shapes_are_looked_at_before_anything_is_made(folder):
    change(folder, max_position_embeddings=2**17, n_positions=2**17, vocab_size=2**24)
    assert "the shapes of its tensors are not those that config.json tells" in said(folder).why


@pytest.mark.parametrize("cut", [0, 7, 100, -1])
def test_a_file_that_was_cut_is_damaged(cut, folder):
    path = folder / weights.WEIGHTS
    path.write_bytes(path.read_bytes()[:cut])
    assert said(folder).why.startswith("`model.safetensors`: ")


def test_a_folder_in_place_of_the_weights_is_no_traceback(folder):
    (folder / weights.WEIGHTS).unlink()
    (folder / weights.WEIGHTS).mkdir()
    assert said(folder).what == "this model cannot be read"


INDEX = "model.safetensors.index.json"


def test_weights_in_several_files_are_one(folder):
    transformers = pytest.importorskip("transformers")
    config, whole = weights.load(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    (folder / weights.WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="5KB")
    assert (folder / INDEX).exists() and len(list(folder.glob("model-*.safetensors"))) > 2
    again, parts = weights.load(folder)
    assert again == config
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    sorted(folder.glob("model-*.safetensors"))[1].unlink()
    assert "lists, `model-00002-of" in said(folder).why


@pytest.mark.parametrize(
    "index",
    ["{}", '{"weight_map": {}}', '{"weight_map": {"a": "../model.safetensors"}}', '{"weight_map": {"a": 3}}', "["],
)
def test_an_index_that_lists_nothing_is_damaged(folder, index):
    (folder / weights.WEIGHTS).rename(folder.parent / "model.safetensors")
    (folder / INDEX).write_text(index)
    assert f"`{INDEX}`" in said(folder).why


def test_a_huge_configuration_is_not_read(folder):
    (folder / weights.CONFIG).write_text(" " * (1 << 20) + "{}")
    assert "longer than any configuration" in said(folder).why


@pytest.mark.parametrize(
    ("keys", "where", "words"),
    [
        ({"hidden_act": "relu"}, "hidden_act", "must be one of `silu`, `swish`, `gelu`"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "rope_parameters.rope_type", 'not "longrope"'),
        ({"rope_parameters": 3}, "rope_parameters", "must be a table, not 3"),
        ({"rope_parameters": {"rope_type": "linear"}}, "rope_parameters.factor", "must be a number, not null"),
        ({"rope_parameters": None, "rope_scaling": {"type": "longrope"}}, "rope_scaling.type", 'not "longrope"'),
        ({"rope_parameters": None, "rope_theta": "1"}, "rope_theta", 'must be a number, not "1"'),
        ({"head_dim": 3, "num_key_value_heads": 4}, "head_dim", "not even"),
    ],
)
def test_a_llama_that_is_not_known_here_names_the_key(keys, where, words, tmp_path):
    weights.save(tmp_path, LLAMA, initialise(LLAMA, 1), weights.Ends.both(0))
    path = change(tmp_path, **keys)
    error = said(tmp_path)
    assert (error.where, words in error.what) == (f"{path}: {where}", True)
    assert error.hint


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("n_head", 3, "3 heads do not divide the width 16"),
        ("n_inner", 0, "must be at least 1, not 0"),
        ("layer_norm_epsilon", 0.0, "must be more than 0, not 0.0"),
        ("scale_attn_by_inverse_layer_idx", True, "must be false, not true"),
        ("activation_function", "relu", 'not "relu"'),
    ],
)
def test_a_gpt2_that_is_not_known_here_names_the_key(key, value, words, tmp_path):
    weights.save(tmp_path, GPT2, initialise(GPT2, 1), weights.Ends.both(0))
    path = change(tmp_path, **{key: value})
    error = said(tmp_path)
    assert (error.where, words in error.what) == (f"{path}: {key}", True)


def test_there_is_no_writing_for_a_family_that_is_not_there(tmp_path):
    other = DecoderConfig(vocabulary=4, layers=1, width=4, heads=2, kv_heads=2, hidden=4, context=4, family="other")
    with pytest.raises(OptionError, match="there is no family `other`"):
        weights.save(tmp_path, other, {}, weights.Ends.both(0))


def test_large_weights_are_several_files_and_an_index_and_read_as_one(tmp_path):
    parameters = initialise(LLAMA, 1)
    weights.save(tmp_path, LLAMA, parameters, weights.Ends.both(0), largest=3000)
    names = weights.files(tmp_path)
    assert len(names) > 2
    assert names[0] == f"model-00001-of-{len(names):05}.safetensors"
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(4 * p.numel() for p in parameters.values())
    _, found = weights.load(tmp_path)
    assert all(torch.equal(found[name], p) for name, p in parameters.items())
    assert Release.at(tmp_path).facts["parameters"] == sum(p.numel() for p in parameters.values())
    lines = "".join(f"{sha256_file(tmp_path / name)}  {name}\n" for name in names)
    assert weights.digest(tmp_path) == sha256_bytes(lines.encode())


def test_one_of_several_files_that_is_not_there_is_named(tmp_path):
    weights.save(tmp_path, LLAMA, initialise(LLAMA, 1), weights.Ends.both(0), largest=3000)
    gone = weights.files(tmp_path)[1]
    (tmp_path / gone).unlink()
    assert gone in said(tmp_path).why
    with pytest.raises(DamagedError, match="no such file"):
        Release.at(tmp_path).facts  # noqa: B018


def test_weights_are_written_without_a_copy_of_them(tmp_path):
    config = replace(LLAMA, vocabulary=60_000, width=64)
    parameters = initialise(config, 1)
    tracemalloc.start()
    weights.save(tmp_path, config, parameters, weights.Ends.both(0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20 < (tmp_path / weights.WEIGHTS).stat().st_size / 3


def test_a_model_that_runs_keeps_matrices_of_bfloat16_as_they_are(folder):
    config, made = weights.load(folder)
    weights.save(folder, config, made, weights.Ends.both(0), dtype="bfloat16")
    (_, wide), (_, kept) = weights.load(folder), weights.load_weights(folder)
    assert {name for name, x in kept.items() if x.dtype == torch.bfloat16} == {
        name for name, x in wide.items() if x.dim() == 2
    }
    assert all(torch.equal(kept[name].to(torch.float32), x) for name, x in wide.items())


def test_a_parameter_out_of_pieces_of_several_kinds_is_float32(tmp_path):
    weights.save(tmp_path, LLAMA, initialise(LLAMA, 1), weights.Ends.both(0), dtype="bfloat16")
    mixed = "model.layers.0.self_attn.k_proj.weight"
    tensors(tmp_path, lambda found: found.update({mixed: found[mixed].to(torch.float16)}))
    (_, wide), (_, kept) = weights.load(tmp_path), weights.load_weights(tmp_path)
    assert kept["layers.000.attention.qkv"].dtype == torch.float32
    assert kept["layers.001.attention.qkv"].dtype == torch.bfloat16
    assert all(torch.equal(kept[name].to(torch.float32), x) for name, x in wide.items())
