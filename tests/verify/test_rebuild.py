"""python -m pytest tests/verify/test_rebuild.py"""

import errno
import json
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import toy_model

from regrow.building import build as build_module
from regrow.building.build import Options, build
from regrow.engine import Choice
from regrow.errors import Interrupted, RecipeError, StageError
from regrow.recipe.kind import Call, Cost, Expected
from regrow.store import sums
from regrow.verifying import rebuild as module
from regrow.verifying.rebuild import rebuild
from regrow.verifying.report import Verdict, VerifyReport

GENERATED = "tokenizer_config.json"
UNCOVERED = ("SHA256SUMS", "report.html", "buildinfo")


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "regrow.toml").write_bytes(toy_model.RECIPE)
    monkeypatch.setattr(build_module, "locked_recipe", lambda folder, *_, **__: toy_model.locked(folder))
    monkeypatch.setattr(build_module, "_model", lambda *_: "toy")
    monkeypatch.setattr(module, "as_locked", lambda folder, **_: (toy_model.locked(folder), toy_model.reasons(folder)))
    options = Options(tmp_path / "release", tmp_path / "store")
    return build(folder, options, listener=lambda _: None, stop=threading.Event()).release


def verify(release: Path, **options: object) -> VerifyReport:
    return rebuild(release, listener=lambda _: None, stop=threading.Event(), **options)  # type: ignore[arg-type]


def repair(release: Path) -> None:
    """What an adversary does after a change: make SHA256SUMS agree with it."""
    (release / "SHA256SUMS").write_text(sums(release, UNCOVERED))


def change_kind(monkeypatch: pytest.MonkeyPatch, name: str, run: Callable[[Call], None]) -> None:
    kinds = {**toy_model.KINDS, name: replace(toy_model.KINDS[name], run=run)}
    stages = tuple(replace(stage, kind=kinds[stage.kind.name]) for stage in toy_model.graph().stages)
    graph = replace(toy_model.graph(), stages=stages)
    monkeypatch.setattr(module, "as_locked", lambda folder, **_: (replace(toy_model.locked(folder), graph=graph), ()))


def test_same(release: Path) -> None:
    report = verify(release)
    assert (report.verdict, report.exit_code) == (Verdict.SAME, 0)
    assert report.rebuilt == report.digest
    assert all(stage.same for stage in report.stages)
    assert report.lines()[-1] == report.digest
    assert report.lines()[0].startswith("Same")


