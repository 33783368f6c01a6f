"""Look for reference texts in the corpus, by fingerprints alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from regrow.corpus.documents import locator
from regrow.corpus.tables import Stretch, merged
from regrow.evidence import TAGS, tags
from regrow.evidence.tags import Tag
from regrow.recipe.kind import PROGRAM, Cost, Expected, Kind, Phase, Released, Slot, Table, Task
from regrow.sections import Parameters
from regrow.stages.by_parts import batches, parts_of
from regrow.stages.costs import all_of
from regrow.stages.fingerprint import NAME

if TYPE_CHECKING:
    import pyarrow

    from regrow.evidence.fingerprints.lists import Fingerprints
    from regrow.evidence.fingerprints.matching import Matcher, Run
    from regrow.evidence.fingerprints.overlap import Overlap

TAG = "reference"
_LIST = "together.fingerprints"
_COLUMNS = ("id", "source", "file", "start", "end", "text")
_TABLE = 1 << 28  # bytes of the table of a long list, and of what was seen of it


class ReferencesParameters(Parameters):
    """There is nothing to choose."""


def join(task: Task[ReferencesParameters]) -> None:
    """Make one list of those of all sources."""
    from regrow.evidence.fingerprints import Fingerprints

    lists = [Fingerprints.open(task.files.path(one) / NAME) for one in task.call.inputs["fingerprints"]]
    Fingerprints.together(lists).write(task.output / _LIST)


def _listed(task: Task[ReferencesParameters]) -> Fingerprints:
    from regrow.evidence.fingerprints import Fingerprints

    (joined,) = task.given("join")
    return Fingerprints.open(task.files.path(joined / _LIST))


def look(task: Task[ReferencesParameters]) -> None:
    """Look through the texts of a part."""
    import numpy as np

    from regrow.evidence.fingerprints.matching import Matcher
    from regrow.evidence.fingerprints.overlap import Overlap

    prints = _listed(task)
    matcher, overlap = Matcher(prints), Overlap(np.zeros(len(prints.hashes), np.bool_))
    with tags.writer(task.output) as writer:
        for batch in batches(task, _COLUMNS):
            for tag in _read(batch, matcher, prints, overlap):
                writer.add(tag)
    overlap.write(task.output)


def _read(batch: pyarrow.RecordBatch, matcher: Matcher, prints: Fingerprints, overlap: Overlap) -> list[Tag]:
    """Note what some documents share with works, and say where."""
    import pyarrow.compute as pc

    from regrow.evidence.fingerprints.overlap import Place
    from regrow.evidence.fingerprints.windows import spans

    texts = batch.column("text").to_pylist()
    size = pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0
    overlap.read = (overlap.read[0] + len(texts), overlap.read[1] + size)
    found: dict[int, list[Run]] = {}
    for run in matcher.runs(texts, overlap.seen):
        found.setdefault(run.text, []).append(run)
    told: list[Tag] = []
    for row, runs in found.items():
        source, id = batch.column("source")[row].as_py(), batch.column("id")[row].as_py()
        where = locator(*(batch.column(name)[row].as_py() for name in ("file", "start", "end")))
        place = spans(texts[row])
        by_work: dict[int, list[Run]] = {}
        for run in runs:
            by_work.setdefault(run.work, []).append(run)
            start, end = (place[run.start][0], place[run.end - 1][1]) if place else (0, 0)
            told.append(Tag(source, id, TAG, start, end, prints.works[run.work].name))
        overlap.matched += 1
        for work, ours in by_work.items():
            lengths = [run.end - run.start for run in ours]
            overlap.add(work, Place(source, id, where, sum(lengths), max(lengths)))
    return told


def conclude(task: Task[ReferencesParameters]) -> None:
    """Add up the parts."""
    import numpy as np

    from regrow.evidence.fingerprints.overlap import Overlap, evidence

    prints = _listed(task)
    given = [task.files.path(one) for one in task.given("look")]
    overlap = Overlap(np.zeros(len(prints.hashes), np.bool_))
    for folder in given:
        overlap.join(Overlap.read_from(folder, len(prints.hashes)))
    evidence(prints, overlap).write(task.output)
    with tags.writer(task.output) as writer:
        for batch in merged([Stretch(folder / TAGS) for folder in given], tags.ORDER):
            writer.extend(batch)


def _cost(parameters: ReferencesParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: the text is gone through once; the lists are sorted together if there are several."""
    given, lists = all_of(inputs, "documents"), all_of(inputs, "fingerprints")
    several = len(inputs.get("fingerprints", ())) > 1
    memory = int(PROGRAM + _TABLE + (3 * lists.size if several else 0))
    return Cost(
        Expected(size=lists.size / 100), seconds=given.text / 3e7, memory_bytes=memory, scratch_bytes=lists.size
    )


KIND = Kind(
    name="references",
    version=1,
    parameters=ReferencesParameters,
    inputs={"documents": Slot("documents"), "fingerprints": Slot("fingerprints", many=True)},
    output="evidence",
    phases=(Phase("join", join), Phase("look", look, parts_of), Phase("conclude", conclude, kept=True)),
    libraries=("pyarrow",),
    summary="look for reference texts in the corpus",
    table=Table("references", about='How reference texts, sources with `role = "reference"`, are looked for.'),
    usual=True,
    cost=_cost,
    released=(Released("*", "evidence/{stage}", always=True),),
)
