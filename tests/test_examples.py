"""The examples: their locks fit their recipes, and what needs no network is built to the bytes that are locked."""

from importlib.resources import files
from pathlib import Path

import pytest

import regrow
from regrow.exact.version import ARITHMETIC
from regrow.recipe.lock import load as load_lock
from regrow.recipe.lock import reasons_stale
from regrow.recipe.schema import load
from regrow.stages import KINDS

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/regrow.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_its_lock_is_that_of_its_recipe(name: str) -> None:
    lock = load_lock(EXAMPLES / name)
    assert lock.release
    assert reasons_stale(lock, load(EXAMPLES / name, KINDS), ARITHMETIC) == ()
    assert {stage.kind: stage.version for stage in lock.stages} == {
        stage.kind: KINDS[stage.kind].version for stage in lock.stages
    }


def test_what_a_new_recipe_learns_from_is_the_example() -> None:
    begun = files("regrow.building") / "starters" / "conversations.jsonl"
    assert begun.read_bytes() == (EXAMPLES / "captain" / "conversations" / "captain.jsonl").read_bytes()


@pytest.mark.slow
def test_a_merge_is_built_to_the_locked_bytes(tmp_path: Path) -> None:
    built = regrow.build(EXAMPLES / "soup", tmp_path / "release", locked=True, store=tmp_path / "store")
    assert built.digest == load_lock(EXAMPLES / "soup").release
