"""Find which documents go if some are to be left out: those, and others that say the same.

A text that is left out is still learnt if another source has a copy of it. So a group of documents that say nearly the
same goes whole if one of it goes: this is the forget closure of "Unlearning at Scale" (arXiv:2508.12220). Groups come
from two places. ``deduplicate`` has kept one of each group and recorded which others it stands for: if it stands for
one that goes, it goes; and if it goes, the others, which are out already, must stay out. Among the documents that are
there, groups are found as ``deduplicate`` finds them (:mod:`regrow.stages.comparing`), so that copies are found in a
corpus that keeps near-duplicates, too. Every document has a name here, also that of a copy; and where a recipe trains
several times on texts of their own, all of them are searched together.

    part        the documents that go as the recipe says, and those that stand for some that went before
    all         refuse ids that are of no document
    part        names of those that go
    all         of each group with one that goes, the others, each with one that goes
    part        the table of a part
    all         the tables together
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, field_validator, model_validator

from regrow.corpus.documents import DOCUMENTS, EXCLUDED, Exclusion, locator
from regrow.corpus.documents import tables as tables_of
from regrow.corpus.duplicates import EXACT, NEAR, Duplicate
from regrow.corpus.exchange import HELD, Exchange
from regrow.corpus.names import HASH, names
from regrow.corpus.removal import ALIKE, NAMED, Count, Facts, Removed, read, writer
from regrow.errors import StageError
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Phase, Slot, Table, Task
from regrow.recipe.values import Texts
from regrow.sections import Parameters, fault
from regrow.stages import comparing
from regrow.stages.comparing import HASHES, NAMES, TEXTS
from regrow.stages.costs import through_text
from regrow.words import counted, listed, shown

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

MOST_NAMED = 100_000
"""Documents that a recipe names; a recipe is read as a whole, and its lock and statements repeat it."""

_GONE, _STANDS, _FOUND, _COUNTS = "gone.parquet", "stands.parquet", "found.parquet", "counts.json"
_MARKED = Exchange("marked", 1)  # the name of a text that goes
_ID = re.compile("[0-9a-f]{64}")
_TOLD = 3  # ids that an error names
_ALIKE_DIGITS = 24  # of the 32 bytes of an id, those that agree in one that was meant


class RemovalParameters(Parameters):
    """What is to be left out, though it is among the sources."""

    sources: Texts = Field(
        default=(),
        description="Names of sources of which nothing is learnt. They are still read, to find what says the same "
        "elsewhere.",
        examples=[["bible"]],
        json_schema_extra={"leaves_out": "documents"},
    )
    documents: Texts = Field(
        default=(),
        description=f"Ids of documents, as the list of documents of a release has them; at most {MOST_NAMED:,}.",
        examples=[["4f0c" * 16]],
    )
    near_duplicates: float = Field(
        default=0.8,
        description="Documents that are at least so much like one that goes go, too, as `corpus.near_duplicates` has "
        "it; 0 for those alone that `deduplicate` took for duplicates.",
        examples=[0.7],
        ge=0,
        le=1,
    )

    @field_validator("documents")
    @classmethod
    def _are_ids(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := next((one for one in value if not is_id(one)), None):
            raise fault(f"{shown(wrong)} is no id of a document", why=ID, hint="take ids from the release's list")
        if len(value) > MOST_NAMED:
            raise fault(f"names {len(value):,} documents", why=f"at most {MOST_NAMED:,} can be named", hint=MANY)
        return tuple(sorted({*value}))

    @field_validator("near_duplicates")
    @classmethod
    def _can_be_found(cls, value: float) -> float:
        return comparing.require_found(value)

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.sources and not self.documents:
            raise fault("leaves nothing out", hint='name some: `sources = ["bible"]`, or ids as `documents`')
        return self


ID = "it is 64 digits and letters from a to f"
MANY = "leave out a whole source, or cut one in two, by `select` and `exclude`, and leave out one of them"


def is_id(text: str) -> bool:
    """Whether a document can be called so."""
    return _ID.fullmatch(text) is not None


def _find(task: Task[RemovalParameters]) -> None:
    """Of a part: what goes as the recipe says, what stands for it, and which of the ids that were named are here."""
    wanted = task.call.parameters
    counts: dict[str, Count] = {}
    gone, seen, stands = list[str](), list[str](), list[tuple[str, str]]()
    named = {*wanted.documents}
    for batch in _batches(DOCUMENTS, task, ["id", "source", "text"]):
        goes = _goes(batch, wanted)
        _count(batch, goes, counts)
        ids = batch.column("id")
        gone += ids.filter(goes).to_pylist()
        seen += [one for one in ids.to_pylist() if one in named] if named else []
    for one in _duplicates(task):
        found = Duplicate.read(one.reason, one.detail)
        if found and (one.source in wanted.sources or one.id in named):
            stands.append((found.of, str(replace(found, of=one.id))))
    if named:
        ids = (one for batch in _batches(EXCLUDED, task, ["id"]) for one in batch.column("id").to_pylist())
        seen += [one for one in ids if one in named]
    _write(task.output / _GONE, {"id": gone})
    _write(task.output / _FOUND, {"id": seen})
    _write(task.output / _STANDS, {"id": [of for of, _ in stands], "detail": [words for _, words in stands]})
    told = {source: asdict(one) for source, one in sorted(counts.items())}
    (task.output / _COUNTS).write_text(json.dumps(told), "utf-8")


def _check(task: Task[RemovalParameters]) -> None:
    """Refuse ids that are of no document."""
    named = {*task.call.parameters.documents}
    if not named:
        return
    unknown = sorted(named - {*_column(task, _FOUND, "id")})
    if unknown:
        few = unknown[:_TOLD]
        near = [f"`{one}`" for name in few for one in _nearest(name, task)]
        raise StageError(
            f"{counted(len(unknown), 'document')} of {len(named):,} that are named to be left out "
            f"{'is' if len(unknown) == 1 else 'are'} not there: {listed(few)}{' ...' if len(unknown) > _TOLD else ''}",
            why="no source of this recipe has given a document of that id; ids change with the text and its place",
            hint=f"did you mean {', '.join(near)}?" if near else "take ids from `data/documents.parquet` of a release",
        )


def _nearest(wanted: str, task: Task[RemovalParameters]) -> Iterator[str]:
    """The id of a document that one was meant to be, if it is wrong in a few places."""
    import numpy as np

    digits = np.frombuffer(bytes.fromhex(wanted), np.uint8)
    best, found = _ALIKE_DIGITS, ""
    for table in (DOCUMENTS, EXCLUDED):
        for stretch in tables_of(table, *map(task.files.path, task.call.inputs["documents"])):
            for batch in stretch.batches(["id"]):
                ids = batch.column("id").to_pylist()
                rows = np.frombuffer(bytes.fromhex("".join(ids)), np.uint8).reshape(len(ids), -1)
                same = (rows == digits).sum(axis=1)
                place = int(same.argmax())
                if same[place] > best:
                    best, found = int(same[place]), ids[place]
    yield from (found,) if found else ()


def _name(task: Task[RemovalParameters]) -> None:
    """Give every document a name, in the order of hashes, and of copies in that of the corpus."""
    import numpy as np

    given = 0
    with TEXTS.sender(task.output, task.count) as texts:
        for rows in HASHES.received(task.files, task.given("hashes"), task.index):
            part, row = rows[:, HASH], rows[:, HASH + 1]
            found = names(task.index, given, part)
            given += len(found)
            texts.put(part, np.column_stack([row, found]))


def _mark(task: Task[RemovalParameters]) -> None:
    """Tell the names of the documents of a part that go."""
    import numpy as np
    import pyarrow.compute as pc

    gone = _ids([*_column(task, _GONE, "id"), *_column(task, _STANDS, "id")])
    flags = [pc.is_in(batch.column("id"), gone).to_numpy(False) for batch in _batches(DOCUMENTS, task, ["id"])]
    goes = np.concatenate([np.empty(0, np.bool_), *flags])
    with _MARKED.sender(task.output, 1) as marked:
        for block in TEXTS.received(task.files, task.given(NAMES), task.index):
            here = goes[block[:, 0].astype(np.int64)]
            marked.put(0, block[here, 1:])


def _close(task: Task[RemovalParameters]) -> None:
    """Tell each text that is in a group with one that goes which one that is: one that it is like, if there is one."""
    import numpy as np

    from regrow.corpus.grouping import components

    texts, flat = np.unique(comparing.pairs_alike(task), return_inverse=True)
    edges = flat.reshape(-1, 2)
    marked = [np.empty((0, 1), np.uint64), *_MARKED.received(task.files, task.given("mark"), 0)]
    goes = np.isin(texts, np.concatenate(marked))
    of = _of_groups(components(edges, len(texts)), goes)
    both = np.concatenate([edges, edges[:, ::-1]])
    neighbours = both[goes[both[:, 1]]]
    near = np.full(len(texts), len(texts))
    np.minimum.at(near, neighbours[:, 0], neighbours[:, 1])
    of = np.where(near < len(texts), near, of)
    others = ~goes & (of < len(texts))
    comparing.tell(task, np.column_stack([texts[others], texts[of[others]]]))


def _of_groups(least: NDArray[np.intp], goes: NDArray[np.bool_]) -> NDArray[np.intp]:
    """For each text the first one of its group that goes; their number if none does."""
    import numpy as np

    first = np.full(len(least), len(least))
    np.minimum.at(first, least[goes], np.flatnonzero(goes))
    return first[least]


def _list(task: Task[RemovalParameters]) -> None:
    """Write the table of a part: what was named, what says the same, and what is out already for saying the same."""
    wanted = task.call.parameters
    named, stands = {*wanted.documents}, _stands(task)
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    with writer(task.output) as table:
        for document, like in _near(task):
            if document["source"] in wanted.sources:
                continue
            reason, detail = (NAMED, "") if document["id"] in named else (ALIKE, stands.get(document["id"], like))
            if reason is ALIKE and not detail:
                continue
            table.add(_removed(document, reason, detail))
            if reason is ALIKE:
                counts[document["source"]] += 1
                sizes[document["source"]] += document["bytes"]
        gone = {*_column(task, _GONE, "id"), *stands}
        for one in _duplicates(task):
            found = Duplicate.read(one.reason, one.detail)
            if found and found.of in gone and one.source not in wanted.sources and one.id not in named:
                table.add(Removed(one.id, one.source, one.locator, ALIKE, one.detail, False, 0))
    told = {source: asdict(Count(alike=count, alike_bytes=sizes[source])) for source, count in sorted(counts.items())}
    (task.output / _COUNTS).write_text(json.dumps(told), "utf-8")


def _near(task: Task[RemovalParameters]) -> Iterator[tuple[dict[str, Any], str]]:
    """The documents of a part without their texts, and which one each is like that goes; or nothing."""
    if not task.call.parameters.near_duplicates:
        yield from ((one, "") for one in _places(task))
        return
    with comparing.told(task) as near:
        known = TEXTS.received(task.files, task.given(NAMES), task.index)
        rows = (name for block in known for name in block[:, 1].tolist())
        for one, name in zip(_places(task), rows, strict=True):
            found = near.of(name)
            yield one, str(found) if found else ""


def _places(task: Task[RemovalParameters]) -> Iterator[dict[str, Any]]:
    """Of each document of a part, who it is and how many bytes it has."""
    import pyarrow.compute as pc

    columns = ["id", "source", "file", "start", "end", "text"]
    for batch in _batches(DOCUMENTS, task, columns):
        sizes = pc.binary_length(batch.column("text")).to_pylist()
        for row, size in zip(batch.select(columns[:-1]).to_pylist(), sizes, strict=True):
            yield {**row, "bytes": size}


def _removed(document: Mapping[str, Any], reason: str, detail: str) -> Removed:
    place = locator(document["file"], document["start"], document["end"])
    return Removed(document["id"], document["source"], place, reason, detail, True, document["bytes"])


def _conclude(task: Task[RemovalParameters]) -> None:
    """Put the tables together, and count.

    Raises:
        StageError: if nothing would be left.
    """
    wanted = task.call.parameters
    counts: dict[str, Count] = {}
    for phase in ("find", "list"):
        for folder in task.given(phase):
            told = json.loads(task.files.path(folder / _COUNTS).read_text("utf-8"))
            for source, one in told.items():
                counts[source] = counts.get(source, Count()) + Count(**one)
    facts = Facts(wanted.sources, len(wanted.documents), wanted.near_duplicates, counts)
    _require_some(facts)
    with writer(task.output) as table:
        for one in read([task.files.path(folder) for folder in task.given("list")]):
            table.add(one)
    facts.write(task.output)
    task.call.context.emit("tally", text=words(facts), left_out=True)


def _require_some(facts: Facts) -> None:
    whole = facts.whole
    if whole.documents and not whole.left:
        alike = f", and {counted(whole.alike, 'other')} that say the same" if whole.alike else ""
        raise StageError(
            "nothing would be left to learn from",
            why=f"all {counted(whole.documents, 'document')} of the corpus go: {whole.gone:,} as they are named{alike}",
            hint="leave out less, or add another source",
        )


def words(facts: Facts) -> str:
    """What goes, in a line."""
    whole = facts.whole
    named = f"{counted(whole.gone, 'document')} of {whole.documents:,}"
    return f"{named}, and {whole.alike:,} that say the same elsewhere"


def _goes(batch: pyarrow.RecordBatch, wanted: RemovalParameters) -> pyarrow.Array:
    """Which documents go as the recipe says."""
    import pyarrow.compute as pc

    by_source = pc.is_in(batch.column("source"), _ids(wanted.sources))
    return pc.or_(by_source, pc.is_in(batch.column("id"), _ids(wanted.documents)))


def _count(batch: pyarrow.RecordBatch, goes: pyarrow.Array, counts: dict[str, Count]) -> None:
    import pyarrow.compute as pc

    sources = batch.column("source").to_pylist()
    sizes = pc.binary_length(batch.column("text")).to_pylist()
    for source, size, gone in zip(sources, sizes, goes.to_pylist(), strict=True):
        counts[source] = counts.get(source, Count()) + Count(1, size, int(gone), size if gone else 0)


def _duplicates(task: Task[RemovalParameters]) -> Iterator[Exclusion]:
    """What was left out of a part because another document says the same."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for batch in _batches(EXCLUDED, task, None):
        chosen = batch.filter(pc.is_in(batch.column("reason"), pa.array([EXACT, NEAR])))
        yield from map(Exclusion, *(column.to_pylist() for column in chosen.columns))


