"""Set some documents aside that training never sees."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

from pydantic import Field

from regrow.corpus.documents import DOCUMENTS, EXCLUDED, documents_table, locator
from regrow.corpus.split import Split
from regrow.corpus.tables import Stretch
from regrow.errors import StageError
from regrow.formats import parquet, parts
from regrow.recipe.kind import PROGRAM, Cost, Expected, Kind, Phase, Released, Slot, Table, Task
from regrow.sections import Parameters
from regrow.stages.by_parts import part_of, parts_of
from regrow.stages.costs import all_of, texts_held
from regrow.store.digest import sha256_bytes

_FOUND, _DECIDED = "found.json", "decided.json"


class SplitParameters(Parameters):
    """How much to set aside."""

    validation: float = Field(
        default=0.02,
        description="The share of the documents held out to measure the model.",
        examples=[0.02],
        gt=0,
        le=0.5,
    )


@dataclass(frozen=True)
class _Found:
    """What there is in a part.

    Attributes:
        documents: how many.
        chosen: how many of them the share of the recipe holds out.
        first: the smallest chance of a document; empty if there is none.
        last: the largest.
        locator: of a document, if there is any.
        left_out: reason -> how many texts were left out before for it.
    """

    documents: int
    chosen: int
    first: str
    last: str
    locator: str
    left_out: Mapping[str, int]

    @staticmethod
    def together(found: Sequence[_Found]) -> _Found:
        """What there is in all parts."""
        some = [one for one in found if one.documents]
        left_out: Counter[str] = Counter()
        for one in found:
            left_out.update(one.left_out)
        return _Found(
            sum(one.documents for one in found),
            sum(one.chosen for one in found),
            min((one.first for one in some), default=""),
            max((one.last for one in some), default=""),
            some[0].locator if some else "",
            left_out,
        )

    @property
    def why(self) -> str:
        """How many documents are not there any more, and why; empty if none was left out."""
        reasons = Counter(self.left_out)
        told = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common())
        return f"left out before: {told}" if told else ""


def _given(task: Task[SplitParameters], name: str) -> Path:
    """A table of the part that a task is for."""
    return part_of(task) / name


def count(task: Task[SplitParameters]) -> None:
    """Look at the chances of the documents of a part."""
    limit = _threshold(task.call.parameters.validation)
    documents = chosen = 0
    first, last, where = "", "", ""
    for batch in Stretch(_given(task, DOCUMENTS)).batches(["id", "file", "start", "end"]):
        found = sorted(map(_chance, batch.column("id").to_pylist()))
        documents += len(found)
        chosen += sum(chance < limit for chance in found)
        first, last = min(first or found[0], found[0]), max(last, found[-1])
        where = where or locator(*(batch.column(name)[0].as_py() for name in ("file", "start", "end")))
    reasons: Counter[str] = Counter()
    for batch in Stretch(_given(task, EXCLUDED)).batches(["reason"]):
        reasons.update(batch.column("reason").to_pylist())
    _write(task.output / _FOUND, vars(_Found(documents, chosen, first, last, where, reasons)))


def decide(task: Task[SplitParameters]) -> None:
    """Let the share of the recipe decide, but for at least one document, and not all of them."""
    found = _Found.together([_Found(**_read(task.files.path(one / _FOUND))) for one in task.given("count")])
    if not found.documents:
        raise StageError(
            "the corpus is empty",
            why=found.why,
            hint="look at what the sources select and what was left out before",
        )
    if found.documents == 1:
        raise StageError(
            "the corpus is a single document",
            where=found.locator,
            why="; ".join(filter(None, ("some are held out to measure the model", found.why))),
            hint="add texts, or set `max_characters` of the source, which cuts long texts into several documents",
        )
    below = _threshold(task.call.parameters.validation)
    if not found.chosen:
        below = _hex(int(found.first, 16) + 1)
    elif found.chosen == found.documents:
        below = found.last
    _write(task.output / _DECIDED, {"below": below})


def write(task: Task[SplitParameters]) -> None:
    """Write the documents of a part: those that are held out, and the others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    (decided,) = task.given("decide")
    below = _read(task.files.path(decided / _DECIDED))["below"]
    split = Split(parts.made(task.output, task.index, task.count))
    with documents_table(split.path("train")) as train, documents_table(split.path("validation")) as validation:
        for batch in Stretch(_given(task, DOCUMENTS)).batches():
            held_out = parquet.column([_chance(one) < below for one in batch.column("id").to_pylist()], pa.bool_())
            train.extend(batch.filter(pc.invert(held_out)))
            validation.extend(batch.filter(held_out))
    shutil.copyfile(_given(task, EXCLUDED), split.folder / EXCLUDED)


def _chance(document: str) -> str:
    """64 hexadecimal digits that decide for a document: a hash of its id, so that it does not depend on the others."""
    return sha256_bytes(f"split\0{document}".encode())


def _threshold(share: float) -> str:
    """That below which there is a share of the chances."""
    return _hex(ceil(Fraction(share) * 2**256))


def _hex(number: int) -> str:
    return f"{number:064x}"


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, sort_keys=True) + "\n", encoding="utf-8")


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def cost(parameters: SplitParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: a copy of the text, some of which is held out; some of it is in memory."""
    given = all_of(inputs, "documents")
    gives = replace(given, size=given.text, validation=parameters.validation)
    return Cost(gives, seconds=given.text / 50e6, memory_bytes=PROGRAM)


KIND = Kind(
    name="split",
    version=2,
    parameters=SplitParameters,
    inputs={"documents": Slot("documents")},
    output="split",
    phases=(
        Phase("count", count, parts_of),
        Phase("decide", decide),
        Phase("write", write, parts_of, kept=True),
    ),
    libraries=("pyarrow",),
    summary="set documents aside for validation",
    table=Table("corpus"),
    usual=True,
    cost=cost,
    found=texts_held("train.parquet", "validation.parquet"),
    released=(Released(EXCLUDED, "data"),),
)
