"""A release of ours comes out on top, and falls exactly as far as it should when something is taken from it."""

from pathlib import Path

import pytest

from regrow.auditing.audit import Options, audit
from regrow.auditing.result import Audit, Outcome
from regrow.building import rebuilds
from tests.audit.collectors.making import release, sound, sum_up, write

TODAY = "2026-11-21"
CARD = "---\nlicense: apache-2.0\n{more}---\n# small\n\nThis model continues text and is for tests only.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As complete as the larger example: public sources, intermediate parameters, a paper."""
    made = release(tmp_path / "small")
    write(made, {"paper.md": "# Small\n\nA paper.\n", "checkpoints/step-000000005/model.safetensors": sound(16)})
    sum_up(made)
    return made


def found(folder: Path) -> Audit:
    return audit(str(folder), Options(TODAY))


def without(folder: Path, *names: str) -> Audit:
    """The audit after files were taken away, with the list of checksums made to fit."""
    for name in names:
        (folder / name).unlink()
    sum_up(folder)
    return found(folder)


def outcomes(result: Audit, definition: str) -> dict[str, Outcome]:
    one = next(one for one in result.definitions if one.id == definition)
    return {verdict.rule: verdict.outcome for verdict in one.verdicts}


def answers(result: Audit) -> dict[str, str]:
    return {one.name: one.answer for one in (*result.parts, *result.freedoms)}


def test_whole(folder: Path) -> None:
    result = found(folder)
    assert set(outcomes(result, "osaid-1.0").values()) == {Outcome.MET}
    assert (result.osaid, result.mof_class) == (Outcome.MET, "I")
    verdicts = next(one.verdicts for one in result.definitions if one.id == "osaid-1.0")
    assert all(verdict.evidence for verdict in verdicts)
    assert [share.licence for share in result.data] == ["cc0-1.0"]
    assert not result.conflicts
    rest = {name: answer for name, answer in answers(result).items() if answer != "yes"}
    assert rest == {"rebuild": "not shown"}  # nobody has built it yet


def test_built_again_here(folder: Path) -> None:
    rebuilds.note(found(folder).version, "regrow verify")
    assert answers(found(folder))["rebuild"] == "yes"


def test_a_rebuild_of_something_else_says_nothing(folder: Path) -> None:
    rebuilds.note(found(folder).version, "regrow verify")
    (folder / "config.json").write_text("{}")
    assert answers(found(folder))["rebuild"] != "yes"


def test_without_its_recipe(folder: Path) -> None:
    result = without(folder, "regrow.toml", "regrow.lock", "data/documents.parquet", "data/excluded.parquet")
    assert result.osaid is not Outcome.MET
    assert result.mof_class in (None, "III")
    told = answers(result)
    assert told["weights"] == "yes" and told["use"] == "yes"
    assert told["training-code"] != "yes" and told["data"] != "yes" and told["study"] != "yes"


def test_without_its_data(folder: Path) -> None:
    lock = (folder / "regrow.lock").read_text()
    (folder / "regrow.lock").write_text(lock.replace("pypi:tales==1.0", "file:tales"))
    result = without(folder)
    assert result.osaid is Outcome.NOT_SHOWN
    assert result.mof_class == "III"
    assert without(folder, "data/documents.parquet").mof_class is None  # it is the data card
    told = answers(result)
    assert told["data"] == "not shown" and told["training-code"] == "yes" and told["use"] == "yes"


def test_without_its_licence(folder: Path) -> None:
    (folder / "README.md").write_text("# small\n\nThis model continues text and is for tests only.\n")
    lock = (folder / "regrow.lock").read_text()
    (folder / "regrow.lock").write_text(lock.replace('licence = "Apache-2.0"', 'licence = ""'))
    result = without(folder, "LICENSE")
    assert result.osaid is not Outcome.MET
    assert answers(result)["share"] != "yes"
    assert answers(result)["weights"] == "yes"
    assert result.mof_class is None


def test_with_a_base_whose_source_is_unknown(folder: Path) -> None:
    (folder / "README.md").write_text(CARD.format(more="base_model: somebody/closed\nbase_model_relation: finetune\n"))
    sum_up(folder)
    result = found(folder)
    assert result.osaid is not Outcome.MET
    limited = {verdict.limited_by for one in result.definitions for verdict in one.verdicts} - {""}
    assert limited == {"hf:somebody/closed"}
    assert answers(result)["data"] == "not shown"
