"""The output of every data stage, as it was. If one of these fails, bump the version of the kind, and then the digest.

``REGROW_GOLDEN=write pytest tests/stages/test_golden.py`` writes the file anew; it refuses to write another digest for
a version that has one already.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from regrow.engine.key import library_version
from regrow.sources import resolve
from regrow.stages import KINDS
from regrow.store.digest import tree_digest

from .conftest import TINY, Bench

FILE = Path(__file__).parents[1] / "golden" / "data_stages.json"
STAGES = {
    "fetch": "fetch",
    "stories": "documents",
    "texts": "documents",
    "clean": "clean",
    "deduplicate": "deduplicate",
    "split": "split",
    "tokenizer": "tokenizer",
    "tokenize": "tokenize",
}


@pytest.fixture(scope="module")
def digests(tiny: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    bench = Bench(tmp_path_factory.mktemp("golden"))
    bench.base = TINY.parent
    fetch = {"fetch": "file:texts", "pins": resolve("file:texts", TINY.parent)}
    return {name: tree_digest(path) for name, path in {"fetch": bench.run("fetch", fetch), **tiny}.items()}


def setting(kind: str) -> str:
    """What a digest belongs to: the version of the kind and of its libraries."""
    libraries = (f"{name} {library_version(name)}" for name in KINDS[kind].libraries)
    return ", ".join([f"version {KINDS[kind].version}", *libraries])


@pytest.mark.parametrize("stage", STAGES)
def test_the_output_is_what_it_was(stage: str, digests: dict[str, str]) -> None:
    golden = json.loads(FILE.read_text()) if FILE.exists() else {}
    known = golden.setdefault(stage, {})
    if os.environ.get("REGROW_GOLDEN") == "write":
        known.setdefault(setting(STAGES[stage]), digests[stage])
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(golden, indent=2, sort_keys=True) + "\n")
    assert setting(STAGES[stage]) in known, "a new version: write its digest down"
    assert digests[stage] == known[setting(STAGES[stage])], f"bump the version of `{STAGES[stage]}`"
