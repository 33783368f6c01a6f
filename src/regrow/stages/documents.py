"""From files to documents: texts with their source, licence and exact place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from regrow.corpus.documents import (
    DOCUMENTS,
    EXCLUDED,
    Document,
    Exclusion,
    identify,
    locator,
    write_documents,
    write_exclusions,
)
from regrow.corpus.formats import Piece, Reading, format_of, known_encoding, read
from regrow.errors import InputError
from regrow.recipe.kind import Call, Kind, Parameters, Slot
from regrow.sources.archives import Member, Refused, is_archive, members
from regrow.sources.select import matches
from regrow.store.digest import sha256_bytes


class DocumentsParameters(Parameters):
    """Which files of a source are text, and how they are read."""

    source: str = Field(min_length=1, description="The name of the source.")
    licence: str = Field(min_length=1, description="The licence of its texts, as an SPDX expression.")
    availability: Literal["open", "public", "obtainable", "unshareable"] = Field(description="Who can get it.")
    select: tuple[str, ...] = Field(
        default=("**",), min_length=1, description="Patterns of the files to read; in an archive, of the paths inside."
    )
    exclude: tuple[str, ...] = Field(default=(), description="Patterns of selected files to leave alone.")
    format: Literal["auto", "text", "markdown", "html", "jsonl", "parquet"] = Field(
        default="auto", description="How texts lie in the files; `auto` goes by the name."
    )
    field: str = Field(
        default="text", min_length=1, description="The field of JSON Lines, or the column of Parquet, with the text."
    )
    group_by: tuple[str, ...] = Field(
        default=(), description="Fields or columns; consecutive rows that agree in all of them are one document."
    )
    max_characters: int = Field(
        default=0,
        ge=0,
        description="Longer texts are cut after blank lines, or else after lines, and groups of rows between rows; "
        "0 cuts nothing. HTML pages and single rows are never cut.",
    )
    encoding: str = Field(default="utf-8", description="Of the text files.")
    attribution: str = Field(default="", exclude=True, description="Whom to name; no document depends on it.")

    @field_validator("encoding")
    @classmethod
    def _usual(cls, encoding: str) -> str:
        return known_encoding(encoding)


def run(call: Call) -> None:
    """Read the selected files; what cannot be read is recorded, and does not stop the others."""
    wanted: DocumentsParameters = call.parameters
    documents: list[Document] = []
    excluded: list[Exclusion] = []
    seen: list[str] = []
    chosen = 0
    for file, data in _files(call.input("files"), wanted, seen):
        chosen += 1
        for found in _documents(file, data, wanted):
            documents.append(found) if isinstance(found, Document) else excluded.append(found)
        call.context.emit("progress", done=len(documents), total=None, unit="documents")
        if call.context.stopping():
            call.context.stop()
    if not chosen:
        raise _nothing(wanted, seen)
    if not documents and excluded:
        raise _unreadable(wanted, excluded)
    write_documents(call.output / DOCUMENTS, documents)
    write_exclusions(call.output / EXCLUDED, excluded)


def _files(folder: Path, wanted: DocumentsParameters, seen: list[str]) -> Iterator[tuple[str, bytes | Refused]]:
    """The selected files and their bytes, also those inside archives. ``seen`` gets the names of all there are."""

    def choose(path: str) -> bool:
        seen.append(_printable(path))
        return matches(path, wanted.select) and not matches(path, wanted.exclude)

    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if not is_archive(name):
            if choose(name):
                yield name, path.read_bytes()
            continue
        for entry in members(path, name, choose):
            yield f"{name}!/{entry.path}", entry.data if isinstance(entry, Member) else entry


def _documents(file: str, data: bytes | Refused, wanted: DocumentsParameters) -> Iterator[Document | Exclusion]:
    if isinstance(data, Refused):
        yield _excluded(wanted.source, locator(_printable(file), 0, 0), "not read", data.reason)
        return
    format = format_of(file) if wanted.format == "auto" else wanted.format
    reading = Reading(wanted.encoding, wanted.field, wanted.group_by, wanted.max_characters)
    for found in read(data, format, reading):
        place = locator(file, found.start, found.end)
        if isinstance(found, Piece):
            yield Document(
                id=identify(wanted.source, place, found.text),
                source=wanted.source,
                licence=wanted.licence,
                availability=wanted.availability,
                file=file,
                start=found.start,
                end=found.end,
                sha256=sha256_bytes(found.text.encode()),
                text=found.text,
            )
        else:
            yield _excluded(wanted.source, place, found.reason, found.detail)


def _printable(path: str) -> str:
    """A path as text: an archive may name its files with bytes that are none."""
    return path.encode("utf-8", "backslashreplace").decode()


def _excluded(source: str, place: str, reason: str, detail: str) -> Exclusion:
    return Exclusion(identify(source, place, ""), source, place, "documents", reason, detail, 0)


def _nothing(wanted: DocumentsParameters, seen: list[str]) -> InputError:
    patterns = " or ".join(f"`{pattern}`" for pattern in wanted.select)
    return InputError(
        f"no file of source `{wanted.source}` fits {patterns}",
        why=f"it has {', '.join(sorted(seen)[:5]) or 'no files'}{' ...' if len(seen) > 5 else ''}",
        hint="change `select` or `exclude`; `**/*.txt` fits every .txt file in all folders",
    )


def _unreadable(wanted: DocumentsParameters, excluded: list[Exclusion]) -> InputError:
    first = excluded[0]
    reason = f"{first.reason} ({first.detail})" if first.detail else first.reason
    return InputError(
        f"no text of source `{wanted.source}` can be read",
        why=f"of {len(excluded)} places the first is `{first.locator}`: {reason}",
        hint="see whether `format`, `field` and `encoding` fit the files",
    )


KIND = Kind(
    name="documents",
    version=2,
    parameters=DocumentsParameters,
    inputs={"files": Slot("files")},
    output="documents",
    run=run,
    libraries=("pyarrow", "selectolax"),
    summary="cut the files of a source into documents",
)
