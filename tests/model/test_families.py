"""Models of every family that transformers makes: the same logits, the same text, and their files both ways."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from regrow.model import sampling, weights
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder
from regrow.model.families import families
from regrow.model.options import OptionError

transformers = pytest.importorskip("transformers")

LLAMA = {
    "vocab_size": 160, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 72, "max_position_embeddings": 96,
}  # fmt: skip
GPT2 = {"vocab_size": 160, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 96}
NEOX = {name: value for name, value in LLAMA.items() if name != "num_key_value_heads"} | {"hidden_size": 64}
OLMO2 = LLAMA | {"pad_token_id": None, "eos_token_id": None}  # a padding token would have no gradient
LONG = {"rope_type": "linear", "rope_theta": 5e3, "factor": 4.0}
LONGER = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 24,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1e3, "factor": 4.0, "original_max_position_embeddings": 24}
TOLD = YARN | {"attention_factor": 1.3, "beta_fast": 4.0, "beta_slow": 1.5, "truncate": False}
DEEP = YARN | {"mscale": 0.7, "mscale_all_dim": 0.4}
GROWING = {"rope_type": "dynamic", "rope_theta": 1e3, "factor": 4.0}
TURNED = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
MODELS = {
    "llama": ("Llama", LLAMA),
    "llama tied": ("Llama", LLAMA | {"tie_word_embeddings": True, "rms_norm_eps": 1e-5}),
    "llama biased": ("Llama", LLAMA | {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"}),
    "llama wide heads": ("Llama", LLAMA | {"head_dim": 16}),
    "llama linear": ("Llama", LLAMA | {"rope_parameters": LONG}),
    "llama 3.1": ("Llama", LLAMA | {"rope_parameters": LONGER}),
    "llama yarn": ("Llama", LLAMA | {"rope_parameters": YARN}),
    "mistral yarn": ("Mistral", LLAMA | {"sliding_window": None, "rope_parameters": DEEP}),
    "qwen2 yarn": ("Qwen2", LLAMA | {"rope_parameters": TOLD}),
    "llama dynamic": ("Llama", LLAMA | {"max_position_embeddings": 24, "rope_parameters": GROWING}),
    "gpt_neox dynamic": (
        "GPTNeoX",
        NEOX | {"max_position_embeddings": 24, "rope_parameters": GROWING | {"partial_rotary_factor": 0.5}},
    ),
    "gpt2": ("GPT2", GPT2),
    "gpt2 untied": ("GPT2", GPT2 | {"tie_word_embeddings": False, "n_inner": 40, "activation_function": "gelu"}),
    "gpt_neox": ("GPTNeoX", NEOX),
    "gpt_neox in turn": ("GPTNeoX", NEOX | {"use_parallel_residual": False, "tie_word_embeddings": True}),
    "gpt_neox half": ("GPTNeoX", NEOX | {"rope_parameters": TURNED, "attention_bias": False}),
    "olmo2": ("Olmo2", OLMO2),
    "olmo2 biased": ("Olmo2", OLMO2 | {"attention_bias": True, "tie_word_embeddings": True, "rms_norm_eps": 1e-6}),
    "mistral": ("Mistral", LLAMA | {"sliding_window": None}),
    "mistral wide heads": ("Mistral", LLAMA | {"sliding_window": None, "head_dim": 16, "rms_norm_eps": 1e-5}),
    "qwen2": ("Qwen2", LLAMA),
    "qwen2 tied": ("Qwen2", LLAMA | {"tie_word_embeddings": True, "num_hidden_layers": 3, "rope_parameters": LONG}),
    "qwen3": ("Qwen3", LLAMA | {"head_dim": 16}),
    "qwen3 biased": ("Qwen3", LLAMA | {"head_dim": 8, "attention_bias": True, "tie_word_embeddings": True}),
}
TOKENS = (torch.arange(2 * 70).view(2, 70) * 37 + 5) % 160


def made(name):
    """A model with random numbers everywhere, gains and biases included, large enough for the logits to differ."""
    family, values = MODELS[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**values)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * (0.1 if parameter.dim() == 2 else 0.3))
            if parameter.dim() == 1:
                parameter += 0.5
    return model


@pytest.fixture(params=list(MODELS))
def model(request, tmp_path):
    """A model of transformers, and the folder that it was written to."""
    model = made(request.param)
    model.save_pretrained(tmp_path / "theirs")
    return model, tmp_path / "theirs"


def test_logits_are_those_of_transformers(model):
    theirs, folder = model
    config, parameters = weights.load(folder)
    assert config.shapes() == {name: tuple(values.shape) for name, values in parameters.items()}
    with torch.no_grad():
        wanted = theirs(TOKENS).logits
        found = Decoder(config).logits(parameters, TOKENS)
    assert float(wanted.std()) > 0.25
    assert float((found - wanted).abs().max()) < 1e-3


@pytest.mark.parametrize("name", ["llama 3.1", "gpt2", "gpt_neox", "mistral", "olmo2", "qwen2", "qwen3"])
def test_greedy_text_is_that_of_transformers(name, tmp_path):
    theirs = made(name)
    theirs.save_pretrained(tmp_path)
    config, parameters = weights.load(tmp_path)
    prompt = TOKENS[0, :10].tolist()
    greedy = list(sampling.generate(Decoder(config), parameters, prompt, 64, sampling.Sampling(temperature=0.0)))
    asked = {"max_new_tokens": 64, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    assert theirs.generate(torch.tensor([prompt]), **asked)[0, 10:].tolist() == greedy


def test_loss_and_gradients_are_those_of_transformers_but_for_the_grid(model):
    theirs, folder = model
    config, parameters = weights.load(folder)
    leaves = {name: values.requires_grad_() for name, values in parameters.items()}
    loss = Decoder(config)(leaves, TOKENS)
    loss.backward()
    wanted = theirs(TOKENS, labels=TOKENS).loss
    wanted.backward()
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-3)
    found = weights.to_hugging_face(config, {name: values.grad for name, values in leaves.items()})
    for name, parameter in theirs.named_parameters():
        ours = found["embed_out.weight" if (config.family, name) == ("gpt_neox", "lm_head.weight") else name]
        # Of the biases of keys nothing but rounding is left: they add the same to all scores of a query.
        assert float((ours - parameter.grad).norm()) < 1e-2 * float(parameter.grad.norm()) + 1e-4, name


def test_files_go_both_ways_without_a_bit_lost(model, tmp_path):
    theirs, folder = model
    config, parameters = weights.load(folder)
    (tmp_path / "ours").mkdir()
    weights.save(tmp_path / "ours", config, parameters, weights.Ends.both(3))
    before, after = (load_file(one / weights.WEIGHTS) for one in (folder, tmp_path / "ours"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    again, same = weights.load(tmp_path / "ours")
    assert again == config
    assert all(torch.equal(same[name], parameters[name]) for name in parameters)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.float32)
    assert type(loaded) is type(theirs)
    with torch.no_grad():
        assert torch.equal(loaded(TOKENS).logits, theirs(TOKENS).logits)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_numbers_of_fewer_bits_are_widened_to_the_same_numbers(name, kind, tmp_path):
    made(name).to(kind).save_pretrained(tmp_path)
    there = load_file(tmp_path / weights.WEIGHTS)
    assert {values.dtype for values in there.values()} == {kind}
    config, parameters = weights.load(tmp_path)
    found = weights.to_hugging_face(config, parameters)
    assert all(found[tensor].dtype == torch.float32 for tensor in found)
    assert all(torch.equal(found[tensor], there[tensor].float()) for tensor in there)


@pytest.mark.parametrize(
    ("family", "older", "options"),
    [
        ("llama", {"rope_theta": 5e5}, {"rope_theta": 5e5}),
        ("llama", {"rope_theta": 500000}, {"rope_theta": 5e5}),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, {"rope_scaling": "linear", "rope_factor": 2.0}),
        ("llama", {"rope_scaling": None, "num_key_value_heads": None}, {"kv_heads": 4}),
        (
            "llama",
            {"rope_scaling": {"type": "yarn", "factor": None, "original_max_position_embeddings": 24}},
            {"rope_factor": 4.0, "rope_original_context": 24, "rope_attention_factor": 0.0, "context": 96},
        ),
        ("llama", {"rope_scaling": {"type": "yarn", "factor": 4.0}}, {"rope_original_context": 96, "context": 96}),
        (
            "llama",
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}, "original_max_position_embeddings": 48},
            {"rope_original_context": 48},
        ),
        (
            "llama",
            {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
            {"rope_original_context": 96, "context": 192, "rope_scaling": "dynamic"},
        ),
        ("gpt_neox", {"rotary_pct": 0.5, "rotary_emb_base": 100}, {"rope_share": 0.5, "rope_theta": 100.0}),
        ("gpt2", {"n_inner": None}, {"hidden": 192, "positions": "learned"}),
    ],
)
def test_older_spellings_are_understood(family, older, options):
    given = {"llama": LLAMA | {"rms_norm_eps": 1e-6}, "gpt2": GPT2, "gpt_neox": NEOX}[family]
    config = families()[family].read(given | older)
    assert {name: getattr(config, name) for name in options} == options
    assert type(config.rope_theta) is float


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"rope_type": "longrope", "factor": 2.0}, "must be one of `default`, `linear`"),
        ({"rope_type": "proportional"}, 'not "proportional"'),
        ({"rope_type": "linear"}, "must be a number, not null"),
        ({"rope_type": "dynamic"}, "must be a number, not null"),
        ({"rope_type": "yarn", "factor": 2.0, "truncate": 1}, "must be true or false, not 1"),
        ({"rope_type": "yarn", "factor": 2.0, "beta_fast": 0}, "must be more than 0, not 0"),
        ({"full_attention": {"rope_type": "default"}}, "must be one table, not one for each of `full_attention`"),
    ],
)
def test_positions_that_are_not_known_are_named(table, words):
    with pytest.raises(OptionError, match=words) as caught:
        families()["llama"].read(LLAMA | {"rms_norm_eps": 1e-6, "rope_parameters": table})
    assert caught.value.where.startswith("rope_parameters")


def test_every_module_of_the_folder_is_a_family_by_its_name():
    assert list(families()) == ["gpt2", "gpt_neox", "llama", "mistral", "olmo2", "qwen2", "qwen3", "regrow"]


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "olmo2", "qwen2", "qwen3"])
def test_a_decoder_that_a_family_does_not_have_is_not_written(family, tmp_path):
    llama = DecoderConfig(
        vocabulary=9, layers=1, width=8, heads=2, kv_heads=1, hidden=8, context=4, family=family, activation="gelu"
    )
    with pytest.raises(OptionError, match=f"is not of the kind `{family}`"):
        weights.save(tmp_path, llama, {}, weights.Ends.both(0))
    assert not list(tmp_path.iterdir())


def test_the_files_of_a_gpt2_are_those_that_transformers_would_write(tmp_path):
    made("gpt2").save_pretrained(tmp_path)
    config, parameters = weights.load(tmp_path)
    tensor = load_file(tmp_path / weights.WEIGHTS)["transformer.h.1.attn.c_attn.weight"]
    assert np.array_equal(tensor.numpy().T, parameters["layers.001.attention.qkv"].numpy())
    theirs = json.loads((tmp_path / weights.CONFIG).read_text())
    weights.save(tmp_path, config, parameters, weights.Ends.both(0))
    ours = json.loads((tmp_path / weights.CONFIG).read_text())
    same = ("model_type", "architectures", "n_embd", "n_head", "n_layer", "n_positions", "activation_function")
    assert {name: theirs[name] for name in same} == {name: ours[name] for name in same}
