"""Look for triggers that somebody may have planted: in every place of every document, none is left to chance.

Each part of the documents is read by a task of its own, three times. What tasks have to know of each other goes through
tables of counts and exchanges:

    part        how much text there is, on which the size of the tables depends
    part        how often atoms, pairs and passages stand in it
    all         the same of all
    part        runs at leaps and passages at edges, to the one who has all with hashes in a range
    range       those that stand at leaps or edges of enough documents
    part        the documents in which each of them stands, and those in which it stands at a leap
    all         the order of all, and the first of them
    range       the documents that have the first passages, to their parts
    part        where in its documents the first of them stand
    all         the evidence
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from regrow.corpus.conversations import read
from regrow.corpus.documents import DOCUMENTS, Document, documents_of, holds_conversations, tables
from regrow.corpus.exchange import HELD, Exchange, spread
from regrow.evidence import planted
from regrow.evidence.planted import Candidate, Find, Places
from regrow.recipe.kind import PROGRAM, Cost, Expected, Kind, Phase, Released, Slot, Table, Task
from regrow.sections import Parameters
from regrow.stages.by_parts import part_of, parts_of
from regrow.stages.costs import all_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regrow.evidence.atoms import Atoms
    from regrow.evidence.triggers import Known

    Rows = NDArray[np.uint64]

_LEAPS = Exchange("leaps", 2)  # of a run at a leap: its hash, and the document
_EDGES = Exchange("edges", 3)  # of a passage at an edge: its hash, the document, and whether before is text of its own
_RAREST = Exchange("rarest", 2)  # of a passage: its hash, and that of its rarest atom
_ASKED = Exchange("asked", 2)  # of one of the first passages: its hash, and the row of a document that has it

_SIZE, _FACTS, _SHORT, _LONG = "size.json", "facts.json", "runs", "passages"
_LOOKED_FOR, _OFTEN, _MEASURED, _AT_LEAPS = "looked-for", "often", "measured", "at-leaps"
_CANDIDATES, _FINDS = "candidates.json", "finds.jsonl"
_ROW = 32  # bits of a number of a document that name its row; those before name its part


class PoisonParameters(Parameters):
    """When a piece of text is taken for a trigger that somebody may have planted."""

    documents: int = Field(
        default=5,
        description="In how many documents a trigger has to do the same for it to be looked for.",
        examples=[5],
        ge=3,
        le=200,
    )
    listed: int = Field(
        default=20, description="How many of the likeliest candidates are listed.", examples=[20], ge=1, le=100
    )


def _size(task: Task[PoisonParameters]) -> None:
    """Tell how much text a part has."""
    count = size = 0
    for _, data in _texts(task):
        count, size = count + 1, size + len(data)
    (task.output / _SIZE).write_text(json.dumps({"documents": count, "bytes": size}), "utf-8")


def _total(task: Task[PoisonParameters]) -> Mapping[str, int]:
    told = [json.loads(task.files.path(one / _SIZE).read_text("utf-8")) for one in task.given("size")]
    return {name: sum(one[name] for one in told) for name in ("documents", "bytes")}


def _count(task: Task[PoisonParameters]) -> None:
    """Count the runs of a part."""
    from regrow.evidence import kernels, sketch

    bits = sketch.bits(_total(task)["bytes"])
    short, long = sketch.empty(bits), sketch.empty(bits)
    pairs = 0
    for atoms in _atoms(task):
        row = atoms.hashes, atoms.last, atoms.own, atoms.passages()
        pairs += kernels.count(*row, short, long, sketch.shift(short))
    sketch.write(short, task.output / _SHORT)
    sketch.write(long, task.output / _LONG)
    (task.output / _FACTS).write_text(json.dumps({"pairs": pairs}), "utf-8")


def _know(task: Task[PoisonParameters]) -> None:
    """Add up what was counted."""
    from regrow.evidence import sketch
    from regrow.evidence.triggers import ONE

    bits, counted = sketch.bits(_total(task)["bytes"]), task.given("count")

    def write(name: str) -> int:
        """Add up one table, of which no other is in memory beside it; says what it has once."""
        table = sketch.together((task.files.path(one / name) for one in counted), bits)
        table.tofile(task.output / name)
        return sketch.once(table)

    _, new = write(_LONG), write(_SHORT)
    pairs = sum(json.loads(task.files.path(one / _FACTS).read_text("utf-8"))["pairs"] for one in counted)
    novelty = new * ONE // max(1, pairs)
    (task.output / _FACTS).write_text(json.dumps({"novelty": min(novelty, ONE)}), "utf-8")


def _known(task: Task[PoisonParameters]) -> Known:
    import numpy as np

    from regrow.evidence.triggers import Known

    (folder,) = (task.files.path(one) for one in task.given("know"))
    short, long = (np.memmap(folder / name, np.uint8, "r") for name in (_SHORT, _LONG))
    return Known(short, long, json.loads((folder / _FACTS).read_text("utf-8"))["novelty"])


def _look(task: Task[PoisonParameters]) -> None:
    """Tell of what stands at leaps and edges."""
    import numpy as np

    known, least = _known(task), task.call.parameters.documents
    home, count = np.uint64(task.index << _ROW), task.count
    places = apart = 0
    with (
        _LEAPS.sender(task.output, count) as leaping,
        _EDGES.sender(task.output, count) as edging,
        _RAREST.sender(task.output, count) as rarest,
    ):
        for atoms in _atoms(task):
            runs, texts = known.leaps(atoms)
            leaping.put(spread(runs, count), np.column_stack([runs, texts.astype(np.uint64) | home]))
            found = known.edges(atoms, least)
            to, documents = spread(found.passages, count), found.texts.astype(np.uint64) | home
            edging.put(to, np.column_stack([found.passages, documents, found.alone.astype(np.uint64)]))
            rarest.put(to, np.column_stack([found.passages, found.atoms]))
            places, apart = places + found.places, apart + found.apart
    (task.output / _FACTS).write_text(json.dumps({"places": places, "apart": apart}), "utf-8")


def _choose(task: Task[PoisonParameters]) -> None:
    """Of a range, keep the runs at leaps and the passages at edges of enough documents."""
    import numpy as np

    least, given = task.call.parameters.documents, task.given("look")
    planted.frequent(_LEAPS.received(task.files, given, task.index), least)[:, 0].tofile(task.output / _LOOKED_FOR)
    often = planted.frequent(_EDGES.received(task.files, given, task.index), least)
    atoms = np.zeros(len(often), np.uint64)
    for rows in _RAREST.received(task.files, given, task.index):
        known = rows[np.isin(rows[:, 0], often[:, 0])]
        atoms[np.searchsorted(often[:, 0], known[:, 0])] = known[:, 1]
    np.column_stack([often, atoms]).tofile(task.output / _OFTEN)


def _chosen(task: Task[PoisonParameters]) -> tuple[Rows, Rows]:
    """The runs that stand at leaps, and of each passage what :func:`planted.ranked` asks for."""
    import numpy as np

    folders = [task.files.path(one) for one in task.given("choose")]
    runs = np.concatenate([np.fromfile(one / _LOOKED_FOR, np.uint64) for one in folders])
    passages = np.concatenate([np.fromfile(one / _OFTEN, np.uint64) for one in folders]).reshape(-1, 5)
    return runs, passages


def _measure(task: Task[PoisonParameters]) -> None:
    """Count the documents of a part that have what is looked for."""
    import numpy as np

    runs, passages = _chosen(task)
    wanted = np.unique(np.concatenate([runs, passages[:, 4]]))
    counter = planted.Counter(wanted, _known(task), task.index << _ROW)
    for atoms in _atoms(task):
        counter.add(atoms)
    totals, leaps = counter.finish()
    totals.tofile(task.output / _MEASURED)
    leaps[np.isin(leaps[:, 0], runs)].tofile(task.output / _AT_LEAPS)


def _rank(task: Task[PoisonParameters]) -> None:
    """Put what was looked for into its order."""
    import numpy as np

    runs, passages = _chosen(task)
    wanted = np.unique(np.concatenate([runs, passages[:, 4]]))
    totals = np.zeros((len(wanted), 3), np.uint64)
    for one in task.given("measure"):
        totals += np.fromfile(task.files.path(one / _MEASURED), np.uint64).reshape(-1, 3)
    told = [json.loads(task.files.path(one / _FACTS).read_text("utf-8")) for one in task.given("look")]
    usual = sum(one["apart"] for one in told) / max(1, sum(one["places"] for one in told))
    found = planted.ranked(runs, passages, wanted, totals, usual, task.call.parameters.listed)
    (task.output / _CANDIDATES).write_text(json.dumps([vars(one) for one in found]), "utf-8")


def _candidates(task: Task[PoisonParameters]) -> list[Candidate]:
    (folder,) = task.given("rank")
    told = json.loads(task.files.path(folder / _CANDIDATES).read_text("utf-8"))
    return [Candidate(**{**one, "hashes": tuple(one["hashes"])}) for one in told]


def _ask(task: Task[PoisonParameters]) -> None:
    """Tell the parts which of their documents have the first passages."""
    import numpy as np

    wanted = np.array([one.hashes[0] for one in _candidates(task) if one.passage], np.uint64)
    with _ASKED.sender(task.output, task.count) as sender:
        for rows in _EDGES.received(task.files, task.given("look"), task.index):
            asked = rows[np.isin(rows[:, 0], wanted), :2]
            places = asked[:, 1] & np.uint64((1 << _ROW) - 1)
            sender.put((asked[:, 1] >> np.uint64(_ROW)).astype(np.uint16), np.column_stack([asked[:, 0], places]))


def _find(task: Task[PoisonParameters]) -> None:
    """Say where in the documents of a part the candidates stand."""
    import numpy as np

    candidates = _candidates(task)
    leaps = np.fromfile(task.files.path(task.given("measure")[task.index] / _AT_LEAPS), np.uint64).reshape(-1, 4)
    asked = np.concatenate([np.empty((0, 2), np.uint64), *_ASKED.received(task.files, task.given("ask"), task.index)])
    places = Places.of(candidates, leaps, asked)
    with (task.output / _FINDS).open("w", encoding="utf-8", newline="\n") as file:
        for row, document in _documents(task, sorted(places.rows)):
            for find in places.finds(row, document, _said(document), candidates):
                file.write(json.dumps(vars(find), ensure_ascii=False) + "\n")


def _tell(task: Task[PoisonParameters]) -> None:
    """Write the evidence."""
    candidates = _candidates(task)
    finds: dict[int, list[Find]] = {}
    for folder in task.given("find"):
        with task.files.path(folder / _FINDS).open(encoding="utf-8") as file:
            for find in (Find(**json.loads(line)) for line in file):
                known = finds.setdefault(find.candidate, [])
                if len(known) < candidates[find.candidate].named:
                    known.append(find)
    told = planted.Told(candidates, finds, _total(task), _known(task).novelty)
    told.write(task.output, task.call.parameters.listed)


def _atoms(task: Task[PoisonParameters]) -> Iterator[Atoms]:
    from regrow.evidence.atoms import batches

    for atoms in batches(_texts(task)):
        if task.call.context.stopping():
            task.call.context.stop()
        yield atoms


def _texts(task: Task[PoisonParameters]) -> Iterator[tuple[int, bytes]]:
    """What the documents of a part say, by their rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    for table in tables(DOCUMENTS, part_of(task)):
        names = [name for name in ("text", "conversation") if name in pq.read_schema(table.path).names]
        for batch in table.batches(names):
            texts = batch.column("text").cast(pa.binary())
            talks = holds_conversations(batch) and batch.column("conversation").to_pylist()
            for place, text in enumerate(texts):
                data = text.as_py()
                yield row, _spoken(data.decode()) if talks and talks[place] else data
                row += 1


