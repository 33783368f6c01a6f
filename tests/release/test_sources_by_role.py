"""What a release says it was trained on leaves out what it was only searched for."""

from pathlib import Path

from regrow.auditing.collectors.release import Locked
from regrow.release import Release

RECIPE = """\
recipe = 1

[model]
name = "m"
licence = "MIT"

[[source]]
name = "plays"

[[source]]
name = "quiz"
role = "evaluation"

[[source]]
name = "novels"
role = "reference"
"""


def test_sources_are_those_of_the_training_text(tmp_path: Path) -> None:
    (tmp_path / "regrow.toml").write_text(RECIPE)
    release = Release.at(tmp_path)
    assert [source["name"] for source in release.sources] == ["plays"]
    assert release.beside_training == {"quiz", "novels"}


def test_an_audit_tells_benchmarks_from_training_text() -> None:
    told = {"source": [{"name": "plays"}, {"name": "quiz", "role": "evaluation"}, {"name": "base"}]}
    lock = Locked(None, told, {}, {"base"})  # type: ignore[arg-type]
    assert [source["name"] for source in lock.sources] == ["plays"]
    assert [source["name"] for source in lock.of_role("evaluation")] == ["quiz"]
