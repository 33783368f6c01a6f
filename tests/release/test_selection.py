"""What of the artifacts a release holds, and that none of it takes another's place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regrow.building.documents import require_every_document
from regrow.building.selection import released_files
from regrow.errors import StageError
from regrow.recipe.graph import Graph, Stage
from regrow.recipe.kind import Call, Kind, Released, Slot
from regrow.sections import Parameters


def run(call: Call[Any]) -> None:
    raise NotImplementedError


RECORDS = tuple(Released(name, "training", always=True) for name in ("chain.jsonl", "losses.jsonl"))
TRAIN = Kind(
    "train", 1, Parameters, {}, "weights", run, released=(Released("model.safetensors"), *RECORDS), origin="random"
)
TUNE = replace(TRAIN, name="tune", inputs={"weights": Slot("weights")}, origin="continued")


def artifacts(root: Path, **files: list[str]) -> dict[str, Path]:
    for stage, names in files.items():
        (root / stage).mkdir()
        for name in names:
            (root / stage / name).write_text(stage)
    return {stage: root / stage for stage in files}


def graph(*kinds: Kind[Any]) -> Graph:
    before, stages = None, []
    for kind in kinds:
        stages.append(Stage(kind.name, kind, Parameters(), dict.fromkeys(kind.inputs, (before or "",))))
        before = kind.name
    return Graph(tuple(stages))


def test_records_of_one_run_stay_together(tmp_path: Path) -> None:
    made = artifacts(
        tmp_path,
        train=["model.safetensors", "chain.jsonl", "losses.jsonl"],
        tune=["model.safetensors", "chain.jsonl"],
    )
    tune = replace(TUNE, released=(Released("model.safetensors"), RECORDS[0]))
    found = {target: path.parent.name for path, target in released_files(graph(TRAIN, tune), made)}
    assert found == {
        "model.safetensors": "tune",
        "training/chain.jsonl": "tune",
        "training/train/chain.jsonl": "train",
        "training/train/losses.jsonl": "train",
    }


def test_a_record_of_all_parts_lies_beside_them(tmp_path: Path) -> None:
    """Of an artifact in parts a file at its top is released once, and a file of the parts once for each."""
    made = artifacts(tmp_path, train=["model.safetensors", "record.json"])
    for number in range(2):
        part = tmp_path / "train" / f"part-{number:05}-of-00002"
        part.mkdir()
        (part / "chain.jsonl").touch()
    train = replace(TRAIN, released=(Released("record.json", "evidence/{stage}", always=True), RECORDS[0]))
    assert {target for _, target in released_files(graph(train), made)} == {
        "evidence/train/record.json",
        "training/part-00000-of-00002/chain.jsonl",
        "training/part-00001-of-00002/chain.jsonl",
    }


@pytest.mark.parametrize(
    "released",
    [
        Released("a.txt", name="LICENSE"),
        Released("a.txt", "provenance", "train.intoto.json"),
        Released("a.txt", "buildinfo"),
        Released("a.txt", "data", "documents.parquet"),
        Released("a.txt", name="README.md"),
    ],
)
def test_nothing_takes_the_place_of_what_regrow_writes(tmp_path: Path, released: Released) -> None:
    forging = replace(TRAIN, released=(released,))
    with pytest.raises(StageError, match=r"would release .* which is there already"):
        list(released_files(graph(forging), artifacts(tmp_path, train=["a.txt"])))


READ = Kind("read", 1, Parameters, {}, "documents", run)
DROP = Kind("drop", 1, Parameters, {"documents": Slot("documents")}, "documents", run, on_documents="filter")
LEARN = replace(TRAIN, inputs={"documents": Slot("documents")}, released=(), origin=None)


@pytest.mark.parametrize(("kept", "excluded", "fine"), [(7, 3, True), (7, 2, False), (8, 3, False)])
def test_no_document_vanishes_and_none_is_made_up(tmp_path: Path, kept: int, excluded: int, fine: bool) -> None:
    outputs = {}
    for stage, counts in (("read", (9, 1)), ("drop", (kept, excluded))):
        (tmp_path / stage).mkdir()
        outputs[stage] = tmp_path / stage
        for name, count in zip(("documents", "excluded"), counts, strict=True):
            pq.write_table(pa.table({"id": ["x"] * count}), tmp_path / stage / f"{name}.parquet")
    stages = graph(READ, DROP, LEARN)
    if fine:
        require_every_document(stages, outputs)
    else:
        with pytest.raises(StageError, match=rf"`drop` took 10 documents and accounts for {kept + excluded}"):
            require_every_document(stages, outputs)
