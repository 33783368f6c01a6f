"""No reshaping of the house may change a key or an artifact: the examples' are written down here, as they were before.

A key follows from the kind, its version, its parameters, its libraries and the digests of its inputs; the lock has
those digests. That the artifacts come out as the lock says is tested by building: `tiny` in these tests, `bard` by the
first command of the README.
"""

import json
from pathlib import Path

import pytest

from regrow.engine import ingredients, key_of
from regrow.recipe.lock import load
from regrow.stages import KINDS

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"


@pytest.mark.parametrize("name", ["tiny", "bard"])
def test_keys_and_artifacts_of_the_examples_are_what_they_were(name):
    frozen = json.loads((HERE / "frozen.json").read_text("utf-8"))[name]
    lock = load(EXAMPLES / name)
    keys = {}
    for stage in lock.graph(KINDS).stages:
        inputs = {slot: [lock.outputs[one] for one in names] for slot, names in stage.inputs.items()}
        keys[stage.name] = key_of(ingredients(stage, inputs))
    assert {stage: [keys[stage], lock.outputs[stage]] for stage in keys} == frozen
