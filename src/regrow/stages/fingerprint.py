"""From the files of a source of reference texts to their fingerprints, which are looked for in what is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from regrow.errors import InputError
from regrow.recipe.kind import PROGRAM, Call, Cost, Expected, Kind, Slot, Table
from regrow.recipe.roles import REFERENCE, of_role
from regrow.sources.select import Choice
from regrow.stages.costs import all_of
from regrow.stages.documents import DocumentsParameters, gathered

NAME = "works.fingerprints"
"""The file of the artifact."""

_BYTES_PER_WORD = 6
_ROW = 12  # bytes
_MEMORY = 12  # times the rows, while they are sorted


def run(call: Call[DocumentsParameters]) -> None:
    """Take the lists there are, and make one of the texts."""
    from regrow.evidence.fingerprints import SUFFIX, Fingerprints, fingerprint

    wanted, folder = call.parameters, call.input("files")
    choice = Choice(wanted.select, wanted.exclude)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    chosen = [name for name in names if not choice.reason(name)]
    lists = [Fingerprints.open(folder / name, name) for name in chosen if name.endswith(SUFFIX)]
    if len(chosen) > len(lists) or not lists:
        texts = wanted.model_copy(update={"exclude": (*wanted.exclude, f"**/*{SUFFIX}")})
        documents, _ = gathered(folder, texts, call.context)
        lists.append(
            fingerprint((_name(document.file, document.locator, folder), document.text) for document in documents.kept)
        )
    found = Fingerprints.together(lists)
    if not len(found.hashes):
        raise InputError(
            f"no work of source `{wanted.source}` has {_window()} words, and shorter ones cannot be looked for",
            why=f"it has {len(found.works)} works",
            hint="let each work be a file, or a row, of its own; `group_by` joins rows",
        )
    named = tuple(replace(work, name=f"{wanted.source}: {work.name}") for work in found.works)
    replace(found, works=named).write(call.output / NAME)


def _window() -> int:
    from regrow.evidence.fingerprints.windows import WORDS

    return WORDS


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
