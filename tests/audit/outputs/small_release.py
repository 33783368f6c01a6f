"""A release directory with just what the outputs read, made in milliseconds."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import tomli_w


def small_release(folder: Path, source: str = "texts", fetch: str = "pypi:texts==1.0") -> Path:
    """Write the release into ``folder``, with a source that has a name and a place as given."""
    for name in ("data", "provenance"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    declared = {"name": source, "fetch": fetch, "licence": "CC0-1.0", "availability": "open"}
    bought = {
        "name": "bought",
        "fetch": "https://data.example/bought.txt",
        "licence": "LicenseRef-Bought",
        "availability": "obtainable",
    }
    recipe = {"recipe": 1, "model": {"name": "tiny", "licence": "Apache-2.0"}, "source": [declared, bought]}
    (folder / "regrow.toml").write_text(tomli_w.dumps(recipe), "utf-8")
    _table(
        folder / "data/documents.parquet",
        [
            {"id": "1", "source": source, "split": "train", "file": "a.txt", "bytes": 1000},
            {"id": "2", "source": source, "split": "validation", "file": "a.txt", "bytes": 10},
            {"id": "3", "source": "bought", "split": "train", "file": "b.txt", "bytes": 500},
        ],
    )
    dropped = {"stage": "clean", "reason": "too short", "source": source, "locator": "a.txt:0-1", "detail": ""}
    _table(folder / "data/excluded.parquet", [{**dropped, "characters": 1}])
    pin = {"file": "a.txt", "sha256": "ab" * 32, "size": 1010}
    _stage(folder, "fetch-texts", "fetch", {"fetch": fetch, "pins": [pin]}, [])
    _stage(folder, "clean", "clean", {"minimum_characters": 2}, ["fetch-texts"])
    _stage(folder, "pretrain", "pretrain", {"train": {"seed": 1, "tokens": 100}}, ["clean"])
    covered = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    sums = [f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in covered]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def _table(path: Path, rows: list[dict[str, Any]]) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def _stage(folder: Path, name: str, kind: str, parameters: dict[str, Any], inputs: list[str]) -> None:
    needs = [{"name": one, "annotations": {"slot": "documents", "stage": one}} for one in inputs]
    definition = {
        "externalParameters": parameters,
        "internalParameters": {"kind": kind, "version": 1},
        "resolvedDependencies": needs,
    }
    artifact = {"name": name, "digest": {"sha256": sha256(name.encode()).hexdigest()}}
    statement = {"subject": [artifact], "predicate": {"buildDefinition": definition}}
    (folder / f"provenance/{name}.intoto.json").write_text(json.dumps(statement))
