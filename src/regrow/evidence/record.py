"""What a check of a corpus found, in one shape for every check: what shows it needs to know none of them.

An artifact ``evidence`` is a folder with the file ``evidence.json``, an :class:`Evidence`, and perhaps
``tags.parquet``, which says of single documents what was found where (:mod:`regrow.evidence.tags`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from regrow.sections import first_fault

SCHEMA = "regrow/evidence/1"

EVIDENCE = "evidence.json"
"""The file of an artifact in which the evidence is."""

TAGS = "tags.parquet"
"""The file beside it that speaks of single documents."""

FOLDER = "evidence"
"""The folder of a release in which the evidence lies, each in a folder called after its stage."""

Cell = str | int | float | None


@dataclass(frozen=True)
class Rows:
    """A table for people.

    Attributes:
        title: what it shows.
        columns: their headings.
        rows: what stands below them. Floats are shown with three digits; None is shown as a dash.
        note: a sentence below it, or nothing.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Evidence:
    """What one check found in one corpus.

    Nothing of it may be what must not be published: of personal data it tells the sort and the place, never the text.

    Attributes:
        check: its name, e.g. ``rights``: small letters, digits and hyphens.
        question: what it answers, in a sentence with a question mark.
        answer: what was found, in a sentence or two with the figures that matter.
        measures: figures by name, for programs: counts, bytes and shares.
        notices: what a reader has to know before using the model, a sentence each; empty if there is nothing.
        tables: for people, the most telling first.
        limits: what such a check cannot see, and how often it is wrong, a sentence each.
        method: how it was done, with thresholds and papers, a sentence each.
    """

    check: str
    question: str
    answer: str
    measures: Mapping[str, int | float] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    tables: tuple[Rows, ...] = ()
    limits: tuple[str, ...] = ()
    method: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write it into an artifact."""
        told = {"schema": SCHEMA, **asdict(self)}
        text = json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (folder / EVIDENCE).write_text(text + "\n", "utf-8", newline="\n")

    @staticmethod
    def read(text: str | bytes) -> Evidence:
        """What was written.

        Raises:
            ValueError: if it is not evidence, or not in a shape that is known here.
        """
        told = json.loads(text)
        if not isinstance(told, dict) or told.pop("schema", None) != SCHEMA:
            raise ValueError(f"not of the shape {SCHEMA}")
        try:
            return TypeAdapter(Evidence).validate_python(told)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from error
