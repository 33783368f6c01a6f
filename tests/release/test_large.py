"""Releases of much: artifacts in parts, and sources of many files. python -m pytest tests/release/test_large.py"""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy_model
from toy_model import contents

from regrow.auditing.collectors import collect
from regrow.auditing.facts import Aspect, DataAspectFact
from regrow.building import manifest
from regrow.building.assemble import assemble
from regrow.building.documents import require_every_document
from regrow.building.locking import Mode, as_locked, locked_recipe, write_lock
from regrow.building.provenance import statement
from regrow.building.selection import released_files
from regrow.corpus.documents import Document, Exclusion, write_documents, write_exclusions
from regrow.engine import Evaluation, StageResult
from regrow.errors import RecipeError, StageError
from regrow.formats import parts
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.pin import FOLDER, Pin, Pins
from regrow.release import Release
from regrow.release.facts import facts
from regrow.release.files import DamagedError
from regrow.report import contents as told
from regrow.store import sha256_bytes, sums


def document(number: int) -> Document:
    text = f"text {number} ä"
    sha256 = sha256_bytes(text.encode())
    source, file = ("b" if number % 3 else "a"), f"{number % 7}.txt"
    return Document(f"{number:064x}", source, "CC0-1.0", "open", file, number, number + 1, sha256, text)


