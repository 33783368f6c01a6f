"""What a change did: each measure, on models that were changed by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from regrow.corpus import tokenizer
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.weights import Ends, save
from regrow.stages import KINDS
from regrow.store.digest import tree_digest

from .conftest import Bench

CONFIG = DecoderConfig(vocabulary=300, layers=2, width=16, heads=2, kv_heads=1, hidden=24, context=64)
TEXTS = [f"text {number}: " + "one two three four five six seven " * 9 for number in range(4)]

GOLDEN = "1b8fa09b171a47c6a04707440d65676690998b211ca7fe4ab80888365147abd9"

Model = tuple[DecoderConfig, Mapping[str, Tensor]]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("effect"))


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.write(tokenizer.learn(TEXTS, 300), folder)
    return folder


def measured(bench: Bench, words: Path, before: Model, after: Model, **inputs: Path) -> Any:
    return json.loads((measure(bench, words, before, after, **inputs) / "effect.json").read_text())


def measure(bench: Bench, words: Path, before: Model, after: Model, **inputs: Path) -> Path:
    folders = []
    for config, parameters in (before, after):
        folders.append(bench.root / f"weights-{len(list(bench.root.iterdir()))}")
        folders[-1].mkdir()
        save(folders[-1], config, parameters, Ends.both(0))
    given = {"before_tokenizer": words, "tokenizer": words, **inputs}
    return bench.run("effect", {"prompts": ["one"]}, before=folders[0], after=folders[1], **given)


def base() -> tuple[DecoderConfig, dict[str, Tensor]]:
    return CONFIG, {name: 4 * x if x.dim() == 2 else x for name, x in initialise(CONFIG, 3).items()}


def test_nothing_was_done(bench: Bench, words: Path) -> None:
    found = measured(bench, words, base(), base())
    assert (found["function"]["kept"], found["function"]["largest_difference"]) == ("exact", 0.0)
    assert found["function"]["probes"]["rows"] == 2
    assert (found["weights"]["changed"], found["weights"]["ranks"]) == (0, {})
    assert found["answer"]["before"] == found["answer"]["after"] != ""
    assert found["held_out"] is None  # there is no text


def test_a_block_that_adds_nothing_keeps_the_function_exactly(bench: Bench, words: Path) -> None:
    config, old = base()
    new = {**old, **{name.replace(".001.", ".002."): x.clone() for name, x in old.items() if ".001." in name}}
    new |= {f"layers.002.{name}": torch.zeros_like(new[f"layers.002.{name}"]) for name in ("attention.out", "mlp.down")}
    found = measured(bench, words, base(), (replace(config, layers=3), new))
    assert found["function"]["kept"] == "exact"
    assert [name for name in found["weights"]["new"] if not name.startswith("layers.002")] == []
    assert found["weights"]["parameters"]["after"] > found["weights"]["parameters"]["before"]
    assert found["weights"]["bytes"]["after"] > found["weights"]["bytes"]["before"]


def test_neurons_in_halves_keep_it_but_for_rounding(bench: Bench, words: Path) -> None:
    config, old = base()
    new = dict(old)
    for name in ("layers.000.mlp", "layers.001.mlp"):
        gate, up = old[f"{name}.gate_up"].chunk(2)
        extra = slice(0, 3)
        new[f"{name}.gate_up"] = torch.cat([gate, gate[extra], up, up[extra]])
        down = old[f"{name}.down"].clone()
        down[:, extra] *= 1 / 3
        new[f"{name}.down"] = torch.cat([down, 2 * down[:, extra]], 1)
    found = measured(bench, words, base(), (replace(config, hidden=27), new))
    assert found["function"]["kept"] == "rounding"
    assert 0 < found["function"]["largest_difference"] <= found["function"]["bound"]
    assert found["weights"]["not_comparable"] == [
        f"layers.{i:03}.mlp.{name}" for i in range(2) for name in ("down", "gate_up")
    ]


def test_a_change_of_low_rank_is_seen_as_one(bench: Bench, words: Path) -> None:
    config, old = base()
    name = "layers.001.attention.out"
    generator = torch.Generator().manual_seed(1)
    change = torch.randn(16, 2, generator=generator) @ torch.randn(2, 16, generator=generator)
    found = measured(bench, words, base(), (config, {**old, name: old[name] + change}))
    assert found["function"]["kept"] == "no"
    assert found["function"]["largest_difference"] > found["function"]["bound"]
    assert found["weights"]["ranks"] == {name: 2}
    assert found["weights"]["changed"] == 256


def test_zeros_and_their_pattern_are_counted(bench: Bench, words: Path) -> None:
    config, old = base()
    new = {name: x.clone() for name, x in old.items()}
    new["layers.000.mlp.down"].view(-1, 4)[:, :2] = 0.0
    new["layers.001.mlp.down"].view(-1)[: 16 * 12] = 0.0
    found = measured(bench, words, base(), (config, new))["weights"]["zeros"]
    assert found["before"] == {"numbers": 0, "size": found["after"]["size"], "matrices": 9, "two_of_four": 0}
    assert (found["after"]["numbers"], found["after"]["two_of_four"]) == (2 * 16 * 12, 1)


def test_tokens_that_both_know_are_compared_by_their_text(bench: Bench, words: Path, tmp_path: Path) -> None:
    """The same tokens in another order, and one more: nothing changes for those that were there."""
    said = json.loads((words / "tokenizer.json").read_text())
    tokens = sorted(said["model"]["vocab"], key=said["model"]["vocab"].get)
    turned = [tokens[0], *tokens[:0:-1]]
    said["model"]["vocab"] = {token: number for number, token in enumerate([*turned, "<more>"])}
    (tmp_path / "tokenizer_config.json").write_bytes((words / "tokenizer_config.json").read_bytes())
    (tmp_path / "tokenizer.json").write_text(json.dumps(said))
    config, old = base()
    config = replace(config, vocabulary=len(tokens))
    old["embed"] = old["embed"][: len(tokens)]
    rows = [tokens.index(token) for token in turned]
    embed = torch.cat([old["embed"][rows], old["embed"].mean(0, keepdim=True)])
    after = (replace(config, vocabulary=len(embed)), {**old, "embed": embed})
    found = measured(bench, words, (config, old), after, tokenizer=tmp_path)["function"]
    assert found["kept"] == "exact"
    assert found["tokens"] == {"compared": len(tokens), "before": len(tokens), "after": len(tokens) + 1}
    as_they_were = measured(bench, words, (config, old), after)["function"]
    assert as_they_were["kept"] == "no"  # by their numbers, other tokens


def test_a_longer_context_is_compared_at_lengths_that_both_have(bench: Bench, words: Path) -> None:
    config, old = base()
    kept = measured(bench, words, base(), (replace(config, context=128), old))
    assert kept["function"]["kept"] == "exact"
    assert kept["function"]["probes"]["tokens"] == 64
    assert kept["context"] == {"before": 64, "after": 128}
    stretched = replace(config, context=128, rope_scaling="linear", rope_factor=2.0)
    assert measured(bench, words, base(), (stretched, old))["function"]["kept"] == "no"


def test_numbers_that_are_none_are_no_function_kept(bench: Bench, words: Path) -> None:
    config, old = base()
    broken = {**old, "norm": old["norm"] * float("inf")}
    found = measured(bench, words, base(), (config, broken))
    assert (found["function"]["kept"], found["function"]["largest_difference"]) == ("no", None)


def test_the_output_is_what_it_was(bench: Bench, words: Path) -> None:
    """If it fails, bump the version of the kind, and then the digest."""
    config, old = base()
    name = "layers.001.attention.out"
    change = torch.arange(16.0)[:, None] * (torch.arange(16) % 5 - 2) / 64
    split = bench.split({f"{i}.txt": text for i, text in enumerate(TEXTS)})
    tokens = bench.run("tokenize", {}, split=split, tokenizer=words)
    found = measure(bench, words, base(), (config, {**old, name: old[name] + change}), tokens=tokens)
    assert json.loads((found / "effect.json").read_text())["held_out"]["windows"] == 1
    assert (KINDS["effect"].version, tree_digest(found)) == (1, GOLDEN)
