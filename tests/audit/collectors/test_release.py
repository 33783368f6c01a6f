"""Our own releases. python -m pytest tests/audit/collectors/test_release.py"""

import base64
import json
import time
from pathlib import Path

import pytest

from regrow.auditing.facts import (
    Aspect,
    Availability,
    Basis,
    Component,
    ComponentFact,
    DataAspectFact,
    DatasetFact,
    OriginFact,
    Rebuild,
    RebuildFact,
    Role,
    State,
    TrainingFact,
)
from regrow.store.digest import sha256_file

from .making import findings, of, read, release, sound, sum_up, write


def test_what_a_release_proves(tmp_path: Path) -> None:
    found = read(release(tmp_path / "small"))
    assert (found.kind, found.id) == ("release", "small")
    assert found.version == sha256_file(tmp_path / "small" / "SHA256SUMS")
    assert not found.findings
    assert [
        (fact.role, fact.bytes, fact.availability, fact.licence, fact.where) for fact in of(found, DatasetFact)
    ] == [
        (Role.TRAINING, 90, Availability.OPEN, "CC0-1.0", "pypi:tales==1.0"),
        (Role.EVALUATION, 10, Availability.OPEN, "CC0-1.0", "pypi:tales==1.0"),
    ]
    assert {fact.aspect for fact in of(found, DataAspectFact) if fact.basis is Basis.FOUND} == set(Aspect)
    assert [fact.basis for fact in of(found, OriginFact)] == [Basis.FOUND]
    assert [(fact.level, fact.digest) for fact in of(found, RebuildFact)] == [(Rebuild.PINNED, found.version)]
    [training] = of(found, TrainingFact)
    assert training.tokens == 4096  # in whole steps of 2048
    assert training.flops and training.flops > 6 * 4096 * 10_000
    states = {fact.component: fact.state for fact in of(found, ComponentFact)}
    absent = {Component.INTERMEDIATE_PARAMETERS}
    assert {one for one, state in states.items() if state is State.ABSENT} == absent
    assert {one for one in Component if one not in states} == {Component.RESEARCH_PAPER}
    assert all(fact.evidence.sha256 for fact in found.facts)


def test_data_that_only_its_maker_has_is_promised(tmp_path: Path) -> None:
    found = read(release(tmp_path / "small", fetch="file:tales"))
    assert [fact.state for fact in of(found, ComponentFact) if fact.component is Component.DATASETS] == [State.PROMISED]


def test_damage_is_found(tmp_path: Path) -> None:
    root = release(tmp_path / "small")
    (root / "evaluation.json").write_text('{"validation": {"better": 1}}')
    (root / "samples.json").unlink()
    (root / "modeling_evil.py").write_text("")
    said = {finding.id: finding.text for finding in read(root).findings}
    assert said["release-changed"].startswith("evaluation.json ")
    assert said["release-incomplete"].startswith("samples.json ")
    assert said["release-added"].startswith("modeling_evil.py ")


@pytest.mark.parametrize(
    "name", ["regrow.lock", "data/documents.parquet", "SHA256SUMS", "model.safetensors", "README.md"]
)
@pytest.mark.parametrize("content", [b"", b"\xff\0x", b"[[stage]]\nname = 1\n[[source]]\nfile = 7\n", b"{" * 9999])
def test_a_broken_release_is_read_as_far_as_it_goes(tmp_path: Path, name: str, content: bytes) -> None:
    root = release(tmp_path / "small")
    (root / name).write_bytes(content)
    if name != "SHA256SUMS":
        sum_up(root)
    assert read(root).kind == "release"


def test_a_lock_of_thousands_of_sources_takes_no_long_time(tmp_path: Path) -> None:
    root = release(tmp_path / "small")
    sources = "".join(f'[[source]]\nname = "source-{number}"\n' for number in range(20_000))
    (root / "regrow.lock").write_text((root / "regrow.lock").read_text().replace("[outputs]", f"{sources}[outputs]"))
    started = time.process_time()
    found = of(read(root), DatasetFact)
    assert time.process_time() - started < 5
    assert found[-1].evidence.locator.startswith("line ")


def test_a_lock_and_a_list_larger_than_a_text_for_people_are_read(tmp_path: Path) -> None:
    """What a release of many files has to say is not *not seen*."""
    root = release(tmp_path / "small")
    lines = "".join(f"# {one:01000}\n" for one in range(5_000))
    with (root / "regrow.lock").open("a") as file:
        file.write(lines)
    sum_up(root)
    assert (root / "regrow.lock").stat().st_size > 4 << 20
    found = read(root)
    assert not found.findings
    assert [fact.role for fact in of(found, DatasetFact)] == [Role.TRAINING, Role.EVALUATION]


def test_a_signed_statement_counts_for_the_release_it_names(tmp_path: Path) -> None:
    root = release(tmp_path / "small")
    digest = sha256_file(root / "SHA256SUMS")
    signed, empty = [{"keyid": "ada", "sig": "bW90aA=="}], {"keyid": "bob", "sig": ""}
    for name, subject, signatures in (
        ("mine", digest, signed),
        ("other", "1" * 64, signed),
        ("nobody", digest, []),
        ("empty", digest, [empty, {"keyid": "cy"}, {"keyid": "dan", "sig": "%"}, 7]),
    ):
        statement = {"subject": [{"name": "small", "digest": {"sha256": subject}}]}
        envelope = {
            "payloadType": "application/vnd.in-toto+json",
            "payload": base64.b64encode(json.dumps(statement).encode()).decode(),
            "signatures": signatures,
        }
        write(root, {f"attestations/{name}.json": json.dumps(envelope)})
    found = read(root)
    assert [fact.by for fact in of(found, RebuildFact) if fact.level is Rebuild.SIGNED] == ["ada"]
    assert [one.text.split()[0] for one in found.findings if one.id == "attestation-unsigned"] == [
        "attestations/empty.json",
        "attestations/nobody.json",
    ]
    assert "attestation-other" in findings(found)
    (root / "model.safetensors").write_bytes(sound(16)[:-1] + b"x")
    assert [fact.level for fact in of(read(root), RebuildFact)] == [Rebuild.DECLARED]
