"""From files to documents: texts with their source, licence and exact place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from regrow.corpus.content import Content
from regrow.corpus.documents import (
    DOCUMENTS,
    MOST_BYTES,
    TALLY,
    Document,
    Documents,
    DocumentsWriter,
    Exclusion,
    LeftOut,
    Tally,
    holds_too_much,
    in_order,
    inside,
    locator,
)
from regrow.corpus.encodings import EXAMPLES, known_encoding
from regrow.corpus.reading import Piece, Reading, Refusal
from regrow.corpus.withheld import SECRET, Hidden, Names, Plain, is_secret
from regrow.errors import InputError, StageError
from regrow.formats import parts
from regrow.recipe.kind import Call, Context, Kind, Phase, Slot, Table, Task
from regrow.recipe.roles import TRAINING, of_role, saying
from regrow.recipe.values import UNSHAREABLE, Texts
from regrow.sections import LARGEST, fault
from regrow.sources.archives import Refused, is_archive
from regrow.sources.contents import Opened, opened
from regrow.sources.select import INSIDE, Choice
from regrow.sources.survey import Survey
from regrow.stages.costs import texts_held, through_text
from regrow.stages.sourced import SourceParameters
from regrow.store.digest import sha256_bytes
from regrow.words import counted, shown

_Format = Literal["auto", "text", "markdown", "html", "json", "jsonl", "csv", "tsv", "parquet", "warc", "conversations"]
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
    "a damaged web archive": "fetch the file again: what it holds ends too early, or is no WARC",
    "no page": "what servers did not answer with a page is left out: only pages that were there count",
    "an unknown role": "rename the role, or leave such conversations out of the file",
    "too long": "cut long texts with `max_characters`, or leave such files out with `exclude`",
    "no text": 'name the field that holds the text as `field`; conversations need `format = "conversations"`',
}
PART = 1 << 28
"""Bytes of the files that a part is made of, at least."""

_PAST = INSIDE[:-1] + chr(ord(INSIDE[-1]) + 1)  # behind whatever is in a file, or was cut from it
_PAUSE = 4096  # texts between looks at whether to stop
_NOTED, _TOLD = 1000, 6  # names of files
_HINT = "see whether `format`, `field` and `encoding` fit the files"


class DocumentsParameters(SourceParameters):
    """Which files of a source are text, and how they are read."""

    format: _Format = Field(
        default="auto",
        description="How the files are read; `auto` goes by the ends of their names, and by what is in them where "
        "those say nothing or `.txt`. `json` is an array of objects, an object to a line, or objects one after "
        "another; `jsonl` is lines and nothing else. A table in `csv` or `tsv` names its columns in the first row. "
        "`conversations` is JSON too, and each row a conversation: `messages` of `role` and `content`, "
        "`conversations` of `from` and `value`, `prompt` and `completion`, or `instruction`, `input` and `output`; or "
        "a pair of answers, `prompt`, `chosen` and `rejected`. `warc` is a web archive, or a WET file: "
        "a document is a page, called by its date and address. Other text that is written for programs (XML, YAML and "
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


def groups(task: Task[DocumentsParameters]) -> None:
    """Decide which files make which part, by their sizes and names."""
    folder = task.files.path(task.call.input("files"))
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _walked(folder)}
    first = 1
    for number, names in enumerate(grouped(sizes, PART)):
        _list(task.output, number).write_text(json.dumps({"first": first, "names": names}), "utf-8")
        first += len(names)


def grouped(sizes: Mapping[str, int], least: int) -> list[list[str]]:
    """Files in groups of some bytes at least, so that the documents of a group come before those of the next.

    What is in a file, or was cut from it, is called ``FILE!/...``, so that a group does not end between that and names
    that come before it.

    Args:
        sizes: name of a file -> its bytes.
        least: bytes of a group.
    """
    found: list[list[str]] = [[]]
    size, reach = 0, ""
    for name in sorted(sizes):
        if size >= least and name >= reach:
            found.append([])
            size = 0
        found[-1].append(name)
        size += sizes[name]
        reach = max(reach, f"{name}{_PAST}")
    if len(found) > 1 and size < least:
        found[-2:] = [found[-2] + found[-1]]
    return found


def parts_of(call: Call[DocumentsParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    """How many groups there are."""
    (lists,) = results["groups"]
    return sum(1 for _ in lists.iterdir())


def read_group(task: Task[DocumentsParameters]) -> None:
    """Read the files of a group. What cannot be read is recorded, and does not stop the others."""
    wanted, context = task.call.parameters, task.call.context
    (lists,) = task.given("groups")
    folder = task.call.input("files")
    listed = _listed(task, lists, task.index)
    reader = _Reader(wanted, context, _names(task, listed))
    part = parts.made(task.output, task.index, task.count)
    with DocumentsWriter(part) as writer:
        for found in reader.read((task.files.path(folder / name), name) for name in listed):
            if isinstance(found, Document):
                writer.add(found)
            else:
                writer.exclude(found)
    tally = reader.tally(writer.documents.count)
    if task.count == 1:
        _conclude(tally, reader.seen, task.call)
    tally.write(part, task.count)


def several(call: Call[DocumentsParameters], results: Mapping[str, tuple[Path, ...]]) -> int:
    """One task if there are several parts: a single one speaks for itself."""
    return int(parts_of(call, results) > 1)


def together(task: Task[DocumentsParameters]) -> None:
    """Say what became of all files, of which each group knows its own."""
    outputs = task.given("read")
    tallies = (parts.folder(output, part, len(outputs)) / TALLY for part, output in enumerate(outputs))
    tally = Tally.together([Tally.read(task.files.path(path).parent) for path in tallies])
    (lists,) = task.given("groups")
    _conclude(tally, [*_listed(task, lists, 0)], task.call)


def _conclude(tally: Tally, seen: Sequence[str], call: Call[DocumentsParameters]) -> None:
    """Tell what became of the files of a source.

    Raises:
        InputError: if none was read, or too much in them is without a text.
    """
    if not tally.files:
        raise _nothing(call.parameters, seen)
    _require_enough(tally, call.parameters.max_unreadable)
    call.context.emit("tally", text=tally_words(tally), left_out=bool(tally.losses))


def gathered(folder: Path, wanted: DocumentsParameters, context: Context) -> tuple[Documents, Tally]:
    """The texts of the files of a source, and what became of everything in them, in memory.

    Raises:
        InputError: if no file is selected.
    """
    reader = _Reader(wanted, context, Plain(wanted.source))
    files = sorted((path.relative_to(folder).as_posix(), path) for path in _walked(folder))
    found = [*reader.read((path, name) for name, path in files)]
    kept = [one for one in found if isinstance(one, Document)]
    tally = reader.tally(len(kept))
    if not tally.files:
        raise _nothing(wanted, reader.seen)
    return Documents(kept, [one for one in found if isinstance(one, Exclusion)]), tally


def _walked(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not is_secret(path, folder))


def _list(folder: Path, group: int) -> Path:
    return folder / f"{group:05}.json"


def _listed(task: Task[DocumentsParameters], lists: Path, group: int) -> dict[str, int]:
    """The files of a group, each with its number among all."""
    told = json.loads(task.files.path(_list(lists, group)).read_text("utf-8"))
    return {name: number for number, name in enumerate(told["names"], told["first"])}


def _names(task: Task[DocumentsParameters], numbers: Mapping[str, int]) -> Names:
    """What the documents of a source are called.

    Raises:
        StageError: if its texts may not be shared, and there is no secret to hide them with.
    """
    wanted = task.call.parameters
    if wanted.availability != UNSHAREABLE:
        return Plain(wanted.source)
    try:
        secret = task.files.path(task.call.input("files") / SECRET).read_text("utf-8")
        return Hidden(wanted.source, secret, numbers)
    except (OSError, ValueError):
        what = f"there is no secret to hide the texts of `{wanted.source}` with"
        why = "they may not be shared, and an id that anyone can work out tells what they say"
        raise StageError(what, why=why, hint="a source of a recipe gets one with its lock") from None


class _Reader:
    """Reads files, and counts what becomes of them and of the rows in them."""

    def __init__(self, wanted: DocumentsParameters, context: Context, names: Names) -> None:
        self.seen: list[str] = []
        self._wanted, self._context, self._names = wanted, context, names
        self._choice = Choice(wanted.select, wanted.exclude)
        self._archived = Survey()
        self._files = self._rows = self._texts = 0
        self._lost: dict[bool, dict[str, LeftOut]] = {True: {}, False: {}}

    def read(self, files: Iterable[tuple[Path, str]]) -> Iterator[Document | Exclusion]:
        """The texts of the selected ones of some files, and those in archives, and what is without one."""
        for path, name in files:
            for file, data in opened(path, name, self._choice, self._see):
                self._files += 1
                for found in _found(file, data, self._wanted):
                    yield self._taken(file, found)
                self._pause()
        if self._archived:
            self._context.emit("selected", source=f"archives of {self._wanted.source}", **self._archived.event())

    def tally(self, documents: int) -> Tally:
        """What became of everything."""
        files, rows = (in_order(self._lost[is_row].values()) for is_row in (False, True))
        return Tally(self._wanted.source, documents, self._files, self._rows, files, rows)

    def _see(self, name: str) -> None:
        """Note that there is a file; the first few names are kept."""
        shown = printable(name)
        self.seen.append(shown)
        if len(self.seen) > _NOTED:
            self.seen = sorted(self.seen)[:_TOLD]
        reason = self._choice.reason(name)
        if INSIDE in name and (reason or not is_archive(name)):
            self._archived.add(shown, reason)

    def _taken(self, file: str, found: Piece | Refusal) -> Document | Exclusion:
        """Take a text, or a place without one, into account."""
        self._rows += found.rows
        if isinstance(found, Piece):
            self._texts += 1
            if self._texts % _PAUSE == 0:
                self._pause()
            return _document(file, found, self._wanted, self._names)
        lost = self._lost[bool(found.rows)]
        called = printable(self._names.file(file))
        place = locator(called, found.start, found.end) if found.rows else called
        known = lost.get(found.reason) or LeftOut(found.reason, 0, place, self._names.detail(found.detail))
        lost[found.reason] = replace(known, count=known.count + 1)
        return _excluded(file, found, self._wanted, self._names)

    def _pause(self) -> None:
        self._context.emit("progress", done=self._texts, total=None, unit="documents")
        if self._context.stopping():
            self._context.stop()


def _found(file: str, data: Opened | Refused, wanted: DocumentsParameters) -> Iterator[Piece | Refusal]:
    """The texts of a file, and the places in it that are without one."""
    from regrow.corpus.formats import format_of, read

    if isinstance(data, Refused):
        yield Refusal(0, 0, "not read", data.reason)
        return
    content = Content(data)
    format = format_of(file, content, wanted.encoding) if wanted.format == "auto" else wanted.format
    talk = format == _CONVERSATIONS
    reading = Reading(wanted.encoding, wanted.field, wanted.group_by, wanted.max_characters, conversations=talk)
    try:
        for found in read(content, format, reading):
            yield _too_long(found) if isinstance(found, Piece) and holds_too_much(found.text) else found
    except StageError as error:
        error.where = error.where or printable(file)
        raise


def _too_long(piece: Piece) -> Refusal:
    detail = f"a document has at most {MOST_BYTES:,} bytes as UTF-8"
    return Refusal(piece.start, piece.end, "too long", detail, piece.rows)


def _document(file: str, piece: Piece, wanted: DocumentsParameters, names: Names) -> Document:
    true = _within(file, piece.name, piece.part_of)
    called = _within(names.file(file), names.detail(piece.name), piece.part_of)
    data = piece.text.encode()
    id = names.id(locator(true, piece.start, piece.end), data)
    return Document(
        id=id,
        source=wanted.source,
        licence=wanted.licence,
        availability=wanted.availability,
        file=called,
        start=piece.start,
        end=piece.end,
        sha256=sha256_bytes(data),
        text=piece.text,
        conversation=wanted.format == _CONVERSATIONS,
        salt=names.salt(id),
        rights=piece.rights,
    )


def _within(file: str, *names: str) -> str:
    """What is called by names inside a file, those that are none left out."""
    for name in filter(None, names):
        file = inside(file, name)
    return file


def printable(path: str) -> str:
    """A path as text: an archive may name its files with bytes that are none."""
    return path.encode("utf-8", "backslashreplace").decode()


def _excluded(file: str, refusal: Refusal, wanted: DocumentsParameters, names: Names) -> Exclusion:
    true, called = (locator(printable(one), refusal.start, refusal.end) for one in (file, names.file(file)))
    detail = names.detail(refusal.detail)
    return Exclusion(names.id(true, b""), wanted.source, called, "documents", refusal.reason, detail, 0)


def _nothing(wanted: DocumentsParameters, seen: Sequence[str]) -> InputError:
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
    read = f"{tally.source}: {counted(tally.documents, 'document')} from {counted(tally.taken, 'file')}{rows}"
    return f"{read}; left out {tally.words()}" if tally.losses else read


KIND = Kind(
    name="documents",
    version=6,
    parameters=DocumentsParameters,
    inputs={"files": Slot("files")},
    output="documents",
    phases=(
        Phase("groups", groups),
        Phase("read", read_group, parts_of, kept=True),
        Phase("together", together, several),
    ),
    libraries=("pyarrow", "selectolax"),
    summary="cut the files of a source into documents",
    table=Table("source", many=True),
    asked=of_role(TRAINING),
    asking=saying(TRAINING),
    cost=through_text("files", 50e6),
    found=texts_held(DOCUMENTS),
)
