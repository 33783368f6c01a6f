from dataclasses import replace
from enum import StrEnum
from importlib import metadata
from typing import Any

import pytest
from toy import JOIN, WRITE, stage

from regrow.engine import ingredients, key_of, library_version
from regrow.errors import RecipeError, StageError
from regrow.exact.version import ARITHMETIC, INFERENCE
from regrow.recipe.kind import Kind, Parameters, Slot

A, B = "a" * 64, "b" * 64


def test_ingredients_are_all_there():
    kind = replace(JOIN, exact=True, infers=True, libraries=("pytest",), version=7)
    found = ingredients(stage("x", kind, {"texts": ("one", "two")}, separator=","), {"texts": (A, B)})
    assert found == {
        "kind": "join",
        "version": 7,
        "parameters": {"separator": ",", "log": ""},
        "inputs": {"texts": [A, B]},
        "libraries": {"pytest": pytest.__version__},
        "arithmetic": ARITHMETIC,
        "inference": INFERENCE,
    }


def test_a_key_is_golden():
    """It must not change: everybody's stores would be built again."""
    found = ingredients(stage("x", JOIN), {"texts": (A, B)})
    assert key_of(found) == "c0eeab7f5c0eb31558ea70c5fc2a0a52d62e6d6e1a7e328fd1a5e2b9c12901ca"


def test_everything_that_decides_the_output_decides_the_key():
    base = stage("x", JOIN)
    inputs: dict[str, Any] = {"texts": (A, B)}
    keys = [
        key_of(ingredients(base, inputs)),
        key_of(ingredients(base, {"texts": (B, A)})),
        key_of(ingredients(base, {"texts": (A,)})),
        key_of(ingredients(base, {"words": (A, B)})),
        key_of(ingredients(stage("x", JOIN, separator="-"), inputs)),
        key_of(ingredients(replace(base, kind=replace(JOIN, version=2)), inputs)),
        key_of(ingredients(replace(base, kind=replace(JOIN, name="other")), inputs)),
        key_of(ingredients(replace(base, kind=replace(JOIN, exact=True)), inputs)),
        key_of(ingredients(replace(base, kind=replace(JOIN, infers=True)), inputs)),
        key_of(ingredients(replace(base, kind=replace(JOIN, libraries=("pytest",))), inputs)),
    ]
    assert len(set(keys)) == len(keys)


def test_what_does_not_decide_the_output_does_not_decide_the_key():
    base = key_of(ingredients(stage("x", JOIN), {"texts": (A,)}))
    assert base == key_of(ingredients(stage("y", JOIN), {"texts": (A,)}))
    assert base == key_of(ingredients(stage("x", JOIN), {"texts": (A,), "optional": ()}))
    other = replace(JOIN, summary="words", inputs={"texts": Slot("text", many=True, optional=True)})
    assert base == key_of(ingredients(stage("x", other), {"texts": (A,)}))


class Colour(StrEnum):
    RED = "red"


class Odd(Parameters):
    colour: Colour = Colour.RED
    pair: tuple[int, int] = (1, 2)
    anything: Any = None


def test_parameters_become_plain_json():
    kind = Kind("odd", 1, Odd, {}, "x", WRITE.run)
    assert ingredients(stage("x", kind), {})["parameters"] == {"colour": "red", "pair": [1, 2], "anything": None}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"], ids=ascii)
def test_no_key_is_made_of_what_is_not_canonical(value):
    found = {"kind": "odd", "parameters": {"anything": value}}
    with pytest.raises(RecipeError, match="kind `odd` has a parameter") as error:
        key_of(found)
    assert error.value.exit_code == 2


def test_the_local_part_of_a_version_does_not_count(monkeypatch):
    monkeypatch.setattr(metadata, "version", {"one": "2.13.0+cpu", "two": "2.13.0"}.__getitem__)
    assert library_version("one") == library_version("two") == "2.13.0"


def test_a_missing_library_is_explained():
    with pytest.raises(StageError, match="library `no-such-library` is not installed"):
        library_version("no-such-library")
