"""The decoder and its files: known bits, exact round trips, and the same answers from transformers."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from regrow.errors import InputError
from regrow.exact.layers import rotary_tables
from regrow.formats.safetensors import safetensors_bytes
from regrow.model import sampling, weights
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, initialise
from regrow.serve.generate import Generator
from regrow.store.digest import sha256_bytes

CONFIG = DecoderConfig(vocabulary=320, layers=3, width=64, heads=4, kv_heads=2, hidden=96, context=128)
UNTIED = DecoderConfig(**{**CONFIG.__dict__, "tied_embeddings": False, "kv_heads": 4})


def scaled(config, seed=1):
    """Parameters large enough for the logits to differ visibly."""
    return {n: p * (3.0 if p.dim() > 1 else 1.0) for n, p in initialise(config, seed).items()}


def test_initial_parameters_are_known():
    data = safetensors_bytes(initialise(CONFIG, 1))
    assert sha256_bytes(data) == "8c5f851616af76f4fc98ba77e1eb20ba893ed399c1af80bb45ca2947095472e4"


def test_initial_parameters_depend_on_the_seed_and_have_their_deviations():
    one, two = initialise(CONFIG, 1), initialise(CONFIG, 2)
    assert not torch.equal(one["embed"], two["embed"])
    assert float(one["embed"].std()) == pytest.approx(0.02, rel=0.03)
    assert float(one["layers.000.mlp.down"].std()) == pytest.approx(0.02 / 6**0.5, rel=0.05)
    assert torch.equal(one["norm"], torch.ones(64))


@pytest.mark.parametrize("config", [CONFIG, UNTIED], ids=["tied", "untied"])
def test_files_round_trip_to_the_bit(config, tmp_path):
    parameters = scaled(config)
    weights.save(tmp_path, config, parameters, weights.Ends.both(0))
    found_config, found = weights.load(tmp_path)
    assert found_config == config
    assert found.keys() == parameters.keys()
    assert all(torch.equal(found[name], parameters[name]) for name in parameters)
    again = safetensors_bytes(weights.to_hugging_face(config, found))
    assert again == (tmp_path / "model.safetensors").read_bytes()


def test_safetensors_has_exactly_these_bytes_and_the_library_reads_them(tmp_path):
    data = safetensors_bytes({"b": torch.tensor([[1.0, -0.0]]), "a": torch.tensor([2.5])})
    header = (
        b'{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"b":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]}}'
    )
    header += b" " * (-len(header) % 8)
    numbers = np.array([2.5, 1.0, 0.0], "<f4").tobytes()
    assert data == len(header).to_bytes(8, "little") + header + numbers
    (tmp_path / "x.safetensors").write_bytes(data)
    with safe_open(tmp_path / "x.safetensors", "pt") as opened:
        assert set(opened.keys()) == {"a", "b"}
        assert opened.get_tensor("b").tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors"])
def test_a_folder_without_a_model_is_a_clear_error(broken, tmp_path):
    weights.save(tmp_path, CONFIG, initialise(CONFIG, 1), weights.Ends.both(0))
    (tmp_path / broken).unlink()
    with pytest.raises(InputError, match="is not a model"):
        weights.load(tmp_path)


def test_a_damaged_model_is_a_clear_error(tmp_path):
    weights.save(tmp_path, CONFIG, initialise(CONFIG, 1), weights.Ends.both(0))
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 30)
    with pytest.raises(InputError, match="cannot be read"):
        weights.load(tmp_path)


@pytest.mark.parametrize(
    "text", ["[]", "{", "[" * 99_999, '{"vocab_size": 3}', "\x00", None], ids=lambda text: repr(text)[:9]
)
def test_a_damaged_configuration_is_a_clear_error(text, tmp_path):
    weights.save(tmp_path, CONFIG, initialise(CONFIG, 1), weights.Ends.both(0))
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").mkdir() if text is None else (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match="cannot be read") as caught:
        weights.load(tmp_path)
    assert caught.value.where == str(tmp_path)


def test_a_configuration_of_another_model_is_a_clear_error(tmp_path):
    weights.save(tmp_path, CONFIG, initialise(CONFIG, 1), weights.Ends.both(0))
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"num_attention_heads": 4', '"num_attention_heads": 8'))
    with pytest.raises(InputError, match="cannot be read") as caught:
        weights.load(tmp_path)
    assert "shapes of its tensors" in caught.value.why


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("max_position_embeddings", 0, "must be at least 2, not 0"),
        ("max_position_embeddings", -5, "must be at least 2, not -5"),
        ("max_position_embeddings", 10**12, "must be at most 131072, not 1000000000000"),
        ("max_position_embeddings", 10**400, "must be at most 131072"),
        ("max_position_embeddings", 128.5, "must be a whole number, not 128.5"),
        ("max_position_embeddings", 128.0, "must be a whole number, not 128.0"),
        ("max_position_embeddings", float("inf"), "must be a whole number"),
        ("max_position_embeddings", "128", 'must be a whole number, not "128"'),
        ("max_position_embeddings", True, "must be a whole number, not true"),
        ("max_position_embeddings", None, "must be a whole number, not null"),
        ("vocab_size", 0, "must be at least 1, not 0"),
        ("vocab_size", 320.0, "must be a whole number, not 320.0"),
        ("num_hidden_layers", 0, "must be at least 1, not 0"),
        ("num_hidden_layers", 10**9, "must be at most 4096"),
        ("hidden_size", 0, "must be at least 2, not 0"),
        ("num_attention_heads", 0, "must be at least 1, not 0"),
        ("num_attention_heads", 3, "3 heads do not divide the width 64"),
        ("num_key_value_heads", 3, "3 key and value heads do not divide 4 heads"),
        ("intermediate_size", -1, "must be at least 1, not -1"),
        ("tie_word_embeddings", 1, "must be true or false, not 1"),
        ("rms_norm_eps", 0, "must be more than 0, not 0"),
        ("rms_norm_eps", float("nan"), "must be a finite number"),
        ("rope_parameters", {"rope_theta": 0.5}, "must be at least 1, not 0.5"),
    ],
)
def test_a_configuration_beyond_the_bounds_of_a_recipe_names_file_and_key(key, value, words, tmp_path):
    weights.save(tmp_path, CONFIG, initialise(CONFIG, 1), weights.Ends.both(0))
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(InputError) as caught:
        weights.load(tmp_path)
    assert words in caught.value.what
    assert caught.value.where in (f"{path}: {key}", f"{path}: {key}.rope_theta")
    assert "regrow verify" in caught.value.hint


@pytest.mark.parametrize("text", ["{}", "[", '{"model": {"type": "BPE"}}'])
def test_a_damaged_tokenizer_is_a_clear_error(text, tmp_path):
    weights.save(tmp_path, CONFIG, initialise(CONFIG, 1), weights.Ends.both(0))
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(InputError, match="the tokenizer cannot be read") as caught:
        Generator.load(tmp_path)
    assert caught.value.where == str(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("config", [CONFIG, UNTIED], ids=["tied", "untied"])
def test_transformers_loads_it_and_agrees(config, tmp_path):
    transformers = pytest.importorskip("transformers")
    parameters = scaled(config)
    weights.save(tmp_path, config, parameters, weights.Ends.both(0))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, trust_remote_code=False)
    tokens = (torch.arange(2 * 100).view(2, 100) * 37) % 320
    with torch.no_grad():
        ours = Decoder(config).logits(parameters, tokens)
        assert float(ours.abs().max()) > 1.0
        assert float((ours - theirs(tokens).logits).abs().max()) < 1e-4
    prompt = tokens[0, :10].tolist()
    greedy = list(sampling.generate(Decoder(config), parameters, prompt, 64, sampling.Sampling(temperature=0.0)))
    generated = theirs.generate(torch.tensor([prompt]), max_new_tokens=64, do_sample=False, eos_token_id=None)
    assert generated[0, 10:].tolist() == greedy


def test_the_configuration_says_what_hugging_face_expects(tmp_path):
    weights.save(tmp_path, CONFIG, initialise(CONFIG, 1), weights.Ends.both(5))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["eos_token_id"] == 5
    assert "auto_map" not in config


def test_rotary_tables_start_at_no_turn_and_match_float64():
    cosine, sine = rotary_tables(CONFIG.context, CONFIG.head_width, CONFIG.rope_theta)
    assert torch.equal(cosine[0], torch.ones(8))
    assert torch.equal(sine[0], torch.zeros(8))
    angles = torch.arange(128)[:, None] * 10000.0 ** (-torch.arange(8) / 8.0)
    assert torch.allclose(cosine, angles.double().cos().float(), atol=2e-5)
    assert torch.allclose(sine, angles.double().sin().float(), atol=2e-5)


def test_sampling_is_a_function_of_its_seed_and_temperature():
    logits = np.array([1.0, 3.0, 2.0, 3.0], np.float32)
    assert sampling.choose(logits, 0.9, sampling.Sampling(temperature=0.0)) == 1
    picks = [
        sampling.choose(logits, draw, sampling.Sampling(1.0, 0)) for draw in (0.0, 0.39, 0.41, 0.79, 0.81, 0.95, 0.96)
    ]
    assert picks == [1, 1, 3, 3, 2, 0, 0]  # shares of tokens 1, 3, 2 and 0: 0.399, 0.399, 0.147, 0.054
    assert {sampling.choose(logits, d / 50, sampling.Sampling(1.0, 2)) for d in range(50)} == {1, 3}
    runs = [
        list(sampling.generate(Decoder(CONFIG), scaled(CONFIG), [1, 2], 12, sampling.Sampling(seed=seed)))
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]
