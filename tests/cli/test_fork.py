"""``regrow fork``: a folder in which one can go on without the owner of a release."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from regrow.errors import InputError, RecipeError, RegrowError
from regrow.forking.fork import Fork, Part, fork
from regrow.forking.page import page, words
from regrow.forking.terms import duties, refusal
from regrow.recipe.expand import expand
from regrow.recipe.pin import Pin
from regrow.recipe.schema import parse
from regrow.release.layout import UNCOVERED
from regrow.sources import retrieve
from regrow.sources.kept import place
from regrow.stages import KINDS
from regrow.store import sha256_bytes, sums

from .conftest import Shell, write_recipe

LETTERS = """
[[source]]
name = "letters"
fetch = "file:letters"
licence = "LicenseRef-Private"
availability = "obtainable"
attribution = "the heirs of A. Writer"
"""


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell with the release `build/two` of a recipe that has letters of somebody else's, too."""
    root = tmp_path_factory.mktemp("letters")
    shell = Shell(root, root / "store")
    write_recipe(root / "two", tokens=2_560)
    recipe = root / "two" / "regrow.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("\n[corpus]", f"{LETTERS}\n[corpus]"), "utf-8")
    folder = root / "two" / "letters"
    folder.mkdir()
    for n in range(4):
        text = f"Dear friend, this is letter {n} of many that I wrote to you from town number {n * n}. " * 3
        (folder / f"{n}.txt").write_text(text + "\n", "utf-8")
    done = shell.run("build", "two")
    assert done.returncode == 0, done.stderr
    return shell


def made(release: Path, folder: Path, store: Path, texts: Path | None = None) -> Fork:
    return fork(release, folder, texts=texts, store=store, offline=True, listener=lambda event: None)


def test_a_fork_builds_to_the_same_digest(built: Shell, tmp_path: Path) -> None:
    release = built.folder / "build" / "small"
    done = built.run("fork", str(release), str(tmp_path / "mine"), "--offline")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'mine'}\n"
    assert "It builds to the same digest with what lies here, offline." in done.stderr
    assert "keep the copyright and licence notices" in done.stderr
    again = built.run("build", str(tmp_path / "mine"), "--offline", "--locked", "--output", str(tmp_path / "out"))
    assert again.returncode == 0, again.stderr
    digest = sha256_bytes((release / "SHA256SUMS").read_bytes())
    assert again.stdout == f"{digest}\n"
    assert "equals" in again.stderr
    told = built.run("lineage", str(tmp_path / "out"))
    assert f"forked from small {digest[:12]}, and came out the same" in told.stdout
    whole = tmp_path / "mine" / "regrow.fork" / "release"
    assert sha256_bytes((whole / "SHA256SUMS").read_bytes()) == digest


