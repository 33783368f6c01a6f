"""What a source is for decides which stages there are, and nothing about those that remain."""

from dataclasses import replace

import fakes
import pytest

from regrow.errors import RecipeError
from regrow.recipe.expand import expand
from regrow.recipe.kind import Kind, Slot, Table
from regrow.recipe.lock import Lock
from regrow.recipe.roles import REFERENCE, of_role
from regrow.recipe.schema import parse
from regrow.sections import Parameters
from regrow.stages import KINDS as REAL
from regrow.stages.sourced import SourceParameters

LISTS = Kind(
    name="lists",
    version=1,
    parameters=SourceParameters,
    inputs={"files": Slot("files")},
    output="lists",
    run=lambda call: None,
    table=Table("source", many=True),
    asked=of_role(REFERENCE),
)
LOOK = replace(
    LISTS, name="look", parameters=Parameters, table=None, asked=None, inputs={"lists": Slot("lists")}, output="nothing"
)
KINDS = {**fakes.KINDS, "lists": LISTS, "look": LOOK}
TAKES_IT = '\n[[stage]]\nname = "look"\nkind = "look"\ninputs = { lists = "lists-plays" }\n'
AS_REFERENCE = ('name = "plays"', 'name = "plays"\nrole = "reference"')


def test_a_source_that_is_not_for_training_is_fetched_and_never_read_as_documents() -> None:
    found = {stage.name: stage for stage in fakes.graph(AS_REFERENCE, kinds=KINDS, more=TAKES_IT).stages}
    assert "fetch-plays" in found
    assert found["lists-plays"].inputs == {"files": ("fetch-plays",)}
    assert "documents-plays" not in found
    assert found["clean"].inputs == {"documents": ("documents-bible",)}


def test_training_is_what_is_meant_where_nothing_is_said() -> None:
    said = ('name = "plays"', 'name = "plays"\nrole = "training"')
    assert fakes.plain(fakes.graph(said)) == fakes.plain(fakes.graph())


def test_a_lock_says_what_a_source_is_for_unless_it_is_training() -> None:
    recipe = fakes.recipe(AS_REFERENCE, kinds=KINDS, more=TAKES_IT)
    lock = Lock.of(recipe, fakes.graph(AS_REFERENCE, kinds=KINDS, more=TAKES_IT), fakes.PINS, 1)
    assert [source.role for source in lock.sources] == ["reference", ""]
    assert lock.text().count("role") == 1


def test_a_key_that_only_another_role_reads_is_an_error() -> None:
    said = ('name = "bible"', 'name = "bible"\nrole = "evaluation"')
    with pytest.raises(RecipeError) as error:
        fakes.recipe(said, kinds=KINDS)
    assert str(error.value).split("\n")[:2] == [
        "bard/regrow.toml:19: source.bible.group_by: means nothing here",
        "because it is for `documents` or `fingerprint`, which this entry does not ask for",
    ]


def test_there_are_three_roles() -> None:
    with pytest.raises(RecipeError, match=r"source\.plays\.role: must be one of `training`, `evaluation`, `reference`"):
        fakes.recipe(('name = "plays"', 'name = "plays"\nrole = "testing"'))


def test_what_asks_for_a_role_that_no_source_has_is_named() -> None:
    said = (
        'recipe = 1\n[model]\nname = "a"\nlicence = "MIT"\n[[source]]\nname = "a"\nfetch = "file:a"\nlicence = "MIT"\n'
        'availability = "open"\n[decontaminate]\n'
    )
    with pytest.raises(RecipeError, match=r'no `\[\[source\]\]` has `role = "evaluation"`') as error:
        expand(parse(said, REAL), {"a": fakes.PINS["plays"]})
    assert "`decontaminate`" in str(error.value)


@pytest.mark.parametrize("said", ["", "max_personal = -1\n", "quality = []\nlanguages = []\nwithout_keys = false\n"])
def test_a_table_that_asks_for_nothing_is_refused_and_what_it_may_say_is_named(said: str) -> None:
    recipe = 'recipe = 1\n[model]\nname = "a"\nlicence = "MIT"\n[[source]]\nname = "a"\nfetch = "file:a"\n'
    recipe += f'licence = "MIT"\navailability = "open"\n[filter]\n{said}'
    with pytest.raises(RecipeError) as error:
        parse(recipe, REAL)
    assert "regrow.toml:10: filter: asks for nothing" in str(error.value)
    assert "of `languages`, `max_personal`, `quality`, `without_keys`; or leave the table out" in str(error.value)
    parse(f"{recipe.removesuffix(said)}max_personal = 3\n", REAL)
