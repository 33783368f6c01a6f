"""What is found in single documents, and where: rows beside the documents, which stay as they are.

A tag says a place and a sort, and never the text itself, so tags can be published where texts cannot. A filter is a
view of them: it can be changed and run again without another search.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.corpus.tables import Order, TableWriter
from regrow.evidence.record import TAGS

if TYPE_CHECKING:
    import pyarrow

ORDER = Order(("source", "document", "tag", "start", "end", "value"))


@dataclass(frozen=True)
class Tag:
    """Something in a document.

    Attributes:
        source: of the document, by its name in the recipe.
        document: its id.
        tag: what is there, e.g. ``licence`` or ``email``: small letters, digits and hyphens.
        start: the first character of its text that is meant.
        end: one past the last; both 0 if all of the document is meant.
        value: what of it may be said, e.g. an SPDX identifier; or nothing.
    """

    source: str
    document: str
    tag: str
    start: int
    end: int
    value: str = ""


def schema() -> pyarrow.Schema:
    """The columns of a table of tags."""
    import pyarrow as pa

    types = {"int": pa.int64(), "str": pa.string()}
    return pa.schema([pa.field(one.name, types[str(one.type)], False) for one in fields(Tag)])


def writer(folder: Path) -> TableWriter:
    """A table of tags in an artifact, or in a part of one; ``add`` takes them in any order."""
    return TableWriter(folder / TAGS, schema(), ORDER)
