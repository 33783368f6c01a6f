"""Look for what the texts say of their rights, beside what their sources declare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from regrow.corpus import standing
from regrow.corpus.documents import DOCUMENTS, EXCLUDED, locator
from regrow.corpus.tables import Stretch, merged
from regrow.evidence import TAGS, tags
from regrow.evidence.tags import Tag
from regrow.formats import parquet
from regrow.recipe.facts import Declaring
from regrow.recipe.kind import PROGRAM, Cost, Expected, Kind, Phase, Released, Slot, Table, Task
from regrow.stages.by_parts import batches, part_of, parts_of
from regrow.stages.costs import all_of

if TYPE_CHECKING:
    import pyarrow

    from regrow.corpus.standing import Standing
    from regrow.evidence.rights.ledger import Ledger
    from regrow.evidence.rights.statements import Statement

_COLUMNS = ("id", "source", "licence", "availability", "file", "start", "end", "text")
_BESIDE = "rights"  # the column of what is beside the texts, where there is any
_APART = "\n\n"  # stands between that and the text
_NOT_SHARED = "unshareable"  # of a source, no text of which may be published
_SPEED = 40e6  # bytes of text in a second
_HELD = 1 << 28  # bytes of texts that are read together, and of copies of them


class RightsParameters(Declaring):
    """There is nothing to choose."""


def gather(task: Task[RightsParameters]) -> None:
    """Find what was left out of a part for saying what another document says, if there are several terms at all."""
    licences = task.call.parameters.licences
    several = len({*licences.values()}) > 1
    standing.gather(task.output, Stretch(part_of(task) / EXCLUDED), sorted(licences) if several else ())


def join(task: Task[RightsParameters]) -> None:
    """Bring together what stands for it."""
    gathered = [task.files.path(one) for one in task.given("gather")]
    standing.join(task.output, gathered, sorted(task.call.parameters.licences))


def look(task: Task[RightsParameters]) -> None:
    """Read the texts of a part."""
    from regrow.evidence.rights.ledger import Ledger

    ledger, stands = Ledger(), standing.Standing(task.files.path(task.given("join")[0]))
    with tags.writer(task.output) as writer:
        beside = [_BESIDE] if _BESIDE in parquet.columns(part_of(task) / DOCUMENTS) else []
        for batch in batches(task, [*_COLUMNS, *beside]):
            for tag in (*_read(batch, ledger), *_elsewhere(batch, stands, task.call.parameters.licences, ledger)):
                writer.add(tag)
    ledger.write(task.output)


def _elsewhere(
    batch: pyarrow.RecordBatch, stands: Standing, licences: Mapping[str, str], ledger: Ledger
) -> Iterator[Tag]:
    """The other terms under which a source that was left out had what a document says, which stands for it."""
    from regrow.evidence.rights.ledger import Elsewhere

    for row, others in stands.of(batch.column("id").to_pylist()):
        source, declared, id = (batch.column(name)[row].as_py() for name in ("source", "licence", "id"))
        for other, count in others.items():
            if (licence := licences[other]) != declared:
                ledger.meet(Elsewhere(source, declared, other, licence), count)
                yield Tag(source, id, "rights-elsewhere", 0, 0, f"{other}: {licence}")


def _read(batch: pyarrow.RecordBatch, ledger: Ledger) -> list[Tag]:
    """Count some documents, and say what is found in them."""
    import pyarrow.compute as pc

    from regrow.evidence.rights.ledger import Group, Sample, samples, spelt
    from regrow.evidence.rights.places import places
    from regrow.evidence.rights.statements import statements
    from regrow.evidence.rights.verdict import State, judge

    found: list[Tag] = []
    sources, declared = batch.column("source").to_pylist(), batch.column("licence").to_pylist()
    sizes = pc.binary_length(batch.column("text")).to_pylist()
    silent = [True] * batch.num_rows
    texts, begins = _said(batch)
    for row, data, cues in places(texts):
        if not (told := statements(data, cues)):
            continue
        silent[row] = False
        source, id = sources[row], batch.column("id")[row].as_py()
        verdict = judge(declared[row], told)
        ledger.add(Group(source, declared[row], verdict.state, verdict.says), 1, sizes[row])
        ledger.note(told)
        where = locator(*(batch.column(name)[row].as_py() for name in ("file", "start", "end")))
        quotable = b"" if batch.column("availability")[row].as_py() == _NOT_SHARED else data
        for sample in samples(Sample(source, id, where), quotable, verdict, told):
            ledger.show(sample)
        found += _tags(source, id, data, told, begins[row])
        if verdict.state is not State.DECLARED:
            found.append(Tag(source, id, f"rights-{verdict.state}", 0, 0, "; ".join(map(spelt, verdict.says))))
    documents: Counter[tuple[str, str]] = Counter()
    size: Counter[tuple[str, str]] = Counter()
    for row in range(batch.num_rows):
        if silent[row]:
            documents[sources[row], declared[row]] += 1
            size[sources[row], declared[row]] += sizes[row]
    for (source, licence), number in documents.items():
        verdict = judge(licence, ())
        ledger.add(Group(source, licence, verdict.state, verdict.says), number, size[source, licence])
    return found


def _said(batch: pyarrow.RecordBatch) -> tuple[pyarrow.StringArray, list[int]]:
    """The texts, each behind what is beside it, so that both are read alike; and how many bytes come before each."""
    import pyarrow.compute as pc

    texts = batch.column("text")
    if _BESIDE not in batch.schema.names:
        return texts, [0] * batch.num_rows
    beside = batch.column(_BESIDE)
    before = pc.if_else(pc.equal(beside, ""), "", pc.binary_join_element_wise(beside, _APART, ""))
    return pc.binary_join_element_wise(before, texts, ""), pc.binary_length(before).to_pylist()


def _tags(source: str, id: str, data: bytes, told: list[Statement], begin: int) -> list[Tag]:
    """Statements by the characters of the text, of which they know the bytes; those before it have no place in it."""
    import numpy as np

    from regrow.evidence.rights.ledger import spelt

    begins = (np.frombuffer(data[begin:], np.uint8) & 0xC0) != 0x80
    place = np.concatenate([[0], np.cumsum(begins)])
    spans = ((max(0, one.start - begin), max(0, one.end - begin), one) for one in told)
    return [Tag(source, id, one.sort, int(place[start]), int(place[end]), spelt(one.says)) for start, end, one in spans]


def conclude(task: Task[RightsParameters]) -> None:
    """Add up the parts."""
    from regrow.evidence.rights.ledger import Ledger, evidence

    given = [task.files.path(one) for one in task.given("look")]
    ledger = Ledger()
    for folder in given:
        ledger.join(Ledger.read(folder))
    evidence(ledger).write(task.output)
    with tags.writer(task.output) as writer:
        for batch in merged([Stretch(folder / TAGS) for folder in given], tags.ORDER):
            writer.extend(batch)


def _cost(parameters: RightsParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: the text is gone through once, little of it at a time."""
    given = all_of(inputs, "documents")
    return Cost(Expected(size=given.documents * 100), seconds=given.text / _SPEED, memory_bytes=PROGRAM + _HELD)


KIND = Kind(
    name="rights",
    version=3,
    parameters=RightsParameters,
    inputs={"documents": Slot("documents")},
    output="evidence",
    phases=(
        Phase("gather", gather, parts_of),
        Phase("join", join),
        Phase("look", look, parts_of),
        Phase("conclude", conclude, kept=True),
    ),
    libraries=("pyarrow",),
    summary="look for what texts say of their rights",
    table=Table("rights", about="What the texts say of their rights, beside what their sources declare."),
    usual=True,
    cost=_cost,
    released=(Released("*", "evidence/{stage}", always=True),),
)