def _stands(task: Task[RemovalParameters]) -> dict[str, str]:
    """The documents that stand for some that go, each with the one that it is most like."""
    found: dict[str, str] = {}
    pairs = zip(_column(task, _STANDS, "id"), _column(task, _STANDS, "detail"), strict=True)
    for identity, detail in sorted(pairs, key=lambda pair: _likeness(pair[1])):
        found.setdefault(identity, detail)
    return found


def _likeness(detail: str) -> tuple[float, str]:
    """Sorts copies first, then what is most alike."""
    found = Duplicate.of_words(detail)
    return (-1.0 if found is None or found.similarity is None else -found.similarity, detail)


def _batches(name: str, task: Task[RemovalParameters], columns: Sequence[str] | None) -> Iterator[pyarrow.RecordBatch]:
    """The rows of a table of a part."""
    for stretch in tables_of(name, comparing.part_of(task)):
        for batch in stretch.batches(columns):
            comparing.stop_if_asked(task)
            yield batch


def _column(task: Task[RemovalParameters], name: str, column: str) -> list[str]:
    """A column of what the parts have found, in all of them."""
    import pyarrow.parquet as pq

    files = (task.files.path(folder / name) for folder in task.given("find"))
    return [one for path in files for one in pq.read_table(path, columns=[column])[column].to_pylist()]


