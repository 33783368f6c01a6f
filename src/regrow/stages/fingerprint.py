"""From the files of a source of reference texts to their fingerprints, which are looked for in what is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.corpus.documents import Tally
from regrow.errors import InputError
from regrow.recipe.kind import PROGRAM, Call, Context, Cost, Expected, Kind, Slot, Table
from regrow.recipe.roles import REFERENCE, of_role
from regrow.sources.select import Choice
from regrow.stages.costs import all_of
from regrow.stages.documents import DocumentsParameters, gathered, tally_words
from regrow.words import counted

if TYPE_CHECKING:
    from regrow.evidence.fingerprints import Fingerprints

NAME = "works.fingerprints"
"""The file of the artifact."""

_BYTES_PER_WORD = 6
_ROW = 12  # bytes
_MEMORY = 12  # times the rows, while they are sorted


def run(call: Call[DocumentsParameters]) -> None:
    """Take the lists there are, and make one of the texts."""
    wanted = call.parameters
    found, _ = fingerprints(call.input("files"), wanted, call.context)
    named = tuple(replace(work, name=f"{wanted.source}: {work.name}") for work in found.works)
    replace(found, works=named).write(call.output / NAME)


def fingerprints(folder: Path, wanted: DocumentsParameters, context: Context) -> tuple[Fingerprints, Tally | None]:
    """The fingerprints of the works of a source, as lists or as texts, and what became of the texts if there are any.

    Raises:
        InputError: if no file is selected, a list is damaged, or no work is long enough.
    """
    from regrow.evidence.fingerprints import SUFFIX, Fingerprints, fingerprint
    from regrow.evidence.fingerprints.windows import WORDS

    choice = Choice(wanted.select, wanted.exclude)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    chosen = [name for name in names if not choice.reason(name)]
    lists = [Fingerprints.open(folder / name, name) for name in chosen if name.endswith(SUFFIX)]
    tally = None
    if len(chosen) > len(lists) or not lists:
        texts = wanted.model_copy(update={"exclude": (*wanted.exclude, f"**/*{SUFFIX}")})
        documents, tally = gathered(folder, texts, context)
        context.emit("tally", text=tally_words(tally), left_out=bool(tally.losses))
        lists.append(fingerprint((_name(one.file, one.locator, folder), one.text) for one in documents.kept))
    found = Fingerprints.together(lists)
    if not len(found.hashes):
        raise InputError(
            f"no work of `{wanted.source}` has {WORDS} words, and shorter ones cannot be looked for",
            why=f"it has {counted(len(found.works), 'work')}",
            hint="let each work be a file, or a row, of its own; `group_by` joins rows",
        )
    return found, tally


def _name(file: str, locator: str, folder: Path) -> str:
    """What to call a work: its file, or, where a file has several, its place."""
    whole = folder / file
    return file if whole.is_file() and locator == f"{file}:0-{whole.stat().st_size}" else locator


def cost(parameters: DocumentsParameters, inputs: Mapping[str, tuple[Expected, ...]]) -> Cost:
    """Estimate: a row for each word, sorted in memory."""
    text = all_of(inputs, "files").text
    rows = text / _BYTES_PER_WORD
    return Cost(Expected(size=_ROW * rows), seconds=text / 1e7, memory_bytes=int(PROGRAM + _MEMORY * _ROW * rows))


KIND = Kind(
    name="fingerprint",
    version=1,
    parameters=DocumentsParameters,
    inputs={"files": Slot("files")},
    output="fingerprints",
    run=run,
    libraries=("selectolax",),
    summary="hash the runs of words of reference texts",
    table=Table("source", many=True),
    asked=of_role(REFERENCE),
    cost=cost,
)
