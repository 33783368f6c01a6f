from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regrow.corpus.documents import Documents
from regrow.corpus.split import Split
from regrow.engine import phases
from regrow.errors import Interrupted
from regrow.recipe.kind import Call, Surroundings, Workers
from regrow.stages import KINDS

TINY = Path(__file__).parents[2] / "examples" / "tiny" / "texts"


class Quiet:
    """A context that nobody listens to."""

    def __init__(self, stopped: bool = False, base: Path | None = None, workers: Workers | None = None) -> None:
        self.stopped = stopped
        self.surroundings = Surroundings(base or Path(), workers=workers)

    def emit(self, event: str, **fields: Any) -> None:
        pass

    def stopping(self) -> bool:
        return self.stopped

    def stop(self) -> None:
        raise Interrupted("stopped")


class Bench:
    """Runs stages one by one in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.count = 0
        self.base: Path | None = None
        self.workers: Workers | None = None

    def run(self, kind: str, parameters: dict[str, Any], *, stopped: bool = False, **inputs: Path | list[Path]) -> Path:
        self.count += 1
        output = self.root / f"{self.count:02}-{kind}"
        output.mkdir()
        fed = {slot: tuple(given) if isinstance(given, list) else (given,) for slot, given in inputs.items()}
        known = KINDS[kind]
        scratch = self.root / f"{self.count:02}-scratch"
        context = Quiet(stopped, self.base, self.workers)
        phases.run(known, Call(kind, known.parameters(**parameters), fed, output, scratch, context))
        return output

    def documents(self, files: dict[str, bytes | str], **parameters: Any) -> Path:
        """The documents of some files."""
        self.count += 1
        folder = self.root / f"{self.count:02}-files"
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        return self.run("documents", {**SOURCE, **parameters}, files=folder)

    def split(self, files: dict[str, bytes | str], validation: float = 0.2) -> Path:
        """The split of some files, as they are; a share of 0, which no recipe can ask for, holds nothing out."""
        clean = self.run("clean", {"minimum_characters": 0}, documents=self.documents(files))
        if not validation:
            output = self.root / f"{self.count:02}-whole"
            output.mkdir()
            given = Documents.open(clean)
            Split.write(output, {"train": given.kept, "validation": []}, given.excluded)
            return output
        return self.run("split", {"validation": validation}, documents=clean)


SOURCE = {"source": "s", "licence": "CC0-1.0", "availability": "open"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """All data stages of the texts of the tiny example."""
    bench = Bench(tmp_path_factory.mktemp("tiny"))
    stories = {**SOURCE, "source": "stories", "select": ["*.jsonl"], "group_by": ["story"]}
    others = {**SOURCE, "source": "texts", "exclude": ["*.jsonl"], "max_characters": 2000}
    made = {"stories": bench.run("documents", stories, files=TINY), "texts": bench.run("documents", others, files=TINY)}
    made["clean"] = bench.run("clean", {"minimum_characters": 100}, documents=[made["stories"], made["texts"]])
    made["deduplicate"] = bench.run("deduplicate", {}, documents=made["clean"])
    made["split"] = bench.run("split", {"validation": 0.1}, documents=made["deduplicate"])
    made["tokenizer"] = bench.run("tokenizer", {"vocabulary": 512}, split=made["split"])
    made["tokenize"] = bench.run("tokenize", {}, split=made["split"], tokenizer=made["tokenizer"])
    yield made
