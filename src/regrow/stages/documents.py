"""From files to documents: texts with their source, licence and exact place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from regrow.corpus.documents import (
    Document,
    Documents,
    Exclusion,
    identify,
    locator,
)
from regrow.corpus.formats import Piece, Reading, format_of, known_encoding, read
from regrow.errors import InputError
from regrow.recipe.kind import Call, Kind, Slot, Table
from regrow.recipe.values import Licence, Name, Patterns, Texts
from regrow.sections import LARGEST, Parameters, fault
from regrow.sources.archives import Member, Refused, is_archive, members
from regrow.sources.select import matches
from regrow.stages.costs import through_text
from regrow.store.digest import sha256_bytes
from regrow.words import shown

_TABULAR = ("auto", "jsonl", "parquet")
_ENCODINGS = 'write "utf-8", "latin-1", "cp1252", "utf-16-le" or another one'


class DocumentsParameters(Parameters):
    """Which files of a source are text, and how they are read."""

    source: Name = Field(
        alias="name",
        description="The name of the source, used in the names of its stages.",
        examples=["shakespeare"],
        json_schema_extra={"settled": True},
    )
    licence: Licence = Field(
        description="SPDX expression: the licence of the texts, which may differ from that of the package around them.",
        examples=["CC0-1.0"],
        json_schema_extra={"settled": True, "why": "nobody could tell on which terms the text may be used"},
    )
    availability: Literal["open", "public", "obtainable", "unshareable"] = Field(
        description="Who can get the texts: `open`, anyone, to use and pass on; `public`, anyone can read them; "
        "`obtainable`, anyone can ask for them or buy them; `unshareable`, only described.",
        examples=["open"],
        json_schema_extra={"settled": True, "why": "a stranger must know whether the build can be repeated"},
    )
    select: Patterns = Field(
        default=("**/*",),
        description="Patterns of the files to use, inside archives too. `*` stops at `/`, `**` does not.",
        examples=["**/*_gut.txt"],
        min_length=1,
    )
    exclude: Patterns = Field(default=(), description="Patterns of files to leave out again.", examples=["**/README*"])
    format: Literal["auto", "text", "markdown", "html", "jsonl", "parquet"] = Field(
        default="auto",
        description="How the files are read; `auto` goes by the ends of their names.",
        examples=["jsonl"],
    )
    field: str = Field(
        default="text",
        description="The field of JSON Lines, or the column of Parquet, that holds the text.",
        examples=["body"],
        min_length=1,
    )
    group_by: Texts = Field(
        default=(),
        description="Fields or columns; neighbouring rows that agree in all of them make one document.",
        examples=[["book", "chapter"]],
    )
    max_characters: int = Field(
        default=0,
        description="Longer documents are split, at the end of a paragraph or a line if there is one, and groups of "
        "rows between rows; 0 never splits. HTML pages and single rows are never split.",
        examples=[20000],
        ge=0,
        le=LARGEST,
    )
    encoding: str = Field(
        default="utf-8",
        description="Of the files. A file that is not in it is excluded, with the reason recorded.",
        examples=["latin-1"],
    )
    attribution: str = Field(
        default="",
        exclude=True,  # no document depends on it
        description="Whom to name, in the words the licence asks for.",
        examples=["J. Doe"],
        json_schema_extra={"settled": True},
    )

    @field_validator("field", "group_by")
    @classmethod
    def _is_tabular(cls, value: Any, info: ValidationInfo) -> Any:
        form = info.data.get("format", "auto")
        default = cls.model_fields[info.field_name or ""].default
        if value != default and form not in _TABULAR:
            raise fault(
                f"means nothing for the format `{form}`",
                hint='leave it out, or set format to "jsonl" or "parquet"',
            )
        return value

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, value: str) -> str:
        try:
            return known_encoding(value)
        except LookupError:
            raise fault(f"unknown encoding {shown(value)}", hint=_ENCODINGS) from None
        except ValueError:
            why = "only those are read in which every piece of a text has its own bytes"
            raise fault(f"{shown(value)} is not an encoding regrow reads", why=why, hint=_ENCODINGS) from None


def run(call: Call[DocumentsParameters]) -> None:
    """Read the selected files; what cannot be read is recorded, and does not stop the others."""
    wanted = call.parameters
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
    Documents(documents, excluded).write(call.output)


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
    table=Table("source", many=True),
    cost=through_text("files", 20e6),
)
