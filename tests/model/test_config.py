"""The options of a decoder: every combination computes, trains the same on any number of threads, and says its shapes.

python -m pytest tests/model/test_config.py
"""

import dataclasses
import json
import math
import subprocess
import sys
from functools import partial
from typing import Literal, get_args, get_origin

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from regrow.exact.layers import rotary_tables
from regrow.model import rotary
from regrow.model.architecture import Architecture
from regrow.model.config import DecoderConfig, hints
from regrow.model.decoder import Decoder, initialise
from regrow.model.options import OptionError, Within

PLAIN = {"vocabulary": 30, "layers": 2, "width": 16, "heads": 4, "kv_heads": 2, "hidden": 12, "context": 9}
TOKENS = (torch.arange(2 * 10).view(2, 10) * 7 + 3) % 30
NAMED = {name: get_args(hint) for name, hint in hints().items() if get_origin(hint) is Literal}
FLAGS = [name for name, hint in hints().items() if hint is bool]
GPT2 = PLAIN | {
    "kv_heads": 4, "positions": "learned", "norm": "layer", "gated": False, "activation": "gelu_tanh",
    "qkv_bias": True, "out_bias": True, "mlp_bias": True, "family": "gpt2",
}  # fmt: skip
EVERYTHING = {
    "rope_share": 0.5, "head_width": 8, "rope_factor": 2.0, "rope_scaling": "llama3", "rope_original_context": 4,
    **dict.fromkeys(FLAGS, True), **{name: names[-1] for name, names in NAMED.items() if name != "rope_scaling"},
    "positions": "rotary", "layers": 3, "skips": ((0, 2), (1, 2)),
}  # fmt: skip


@st.composite
def configs(draw):
    """Decoders of every combination of options."""
    heads = draw(st.sampled_from([(1, 1), (2, 1), (4, 2), (3, 3)]))
    options = {name: draw(st.sampled_from(names)) for name, names in NAMED.items()}
    options |= {name: draw(st.booleans()) for name in FLAGS}
    options |= {"rope_share": draw(st.sampled_from([1.0, 0.5])), "rope_factor": 4.0, "rope_original_context": 4}
    layers = draw(st.integers(1, 4))
    pairs = [(a, b) for b in range(layers) for a in range(b)]
    options["skips"] = tuple(sorted(draw(st.sets(st.sampled_from(pairs), max_size=3)))) if pairs else ()
    shape = {"layers": layers, "width": 12, "heads": heads[0], "kv_heads": heads[1]}
    return DecoderConfig(**PLAIN | shape | options | {"head_width": draw(st.sampled_from([8, 12]))})


@settings(max_examples=25, deadline=None)
@given(configs())
@example(DecoderConfig(**PLAIN | EVERYTHING))
@example(DecoderConfig(**GPT2))
def test_every_combination_has_the_shapes_it_says_and_a_finite_loss(config):
    parameters = initialise(config, 1)
    assert {name: tuple(values.shape) for name, values in parameters.items()} == config.shapes()
    leaves = {name: values.requires_grad_() for name, values in parameters.items()}
    loss = Decoder(config)(leaves, TOKENS)
    assert float(loss.detach()) == pytest.approx(math.log(30), rel=0.2)
    gradients = torch.autograd.grad(loss, list(leaves.values()))  # no parameter goes unused
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    with torch.no_grad():
        logits = Decoder(config).logits(parameters, TOKENS[:, :-1])
    inferred = torch.nn.functional.cross_entropy(logits.reshape(-1, 30), TOKENS[:, 1:].reshape(-1))
    assert float(inferred) == pytest.approx(float(loss.detach()), abs=2e-3)


@pytest.mark.parametrize("config", [DecoderConfig(**GPT2), DecoderConfig(**PLAIN | EVERYTHING)], ids=["gpt2", "all"])
def test_gains_start_at_1_biases_at_0_and_matrices_with_their_deviations(config):
    for name, values in initialise(
        DecoderConfig(**dataclasses.asdict(config) | {"width": 64, "hidden": 96}), 1
    ).items():
        if values.dim() == 1:
            silent = name.endswith(".bias") or ".skip." in name
            assert torch.equal(values, torch.full_like(values, 0.0 if silent else 1.0)), name
        else:
            deviation = 0.02 / math.sqrt(2 * config.layers) if name.endswith((".out", ".down")) else 0.02
            assert float(values.std()) == pytest.approx(deviation, rel=0.2), name


