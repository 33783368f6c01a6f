"""The witness of all tests of audits hears a lie. python -m pytest tests/audit/test_evidence.py"""

from dataclasses import replace
from pathlib import Path

import pytest

from regrow.auditing import rules
from regrow.auditing.audit import Options, audit
from regrow.auditing.collectors.folder import Folder
from regrow.auditing.facts import (
    Availability,
    Basis,
    Component,
    ComponentFact,
    DatasetFact,
    Evidence,
    Fact,
    LicenceFact,
    Role,
    Scope,
    State,
)

from .collectors.making import TODAY, small_gguf, sound, write
from .evidence import Witness
from .rules import build

CARD = "---\nlicense: mit\n---\n# A model\n\nA model with a card that is long enough to count as one.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    config = '{"model_type": "llama"}'
    files = {"README.md": CARD, "config.json": config, "model.safetensors": sound(8)}
    return Folder(write(tmp_path, files), name="m", date=TODAY)


def there(folder: Folder, file: str, locator: str) -> ComponentFact:
    at = folder.evidence(file, "test", locator, folder.hash(file, "test") if folder.has(file) else "0" * 64)
    return ComponentFact(Basis.FOUND, at, Component.MODEL_CARD, State.PRESENT, file)


@pytest.mark.parametrize(
    ("file", "locator"), [("README.md", ""), ("README.md", "lines 2-4"), ("config.json", "key model_type")]
)
def test_a_place_that_is_there(folder: Folder, file: str, locator: str) -> None:
    Witness().collected(folder, [there(folder, file, locator)])


@pytest.mark.parametrize(
    ("file", "locator"),
    [
        ("README.md", "line 900"),
        ("README.md", "line 5"),
        ("README.md", "somewhere"),
        ("README.md", "bytes 0-10000"),
        ("README.md", "bytes 0-10"),
        ("config.json", "key _name_or_path"),
        ("model.safetensors", "key license"),
        ("LICENSE", ""),
    ],
)
def test_a_place_that_is_not_there(folder: Folder, file: str, locator: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        Witness().collected(folder, [there(folder, file, locator)])


def lies(folder: Folder) -> list[Fact]:
    at = there(folder, "README.md", "line 2").evidence
    return [
        replace(there(folder, "README.md", ""), evidence=replace(at, sha256="0" * 64)),
        replace(there(folder, "README.md", ""), basis=Basis.KNOWN),
        LicenceFact(Basis.DECLARED, at, Scope.WEIGHTS, "apache-2.0", "apache-2.0"),
        DatasetFact(Basis.DECLARED, at, "somebody/tales", Role.TRAINING, Availability.OPEN),
    ]


@pytest.mark.parametrize("number", range(4))
def test_a_fact_that_its_file_does_not_tell(folder: Folder, number: int) -> None:
    with pytest.raises(AssertionError):
        Witness().collected(folder, [lies(folder)[number]])


def test_a_yes_without_a_fact_that_was_read(folder: Folder) -> None:
    line = build.alone(build.documented())
    judgement = build.judged(line)
    with pytest.raises(AssertionError, match="no collector"):
        Witness().judged(line, judgement)
    witness = Witness()
    witness.read |= {fact.evidence for fact in line.nodes[0].collected.facts}
    witness.judged(line, judgement)
    yes = replace(judgement.parts[0], answer="yes", evidence=())
    with pytest.raises(AssertionError, match="nothing stands behind"):
        witness.judged(line, replace(judgement, parts=(yes,)))
    row = Evidence("known/models.toml", "Cats: https://example.org, 2026-11-20", "0" * 64, "known", TODAY)
    with pytest.raises(AssertionError):
        witness.judged(line, replace(judgement, parts=(replace(yes, evidence=(row,)),)))


def test_every_audit_of_a_test_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixture of ``conftest.py`` sits where audits pass."""
    heard = rules.judge
    monkeypatch.setattr(rules, "judge", lambda *given: replace(heard(*given), mof_class="heard"))
    write(tmp_path, {"README.md": CARD, "model.safetensors": sound(8)})
    assert heard.__name__ == "watched_judge"
    assert audit(str(tmp_path), Options(TODAY)).mof_class == "heard"


@pytest.mark.parametrize(
    "keys",
    [
        {"general.license.name": "mit"},
        {"general.base_model.0.repo_url": "https://huggingface.co/me/base"},
        {"general.dataset.0.url": "https://example.org/tales"},
    ],
    ids=str,
)
def test_a_key_that_is_named_is_one_of_the_header(tmp_path: Path, keys: dict[str, str]) -> None:
    (tmp_path / "m.gguf").write_bytes(small_gguf(**keys))
    audit(str(tmp_path / "m.gguf"), Options(TODAY))


def test_a_configuration_without_a_family(tmp_path: Path) -> None:
    write(tmp_path, {"config.json": '{"architectures": ["T5Model"]}', "model.safetensors": sound(8)})
    audit(str(tmp_path), Options(TODAY))
