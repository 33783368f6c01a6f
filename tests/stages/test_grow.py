"""Models that are grown or stretched: what that does to the function they compute, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from regrow.errors import RegrowError
from regrow.model import sampling
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder
from regrow.model.options import OptionError
from regrow.model.weights import Ends, load, load_config, save
from regrow.stages import KINDS
from regrow.stages.grow_depth import RECORD, GrowDepthParameters, places
from regrow.store.digest import tree_digest

from .conftest import Bench

LLAMA = DecoderConfig(
    vocabulary=90, layers=4, width=32, heads=4, kv_heads=2, hidden=40, context=32, rope_theta=500.0,
    tied_embeddings=False,
)  # fmt: skip
OLMO2 = replace(LLAMA, head_norm="whole", norm_place="after", family="olmo2")
NEOX = replace(
    LLAMA, kv_heads=4, norm="layer", gated=False, qkv_bias=True, out_bias=True, mlp_bias=True, parallel=True,
    activation="gelu", rope_share=0.5, family="gpt_neox",
)  # fmt: skip
GPT2 = replace(NEOX, positions="learned", parallel=False, rope_share=1.0, rope_theta=10000.0, family="gpt2")
ROUNDING = 1e-4
"""Of logits, as a share of their spread: what is left of 20 bits. Ours and those of float32 differ as much."""

FAMILIES = {config.family: config for config in (LLAMA, OLMO2, NEOX, GPT2)}
TOKENS = (torch.arange(2 * 32).view(2, 32) * 37 + 5) % 90


def write(folder: Path, config: DecoderConfig) -> Path:
    """A model with numbers that make a difference everywhere."""
    generator = torch.Generator().manual_seed(1)
    folder.mkdir()
    parameters = {}
    for name, shape in config.shapes().items():
        drawn = torch.randn(shape, generator=generator)
        parameters[name] = drawn * 0.15 if len(shape) == 2 else 1.0 + drawn * 0.3
    save(folder, config, parameters, Ends(1, 2))
    return folder


@pytest.fixture(params=list(FAMILIES))
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path / "model", FAMILIES[request.param])


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return write(tmp_path / "llama", LLAMA)


def logits(folder: Path, tokens: Tensor = TOKENS) -> Tensor:
    config, parameters = load(folder)
    with torch.no_grad():
        found = Decoder(config).logits(parameters, tokens)
    assert bool(found.isfinite().all())
    return found


def off(before: Path, after: Path) -> float:
    """The largest difference, as a share of how far the logits are spread."""
    one, other = logits(before), logits(after)
    return float((one - other).abs().max() / one.std())


def test_copies_that_give_nothing_keep_every_bit_in_every_family(model: Path, bench: Bench) -> None:
    grown = bench.run("grow-depth", {"layers": 2}, weights=model)
    assert load_config(grown).layers == 6
    assert torch.equal(logits(grown), logits(model))
    assert json.loads((grown / "generation_config.json").read_text())["eos_token_id"] == 2


def test_copies_lie_at_even_intervals_and_are_those_of_the_layers_before_them(llama: Path, bench: Bench) -> None:
    grown = bench.run("grow-depth", {"layers": 2}, weights=llama)
    (_, before), (_, after) = load(llama), load(grown)
    layers = json.loads((grown / RECORD).read_text())
    assert [one["copy_of"] for one in layers] == [0, 1, 1, 2, 3, 3]
    assert [one["layer"] for one in layers if one["adds_nothing"]] == [2, 5]
    assert torch.equal(after["layers.002.attention.qkv"], before["layers.001.attention.qkv"])
    assert torch.equal(after["layers.003.mlp.down"], before["layers.002.mlp.down"])
    for name in ("layers.002.attention.out", "layers.002.mlp.down"):
        assert not after[name].any()


def test_copies_that_give_nothing_learn(model: Path, bench: Bench) -> None:
    config, parameters = load(bench.run("grow-depth", {"layers": 1}, weights=model))
    leaves = {name: value.requires_grad_() for name, value in parameters.items()}
    Decoder(config)(leaves, TOKENS).backward()
    out = "out_norm" if config.norm_place == "after" else "out"
    for name in (f"layers.004.attention.{out}", f"layers.004.mlp.{'out_norm' if out != 'out' else 'down'}"):
        assert 1e-5 < float(leaves[name].grad.abs().max()) < 10, name


@pytest.mark.parametrize(
    ("said", "sources"),
    [
        ({"layers": 3}, [0, 0, 1, 1, 2, 3, 3]),
        ({"layers": 4}, [0, 0, 1, 1, 2, 2, 3, 3]),
        ({"layers": [0, 2]}, [0, 0, 1, 2, 2, 3]),
        ({"layers": [1, 1]}, [0, 1, 1, 1, 2, 3]),
        ({"layers": 2, "method": "stack"}, [0, 1, 2, 1, 2, 3]),
        ({"layers": 1, "method": "stack"}, [0, 1, 1, 2, 3]),
        ({"layers": 4, "method": "stack"}, [0, 1, 2, 3, 0, 1, 2, 3]),
    ],
)
def test_where_layers_come_from(said: Mapping[str, Any], sources: list[int]) -> None:
    assert [place.source for place in places(GrowDepthParameters(**said), 4)] == sources


def test_stacking_is_another_function(llama: Path, bench: Bench) -> None:
    assert off(llama, bench.run("grow-depth", {"layers": 2, "method": "stack"}, weights=llama)) > 0.1


@pytest.mark.parametrize("hidden", [41, 60, 80, 200])
@pytest.mark.parametrize("apart", [0.0, 0.1])
def test_widening_leaves_nothing_but_rounding(llama: Path, bench: Bench, hidden: int, apart: float) -> None:
    grown = bench.run("grow-width", {"hidden": hidden, "apart": apart}, weights=llama)
    assert load_config(grown).hidden == hidden
    assert off(llama, grown) < ROUNDING
    if (hidden, apart) == (80, 0.0):
        assert torch.equal(logits(grown), logits(llama))  # all alike: not even the grid of a row is another


def test_widening_keeps_the_function_in_every_family(model: Path, bench: Bench) -> None:
    assert off(model, bench.run("grow-width", {"hidden": 56}, weights=model)) < ROUNDING


@pytest.mark.parametrize("apart", [0.0, 0.1])
def test_the_two_that_one_unit_became_have_what_it_gave(llama: Path, bench: Bench, apart: float) -> None:
    (_, before), (_, after) = load(llama), load(bench.run("grow-width", {"hidden": 60, "apart": apart}, weights=llama))
    down, wide = before["layers.001.mlp.down"], after["layers.001.mlp.down"]
    assert torch.equal(wide[:, ::2][:, :20] + wide[:, 40:], down[:, ::2])
    assert torch.equal(wide[:, 1:40:2], down[:, 1::2])
    assert torch.equal(wide[:, 40:], wide[:, :40:2]) is (apart == 0.0)
    gate, up = after["layers.001.mlp.gate_up"].chunk(2)
    assert torch.equal(gate[40:], gate[:40:2]) and torch.equal(up[40:], up[:40:2])


def test_equal_halves_learn_the_same_and_others_do_not(llama: Path, bench: Bench) -> None:
    def differ(apart: float) -> bool:
        config, parameters = load(bench.run("grow-width", {"hidden": 60, "apart": apart}, weights=llama))
        leaves = {name: value.requires_grad_() for name, value in parameters.items()}
        Decoder(config)(leaves, TOKENS).backward()
        gate = leaves["layers.001.mlp.gate_up"].grad[:60]
        return not torch.allclose(gate[40:], gate[:40:2], rtol=1e-3)

    assert not differ(0.0)
    assert differ(0.1)


def test_connections_change_no_bit_until_they_are_trained(model: Path, bench: Bench) -> None:
    joined = bench.run("skip", {"connections": [[0, 2], [1, 2], [2, 3]]}, weights=model)
    assert torch.equal(logits(joined), logits(model))
    config, parameters = load(joined)
    leaves = {name: value.requires_grad_() for name, value in parameters.items()}
    Decoder(config)(leaves, TOKENS).backward()
    for pair in config.skips:
        gain = f"layers.{pair[1]:03}.skip.{pair[0]:03}"
        assert not parameters[gain].any()
        assert float(leaves[gain].grad.abs().min()) > 0, gain


def test_connections_survive_new_layers_and_others_follow(llama: Path, bench: Bench) -> None:
    joined = bench.run("skip", {"connections": [[1, 3]]}, weights=llama)
    config, parameters = load(joined)
    (bench.root / "trained").mkdir()
    save(bench.root / "trained", config, {**parameters, "layers.003.skip.001": torch.full((32,), 0.3)}, Ends(1, 2))
    assert off(joined, bench.root / "trained") > 0.1
    grown = bench.run("grow-depth", {"layers": [0, 1]}, weights=bench.root / "trained")
    assert load_config(grown).skips == ((2, 5),)
    assert torch.equal(logits(grown), logits(bench.root / "trained"))
    more = bench.run("skip", {"connections": [[0, 1]]}, weights=grown)
    assert load_config(more).skips == ((2, 5), (0, 1))
    assert torch.equal(logits(more), logits(grown))


def test_what_nobody_else_computes_is_not_written_as_theirs(llama: Path, bench: Bench) -> None:
    joined = bench.run("skip", {"connections": [[0, 2]]}, weights=llama)
    config, parameters = load(joined)
    with pytest.raises(OptionError, match="`skips` is not of the kind `llama`"):
        save(bench.root, replace(config, family="llama"), parameters, Ends.both(0))
    transformers = pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="model type `regrow`"):
        transformers.AutoConfig.from_pretrained(joined)


LONG = {"context": 96}
METHODS: Mapping[str, Mapping[str, Any]] = {
    "linear": {},
    "yarn": {},
    "yarn told": {"beta_fast": 4.0, "beta_slow": 1.5, "attention_factor": 1.25, "truncate": False},
    "llama3": {"low_freq_factor": 1.0, "high_freq_factor": 2.0},
    "dynamic": {},
    "dynamic told": {"factor": 5.0},
}
KEPT = ("dynamic", "dynamic told")


def extended(bench: Bench, folder: Path, name: str) -> Path:
    said = {"method": name.partition(" ")[0], **METHODS[name], **LONG}
    return bench.run("extend-context", said, weights=folder)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_a_longer_context_is_that_of_transformers(tmp_path: Path, bench: Bench, name: str, family: str) -> None:
    transformers = pytest.importorskip("transformers")
    longer = extended(bench, write(tmp_path / "model", FAMILIES[family]), name)
    tokens = (torch.arange(96)[None] * 29 + 3) % 90
    for length in (8, 32, 33, 64, 96):
        theirs = transformers.AutoModelForCausalLM.from_pretrained(longer, dtype=torch.float32).eval()
        with torch.no_grad():
            wanted = theirs(tokens[:, :length]).logits
        assert float((logits(longer, tokens[:, :length]) - wanted).abs().max()) < 1e-3, length


@pytest.mark.parametrize("name", METHODS)
def test_what_is_within_the_old_length_stays_only_where_nothing_is_scaled_yet(
    llama: Path, bench: Bench, name: str
) -> None:
    longer = extended(bench, llama, name)
    config = load_config(longer)
    assert config.context == 96
    same = torch.equal(logits(longer), logits(llama))
    assert same is (name in KEPT)
    if not same:
        assert off(llama, longer) > 1e-3
    said = json.loads((longer / "config.json").read_text())
    assert said["max_position_embeddings"] == (32 if name in KEPT else 96)
    assert said.get("max_sequence_length") == (96 if name in KEPT else None)


def test_a_base_that_grows_is_that_of_the_whole_text_whatever_came_before(llama: Path, bench: Bench) -> None:
    config, parameters = load(extended(bench, llama, "dynamic"))
    tokens = (torch.arange(80)[None] * 29 + 3) % 90
    used = Decoder(config)
    with torch.no_grad():
        for length in (70, 20, 80, 32, 33):
            found = used.logits(parameters, tokens[:, :length])
            assert torch.equal(found, Decoder(config).logits(parameters, tokens[:, :length])), length


def test_a_text_beyond_the_old_length_goes_on_as_in_transformers_without_its_cache(llama: Path, bench: Bench) -> None:
    transformers = pytest.importorskip("transformers")
    longer = extended(bench, llama, "dynamic")
    config, parameters = load(longer)
    prompt = TOKENS[0, :20].tolist()
    found = list(sampling.generate(Decoder(config), parameters, prompt, 30, sampling.Sampling(temperature=0.0)))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(longer, dtype=torch.float32)
    asked = {"max_new_tokens": 30, "do_sample": False, "use_cache": False, "eos_token_id": None, "pad_token_id": 0}
    assert theirs.generate(torch.tensor([prompt]), **asked)[0, 20:].tolist() == found


@pytest.mark.parametrize(
    ("config", "kind", "said", "words"),
    [
        (LLAMA, "grow-depth", {"layers": 5}, "5 layers cannot be added to 4 at once"),
        (LLAMA, "grow-depth", {"layers": [1, 4]}, "there is no layer 4"),
        (LLAMA, "grow-width", {"hidden": 40}, "a feed-forward layer of 40 units does not grow to 40"),
        (LLAMA, "skip", {"connections": [[2, 4]]}, r"there can be no connection \[2, 4\]"),
        (LLAMA, "skip", {"connections": [[2, 2]]}, r"there can be no connection \[2, 2\]"),
        (LLAMA, "skip", {"connections": [[0, 2], [0, 2]]}, "or not twice"),
        (LLAMA, "extend-context", {"method": "yarn", "context": 32}, "no longer than the model's 32"),
        (GPT2, "extend-context", {"method": "yarn", "context": 64}, "it has learned a vector for each of its 32"),
        (
            replace(LLAMA, rope_scaling="linear", rope_factor=2.0),
            "extend-context",
            {"method": "yarn", "context": 64},
            "extended already, by `linear`",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    tmp_path: Path, bench: Bench, config: DecoderConfig, kind: str, said: dict[str, Any], words: str
) -> None:
    with pytest.raises(RegrowError, match=words):
        bench.run(kind, said, weights=write(tmp_path / "model", config))
    assert not list(bench.root.glob("01-*/*"))


def test_stacking_is_refused_where_connections_would_lead_nowhere(llama: Path, bench: Bench) -> None:
    joined = bench.run("skip", {"connections": [[0, 2]]}, weights=llama)
    with pytest.raises(RegrowError, match="a model with extra connections cannot be stacked"):
        bench.run("grow-depth", {"layers": 2, "method": "stack"}, weights=joined)


@pytest.mark.parametrize(
    ("kind", "said", "words"),
    [
        ("grow-depth", {}, "Field required"),
        ("grow-depth", {"layers": 0}, "must be 1 to 4096 layers, not 0"),
        ("grow-depth", {"layers": []}, "must be 1 to 4096 layers, not 0"),
        ("grow-depth", {"method": "stack", "layers": [1]}, "not put in by `stack`"),
        ("extend-context", {"method": "linear", "context": 64, "beta_fast": 3.0}, "`beta_fast` is a key of the method"),
        ("extend-context", {"method": "linear", "context": 64, "factor": 0.5}, "makes a context shorter"),
        ("skip", {"connections": []}, "at least 1 item"),
        ("skip", {"connections": [[1]]}, r"must be a list of pairs of whole numbers, and \[1\] is none"),
        ("skip", {"connections": 3}, "must be a list of pairs of whole numbers, and 3 is none"),
        ("grow-depth", {"layers": [1, "a"]}, 'must be a whole number or a list of some, not "a"'),
        ("grow-depth", {"layers": True}, "must be a whole number or a list of some, not true"),
    ],
)
def test_recipes_that_contradict_themselves(kind: str, said: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        KINDS[kind].parameters(**said)


GOLDEN: Mapping[str, tuple[dict[str, Any], str]] = {
    "grow-depth": ({"layers": 2}, "9f7a7b50706766a6b9b4d342c7febbf94f40406e309131ff00aff36640b494c7"),
    "grow-width": ({"hidden": 60}, "1dbfa3c779c7750e21b73ae8b017d7a15f1b14ca3aec389ca0880292b2ce6e20"),
    "skip": ({"connections": [[0, 2]]}, "f52f89ca731ce6d61e05db61df914b83e2bc30ba2b6c216f55037f2c56e19f9e"),
    "extend-context": (
        {"method": "yarn", "context": 96},
        "d363d15684b418196e0b5e61d733a0f6481a53e202419c7d54de1df64abb0117",
    ),
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_the_output_is_what_it_was(kind: str, bench: Bench) -> None:
    """If one fails, bump the version of the kind, and then the digest."""
    config = replace(LLAMA, width=16, hidden=40)
    folder = bench.root / "given"
    folder.mkdir()
    made = {name: _counted(i, shape) for i, (name, shape) in enumerate(config.shapes().items())}
    save(folder, config, made, Ends(1, 2))
    said, known = GOLDEN[kind]
    assert (KINDS[kind].version, tree_digest(bench.run(kind, said, weights=folder))) == (1, known)


def _counted(i: int, shape: tuple[int, ...]) -> Tensor:
    count = int(torch.tensor(shape).prod())
    return ((torch.arange(count) * 7919 + i * 31) % 997 - 498).view(shape) / 1024
