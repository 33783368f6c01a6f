"""A first recipe's figures for texts that are there already: how they are read, and a model of a size that fits them.

They say where to begin and no more: a first build takes minutes on two cores, in proportion to the texts. Whoever wants
more finds the keys in the recipe and the costs in ``regrow plan``.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event

from regrow.corpus.documents import Documents, Tally
from regrow.corpus.encodings import guess, known_encoding
from regrow.corpus.rows import fields_told
from regrow.engine import Listener, StageContext
from regrow.errors import InputError
from regrow.sources import resolve
from regrow.stages.documents import DocumentsParameters, gathered, tally_words
from regrow.words import counted

SOURCE = "texts"
_FIELDS = ("content", "body", "raw_content", "document", "article", "story", "passage", "message", "completion")
"""Of rows, where the text often stands when no field is called ``text``, in the order in which they are tried. If it
stands in none of them, it is looked for in those that the rows have."""

_MOST_FIELDS = 12
_ROWS = "put the text of each row into a field or column called `text`; commas stand between columns"
_BYTES_PER_TOKEN = 3
_EPOCHS = 4  # read more often, a text teaches little: Muennighoff et al. 2023, arXiv:2305.16264
_FEW = 40  # documents of which a share can be held out that measures anything
_WORDS = 4  # of a prompt


UNDECLARED = "LicenseRef-Undeclared"
"""The licence of texts of which nobody has said anything yet."""


@dataclass(frozen=True)
class Size:
    """The shape of a model, and how long a first one is trained."""

    layers: int
    width: int
    heads: int
    context: int
    tokens: int
    learning_rate: str = "3e-3"


@dataclass(frozen=True)
class Figures:
    """What a new recipe says; each is the key of the same name.

    Attributes:
        about: a comment that says what the texts are; empty for none.
        field: of rows, that holds the text; empty if there are no rows.
        encoding: of the files; empty for UTF-8.
        prompts: with which the model begins to write.
        size: of the model.
    """

    about: str
    licence: str
    availability: str
    field: str
    encoding: str
    max_characters: int
    min_characters: int
    validation: float
    vocabulary: int
    size: Size
    prompts: tuple[str, ...]


_SIZES = (
    (300e3, Size(2, 64, 4, 64, 100_000)),
    (3e6, Size(4, 128, 4, 128, 400_000)),
    (100e6, Size(6, 192, 6, 256, 1_000_000)),
    (math.inf, Size(8, 384, 6, 512, 2_000_000, "1.5e-3")),
)
"""Bytes of text up to which a size is proposed."""


def adopt(texts: Path, into: Path, listener: Listener) -> int:
    """Copy the files of a folder that a source would select, or a single file, and return how many there are.

    Args:
        texts: what somebody has.
        into: where they go, under the same names.
        listener: gets the event ``selected``, which says what is left out and why.

    Raises:
        InputError: if there are none, or one cannot be read.
    """
    if not texts.exists():
        raise InputError(f"there is no `{texts}`", hint="name the folder that holds the texts, or a file")
    if not texts.is_dir():
        texts = texts.resolve()  # a copy is made of what somebody names, wherever it lies
    folder, name = (texts, ".") if texts.is_dir() else (texts.parent, texts.name)
    pins = resolve(f"file:{name}", folder, ("**/*",), emit=partial(_context(listener).emit, source=SOURCE))
    for pin in pins:
        (into / pin.file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / pin.file, into / pin.file)
    return len(pins)


def proposed(texts: Path, listener: Listener) -> Figures:
    """Read the texts of a folder and propose what a first recipe says.

    Args:
        texts: the folder.
        listener: gets the event ``tally``, which says what was read and what is left out.

    Raises:
        InputError: if there is no text in it.
    """
    found = _readable(texts, listener)
    sizes = sorted(len(document.text) for document in found.documents.kept)
    count, characters = len(sizes), sum(sizes)
    amount = sum(len(document.text.encode()) for document in found.documents.kept)
    size = next(size for most, size in _SIZES if amount <= most)
    enough = count >= _FEW and sizes[-1] <= characters // 4
    tokens = min(size.tokens, max(20_000, _EPOCHS * amount // _BYTES_PER_TOKEN))
    return Figures(
        about=f"{counted(count, 'document')}, {characters:,} characters",
        licence=UNDECLARED,
        availability="unshareable",
        field=found.field,
        encoding=found.encoding,
        max_characters=0 if enough else _round(max(200, characters // (2 * _FEW))),
        min_characters=min(100, _round(max(1, sizes[count // 2] // 4))),
        validation=0.2 if characters < 200e3 else 0.05 if characters < 20e6 else 0.01,
        vocabulary=min(32768, max(320, 1 << round(math.log2(1.3 * math.sqrt(amount))))),
        size=replace(size, tokens=_round(tokens)),
        prompts=(_beginning(found.documents),),
    )


@dataclass(frozen=True)
class _Reading:
    """What came of reading the texts in one way."""

    documents: Documents
    tally: Tally
    field: str
    encoding: str

    @property
    def size(self) -> int:
        """How much text came of it."""
        return sum(len(document.text) for document in self.documents.kept)


def _readable(texts: Path, listener: Listener) -> _Reading:
    """The texts, read in the way that gives most of them."""
    context = _context(lambda event: None)
    best = _read(texts, context, "", "")
    if encoding := _encoding(texts, best.documents):
        best = _read(texts, context, "", encoding)
    untold = any(one.reason == "no text" for one in best.tally.files_left_out + best.tally.rows_left_out)
    if untold:
        usual = best
        for fields in (_FIELDS, _fields(best.documents)):
            ways = (_read(texts, context, field, usual.encoding) for field in fields)
            best = max(best, *ways, key=lambda way: way.size)
            if best is not usual:
                break
    if not best.documents.kept:
        raise InputError(
            "there is no text that can be read",
            why=best.tally.words() or "its files are empty",
            hint=_ROWS if untold else "",
        )
    _context(listener).emit("tally", text=tally_words(best.tally), left_out=bool(best.tally.losses))
    return best


def _read(texts: Path, context: StageContext, field: str, encoding: str) -> _Reading:
    said = {"field": field, "encoding": encoding}
    parameters = DocumentsParameters(
        name=SOURCE,
        licence=UNDECLARED,
        availability="unshareable",
        **{name: value for name, value in said.items() if value},  # type: ignore[arg-type]
    )
    return _Reading(*gathered(texts, parameters, context), field, encoding)


def _fields(found: Documents) -> list[str]:
    """The fields that rows have in which no text was found, those of most rows first."""
    told = (name for one in found.excluded if one.reason == "no text" for name in fields_told(one.detail))
    return [name for name, _ in Counter(told).most_common(_MOST_FIELDS)]


def _encoding(texts: Path, found: Documents) -> str:
    """The encoding that most of the files are in, as it seems; empty if it is UTF-8, or none is plain."""
    names = (one.locator.rpartition(":")[0] for one in found.excluded if one.reason.startswith("not utf-8"))
    files = {texts / name for name in names}
    sizes = Counter[str]()
    for file in files:
        if file.is_file() and (name := guess(file.read_bytes())):
            sizes[known_encoding(name)] += file.stat().st_size
    sizes[""] = sum(len(document.text.encode()) for document in found.kept)
    return sizes.most_common(1)[0][0]


def _beginning(documents: Documents) -> str:
    """The first words of a text, for a model to go on from."""
    longest = max(documents.kept, key=lambda document: len(document.text))
    return " ".join(longest.text.split()[:_WORDS])[:60]


def _round(value: float) -> int:
    """A number with two digits that say something."""
    scale = 10 ** max(0, int(math.log10(value)) - 1)
    return int(value // scale * scale)


def _context(listener: Listener) -> StageContext:
    return StageContext(f"documents-{SOURCE}", listener, Event())