def test_a_change_of_a_fork_is_told_by_how_much_is_the_same(built: Shell, tmp_path: Path) -> None:
    made(built.folder / "build" / "small", tmp_path / "mine", built.store)
    recipe = tmp_path / "mine" / "regrow.toml"
    recipe.write_text(recipe.read_text("utf-8").replace("sample_tokens = 60", "sample_tokens = 5"), "utf-8")
    done = built.run("build", str(tmp_path / "mine"), "--offline", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    told = built.run("lineage", str(tmp_path / "out")).stdout
    stages = len(list((tmp_path / "out" / "provenance").iterdir()))
    assert f"; {stages - 1} of {stages} stages give the same bytes as there" in told


def test_what_may_not_be_passed_on_is_named_and_left_out(letters: Shell, tmp_path: Path) -> None:
    release = letters.folder / "build" / "two"
    found = made(release, tmp_path / "mine", letters.store)
    parts = {part.name: part for part in found.parts}
    assert parts["texts"].standing == "copied"
    assert parts["letters"].standing == "missing"
    assert "ask its holder" in parts["letters"].why
    assert found.changed == ("letters",)
    assert not found.same
    text = (tmp_path / "mine" / "regrow.toml").read_text("utf-8")
    assert "#   letters: 4 files" in text
    assert '"letters"' not in text
    assert not (tmp_path / "mine" / "letters").exists()
    assert "LicenseRef-Private" in (tmp_path / "mine" / "regrow.fork" / "README.md").read_text("utf-8")
    done = letters.run("build", str(tmp_path / "mine"), "--offline", "--locked", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert 'name = "two-fork"' in (tmp_path / "out" / "regrow.toml").read_text("utf-8")
    assert "forked from two" in letters.run("lineage", str(tmp_path / "out")).stdout


def test_a_source_that_was_left_out_need_not_be_had(letters: Shell, tmp_path: Path) -> None:
    """The list of what went along with it stands for it."""
    done = letters.run("build", "two", "--without", "letters", "--output", str(tmp_path / "without"))
    assert done.returncode == 0, done.stderr
    release = tmp_path / "without"
    along = release / "evidence" / "removed" / "documents.txt"
    if not along.is_file():
        pytest.skip("evidence is not released yet")
    along.write_text(f"# one that went along\n{'0' * 64}\n", "utf-8")
    sealed(release)
    made(release, tmp_path / "mine", letters.store)
    recipe = parse((tmp_path / "mine" / "regrow.toml").read_text("utf-8"), KINDS)
    (removal,) = (stage for stage in expand(recipe, {}).stages if stage.kind.name == "removal")
    assert removal.parameters.model_dump()["documents"] == ("0" * 64,)
    assert removal.parameters.model_dump()["sources"] == ()
    along.unlink()
    sealed(release)
    assert "does not say what was left out along with `letters`" in made(release, tmp_path / "o", letters.store).stuck


def test_with_nothing_left_to_learn_from_only_the_weights_are_to_go_on_with(built: Shell, tmp_path: Path) -> None:
    """No store and no folder has its texts."""
    found = made(built.folder / "build" / "small", tmp_path / "mine", tmp_path / "no-store")
    assert "there is nothing else to learn from" in found.stuck
    assert (tmp_path / "mine" / "regrow.toml").read_bytes() == (built.folder / "small" / "regrow.toml").read_bytes()
    assert (tmp_path / "mine" / "regrow.fork" / "release" / "model.safetensors").is_file()
    texts = made(built.folder / "build" / "small", tmp_path / "other", tmp_path / "no-store", built.folder / "small")
    assert texts.alone


def test_nothing_is_overwritten(built: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RecipeError, match="is there already"):
        made(built.folder / "build" / "small", tmp_path / "mine", built.store)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match="is there already"):
        made(built.folder / "build" / "small", tmp_path / "link", built.store)
    assert not list((tmp_path / "mine").iterdir())


def test_no_release_is_spoiled(copy: Shell) -> None:
    release = copy.folder / "build" / "small"
    with pytest.raises(RecipeError, match="cannot be made inside a release"):
        made(release, release / "mine", copy.store)
    assert not (release / "mine").exists()


def sealed(release: Path) -> None:
    """Let a release list the files that it has now, as whoever made it may do."""
    (release / "SHA256SUMS").write_text(sums(release, UNCOVERED), "utf-8")


def _damaged(release: Path) -> None:
    with (release / "model.safetensors").open("ab") as file:
        file.write(b"x")


def _without_a_file(release: Path) -> None:
    (release / "tokenizer.json").unlink()


def _link(release: Path) -> None:
    (release / "config.json").unlink()
    (release / "config.json").symlink_to("/etc/hostname")


def _extending(release: Path) -> None:
    recipe = release / "regrow.toml"
    recipe.write_text(f'extends = "../../elsewhere"\n{recipe.read_text("utf-8")}', "utf-8")
    sealed(release)


def _pin(file: str) -> Callable[[Path], None]:
    def change(release: Path) -> None:
        lock = release / "regrow.lock"
        text = lock.read_text("utf-8").replace('file = "about-models.txt"', f'file = "{file}"')
        lock.write_text(text, "utf-8")
        sealed(release)

    return change


def _another_recipe(release: Path) -> None:
    with (release / "regrow.toml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    sealed(release)


def _fetching(locator: str) -> Callable[[Path], None]:
    def change(release: Path) -> None:
        recipe, lock = release / "regrow.toml", release / "regrow.lock"
        before = sha256_bytes(recipe.read_bytes())
        recipe.write_text(recipe.read_text("utf-8").replace("file:texts", locator), "utf-8")
        text = lock.read_text("utf-8").replace("file:texts", locator)
        lock.write_text(text.replace(before, sha256_bytes(recipe.read_bytes())), "utf-8")
        sealed(release)

    return change


@pytest.mark.parametrize(
    ("change", "kind", "what"),
    [
        (_damaged, InputError, "is not as it was released"),
        (_without_a_file, InputError, "is not as it was released"),
        (_link, InputError, "is not as it was released"),
        (_extending, RecipeError, "the recipe says `extends`"),
        (_pin("../../../outside.txt"), RecipeError, "would be put where it does not belong"),
        (_pin("/etc/outside.txt"), RecipeError, "would be put where it does not belong"),
        (_another_recipe, RecipeError, "the release contradicts itself"),
        (_fetching("file:../../outside"), RecipeError, "does not lie beside the recipe"),
        (_fetching("file:regrow.fork"), RecipeError, "would be put where it does not belong"),
        (_fetching("file:regrow.lock"), RecipeError, "would be put where it does not belong"),
    ],
)
def test_a_hostile_release_is_refused(
    built: Shell, tmp_path: Path, change: Callable[[Path], None], kind: type[RegrowError], what: str
) -> None:
    release = tmp_path / "release"
    shutil.copytree(built.folder / "build" / "small", release)
    change(release)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(kind) as error:
        made(release, tmp_path / "mine", built.store)
    assert what in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_text_in_the_place_of_a_pinned_one_is_not_taken(built: Shell, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    shutil.copytree(built.folder / "small" / "texts", texts)
    file = texts / "about-models.txt"
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    found = made(built.folder / "build" / "small", tmp_path / "mine", tmp_path / "no-store", tmp_path)
    assert found.parts[0].standing == "missing"
    assert not list((tmp_path / "mine" / "texts").glob("*"))


def test_files_that_are_kept_beside_a_recipe_are_not_fetched(tmp_path: Path) -> None:
    pin = Pin("book.txt", sha256_bytes(b"a book"), 6)
    (tmp_path / place(pin)).parent.mkdir(parents=True)
    (tmp_path / place(pin)).write_bytes(b"a book")
    (tmp_path / "out").mkdir()
    retrieve("https://example.org/book.txt", [pin], tmp_path, tmp_path / "out", offline=True)
    assert (tmp_path / "out" / "book.txt").read_bytes() == b"a book"
    (tmp_path / place(pin)).write_bytes(b"a b00k")
    (tmp_path / "again").mkdir()
    with pytest.raises(InputError, match="is not what was"):
        retrieve("https://example.org/book.txt", [pin], tmp_path, tmp_path / "again", offline=True)
    (tmp_path / place(pin)).unlink()
    os.mkfifo(tmp_path / place(pin))
    with pytest.raises(RegrowError):
        retrieve("https://example.org/book.txt", [pin], tmp_path, tmp_path / "again", offline=True)


def test_a_damaged_record_of_a_fork_is_named(built: Shell, tmp_path: Path) -> None:
    made(built.folder / "build" / "small", tmp_path / "mine", built.store)
    (tmp_path / "mine" / "regrow.fork" / "fork.json").write_text("[", "utf-8")
    done = built.run("build", str(tmp_path / "mine"), "--offline", "--output", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "the record of the fork is damaged" in done.stderr


def test_json(built: Shell, tmp_path: Path) -> None:
    done = built.run("fork", "build/small", str(tmp_path / "mine"), "--offline", "--json")
    told = json.loads(done.stdout)
    assert told["schema"] == "regrow/fork/1"
    assert told["same"] and told["alone"]
    assert [part["standing"] for part in told["parts"]] == ["copied"]


@pytest.mark.parametrize(
    ("licence", "availability", "word"),
    [
        ("CC0-1.0", "open", ""),
        ("LicenseRef-PublicDomain", "open", ""),
        ("CC-BY-SA-4.0", "public", ""),
        ("MIT OR LicenseRef-Own", "public", ""),
        ("LicenseRef-Own", "public", "not known"),
        ("CC0-1.0", "obtainable", "holder"),
        ("CC0-1.0", "unshareable", "may not be shared"),
        ("Apache-2.0", "", ""),
        ("LicenseRef-Own", "", "not known"),
        ("", "", "no licence"),
    ],
)
def test_what_may_be_passed_on(licence: str, availability: str, word: str) -> None:
    assert word in refusal(licence, availability)
    assert bool(word) == bool(refusal(licence, availability))


def test_licences_ask_for_names_and_for_the_same_terms() -> None:
    found = {
        duty.licence: " ".join(duty.asks) for duty in duties([("a", "CC-BY-SA-4.0"), ("b", "Llama3.1"), ("c", "")])
    }
    assert "name the authors" in found["CC-BY-SA-4.0"]
    assert "only under the same licence" in found["CC-BY-SA-4.0"]
    assert "Llama" in found["Llama3.1"]
    assert "" not in found


def test_of_what_the_release_does_not_name_no_figure_is_given() -> None:
    part = Part("notes", "file:notes", "MIT", "unshareable", None, None, "missing", "it may not be shared")
    assert words(part) == "notes, files that the release does not name, MIT: it may not be shared"
    told = page(Fork("f", "tiny", "0" * 64, "MIT", (part,), "", ("notes",), "", ()))
    assert "| MIT | not told | not told | missing: it may not be shared |" in told