def split(folder: Path, count: int, documents: list[Document]) -> Path:
    """An artifact ``split`` in some parts; every fifth document is held out, and one is left out in each part."""
    ordered = sorted(documents, key=lambda one: one.position)
    for number in range(count):
        here = ordered[len(ordered) * number // count : len(ordered) * (number + 1) // count]
        part = parts.made(folder, number, count)
        write_documents(part / "train.parquet", [one for one in here if one.start % 5])
        write_documents(part / "validation.parquet", [one for one in here if not one.start % 5])
        write_exclusions(
            part / "excluded.parquet", [Exclusion(f"{number}", "a", f"x{9 - number}", "clean", "too short", "", 3)]
        )
    return folder


def test_the_manifest_does_not_depend_on_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [document(number) for number in range(300)]
    found = []
    for count, rows in ((1, 1024), (4, 7), (1, 7)):
        monkeypatch.setattr(manifest, "_ROWS", rows)
        place = tmp_path / f"{count}-{rows}"
        manifest.write_manifest(split(place, count, documents), tmp_path / "manifest.parquet")
        found.append((tmp_path / "manifest.parquet").read_bytes())
    assert found[0] == found[1] == found[2]
    rows = pq.read_table(tmp_path / "manifest.parquet").to_pylist()
    assert [row["id"] for row in rows] == [one.id for one in sorted(documents, key=lambda one: one.position)]
    assert {row["split"] for row in rows if not row["start"] % 5} == {"validation"}
    assert {row["bytes"] - row["characters"] for row in rows} == {1}


@pytest.mark.parametrize("count", [0, 1, 5, 6, 10])
def test_row_groups_are_full_but_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(manifest, "_GROUP", 5)
    path = tmp_path / "manifest.parquet"
    manifest.write_manifest(split(tmp_path / "split", 1, [document(number) for number in range(count)]), path)
    groups = pq.read_metadata(path)
    sizes = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
    assert sizes == [5] * (count // 5) + [count % 5] * (count % 5 > 0 or not count)


@pytest.mark.slow
def test_the_manifest_of_much_text_takes_little_memory(tmp_path: Path) -> None:
    big = [replace(document(number), text=f"{number} " * 200_000) for number in range(200)]
    split(tmp_path / "split", 2, big)
    run = (
        "import resource, sys; from pathlib import Path; from regrow.building.manifest import write_manifest; "
        "import pyarrow.parquet, pyarrow.compute; resource.getrusage(0); "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "write_manifest(Path(sys.argv[1]), Path(sys.argv[2])); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    size = sum(len(one.text) for one in big)
    out = subprocess.run(
        [sys.executable, "-c", run, tmp_path / "split", tmp_path / "m.parquet"], capture_output=True, check=True
    )
    assert int(out.stdout) * 1024 < size


def test_files_of_parts_are_released_part_by_part(tmp_path: Path) -> None:
    made = contents(tmp_path / "store")
    outputs = {name: result.path for name, result in made.evaluation.results.items()}
    outputs["split"] = split(tmp_path / "split", 3, [document(number) for number in range(30)])
    targets = [target for _, target in released_files(made.graph, outputs)]
    wanted = [f"data/part-0000{number}-of-00003/excluded.parquet" for number in range(3)]
    assert [target for target in targets if target.endswith("excluded.parquet")] == wanted
    (outputs["split"] / "part-00001-of-00003" / "excluded.parquet").unlink()
    with pytest.raises(StageError, match=r"has given no `excluded\.parquet`"):
        list(released_files(made.graph, outputs))


def test_a_report_reads_parts_and_names_few_of_many(tmp_path: Path) -> None:
    assemble(contents(tmp_path / "store"), tmp_path / "toy")
    data = tmp_path / "toy" / "data"
    (data / "excluded.parquet").unlink()
    split(data, 3, [])
    rows = [(f"{number:04}.txt", "play", "train" if number % 2 else "validation", 2) for number in range(1000)]
    names = ("file", "source", "split", "bytes")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), data / "documents.parquet", row_group_size=90)
    said = told(Release.at(tmp_path / "toy"))
    (one,) = said.exclusions
    assert (one.documents, one.characters) == (3, 9)
    assert [example.locator for example in one.examples] == ["x7", "x8", "x9"]
    play = next(source for source in said.sources if source.name == "play")
    assert (play.documents, play.bytes, play.validation_documents) == (500, 1000, 500)
    assert (len(play.files), play.more_files, play.files[0]) == (200, 300, ("0001.txt", 1, 2))
    shutil.rmtree(data / "part-00001-of-00003")
    with pytest.raises(DamagedError, match="cannot be read") as caught:
        told(Release.at(tmp_path / "toy"))
    assert caught.value.cause == "there is no such file, and the table is in 3 parts"


RECIPE = """recipe = 1
[model]
name = "toy"
licence = "Apache-2.0"
[[source]]
name = "play"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"
[tokenizer]
vocabulary = 300
[architecture]
layers = 1
width = 32
heads = 2
context = 16
[train]
tokens = 2048
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "toy" / "texts").mkdir(parents=True)
    for number in range(1001):
        (tmp_path / "toy" / "texts" / f"{number:04}.txt").write_text(f"text {number}")
    (tmp_path / "toy" / "regrow.toml").write_text(RECIPE)
    return tmp_path / "toy"


def lock(folder: Path) -> None:
    made = locked_recipe(folder, Mode.RENEW, listener=lambda _: None)
    write_lock(folder / "regrow.lock", made.text({}, None), made.lists)


def test_the_lock_of_many_files_is_written_with_their_list_and_without_old_ones(folder: Path) -> None:
    lock(folder)
    (first,) = (folder / FOLDER).iterdir()
    lists = {f"{FOLDER}/{first.name}": first.read_text()}
    assert locked_recipe(folder, Mode.LOCKED, listener=lambda _: None).lists == lists
    (folder / "texts" / "0007.txt").write_text("another")
    with pytest.raises(RecipeError, match="not up to date") as caught:
        locked_recipe(folder, Mode.LOCKED, listener=lambda _: None)
    assert "file `0007.txt` changed" in caught.value.why
    lock(folder)
    (second,) = (folder / FOLDER).iterdir()
    assert second.name != first.name
    (folder / "texts" / "0007.txt").unlink()
    (folder / "texts" / "0008.txt").unlink()
    lock(folder)
    assert not (folder / FOLDER).exists()


def test_a_list_is_never_a_text_of_its_own_source(folder: Path) -> None:
    (folder / "regrow.toml").write_text(RECIPE.replace("file:texts", "file:."))
    lock(folder)
    assert locked_recipe(folder, Mode.LOCKED, listener=lambda _: None).lists


def many_pinned(root: Path) -> tuple[Path, Pins]:
    """A release of the toy whose source has many files, audited as far as it goes."""
    pins = Pins(Pin(f"{number:04}.txt", f"{number:064x}", 5) for number in range(1001))
    made = contents(root / "store")
    stages = [
        replace(one, parameters=one.parameters.model_copy(update={"pins": pins})) if one.name == "fetch-play" else one
        for one in made.graph.stages
    ]
    path = f"{FOLDER}/play-{pins.sums[:12]}.sha256"
    source = f'[[source]]\nname = "play"\nfetch = "pypi:toy_Play==0.6"\nlicence = "CC0-1.0"\nsums = "{pins.sums}"\n'
    text = f'lock = 1\n[model]\nname = "toy"\nlicence = "Apache-2.0"\n{source}[outputs]\nsplit = "{"0" * 64}"\n'
    assemble(replace(made, graph=Graph(tuple(stages)), lists={path: pins.text}, lock=text), root / "toy")
    return root / "toy", pins


def test_a_release_carries_the_list_and_every_reader_finds_it(tmp_path: Path) -> None:
    folder, pins = many_pinned(tmp_path)
    release = Release.open(folder)
    made = release.statement("fetch-play")
    assert made is not None and made.pinned == 1001
    assert release.pins(made) == pins
    assert {one.name: one.sha256 for one in facts(release).texts}["play"]
    said = json.loads((folder / "provenance" / "fetch-play.intoto.json").read_text())["predicate"]["buildDefinition"]
    assert said["externalParameters"]["pins"] == {"files": 1001, "bytes": 5005, "sums": pins.sums}
    assert said["resolvedDependencies"][0]["name"] == f"{FOLDER}/play-{pins.sums[:12]}.sha256"
    assert len(said["resolvedDependencies"]) == 1001
    assert f"{FOLDER}/play-{pins.sums[:12]}.sha256" in release.listed
    found = collect(str(folder), today="2026-11-21", network=False)
    (provenance,) = (one for one in found.of(DataAspectFact) if one.aspect is Aspect.PROVENANCE)
    assert provenance.text.startswith("1001 files pinned")
    (folder / FOLDER / f"play-{pins.sums[:12]}.sha256").unlink()
    with pytest.raises(DamagedError, match="cannot be read"):
        facts(Release.open(folder))
    said_of = {one.text for one in collect(str(folder), today="2026-11-21", network=False).findings}
    assert any("there is no such file" in text for text in said_of)


def test_a_statement_names_at_most_a_thousand_files(tmp_path: Path) -> None:
    for number in range(1001):
        (tmp_path / f"{number:04}.txt").write_text("x")
    stage: Stage = toy_model.graph()["fetch-play"]
    result = StageResult(stage.name, "k" * 64, {}, sha256_bytes(sums(tmp_path).encode()), tmp_path, True, 0.0)
    subject: list[Any] = statement(stage, Evaluation({stage.name: result}))["subject"]
    assert [one["name"] for one in subject[:2]] == ["fetch-play", "fetch-play/0000.txt"]
    assert len(subject) == 1001


def test_documents_are_counted_over_parts(tmp_path: Path) -> None:
    made = contents(tmp_path / "store")
    outputs = {name: result.path for name, result in made.evaluation.results.items()}
    outputs["split"] = split(tmp_path / "split", 3, [document(number) for number in range(30)])
    require_every_document(made.graph, outputs)


def test_as_locked_needs_the_list(folder: Path) -> None:
    lock(folder)
    shutil.rmtree(folder / FOLDER)
    with pytest.raises(RecipeError, match="no such file"):
        as_locked(folder, sources=folder, offline=True)
