"""Parts of a corpus are made again from what the stages before gave, and a lie in one is named if it is drawn."""

import re
import shutil
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import regrow
from regrow.building import locking
from regrow.cli.root import cli
from regrow.recipe.kind import Task
from regrow.sources import Site
from regrow.stages import KINDS
from regrow.store import Store, sha256_bytes, tree_digest
from regrow.verifying.draw import drawn, missed, told
from regrow.verifying.kept import Kept
from regrow.verifying.seen import LookedParts, SpotReport
from regrow.verifying.spot import Wanted, spot_check

PARTS = 6
AT = "memory://kept/part"


def run(*arguments: object) -> str:
    told = CliRunner().invoke(cli, [str(one) for one in arguments], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.output


@pytest.fixture(scope="module")
def author(made: Path) -> Path:
    """A recipe with a corpus in parts whose states lie elsewhere, its release, and its store."""
    folder = made / "author"
    shutil.copytree(made / "part", folder / "part", ignore=shutil.ignore_patterns("regrow.lock"))
    recipe = folder / "part" / "regrow.toml"
    text = recipe.read_text().replace("min_characters = 1", f"min_characters = 1\nshards = {PARTS}")
    recipe.write_text(text.replace('name = "part"', f'name = "part"\nkept_at = "{AT}"', 1))
    regrow.build(folder / "part", folder / "release", store=folder / "store")
    return folder


def check(
    author: Path, kept: Path | str = "", nonce: str = "a word", offline: bool = False, **more: object
) -> SpotReport:
    wanted = Wanted(3, nonce, str(kept), author / "part", offline=offline)
    how: dict[str, object] = {"listener": lambda _: None, "stop": threading.Event(), **more}
    return spot_check(author / "release", wanted, **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def kept(author: Path) -> Path:
    """What the author keeps, in a folder."""
    place = author / "kept"
    assert "6 stages" not in run("keep", author / "release", place, "--store", author / "store")
    return place


def test_a_plan_says_how_much_is_kept_and_where(author: Path) -> None:
    told = run("plan", author / "part", "--store", author / "empty")
    assert re.search(rf"pretrain: 4 complete states of it, \d+ kB, for {AT}, where `regrow keep` puts them", told)


def test_states_lie_where_the_recipe_says(author: Path, kept: Path) -> None:
    assert not (author / "release" / "states").exists()
    assert len([*(kept / "pretrain").glob("step-*.f32")]) == 4
    run("keep", author / "release", "--store", author / "store")  # to where the recipe says
    report = check(author, store=author / "store")
    assert not report.lie
    assert report.looked[0].steps[0] < report.looked[0].steps[1]


def test_parts_are_drawn_and_what_was_not_looked_at_is_said(author: Path, kept: Path) -> None:
    heard: list[Any] = []
    report = check(author, kept, listener=heard.append, store=author / "store")
    assert not report.lie
    looked = {one.stage: one for one in report.parts}
    assert {"clean", "deduplicate", "split", "tokenize"} <= looked.keys()
    assert not looked.keys() & {*report.same}
    for one in looked.values():
        assert (one.parts, len(one.checked), one.checked[0], one.checked[-1]) == (PARTS, 3, 0, PARTS - 1)
    said = "\n".join(report.lines())
    assert "tokenize: 3 of 6 parts were made again, and each is the one that the lock names" in said
    assert f"1 other part changed would have passed with probability {told(missed(6, 3, 1))}" in said
    plain = report.to_json()["parts"]
    assert {one["stage"]: one["checked"][-1] for one in plain} == dict.fromkeys(looked, PARTS)
    asked = {event["stage"] for event in heard if event.get("event") == "stage-cached"}
    assert asked and not asked & looked.keys()  # none of them was wanted as a whole


LIED = 2
"""The part, from 0, in which an author leaves something out and says nothing of it."""


@pytest.fixture(scope="module")
def liar(author: Path) -> Path:
    """An author whose own regrow leaves texts out in one part; all that follows agrees with it."""
    folder = author.parent / "liar"
    shutil.copytree(author / "part", folder / "part", ignore=shutil.ignore_patterns("regrow.lock"))
    cut, clean, check = KINDS["clean"].phases

    def lie(task: Task[Any]) -> None:
        if task.index == LIED:
            shorter = task.call.parameters.model_copy(update={"minimum_characters": 345})
            task = replace(task, call=replace(task.call, parameters=shorter))
        clean.run(task)

    with pytest.MonkeyPatch.context() as patch:
        kind = replace(KINDS["clean"], phases=(cut, replace(clean, run=lie), check))
        patch.setattr(locking, "KINDS", {**KINDS, "clean": kind})
        regrow.build(folder / "part", folder / "release", store=folder / "store")
    assert tree_digest(folder / "release") != tree_digest(author / "release")
    run("keep", folder / "release", folder / "kept", "--store", folder / "store")
    return folder


@pytest.mark.parametrize("is_drawn", [True, False])
def test_a_part_in_which_something_was_left_out(author: Path, liar: Path, is_drawn: bool) -> None:
    """It is found if it is drawn, and if it is not, the report says that nobody looked there."""
    root = sha256_bytes((liar / "kept" / "clean" / "SHA256SUMS").read_bytes())
    word = next(one for one in map(str, range(99)) if (LIED in drawn(root, one, PARTS, 3)) is is_drawn)
    report = check(liar, liar / "kept", nonce=word, store=author / "store")
    if is_drawn:
        assert (report.exit_code, report.where) == (3, "clean")
        assert report.lie == "part 3 of 6 gives another documents.parquet here than the lock names"
    else:
        assert not report.lie
        seen = next(one for one in report.parts if one.stage == "clean")
        assert LIED not in seen.checked
        assert seen.figure.passed_over > 0
    whole = check(liar, nonce=word, store=author / "store")
    assert (whole.exit_code, whole.where) == (3, "clean")  # without what the author keeps it is made as a whole


def test_what_is_kept_and_is_another_one_is_made_again(author: Path, kept: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(kept, tmp_path / "kept"))
    next((place / "split").rglob("*.parquet")).write_text("other")
    shutil.rmtree(place / "tokenize" / "part-00001-of-00006")
    assert "split" in {one.stage for one in check(author, place, store=author / "store").parts}  # the recipe's place
    report = check(author, place, offline=True, store=author / "store")
    assert not report.lie
    assert {"split", "tokenize"} <= {*report.same}
    assert {*report.unkept} == {"split", "tokenize"}
    assert "to begin with is kept, or not what was committed to: " in "\n".join(report.lines())
    assert "clean" in {one.stage for one in report.parts}


def test_a_figure_is_never_less_than_what_a_liar_may_hope() -> None:
    assert [told(one) for one in (0.0, 0.5, 0.874, 0.8947, 0.29, 1e-4, 0.999, 1.0)] == [
        *("0.00", "0.50", "0.88", "0.90", "0.29", "0.01", "1.00", "1.00")
    ]


def test_the_figure_for_parts(author: Path) -> None:
    seen = LookedParts("clean", 40, (0, 7, 39), "root")
    assert (seen.figure.changed, seen.figure.passed_over) == (4, missed(40, 3, 4))
    assert "all 2 parts were made again" in str(LookedParts("clean", 2, (0, 1), "root"))


@pytest.mark.parametrize("place", ["file:kept", "pypi:kept==1", "kept", "ftp://kept/there", "s3://me:word@kept/x"])
def test_places_that_others_cannot_read(author: Path, tmp_path: Path, place: str) -> None:
    folder = Path(shutil.copytree(author / "part", tmp_path / "part"))
    recipe = folder / "regrow.toml"
    recipe.write_text(recipe.read_text().replace(AT, place))
    told = CliRunner().invoke(cli, ["plan", str(folder)], catch_exceptions=False)
    assert (told.exit_code, "model.kept_at" in told.output) == (2, True), told.output


def test_to_keep_it_somewhere_it_has_to_be_there(author: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "other"):
        pass
    told = CliRunner().invoke(
        cli, ["keep", str(author / "release"), str(tmp_path / "x"), "--store", str(tmp_path / "other")]
    )
    assert (told.exit_code, "is not in the store" in told.output) == (6, True)
    told = CliRunner().invoke(
        cli, ["keep", str(author / "release"), "https://x.org/y", "--store", str(author / "store")]
    )
    assert (told.exit_code, "nothing can be put to" in told.output) == (2, True)


@pytest.mark.parametrize(
    "names",
    [
        ["a", "a/b"],
        ["a\0b"],
        ["x" * 300],
        ["../a"],
        ["/a"],
        ["a//b"],
        ["./a"],
        ["a/"],
        ["."],
        ["part-00000-of-00002/a"],
    ],
    ids=repr,
)
def test_a_list_by_a_stranger_that_no_folder_has(author: Path, tmp_path: Path, names: list[str]) -> None:
    """Its digest may be the one that a lock promises; no stage gives it, so nothing of it counts as kept."""
    text = "".join(f"{sha256_bytes(b'x')}  {name}\n" for name in sorted(names))
    place = tmp_path / "kept" / "clean"
    place.mkdir(parents=True)
    (place / "SHA256SUMS").write_text(text)
    for name in names:
        with suppress(OSError, ValueError):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(b"x")
    kept = Kept.at(iter([place.parent]), tmp_path / "room", Site(offline=True))
    found = kept.artifact("clean", sha256_bytes(text.encode()))
    assert found is None or tree_digest(found) == sha256_bytes(text.encode())
    assert not (tmp_path / "a").exists()


def test_a_promise_that_only_its_spelling_keeps_is_no_promise(author: Path, kept: Path, tmp_path: Path) -> None:
    """A list with `./` in a path names the same files, and has a digest that no build gives."""
    place = Path(shutil.copytree(kept, tmp_path / "kept"))
    listed = (place / "clean" / "SHA256SUMS").read_text().splitlines(keepends=True)
    text = "".join(sorted((line.replace("  ", "  ./", 1) for line in listed), key=lambda line: line[66:].encode()))
    (place / "clean" / "SHA256SUMS").write_text(text)
    stranger = Kept.at(iter([place]), tmp_path / "room", Site(offline=True))
    assert stranger.artifact("clean", sha256_bytes(text.encode())) is None
