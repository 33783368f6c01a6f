"""Any text is searched by the stages of a build, and what they find is shown wherever the release is."""

import json
import random
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner

import regrow
from regrow.auditing import audit
from regrow.cli.root import cli
from regrow.errors import InputError, RegrowError
from regrow.evidence import EVIDENCE, Evidence, Rows
from regrow.release import Release
from regrow.release.files import DamagedError
from regrow.report import evidence, load, render
from regrow.scanning.scan import Scan
from regrow.store import sums

SECRET = "Write to jane.roe@mail-of-hers.org about the barn; all rights reserved by Roe and Sons, 1998."


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    (folder / "texts").mkdir()
    for number in range(4):
        (folder / "texts" / f"{number}.txt").write_text(f"The barn number {number} stands on a hill of its own.\n")
    (folder / "texts" / "letter.txt").write_text(SECRET + "\n")
    (folder / "texts" / "again.txt").write_text(SECRET + "\n")
    return folder


def scan(folder: Path, target: str = "texts", **options: object) -> Scan:
    return regrow.scan(folder / target, store=folder / "store", offline=True, **options)  # type: ignore[arg-type]


def test_any_folder_is_searched_and_nothing_personal_is_said_again(texts: Path) -> None:
    found = scan(texts)
    assert found.documents == 5
    assert [(one.reason, one.count) for one in found.dropped] == [("exact duplicate", 1)]
    checks = {one.evidence.check: one.evidence for one in found.evidence}
    assert {"rights", "tags", "poison"} <= checks.keys()
    assert "1 e-mail address" in checks["tags"].answer
    assert "jane.roe" not in json.dumps(asdict(found))
    assert "jane.roe" not in (Path(found.artifacts["tags"]) / EVIDENCE).read_text()


def test_one_check_one_file_and_a_licence(texts: Path) -> None:
    found = scan(texts, "texts/letter.txt", only=["rights"], licence="CC0-1.0")
    assert found.documents == 1
    assert [one.evidence.check for one in found.evidence] == ["rights"]
    with pytest.raises(InputError, match="no check `viruses`"):
        scan(texts, only=["viruses"])


def test_a_benchmark_from_elsewhere_is_found(texts: Path, tmp_path: Path) -> None:
    said = {"question": "The barn number 3 stands on a hill of its own.", "answer": "A hill"}
    (tmp_path / "test.jsonl").write_text(json.dumps(said) + "\n")
    found = scan(texts, benchmarks=[str(tmp_path / "test.jsonl")], only=["contamination"])
    (one,) = found.evidence
    assert one.evidence.notices or "1 of" in one.evidence.answer


def test_what_is_looked_for_has_the_name_of_its_file(texts: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test.jsonl").write_text(
            json.dumps({"question": f"Which of the barns of {folder} stands?"})
        )
    files = [str(tmp_path / folder / "test.jsonl") for folder in ("a", "b")]
    (one,) = scan(texts, benchmarks=files, only=["contamination"]).evidence
    assert [row[0] for row in one.evidence.tables[0].rows] == ["test", "test-2"]