def by_torch(config, p, tokens):
    """Logits in float64, with torch's operations, from the meaning of the options."""
    p = {name: values.double() for name, values in p.items()}
    functional = torch.nn.functional

    def norm(name, x):
        if config.norm == "layer":
            return functional.layer_norm(x, x.shape[-1:], p[name], p[f"{name}.bias"], config.norm_epsilon)
        return functional.rms_norm(x, x.shape[-1:], p[name], config.norm_epsilon)

    def linear(name, x):
        return functional.linear(x, p[name], p.get(f"{name}.bias"))

    def turned(x):
        if config.positions == "learned":
            return x
        total = rotary.total(config, x.shape[1])
        cosine, sine = (table[: x.shape[1], None].double() for table in rotary.tables(config, total))
        half = config.rope_width // 2
        u, v, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        return torch.cat((u * cosine - v * sine, v * cosine + u * sine, rest), -1)

    def attention(name, x):
        q, k, v = linear(f"{name}.qkv", x).split(config.qkv, -1)
        if config.head_norm == "whole":
            q, k = norm(f"{name}.q_norm", q), norm(f"{name}.k_norm", k)
        q, k, v = (part.unflatten(-1, (-1, config.head_width)) for part in (q, k, v))
        if config.head_norm == "head":
            q, k = norm(f"{name}.q_norm", q), norm(f"{name}.k_norm", k)
        q, k, v = (part.transpose(1, 2) for part in (turned(q), turned(k), v))
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return linear(f"{name}.out", out.transpose(1, 2).flatten(2))

    def mlp(name, x):
        approximate = "tanh" if config.activation == "gelu_tanh" else "none"
        act = functional.silu if config.activation == "silu" else partial(functional.gelu, approximate=approximate)
        if not config.gated:
            return linear(f"{name}.down", act(linear(f"{name}.up", x)))
        gate, up = linear(f"{name}.gate_up", x).chunk(2, -1)
        return linear(f"{name}.down", act(gate) * up)

    def block(name, inside, x):
        y = inside(name, norm(f"{name}.norm", x) if config.norm_place in ("before", "both") else x)
        return norm(f"{name}.out_norm", y) if config.norm_place in ("after", "both") else y

    x = p["embed"][tokens]
    if config.positions == "learned":
        x = x + p["positions"][: tokens.shape[1]]
    read = []
    for i in range(config.layers):
        for a in (a for a, b in config.skips if b == i):
            x = x + functional.rms_norm(read[a], x.shape[-1:], p[f"layers.{i:03}.skip.{a:03}"], config.norm_epsilon)
        read.append(x)
        middle = x + block(f"layers.{i:03}.attention", attention, x)
        x = middle + block(f"layers.{i:03}.mlp", mlp, x if config.parallel else middle)
    return norm("norm", x) @ p["embed" if config.tied_embeddings else "head"].mT


@settings(max_examples=25, deadline=None)
@given(configs())
@example(DecoderConfig(**PLAIN | EVERYTHING))
@example(DecoderConfig(**GPT2))
def test_every_combination_computes_what_the_options_mean(config):
    torch.manual_seed(0)
    shapes = config.shapes()
    leaves = {name: (torch.randn(shape) * 0.3 + (len(shape) == 1)).requires_grad_() for name, shape in shapes.items()}
    wanted = by_torch(config, leaves, TOKENS[:, :-1])
    with torch.no_grad():
        logits = Decoder(config).logits(leaves, TOKENS[:, :-1])
    assert float((logits - wanted.detach()).abs().max()) < 1e-4
    loss = torch.nn.functional.cross_entropy(wanted.reshape(-1, 30), TOKENS[:, 1:].reshape(-1))
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    found = torch.autograd.grad(Decoder(config)(leaves, TOKENS), list(leaves.values()))
    largest = max(float(gradient.norm()) for gradient in gradients)
    for name, one, other in zip(leaves, found, gradients, strict=True):
        # Where what a block adds is normalised, it may be small before: the grids of 20 bits then count for more.
        bound = 2e-2 if config.norm_place == "after" else 1e-2
        assert float((one - other).norm()) < bound * float(other.norm()) + 1e-3 * largest, name


TRAINING = """
import sys, tempfile, pathlib, torch
from regrow.model.config import DecoderConfig
from regrow.train.loop import Watch, train
from regrow.train.task import Batch
from regrow.train.tasks.pretraining import Pretraining
from tests.train.toy import SETTINGS
torch.set_num_threads(int(sys.argv[1]))
def batch(step):
    return Batch((torch.arange(6 * 10).view(6, 10) * (step + 6) + step) % 30)
watch = Watch(lambda **_: None, lambda: False, lambda: None)
for options in {options!r}:
    task, folder = Pretraining(DecoderConfig(**options), SETTINGS.seed), pathlib.Path(tempfile.mkdtemp())
    state = train(task, SETTINGS, batch, folder, watch)
    print(state.losses[0]["loss"] - state.losses[-1]["loss"], state.chain[-1]["chain"])
"""