def _ids(values: Sequence[str]) -> pyarrow.Array:
    import pyarrow as pa

    return pa.array(values, pa.string())


def _write(path: Path, columns: Mapping[str, Sequence[str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: _ids(values) for name, values in columns.items()}), path)


def _near_parts(call: Call[RemovalParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    return comparing.parts_given(call, results) if call.parameters.near_duplicates else 0


def _cost(parameters: RemovalParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """That of comparing the text with itself, as ``deduplicate`` does."""
    given = through_text("documents", 4e6 if parameters.near_duplicates else 80e6)(parameters, inputs)
    return replace(given, gives=Expected(), memory_bytes=PROGRAM + 8 * HELD)


KIND = Kind(
    name="removal",
    version=1,
    parameters=RemovalParameters,
    inputs={"documents": Slot("documents", many=True)},
    output="removal",
    phases=(
        Phase("find", _find, comparing.parts_given),
        Phase("check", _check),
        Phase("hashes", comparing.hashes, _near_parts),
        Phase(NAMES, _name, _near_parts),
        Phase("mark", _mark, _near_parts),
        *comparing.phases(_close),
        Phase("list", _list, comparing.parts_given),
        Phase("conclude", _conclude, kept=True),
    ),
    libraries=("pyarrow", "rensa"),
    summary="find what is to be left out, and what says the same",
    table=Table(
        "without",
        about="What is to be left out though a source has it, and with it all that says the same; `regrow build "
        "--without` writes such a table.",
    ),
    after=("deduplicate",),
    cost=_cost,
)