def test_nothing_is_left_behind(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    before = sums(release)
    verify(release)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert sums(release) == before


def test_flipped_byte(release: Path) -> None:
    data = bytearray((release / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (release / "model.safetensors").write_bytes(data)
    report = verify(release)
    assert (report.verdict, report.exit_code, report.stages) == (Verdict.DAMAGED, 3, ())
    assert report.files == ("damaged: model.safetensors",)


def test_flipped_byte_with_the_list_repaired(release: Path) -> None:
    data = bytearray((release / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (release / "model.safetensors").write_bytes(data)
    repair(release)
    report = verify(release)
    assert (report.verdict, report.exit_code, report.first) == (Verdict.DIFFERENT, 3, None)
    assert report.files == ("model.safetensors",)
    assert "these files of the release are others" in report.lines()[0]


def test_swapped_names_with_the_list_repaired(release: Path) -> None:
    one, other = (release / "config.json").read_bytes(), (release / "samples.json").read_bytes()
    (release / "config.json").write_bytes(other)
    (release / "samples.json").write_bytes(one)
    repair(release)
    assert verify(release).files == ("config.json", "samples.json")


@pytest.mark.parametrize("repaired", [False, True])
def test_added_file(release: Path, repaired: bool) -> None:
    (release / "modeling_evil.py").write_text("import os")
    if repaired:
        repair(release)
    report = verify(release)
    assert report.exit_code == 3
    assert report.files == (("modeling_evil.py",) if repaired else ("not listed: modeling_evil.py",))


def test_removed_file(release: Path) -> None:
    (release / "training" / "chain.jsonl").unlink()
    assert verify(release).files == ("missing: training/chain.jsonl",)


@pytest.mark.parametrize("change", [lambda raw: raw.replace(b"\n", b"\r\n"), lambda raw: b"g" + raw[1:]])
def test_another_list_of_checksums(release: Path, change: Callable[[bytes], bytes]) -> None:
    path = release / "SHA256SUMS"
    path.write_bytes(change(path.read_bytes()))
    report = verify(release)
    assert (report.verdict, report.exit_code, report.stages) == (Verdict.DAMAGED, 3, ())
    assert report.files == ("damaged: SHA256SUMS",)
    head, *lines = report.lines()
    assert "nothing was rebuilt" in head
    assert lines == [
        "  damaged: SHA256SUMS",
        "  SHA256SUMS is not a list as regrow writes it; get the release again from where it came",
    ]


def test_altered_promise(release: Path) -> None:
    """A lock that promises something else than the stages give is found out, whatever agrees with it."""
    lock = json.loads((release / "regrow.lock").read_text())
    lock["outputs"]["split"] = "0" * 64
    (release / "regrow.lock").write_text(json.dumps(lock))
    repair(release)
    report = verify(release)
    assert (report.verdict, report.exit_code, report.first) == (Verdict.DIFFERENT, 3, "split")
    assert "provenance/split.intoto.json" in report.reasons[0]


def test_recipe_altered_after_the_fact(release: Path) -> None:
    text = (release / "regrow.toml").read_text()
    (release / "regrow.toml").write_text(text.replace("CC0-1.0", "MIT"))
    repair(release)
    report = verify(release)
    assert (report.verdict, report.exit_code) == (Verdict.INCONSISTENT, 3)
    assert report.reasons == ("the recipe has changed",)
    assert "nothing was rebuilt" in report.lines()[0]


def test_first_stage_that_differs_is_named_with_its_files_and_the_rest_is_not_run(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def otherwise(call: Call) -> None:
        toy_model.tokenizer(call)
        (call.output / "tokenizer.json").write_text('{"other": true}')

    change_kind(monkeypatch, "tokenizer", otherwise)
    report = verify(release)
    assert (report.verdict, report.exit_code, report.first) == (Verdict.DIFFERENT, 3, "tokenizer")
    assert report.files == ("tokenizer.json",)
    same = {stage.name: stage.same for stage in report.stages}
    assert same["split"] is True
    assert same["tokenizer"] is False
    assert same["pretrain"] is None


def test_two_runs_that_differ_here_are_not_held_against_the_release(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = iter(range(9))

    def moody(call: Call) -> None:
        toy_model.pretrain(call)
        (call.output / "losses.jsonl").write_text(f'{{"step":1,"loss":{next(runs)}}}\n')

    change_kind(monkeypatch, "pretrain", moody)
    report = verify(release)
    assert (report.verdict, report.exit_code, report.first) == (Verdict.NOT_DETERMINISTIC, 4, "pretrain")
    assert report.files == ("losses.jsonl",)


def test_what_is_otherwise_about_this_machine_is_told(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def otherwise(call: Call) -> None:
        toy_model.split(call)
        (call.output / "more").write_text("x")

    info = json.loads((release / "buildinfo" / "environment.json").read_text())
    (release / "buildinfo" / "environment.json").write_text(json.dumps({**info, "python": "CPython 3.99.0"}))
    change_kind(monkeypatch, "split", otherwise)
    (line,) = verify(release).machines
    assert line.startswith("python CPython 3.1")
    assert line.endswith("the release was made with CPython 3.99.0")


@pytest.mark.parametrize("beside", [b"[1]", b"[" * 99_999, None])
def test_what_lies_beside_the_release_may_be_anything(
    release: Path, monkeypatch: pytest.MonkeyPatch, beside: bytes | None
) -> None:
    def otherwise(call: Call) -> None:
        toy_model.split(call)
        (call.output / "more").write_text("x")

    path = release / "buildinfo" / "environment.json"
    path.unlink()
    path.symlink_to("/dev/zero") if beside is None else path.write_bytes(beside)
    change_kind(monkeypatch, "split", otherwise)
    report = verify(release)
    assert (report.first, report.machines) == ("split", ())


@pytest.mark.parametrize(("given", "variable"), [(False, "TMPDIR"), (True, "REGROW_STORE")])
def test_a_full_disk_names_what_moves_the_place(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool, variable: str
) -> None:
    def full(call: Call) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    change_kind(monkeypatch, "pretrain", full)
    with pytest.raises(StageError, match="disk full") as caught:
        verify(release, **({"store": tmp_path / "new"} if given else {}))
    assert f"set {variable} to" in caught.value.hint


def test_a_stage_that_fails_speaks_of_no_event_log(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(call: Call) -> None:
        raise ValueError("no luck")

    change_kind(monkeypatch, "split", fail)
    with pytest.raises(StageError, match="no luck") as caught:
        verify(release)
    assert caught.value.hint == "with REGROW_DEBUG=1 the same command shows the details"


def test_a_store_that_knows_the_stages_is_believed(release: Path, tmp_path: Path) -> None:
    runs: list[str] = []

    def listen(event: dict) -> None:
        runs.append(event["event"])

    report = rebuild(release, listener=listen, stop=threading.Event(), store=tmp_path / "store")  # type: ignore[arg-type]
    assert report.verdict is Verdict.SAME
    assert "stage-start" not in runs


def test_interrupted(release: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        rebuild(release, listener=lambda _: None, stop=stop)


def test_release_may_lie_elsewhere_under_another_name(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release, tmp_path / "deep" / "renamed")
    assert verify(tmp_path / "deep" / "renamed").verdict is Verdict.SAME


def test_json(release: Path) -> None:
    found = verify(release).to_json()
    assert json.loads(json.dumps(found)) == found
    assert (found["schema"], found["verdict"], found["first_difference"]) == ("regrow/verify/1", "same", None)
    assert found["stages"][0]["name"] == "fetch-play"
    assert set(found) == {
        *("schema", "release", "digest", "verdict", "rebuilt", "stages", "first_difference"),
        *("files", "reasons", "given", "unchecked", "machines", "missing_sources", "taken_stages", "asked_again"),
        "seconds",
    }


def test_a_report_that_shows_something_else(release: Path) -> None:
    """The digest does not cover it, and whoever opens it believes it."""
    page = release / "report.html"
    page.write_text(page.read_text("utf-8") + "<h1>Certified by nobody</h1>\n", "utf-8")
    repair(release)
    report = verify(release)
    assert (report.verdict, report.exit_code, report.files) == (Verdict.DIFFERENT, 3, ("report.html",))
    assert "`regrow report` writes that one" in report.reasons[0]
    assert any("differs: report.html" in line for line in report.lines())


def test_what_the_report_shows_of_the_machine_is_damaged(release: Path) -> None:
    (release / "buildinfo" / "timings.json").write_text("[" * 100_000)
    report = verify(release)
    assert (report.verdict, report.files) == (Verdict.DIFFERENT, ("buildinfo/timings.json",))


def test_a_release_without_a_report_is_the_same(release: Path) -> None:
    (release / "report.html").unlink()
    assert verify(release).verdict is Verdict.SAME


def test_every_file_is_compared_or_named(release: Path, tmp_path: Path) -> None:
    """Nothing is passed over in silence: what a rebuild cannot make again is told."""
    report = verify(release)
    assert report.given == ("LICENSE", "regrow.lock", "regrow.toml")
    assert report.unchecked == tuple(sorted(f"buildinfo/{path.name}" for path in (release / "buildinfo").iterdir()))
    for name in ("README.md", ".gitattributes", "data/documents.parquet", "provenance/split.intoto.json", GENERATED):
        path = release / name
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        repair(release)
        assert verify(release, store=tmp_path / "store").exit_code == 3, name
        path.write_bytes(before)


def test_reasons_are_told_with_the_stage_that_differs(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def otherwise(call: Call) -> None:
        toy_model.tokenizer(call)
        (call.output / "tokenizer.json").write_text("{}")

    change_kind(monkeypatch, "tokenizer", otherwise)
    (release / "provenance" / "tokenizer.intoto.json").unlink()
    repair(release)
    assert any("do not agree on what `tokenizer` gave" in line for line in verify(release).lines())


def test_every_stage_that_differs_is_named_if_asked(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def otherwise(call: Call) -> None:
        toy_model.KINDS[call.name].run(call)
        (call.output / "more").write_text("x")

    kinds = {name: replace(toy_model.KINDS[name], run=otherwise) for name in ("split", "tokenizer", "pretrain")}
    stages = tuple(replace(one, kind=kinds.get(one.name, one.kind)) for one in toy_model.graph().stages)
    graph = replace(toy_model.graph(), stages=stages)
    monkeypatch.setattr(module, "as_locked", lambda folder, **_: (replace(toy_model.locked(folder), graph=graph), ()))
    report = verify(release, keep_going=True)
    assert (report.verdict, report.exit_code, report.first) == (Verdict.DIFFERENT, 3, "split")
    assert all(stage.found for stage in report.stages)
    other = {stage.name: stage.fed_other for stage in report.stages if stage.same is False}
    assert other == {one.name: tuple(sorted(one.needs & kinds.keys())) for one in stages if one.name in kinds}
    assert any(other.values())
    for name in ("tokenizer", "pretrain"):
        why = f"made from {', '.join(other[name]) or 'the same'}"
        assert f"  other, too: {name}, {why}" in report.lines()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stage_that_fails_ends_only_what_needs_it(release: Path, monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    def fail(call: Call) -> None:
        raise StageError("no", why="it\nfails")

    change_kind(monkeypatch, "tokenizer", fail)
    with pytest.raises(StageError, match="no"):
        verify(release, who=Choice(jobs=jobs))
    report = verify(release, keep_going=True, who=Choice(jobs=jobs))
    assert (report.verdict, report.exit_code) == (Verdict.FAILED, 1)
    graph = toy_model.graph()
    beyond = {stage.name for stage in graph.made_from(["tokenizer"])}
    assert {stage.name for stage in report.stages if stage.found is None} == beyond
    assert all(stage.same for stage in report.stages if stage.name not in beyond)
    assert [stage.name for stage in report.stages if stage.failed] == ["tokenizer"]
    said = "\n".join(report.lines())
    assert "  failed: tokenizer: stage `tokenizer`: no" in said
    assert "not built: " in said
    assert report.to_json()["verdict"] == "a stage failed"


def test_what_would_take_days_is_asked_first(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def costs(*_: object) -> Cost:
        return Cost(Expected(), seconds=5e6)

    kinds = {**toy_model.KINDS, "pretrain": replace(toy_model.KINDS["pretrain"], cost=costs)}
    stages = tuple(replace(stage, kind=kinds[stage.kind.name]) for stage in toy_model.graph().stages)
    graph = replace(toy_model.graph(), stages=stages)
    monkeypatch.setattr(module, "as_locked", lambda folder, **_: (replace(toy_model.locked(folder), graph=graph), ()))
    with pytest.raises(RecipeError, match="asks for much") as caught:
        verify(release)
    assert re.search(r"about \d+ days", caught.value.why)  # how many depends on what this machine was seen to take
    assert "--yes" in caught.value.hint
    assert verify(release, confirmed=True).verdict is Verdict.SAME
