"""Files of the Model Openness Tool. python -m pytest tests/audit/collectors/test_mot.py"""

from pathlib import Path

import pytest

from regrow.auditing.facts import Basis, Component, ComponentFact, LicenceFact, ParentFact, Scope, State
from regrow.errors import RecipeError

from .making import of, read, write

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
        (Component.TRAINING_CODE, State.PROMISED, "train/", None),
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
