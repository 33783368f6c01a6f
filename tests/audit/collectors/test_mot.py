"""Files of the Model Openness Tool. python -m pytest tests/audit/collectors/test_mot.py"""

from pathlib import Path

import pytest

from regrow.auditing.facts import Basis, Component, ComponentFact, LicenceFact, OriginFact, ParentFact, Scope, State
from regrow.errors import RecipeError

from .making import findings, of, read, write

FORM = """\
framework: {name: Model Openness Framework, version: '1.0'}
release:
  name: Kitten-Chat
  origin: Kitten-Base
  license:
    distribution: {name: Apache-2.0, path: LICENSE}
    data: {name: CDLA-Permissive-2.0}
  components:
    - {name: 'Model parameters (Final)', license: OpenMDW-1.0}
    - {name: 'Training code', component_path: train/}
    - {name: Datasets, license_name: License not specified}
    - {name: 'Research paper', license_name: Component not included}
    - {name: Whiskers}
    - 7
"""


def test_a_form_is_read_as_an_opinion(tmp_path: Path) -> None:
    found = read(write(tmp_path, {"kitten.yml": FORM}) / "kitten.yml")
    assert (found.kind, found.name) == ("mot", "Kitten-Chat")
    assert all(fact.basis is Basis.DECLARED for fact in found.facts)
    assert [(fact.component, fact.state, fact.where, fact.licence) for fact in of(found, ComponentFact)] == [
        (Component.PARAMETERS, State.PROMISED, "", "OpenMDW-1.0"),
        (Component.TRAINING_CODE, State.PROMISED, "train/", "Apache-2.0"),
        (Component.DATASETS, State.PROMISED, "", "unlicensed"),
        (Component.RESEARCH_PAPER, State.ABSENT, "", None),
    ]
    assert [(fact.raw, fact.scope) for fact in of(found, LicenceFact)] == [
        ("Apache-2.0", Scope.EVERYTHING),
        ("CDLA-Permissive-2.0", Scope.WEIGHTS),
        ("CDLA-Permissive-2.0", Scope.DATA),
        ("OpenMDW-1.0", Scope.WEIGHTS),
    ]
    assert [fact.parent for fact in of(found, ParentFact)] == ["Kitten-Base"]


@pytest.mark.parametrize(
    "content", ["", "a: b", "framework: 1\nrelease: 2", "{", "framework: {}\nrelease: {components: 7}"]
)
def test_other_files_are_no_forms(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, {"x.yml": content}) / "x.yml"
    if "{}" in content:
        assert not read(path).facts
    else:
        with pytest.raises(RecipeError, match="is not a model"):
            read(path)


LICENCES = """\
framework: {name: Model Openness Framework, version: '1.0'}
release:
  name: Kitten-Chat
  license: {document: {name: CC-BY-4.0}, %s}
  components:
    - {name: 'Model parameters (Final)', license: MIT}
    - {name: 'Model parameters (Intermediate)'}
    - {name: 'Model card'}
    - {name: 'Data card', license: unlicensed}
    - {name: 'Sample model outputs', license: 'Component not include.'}
"""


@pytest.mark.parametrize(
    ("kinds", "intermediate"),
    [
        ("data: {name: CC-BY-NC-4.0}, distribution: {name: MIT}", "CC-BY-NC-4.0"),
        ("data: {name: }, distribution: {name: CC-BY-NC-4.0}", "CC-BY-NC-4.0"),
        ("data: {name: null, path: ~}, distribution: {name: CC-BY-NC-4.0}", "CC-BY-NC-4.0"),
        ("code: {name: MIT}", "unlicensed"),
    ],
)
def test_a_component_has_its_own_licence_or_that_of_its_type_or_of_everything(
    tmp_path: Path, kinds: str, intermediate: str
) -> None:
    found = read(write(tmp_path, {"kitten.yml": LICENCES % kinds}) / "kitten.yml")
    assert {fact.component: fact.licence for fact in of(found, ComponentFact)} == {
        Component.PARAMETERS: "MIT",
        Component.INTERMEDIATE_PARAMETERS: intermediate,
        Component.MODEL_CARD: "CC-BY-4.0",
        Component.DATA_CARD: "unlicensed",
        Component.SAMPLE_OUTPUTS: None,
    }


def test_a_component_may_have_its_licence_in_a_table(tmp_path: Path) -> None:
    form = LICENCES % "distribution: {name: Apache-2.0}"
    assert "license: MIT}" in form
    form = form.replace("license: MIT}", "license: {name: CC-BY-NC-4.0, path: LICENSE}}")
    found = read(write(tmp_path, {"kitten.yml": form}) / "kitten.yml")
    assert {one.licence for one in of(found, ComponentFact) if one.component is Component.PARAMETERS} == {
        "CC-BY-NC-4.0"
    }


def origin(tmp_path: Path, words: str) -> tuple[list[str], bool]:
    """The parents, and whether the origin is said to be unclear."""
    form = f"framework: {{}}\nrelease:\n  name: Kitten-Chat\n  origin: '{words}'\n"
    found = read(write(tmp_path, {"kitten.yml": form}) / "kitten.yml")
    return [fact.parent for fact in of(found, ParentFact)], "origin-unclear" in findings(found)


@pytest.mark.parametrize(
    ("words", "parent"),
    [
        ("cats/Kitten-7B", "hf:cats/Kitten-7B"),
        ("https://huggingface.co/cats/kitten", "hf:cats/kitten"),
        ("Whisker-7b", "Whisker-7b"),
        ("Whisker2", "Whisker2"),
        ("Whisker-NeoX", "Whisker-NeoX"),
        ("W5-11b", "W5-11b"),
        ("kitten-base", "kitten-base"),
    ],
)
def test_an_origin_that_looks_like_a_model_is_its_parent(tmp_path: Path, words: str, parent: str) -> None:
    assert origin(tmp_path, words) == ([parent], False)


@pytest.mark.parametrize(
    "words",
    [
        *("Whisker-3, some differences", "Whisker 7B model", "Apache-2.0", "MIT", "Other License", "Pre-Test"),
        *("Whisker", "undisclosed", "in-house", "v2", "7B", "2.0"),
    ],
)
def test_prose_licences_and_single_words_are_no_parents(tmp_path: Path, words: str) -> None:
    assert origin(tmp_path, words) == ([], True)


@pytest.mark.parametrize("words", ["", "Kitten-Chat", "kitten chat", "None", "N/A", "-"])
def test_no_origin_is_no_finding(tmp_path: Path, words: str) -> None:
    assert origin(tmp_path, words) == ([], False)


@pytest.mark.parametrize("words", ["scratch", "From scratch", "trained from scratch"])
def test_from_scratch_is_an_origin(tmp_path: Path, words: str) -> None:
    assert origin(tmp_path, words) == ([], False)
    assert [fact.text for fact in of(read(tmp_path / "kitten.yml"), OriginFact)] == [words]
