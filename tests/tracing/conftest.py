"""A release that has an index of its text, and the store that it was built in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import regrow
from regrow.errors import RegrowError
from regrow.release import Release
from regrow.store import copy_tree, remove_tree, sha256_bytes
from regrow.tracing.corpus import Corpus, corpus

FABLES = {
    "crow": "A crow sat on a fence post and held a piece of cheese. The fox said: what a voice you must have! "
    "The crow opened its beak, and the cheese fell down.",
    "frog": "A frog wished to be as large as an ox. It blew itself up, and blew itself up again, until it burst. "
    "Nobody in the pond was as large as an ox after that.",
    "mill": "The miller's donkey carried salt across the river. It fell into the water, and the salt was gone.\n"
    "The next day it fell into the water on purpose.",
    "wind": "The wind and the sun had a quarrel. Who is stronger? The traveller took off his coat, as the sun shone.",
}
RECIPE = """recipe = 1
[model]
name = "fables"
licence = "Apache-2.0"
[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"
[corpus]
min_characters = 10
validation = 0.01
[tokenizer]
vocabulary = 300
[architecture]
layers = 1
width = 16
heads = 1
context = 32
[train]
tokens = 640
micro_batch = 2
seed = 1
[evaluate]
[index]
"""


@dataclass(frozen=True)
class Built:
    """A release and a store, to be changed."""

    release: Path
    store: Path

    def corpus(self, store: Path | None = None) -> Corpus:
        return corpus(Release.open(self.release), store or self.store, lambda event: None)

    def refused(self, store: Path | None = None) -> RegrowError:
        """The error there is instead of a corpus."""
        with pytest.raises(RegrowError) as caught:
            self.corpus(store)
        return caught.value

    def change(self, path: str, change: Callable[[str], str]) -> None:
        """Release something else in the place of a file."""
        place, sums = self.release / path, self.release / "SHA256SUMS"
        before = sha256_bytes(place.read_bytes())
        place.write_text(change(place.read_text("utf-8")), "utf-8")
        sums.write_text(sums.read_text("utf-8").replace(before, sha256_bytes(place.read_bytes())), "utf-8")


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("tracing")
    texts = folder / "fables" / "texts"
    texts.mkdir(parents=True)
    for name, text in FABLES.items():
        (texts / f"{name}.txt").write_text(text, "utf-8")
    for number in range(4):  # of which one is held out
        (texts / f"tale-{number}.txt").write_text(f"Tale number {number} has been told before, and ends here.", "utf-8")
    (texts.parent / "regrow.toml").write_text(RECIPE, "utf-8")
    built = Built(regrow.build(texts.parent, folder / "out", store=folder / "store").release, folder / "store")
    _bring_along(built)
    return built


def _bring_along(built: Built) -> None:
    """Let the release have its index, as releases do whose stages of all kinds are members."""
    place, listed = built.release / "index", built.release / "SHA256SUMS"
    if place.exists():
        return
    digest = Release.open(built.release).lock.outputs["index"]
    copy_tree(built.store / "artifacts" / digest[:2] / digest, place)
    lines = listed.read_text("utf-8").splitlines()
    lines += [f"{sha256_bytes(path.read_bytes())}  index/{path.name}" for path in place.iterdir()]
    listed.write_text("".join(f"{line}\n" for line in sorted(lines, key=lambda line: line[66:])), "utf-8")


@pytest.fixture
def built(_built: Built, tmp_path: Path) -> Built:
    """A copy of the release, and of the store."""
    found = Built(tmp_path / "release", tmp_path / "store")
    copy_tree(_built.release, found.release)
    shutil.copytree(_built.store, found.store)
    return found


@pytest.fixture
def elsewhere(built: Built) -> Built:
    """The release where there is nothing in the store."""
    remove_tree(built.store)
    return built


@pytest.fixture(scope="session")
def in_parts(_built: Built, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The same recipe, with a corpus in two parts."""
    folder = tmp_path_factory.mktemp("parts")
    copy_tree(_built.release.parent / "fables", folder / "fables")
    (folder / "fables" / "regrow.lock").unlink()
    said = RECIPE.replace("[corpus]", "[corpus]\nshards = 2")
    (folder / "fables" / "regrow.toml").write_text(said, "utf-8")
    return Built(regrow.build(folder / "fables", folder / "out", store=_built.store).release, _built.store)