def test_training_gives_the_same_bits_on_any_number_of_threads(monkeypatch):
    def trained(threads):
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
            monkeypatch.setenv(name, threads)
        command = [sys.executable, "-c", TRAINING.format(options=[GPT2, PLAIN | EVERYTHING]), threads]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    one, two = trained("1"), trained("2")
    assert one == two
    assert all(float(learned) > 0 for learned in one[::2])


def test_a_config_is_a_line_of_json_values():
    config = DecoderConfig(**PLAIN | EVERYTHING)
    assert DecoderConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config
    assert isinstance(hash(config), int)


def test_what_a_recipe_may_ask_for_is_what_a_decoder_may_have():
    for name, info in Architecture.model_fields.items():
        bounds = {}
        for constraint in info.metadata:
            bounds |= {word: getattr(constraint, word) for word in ("ge", "gt", "le") if hasattr(constraint, word)}
        hint = get_args(hints()[name])
        if not hint:
            assert bounds == {}
            continue
        within = hint[1]
        assert bounds == {"gt" if within.open else "ge": within.low, "le": within.high}, name


@pytest.mark.parametrize(
    ("options", "where", "words"),
    [
        ({"heads": 3}, "heads", "3 heads do not divide the width 16"),
        ({"heads": 3, "head_width": 8}, "kv_heads", "2 key and value heads do not divide 3 heads"),
        ({"head_width": 3}, "head_width", "not even"),
        ({"rope_share": 0.25}, "rope_share", "not even"),
        ({"rope_share": 0.0}, "rope_share", "must be more than 0, not 0.0"),
        ({"norm": "batch"}, "norm", 'must be one of `rms`, `layer`, not "batch"'),
        ({"layers": True}, "layers", "must be a whole number, not true"),
        ({"parallel": 1}, "parallel", "must be true or false, not 1"),
        ({"family": 1}, "family", "must be a text, not 1"),
        ({"norm_epsilon": math.inf}, "norm_epsilon", "must be a finite number"),
        ({"rope_scaling": "llama3", "rope_low_factor": 4.0}, "rope_high_factor", "must be more than the low factor"),
        ({"rope_scaling": "yarn", "rope_beta_slow": 33.0}, "rope_beta_fast", "must not be less than the slow one"),
        ({"rope_scaling": "dynamic", "head_width": 2}, "head_width", "must be at least 4"),
        ({"skips": ((1, 0),)}, "skips", "there can be no connection [1, 0]"),
        ({"skips": ((0, 2),)}, "skips", "there can be no connection [0, 2]"),
        ({"skips": ((0, 1), (0, 1))}, "skips", "or not twice"),
        ({"skips": (0, 1)}, "skips", "must be a list of pairs of whole numbers"),
        ({"skips": ((0, True),)}, "skips", "must be a list of pairs of whole numbers"),
    ],
)
def test_a_decoder_that_cannot_be_is_refused(options, where, words):
    with pytest.raises(OptionError) as caught:
        DecoderConfig(**PLAIN | options)
    assert (caught.value.where, words in caught.value.what) == (where, True)


def test_an_odd_head_is_no_fault_where_positions_are_learned():
    assert DecoderConfig(**GPT2 | {"heads": 16, "kv_heads": 16}).head_width == 1


def test_bounds_are_told_in_words():
    assert Within(1, 2).fault(1) == Within(1, 2).fault(2) == ""
    assert Within(1, 2**17).fault(0) == "must be at least 1, not 0"
    assert Within(1, 2**17).fault(10**6) == "must be at most 131072, not 1000000"
    assert Within(0, 1.0, open=True).fault(0.0) == "must be more than 0, not 0.0"


def test_scaled_positions_are_those_of_the_papers():
    plain = DecoderConfig(**PLAIN | {"context": 64, "head_width": 16, "rope_theta": 100.0})
    assert all(map(torch.equal, rotary.tables(plain), rotary_tables(64, 16, 100.0)))
    angles = torch.arange(64)[:, None] * 100.0 ** (-torch.arange(8) / 8.0).double()
    linear = dataclasses.replace(plain, rope_scaling="linear", rope_factor=4.0)
    assert torch.allclose(rotary.tables(linear)[1].double(), (angles / 4).sin(), atol=1e-5)
    mixed = dataclasses.replace(linear, rope_scaling="llama3", rope_original_context=32)
    sine = rotary.tables(mixed)[1].double()
    assert torch.allclose(sine[:, 0], angles[:, 0].sin(), atol=1e-5)  # a turn in 6 positions, less than 32 / 4
    assert torch.allclose(sine[:, -1], (angles[:, -1] / 4).sin(), atol=1e-5)  # and one in 353, more than 32
