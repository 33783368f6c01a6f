"""From files to documents: texts with their source, licence and exact place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from regrow.corpus.documents import (
    DOCUMENTS,
    Document,
    Documents,
    Exclusion,
    LeftOut,
    Tally,
    identify,
    inside,
    locator,
)
from regrow.corpus.encodings import EXAMPLES, known_encoding
from regrow.corpus.reading import Piece, Reading, Refusal
from regrow.errors import InputError, StageError
from regrow.recipe.kind import Call, Context, Kind, Slot, Table
from regrow.recipe.values import Licence, Name, Patterns, Texts
from regrow.sections import LARGEST, Parameters, fault
from regrow.sources.archives import Refused, is_archive
from regrow.sources.contents import contents
from regrow.sources.select import INSIDE, Choice
from regrow.sources.survey import Survey
from regrow.stages.costs import texts, through_text
from regrow.store.digest import sha256_bytes
from regrow.words import counted, shown

_Format = Literal["auto", "text", "markdown", "html", "json", "jsonl", "csv", "tsv", "parquet", "conversations"]
_TABULAR = ("json", "jsonl", "csv", "tsv", "parquet")
_CONVERSATIONS = "conversations"
_ENCODINGS = f"some that are read: {EXAMPLES}"
_HINTS = {
    "a Git LFS pointer": "run `git lfs pull` where the files lie, so that they are there and not only named",
    "a git-annex pointer": "run `git annex get` where the files lie, so that they are there and not only named",
    "structured text": 'leave such files out with `select`, or take them as they are with `format = "text"`',
    "not text": "leave such files out with `select` or `exclude`, or turn them into text first",
    "not JSON": "see what the files hold: a JSON object to a line, or an array of objects",
    "not CSV": 'see what stands between the columns: commas in CSV, and tabs in `format = "tsv"`',
    "no conversation": "leave out `format`, or see what the rows are: a list of messages, or a question and its answer",
    "a pair of equal answers": "leave such pairs out of the file: they say nothing of which answer is better",
    "an unknown role": "rename the role, or leave such conversations out of the file",
    "no text": "name the field that holds the text as `field`",
}
_HINT = "see whether `format`, `field` and `encoding` fit the files"


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
        description="Patterns of the files to use, inside archives too. `*` stops at `/`, `**` does not, and neither "
        "takes hidden files, backups or what systems leave behind unless it is spelled out, as in `.github/**`. "
        "`texts.zip` is all in an archive, `texts.zip!/a.txt` one file in it.",
        examples=["**/*_gut.txt"],
        min_length=1,
    )
    exclude: Patterns = Field(
        default=(), description="Patterns of files to leave out again, and of archives.", examples=["**/README*"]
    )
    format: _Format = Field(
        default="auto",
        description="How the files are read; `auto` goes by the ends of their names, and by what is in them where "
        "those say nothing or `.txt`. `json` is an array of objects, an object to a line, or objects one after "
        "another; `jsonl` is lines and nothing else. A table in `csv` or `tsv` names its columns in the first row. "
        "`conversations` is JSON too, and each row a conversation: `messages` of `role` and `content`, "
        "`conversations` of `from` and `value`, `prompt` and `completion`, or `instruction`, `input` and `output`; or "
        "a pair of answers, `prompt`, `chosen` and `rejected`. Other text that is written for programs (XML, YAML and "
        "the like) is left out unless it is read as `text`.",
        examples=["jsonl"],
    )
    field: str = Field(
        default="text",
        description="The field of JSON objects, or the column of a table, that holds the text.",
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
        "rows between rows; 0 never splits. A row or HTML page that is split counts as a file of its own, "
        "`FILE!/START-END`, and its documents have their places in its text as UTF-8.",
        examples=[20000],
        ge=0,
        le=LARGEST,
    )
    encoding: str = Field(
        default="utf-8",
        description=f"Of the files: {EXAMPLES}, and others in which every character has bytes of its own (not "
        "ISO-2022, UTF-7 or HZ). Those called utf-16 and utf-32 begin with a byte order mark. A file that is not in it "
        "is excluded, with the reason recorded.",
        examples=["latin-1"],
    )
    max_unreadable: float = Field(
        default=0.5,
        description="The largest share of the files, and of the rows, that may be without a text that can be read; "
        "with more, the build stops. What is left out is told and recorded in any case.",
        examples=[1.0],
        ge=0,
        le=1,
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
        if value != default and form not in ("auto", *_TABULAR):
            raise fault(
                f"means nothing for the format `{form}`",
                hint=f"leave it out, or set format to one that has rows: {', '.join(_TABULAR)}",
            )
        return value

    @field_validator("max_characters")
    @classmethod
    def _may_cut(cls, value: int, info: ValidationInfo) -> int:
        if value and info.data.get("format") == _CONVERSATIONS:
            raise fault("means nothing for conversations", why="each of them stays whole", hint="leave it out")
        return value

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, value: str) -> str:
        try:
            return known_encoding(value)
        except LookupError:
            raise fault(f"unknown encoding {shown(value)}", hint=_ENCODINGS) from None
        except ValueError:
            why = "only those are read in which every character has bytes of its own, whatever stands before it"
            raise fault(f"{shown(value)} is not an encoding regrow reads", why=why, hint=_ENCODINGS) from None


def run(call: Call[DocumentsParameters]) -> None:
    """Read the selected files; what cannot be read is recorded, and does not stop the others, unless it is too much."""
    found, tally = gathered(call.input("files"), call.parameters, call.context)
    _require_enough(tally, call.parameters.max_unreadable)
    found.write(call.output)
    tally.write(call.output)
    call.context.emit("tally", text=tally_words(tally), left_out=bool(tally.losses))


def gathered(folder: Path, wanted: DocumentsParameters, context: Context) -> tuple[Documents, Tally]:
    """The texts of the files of a source, and what became of everything in them.

    Raises:
        InputError: if no file is selected.
    """
    documents: list[Document] = []
    excluded: list[Exclusion] = []
    seen: list[str] = []
    archived = Survey()
    count = _Count()
    for file, data in _files(folder, Choice(wanted.select, wanted.exclude), seen, archived):
        count.files += 1
        for found in _found(file, data, wanted):
            count.take(file, found)
            if isinstance(found, Piece):
                documents.append(_document(file, found, wanted))
            else:
                excluded.append(_excluded(file, found, wanted))
        context.emit("progress", done=len(documents), total=None, unit="documents")
        if context.stopping():
            context.stop()
    if archived:
        context.emit("selected", source=f"archives of {wanted.source}", **archived.event())
    if not count.files:
        raise _nothing(wanted, seen)
    return Documents(documents, excluded), count.tally(wanted.source, len(documents))


class _Count:
    """Counts what becomes of files and rows, as they are read."""

    def __init__(self) -> None:
        self.files = self.rows = 0
        self._lost: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._first: dict[tuple[bool, str], tuple[str, str]] = {}

    def take(self, file: str, found: Piece | Refusal) -> None:
        """Take a text, or a place without one, into account."""
        self.rows += found.rows
        if isinstance(found, Refusal):
            is_row = bool(found.rows)
            self._lost[is_row][found.reason] += 1
            place = locator(_printable(file), found.start, found.end) if is_row else _printable(file)
            self._first.setdefault((is_row, found.reason), (place, found.detail))

    def tally(self, source: str, documents: int) -> Tally:
        """All of it."""
        return Tally(source, documents, self.files, self.rows, self._left_out(False), self._left_out(True))

    def _left_out(self, rows: bool) -> tuple[LeftOut, ...]:
        counted = sorted(self._lost[rows].items(), key=lambda one: (-one[1], one[0]))
        return tuple(LeftOut(reason, count, *self._first[rows, reason]) for reason, count in counted)


def _files(folder: Path, choice: Choice, seen: list[str], archived: Survey) -> Iterator[tuple[str, bytes | Refused]]:
    """The selected files and their bytes, also those inside archives.

    ``seen`` gets the names of all there are, and ``archived`` counts those in archives.
    """

    def see(name: str) -> None:
        seen.append(_printable(name))
        reason = choice.reason(name)
        if INSIDE in name and (reason or not is_archive(name)):
            archived.add(seen[-1], reason)

    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        yield from contents(path, name, choice, see)


def _found(file: str, data: bytes | Refused, wanted: DocumentsParameters) -> Iterator[Piece | Refusal]:
    """The texts of a file, and the places in it that are without one."""
    from regrow.corpus.formats import format_of, read

    if isinstance(data, Refused):
        yield Refusal(0, 0, "not read", data.reason)
        return
    format = format_of(file, data, wanted.encoding) if wanted.format == "auto" else wanted.format
    talk = format == _CONVERSATIONS
    reading = Reading(wanted.encoding, wanted.field, wanted.group_by, wanted.max_characters, conversations=talk)
    try:
        found = read(data, format, reading)
        yield from _with_lines(data, found) if talk else found
    except StageError as error:
        error.where = error.where or _printable(file)
        raise


def _with_lines(data: bytes, found: Iterator[Piece | Refusal]) -> Iterator[Piece | Refusal]:
    """What is found, and of what is refused the line, by which an editor finds it."""
    line, place = 1, 0
    for one in found:
        if isinstance(one, Refusal) and one.rows:
            line, place = line + data.count(b"\n", place, one.start), one.start
            one = replace(one, detail=f"line {line}: {one.detail}" if one.detail else f"line {line}")
        yield one


def _document(file: str, piece: Piece, wanted: DocumentsParameters) -> Document:
    file = inside(file, piece.part_of) if piece.part_of else file
    return Document(
        id=identify(wanted.source, locator(file, piece.start, piece.end), piece.text),
        source=wanted.source,
        licence=wanted.licence,
        availability=wanted.availability,
        file=file,
        start=piece.start,
        end=piece.end,
        sha256=sha256_bytes(piece.text.encode()),
        text=piece.text,
        conversation=wanted.format == _CONVERSATIONS,
    )


def _printable(path: str) -> str:
    """A path as text: an archive may name its files with bytes that are none."""
    return path.encode("utf-8", "backslashreplace").decode()


def _excluded(file: str, refusal: Refusal, wanted: DocumentsParameters) -> Exclusion:
    source, place = wanted.source, locator(_printable(file), refusal.start, refusal.end)
    return Exclusion(identify(source, place, ""), source, place, "documents", refusal.reason, refusal.detail, 0)


def _nothing(wanted: DocumentsParameters, seen: list[str]) -> InputError:
    patterns = " or ".join(f"`{pattern}`" for pattern in wanted.select)
    return InputError(
        f"no file of source `{wanted.source}` fits {patterns}",
        why=f"it has {', '.join(sorted(seen)[:5]) or 'no files'}{' ...' if len(seen) > 5 else ''}",
        hint="change `select` or `exclude`; `**/*.txt` fits every .txt file in all folders",
    )


def _require_enough(tally: Tally, most: float) -> None:
    """Raise if too many files or rows are without a text, or all: the recipe hardly means it."""
    for lost, whole, unit, why in tally.losses:
        if lost > most * whole or not tally.documents:
            limit = f"; with `max_unreadable = {_share(lost, whole)}` they may be missing" if tally.documents else ""
            raise InputError(
                f"no text can be read from {lost:,} of {whole:,} {unit} of source `{tally.source}`",
                why="; ".join(map(str, why)),
                hint=_HINTS.get(why[0].reason, _HINT) + limit,
            )


def _share(part: int, whole: int) -> float:
    """A share as a recipe may have it, rounded up."""
    return min(1.0, -(-100 * part // whole) / 100)


def tally_words(tally: Tally) -> str:
    """What was taken of a source, and what was not."""
    rows = f" with {counted(tally.rows, 'row')}" if tally.rows else ""
    used = tally.files - sum(one.count for one in tally.files_left_out)
    read = f"{tally.source}: {counted(tally.documents, 'document')} from {counted(used, 'file')}{rows}"
    return f"{read}; left out {tally.words()}" if tally.losses else read


KIND = Kind(
    name="documents",
    version=3,
    parameters=DocumentsParameters,
    inputs={"files": Slot("files")},
    output="documents",
    run=run,
    libraries=("pyarrow", "selectolax"),
    summary="cut the files of a source into documents",
    table=Table("source", many=True),
    cost=through_text("files", 20e6),
    found=texts(DOCUMENTS),
)
