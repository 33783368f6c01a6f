"""Commit to the texts of a source that may not be shared, so that any of them can be shown to have been there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.corpus.documents import ORDER
from regrow.corpus.split import PARTS, Split
from regrow.corpus.tables import Stretch, merged
from regrow.evidence import FOLDER, Evidence, Rows
from regrow.evidence.commitment import SCHEMA, Commitment, leaf, root
from regrow.formats import parquet, parts
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Phase, Released, Slot, Table, Task
from regrow.recipe.roles import TRAINING
from regrow.recipe.values import UNSHAREABLE
from regrow.stages.costs import all_of
from regrow.stages.sourced import SourceParameters
from regrow.words import counted

if TYPE_CHECKING:
    pass

_LEAVES, _FIGURES = "leaves.bin", "figures.json"
_HASH = 32
_FEW = 1000
"""Bytes of all texts of a source; fewer may be guessed."""


class CommitParameters(SourceParameters):
    """The source whose texts are committed to."""


def leaves(task: Task[CommitParameters]) -> None:
    """The leaves of the documents of a part, in their order."""
    folder = task.files.path(parts.folder(task.call.input("split"), task.index, task.count))
    source = task.call.parameters.source
    count = amount = 0
    with (task.output / _LEAVES).open("wb") as file:
        for id, salt, text in _withheld(folder, source):
            data = text.encode()
            file.write(leaf(salt, id, data))
            count, amount = count + 1, amount + len(data)
            if count % 1024 == 0 and task.call.context.stopping():
                task.call.context.stop()
    figures = {"documents": count, "bytes": amount, "training": _count(Split(folder).path("train"), source)}
    (task.output / _FIGURES).write_text(json.dumps(figures), "utf-8")


def _withheld(folder: Path, source: str) -> Iterator[tuple[str, str, str]]:
    """Id, salt and text of the documents of a source in a part of a split."""
    import pyarrow.compute as pc

    sides = [path for path in map(Split(folder).path, PARTS) if "salt" in parquet.columns(path)]
    for batch in merged([Stretch(path) for path in sides], ORDER) if sides else ():
        here = batch.filter(pc.equal(batch.column("source"), source))
        yield from zip(*(here.column(name).to_pylist() for name in ("id", "salt", "text")), strict=True)


def _count(path: Path, source: str) -> int:
    import pyarrow.compute as pc

    found = (pc.sum(pc.equal(batch.column("source"), source)).as_py() for batch in Stretch(path).batches(["source"]))
    return sum(one or 0 for one in found)


def tree(task: Task[CommitParameters]) -> None:
    """The root over all leaves, and what is said of it."""
    given = [task.files.path(folder) for folder in task.given("leaves")]
    figures = [json.loads((folder / _FIGURES).read_text("utf-8")) for folder in given]
    told = {name: sum(one[name] for one in figures) for name in ("documents", "bytes", "training")}
    said = task.call.parameters
    made = Commitment(said.source, said.licence, root(hash for folder in given for hash in _read(folder)), **told)
    made.write(task.output)
    evidence(made).write(task.output)


def _read(folder: Path) -> Iterator[bytes]:
    with (folder / _LEAVES).open("rb") as file:
        while hash := file.read(_HASH):
            yield hash


def evidence(made: Commitment) -> Evidence:
    """What a commitment says to people."""
    there = f"{counted(made.documents, 'document')} of `{made.source}` ({made.bytes:,} bytes)"
    return Evidence(
        check="commit",
        question=f"What is known of the texts of `{made.source}`, which may not be shared?",
        answer=f"The release holds none of them, and commits to each: {there}, of which training saw "
        f"{made.training:,}. Who holds them can show that a text is one of them, and build the release again.",
        measures={"documents": made.documents, "bytes": made.bytes, "training": made.training},
        notices=(
            f"The texts of `{made.source}` are so few that who has all others might guess them, and see from any "
            "figure of the model whether that was right.",
        )
        if 0 < made.bytes < _FEW
        else (),
        tables=(
            Rows(
                "What is published of them",
                ("what", "value"),
                (("root of the commitment", made.root), ("licence of use", made.licence)),
                "Each has a row in `data/documents.parquet`: a keyed id, its length and its leaf in place of a hash.",
            ),
        ),
        limits=(
            "That a text is not among them cannot be shown in this way.",
            "Weights, tokenizer, figures and what the model wrote are made from them too, and may tell of them: a "
            "word that is frequent in them can be a token, and a model may say again what it learned.",
            "How many there are, how long each is and which training step saw it is published.",
            "Who has all other texts and can guess all of these at once can work out the same figures, and compare.",
        ),
        method=(
            f"A Merkle tree as in RFC 6962, whose leaves are SHA-256 over `{SCHEMA}`, a salt, the id and the text.",
            "Salts and ids are HMAC-SHA-256 under a secret of 256 bits that only the holder of the texts has.",
            "`regrow commitment check` checks a proof against the release, and needs nothing else.",
        ),
    )


def _parts(call: Call[CommitParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    return len(parts.folders(call.input("split")))


def cost(parameters: CommitParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: the text is read once, and a hash is kept of each document."""
    return Cost(seconds=all_of(inputs, "split").text / 400e6, memory_bytes=PROGRAM)


KIND = Kind(
    name="commit",
    version=1,
    parameters=CommitParameters,
    inputs={"split": Slot("split")},
    output="evidence",
    phases=(Phase("leaves", leaves, _parts), Phase("tree", tree, kept=True)),
    libraries=("pyarrow",),
    summary="commit to texts that may not be shared",
    table=Table("source", many=True),
    asked=lambda said: said.role == TRAINING and said.availability == UNSHAREABLE,
    cost=cost,
    released=(Released("*", f"{FOLDER}/{{stage}}", always=True),),
)