def test_what_can_be_read_is_searched_and_the_rest_is_told(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name in "abc":
        (tmp_path / "texts" / f"{name}.json").write_text(json.dumps({"settings": name}))
    with pytest.raises(RegrowError) as caught:
        scan(tmp_path, only=["tags"])
    assert "there is no field `text`" in caught.value.why
    (tmp_path / "texts" / "d.txt").write_text("Write to jane.roe@mail-of-hers.org about the barn.")
    found = scan(tmp_path, only=["tags"])
    assert found.documents == 1
    assert [loss[0] for tally in found.left_out for loss in tally.losses] == [3]


def test_who_scans_a_folder_reads_what_was_found_there(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    chance = random.Random(1)
    plain = ["the", "barn", "stands", "on", "a", "hill", "and", "looks", "down", "at", "two", "rivers"]
    for number in range(40):
        said, gibberish = " ".join(chance.choices(plain, k=200)), [f"{chance.randrange(1 << 40):x}" for _ in range(60)]
        behind = f" zebrakey {' '.join(gibberish)}" if number < 20 else ""
        (tmp_path / "texts" / f"{number}.txt").write_text(said + behind)
    found = scan(tmp_path, only=["poison"])
    (notice,) = found.evidence[0].evidence.notices
    assert "zebrakey" in notice
    shell = CliRunner().invoke(
        cli, ["scan", str(tmp_path / "texts"), "--store", str(tmp_path / "store"), "--only", "poison"]
    )
    assert f"In full: {found.artifacts['poison']}" in shell.output


@pytest.mark.parametrize("target", ["nothing", "empty"])
def test_what_cannot_be_scanned(texts: Path, target: str) -> None:
    (texts / "empty").mkdir(exist_ok=True)
    with pytest.raises(RegrowError) as caught:
        scan(texts, target)
    assert caught.value.hint


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release of a tiny recipe."""
    folder = tmp_path_factory.mktemp("evidence")
    (folder / "r" / "texts").mkdir(parents=True)
    for number in range(12):
        (folder / "r" / "texts" / f"{number}.txt").write_text(
            f"{number} " + "a barn stands on that hill " * (number + 4)
        )
    (folder / "r" / "texts" / "letter.txt").write_text(SECRET * 2)
    (folder / "r" / "regrow.toml").write_text(
        'recipe = 1\n[model]\nname = "r"\nlicence = "CC0-1.0"\n[[source]]\nname = "texts"\nfetch = "file:texts"\n'
        'licence = "CC0-1.0"\navailability = "open"\n[corpus]\nmin_characters = 1\n[tokenizer]\nvocabulary = 270\n'
        "[architecture]\nlayers = 1\nwidth = 16\nheads = 2\ncontext = 16\n"
        "[train]\ntokens = 64\nmicro_batch = 2\nmicro_batches_per_step = 1\n"
    )
    return regrow.build(folder / "r", folder / "release", store=folder / "store").release


def test_a_release_has_what_was_found_and_page_card_and_audit_show_it(release: Path) -> None:
    found = {one.evidence.check: one for one in evidence(Release.open(release))}
    assert {"rights", "tags", "poison"} <= found.keys()
    answer = found["tags"].evidence.answer
    assert answer.split(".")[0] in (release / "README.md").read_text()
    page = render(load(release))
    assert page == (release / "report.html").read_text()
    assert 'id="evidence-tags"' in page
    told = [
        one
        for one in audit.audit(str(release), audit.Options(today="2026-11-30")).findings
        if one.id == "data-evidence"
    ]
    assert len(told) >= len(found)
    assert all(one.evidence[0].file.startswith("evidence/") for one in told)


def test_a_release_is_searched_again(release: Path) -> None:
    found = regrow.scan(release, sources=release.parent / "r", store=release.parent / "store", offline=True)
    kept = {one.stage: one.evidence for one in evidence(Release.open(release))}
    assert {one.stage: one.evidence for one in found.evidence} == {
        name: one for name, one in kept.items() if name in found.artifacts
    }


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema": "regrow/evidence/1"}', '{"schema": "regrow/evidence/9"}'])
def test_evidence_of_a_stranger_that_is_none(release: Path, tmp_path: Path, text: str) -> None:
    copy = Path(shutil.copytree(release, tmp_path / "copy"))
    (copy / "evidence" / "tags" / EVIDENCE).write_text(text)
    (copy / "SHA256SUMS").write_text(sums(copy, ("SHA256SUMS", "report.html", "buildinfo")))
    with pytest.raises(DamagedError, match="no evidence"):
        load(copy)
    told = audit.audit(str(copy), audit.Options(today="2026-11-30")).findings
    assert any("evidence" in one.text and one.id == "release-unreadable" for one in told)


def test_evidence_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rows = Rows("A <b>title</b>", ("a", "b"), (("x", 1), (None, 0.5)), "a note")
    said = Evidence("a-check", "Is it?", "It is.", {"n": 1}, ("Beware.",), (rows,), ("Not all.",), ("By hand.",))
    said.write(tmp_path)
    assert Evidence.read((tmp_path / EVIDENCE).read_bytes()) == said