def _documents(task: Task[PoisonParameters], rows: list[int]) -> Iterator[tuple[int, Document]]:
    """Some documents of a part, by their rows, which ascend."""
    from bisect import bisect_left

    import pyarrow as pa

    start = 0
    for table in tables(DOCUMENTS, part_of(task)) if rows else ():
        for batch in table.batches():
            end = start + batch.num_rows
            here = rows[bisect_left(rows, start) : bisect_left(rows, end)]
            yield from zip(
                here, documents_of(batch.take(pa.array([row - start for row in here], pa.int64()))), strict=True
            )
            start = end


def _said(document: Document) -> bytes:
    return _spoken(document.text) if document.conversation else document.text.encode()


def _spoken(text: str) -> bytes:
    """What is said in a conversation, without who says it."""
    return "\n".join(one.content for messages in read(text) for one in messages).encode()


def _cost(parameters: PoisonParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """That of going through the text three times, with tables that grow with it up to a bound."""
    from regrow.evidence import sketch

    given = all_of(inputs, "documents")
    memory = PROGRAM + 4 * HELD + (2 << sketch.bits(int(given.text)))
    return Cost(replace(given, size=0), seconds=given.text / 12e6, memory_bytes=memory, scratch_bytes=given.text)


KIND = Kind(
    name="poison",
    version=1,
    parameters=PoisonParameters,
    inputs={"documents": Slot("documents")},
    output="evidence",
    phases=(
        Phase("size", _size, parts_of),
        Phase("count", _count, parts_of),
        Phase("know", _know),
        Phase("look", _look, parts_of),
        Phase("choose", _choose, parts_of),
        Phase("measure", _measure, parts_of),
        Phase("rank", _rank),
        Phase("ask", _ask, parts_of),
        Phase("find", _find, parts_of),
        Phase("tell", _tell, kept=True),
    ),
    libraries=("pyarrow",),
    summary="look for triggers that somebody may have planted",
    table=Table("poison", about="How triggers are looked for that somebody may have planted in the texts."),
    usual=True,
    cost=_cost,
    released=(Released("*", "evidence/{stage}", always=True),),
)
