"""A recipe that is built in a second, its release, and what is like it."""

import random
import sys
from pathlib import Path

import pytest

import regrow

sys.path.insert(0, str(Path(__file__).parents[1] / "release"))  # for toy_model

RECIPE = """
recipe = 1

[model]
name = "part"
licence = "CC0-1.0"

[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"

[corpus]
min_characters = 1

[tokenizer]
vocabulary = 300

[architecture]
layers = 1
width = 16
heads = 2
context = 16

[train]
tokens = 1920
micro_batch = 2
micro_batches_per_step = 1
checkpoint_every = 6
validate_every = 20
states = 4
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, its release, and a store that has all of it."""
    folder = tmp_path_factory.mktemp("spot")
    (folder / "part" / "texts").mkdir(parents=True)
    words = ("river", "risen", "night", "morning", "meadow", "single", "sheet", "grey", "water", "the", "of", "and")
    chance = random.Random(3)
    for number in range(30):
        text = " ".join(chance.choice(words) for _ in range(60))
        (folder / "part" / "texts" / f"{number:02}.txt").write_text(f"{number} {text}.\n", "utf-8")
    (folder / "part" / "regrow.toml").write_text(RECIPE, "utf-8")
    regrow.build(folder / "part", folder / "release", store=folder / "store")
    return folder
