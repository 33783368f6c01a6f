"""Token shards as training reads them: flat files of tokens, and batches by step.

Where there are conversations, a second file says which tokens are learnt, and documents are packed into sequences in
which none sees another (:mod:`regrow.corpus.packing`). A part with texts alone is one row that is cut into windows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from regrow.corpus.documents import write_table
from regrow.corpus.split import PARTS, Part
from regrow.store.digest import canonical_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from regrow.corpus.packing import Packing

ROW = "train.documents.parquet"
"""The table that says which tokens of the training row are whose."""

_FACTS = "tokens.json"


class Encoded(NamedTuple):
    """The tokens of a document.

    Attributes:
        id: of the document.
        tokens: of a text without the one that ends it, of a conversation all.
        learnt: of a conversation, which of them count in the loss; None for a text, of which all do.
    """

    id: str
    tokens: Sequence[int]
    learnt: Sequence[bool] | None = None


class Sequences(NamedTuple):
    """Some sequences, each filled up with zeros.

    Attributes:
        tokens: int64 ``(B, context + 1)``.
        learnt: bool ``(B, context)``: which of ``tokens[:, 1:]`` count; None for all.
        segments: int64 ``(B, context)``: which of ``tokens[:, :-1]`` are read together, counted from 1 in each
            sequence; 0 for what is not read. None if a sequence is read as a whole.
    """

    tokens: Tensor
    learnt: Tensor | None = None
    segments: Tensor | None = None


@dataclass(frozen=True)
class Place:
    """Tokens ``[start, end)`` of the row are a document's; the last of a text is the end-of-text token.

    Of a conversation ``learnt`` of them count in the loss.
    """

    id: str
    start: int
    end: int
    learnt: int | None = None


@dataclass(frozen=True)
class TokenShards:
    """The output of a ``tokenize`` stage.

    Attributes:
        directory: where the files lie.
        dtype: of the flat little-endian files, ``uint16`` or ``uint32``.
        vocabulary: number of tokens there are.
        end_of_text: the token after each document.
        validation_bytes: UTF-8 bytes of the validation documents; of conversations, of what is learnt in them.
    """

    directory: Path
    dtype: str
    vocabulary: int
    end_of_text: int
    validation_bytes: int

    @staticmethod
    def open(directory: Path) -> TokenShards:
        """Read the description of the shards in ``directory``; the tokens stay on disk."""
        facts = json.loads((directory / _FACTS).read_text(encoding="utf-8"))
        return TokenShards(
            directory, facts["dtype"], facts["vocabulary"], facts["end_of_text"], facts["validation_bytes"]
        )

    @staticmethod
    def write(
        directory: Path,
        parts: Mapping[Part, Iterable[Encoded]],
        *,
        vocabulary: int,
        end_of_text: int,
        validation_bytes: int,
    ) -> None:
        """Write the artifact.

        Args:
            directory: where.
            parts: for each part its documents, of which texts get the token that ends them.
            vocabulary: number of tokens there are.
            end_of_text: the token after each document.
            validation_bytes: UTF-8 bytes of the validation documents.
        """
        import numpy as np

        facts: dict[str, Any] = {
            "dtype": "uint16" if vocabulary <= 2**16 else "uint32",
            "vocabulary": vocabulary,
            "end_of_text": end_of_text,
            "validation_bytes": validation_bytes,
        }
        for part, documents in parts.items():
            dtype = np.dtype(facts["dtype"]).newbyteorder("<")
            facts[f"{part}_tokens"] = _write_part(directory, part, documents, dtype, end_of_text)
        (directory / _FACTS).write_bytes(canonical_json(facts) + b"\n")

    def read(self, part: Part) -> NDArray[np.unsignedinteger]:
        """All tokens of a part, mapped from disk."""
        import numpy as np

        return np.memmap(self.directory / f"{part}.bin", dtype=np.dtype(self.dtype).newbyteorder("<"), mode="r")

    def windows(self, part: Part, context: int) -> int:
        """How many sequences of ``context`` tokens and their successors a part makes."""
        from regrow.corpus import order

        if self.is_packed(part):
            return len(self.packing(part, context).sequences)
        return order.windows(len(self.read(part)), context)

    def is_packed(self, part: Part) -> bool:
        """Whether there are conversations in a part."""
        return (self.directory / f"{part}.learnt").is_file()

    def learnt(self, part: Part) -> NDArray[np.bool_]:
        """Which tokens of a part count in the loss."""
        import numpy as np

        if not self.is_packed(part):
            return np.ones(len(self.read(part)), np.bool_)
        return np.memmap(self.directory / f"{part}.learnt", dtype=np.bool_, mode="r")

    def learnt_of(self, part: Part, document: int) -> NDArray[np.unsignedinteger]:
        """The tokens that are learnt of a document of a part with conversations, by its place among them."""
        ends, _ = self._places[part]
        here = slice(int(ends[document - 1]) if document else 0, int(ends[document]))
        return self.read(part)[here][self.learnt(part)[here]]

    def packing(self, part: Part, context: int) -> Packing:
        """How the documents of a part with conversations share sequences."""
        from regrow.corpus.packing import Packing

        if (part, context) not in self._packings:
            ends, whole = self._places[part]
            self._packings[part, context] = Packing.of(ends, whole, context)
        return self._packings[part, context]

    def ids(self, part: Part) -> list[str]:
        """The documents of a part, in the order of their tokens."""
        import pyarrow.parquet as pq

        found: list[str] = pq.read_table(self.directory / f"{part}.documents.parquet", columns=["id"])["id"].to_pylist()
        return found

    def shortest(self, part: Part) -> int:
        """Tokens of the shortest document of a part with conversations."""
        import numpy as np

        return int(np.diff(self._places[part][0], prepend=0).min())

    def sequences(self, part: Part, numbers: Sequence[int], context: int) -> Sequences:
        """Some sequences of a part, by their numbers."""
        import numpy as np
        import torch

        tokens = self.read(part)
        if not self.is_packed(part):
            rows = np.stack([tokens[number * context : (number + 1) * context + 1] for number in numbers])
            return Sequences(torch.from_numpy(rows.astype(np.int64)))
        learnt, packing = self.learnt(part), self.packing(part, context)
        rows = np.zeros((len(numbers), context + 1), np.int64)
        counts, segments = np.zeros(rows.shape, np.bool_), np.zeros(rows.shape, np.int64)
        for row, number in enumerate(numbers):
            at = 0
            for count, unit in enumerate(packing.sequences[number], 1):
                end = at + unit.length
                rows[row, at:end] = tokens[unit.start : unit.end]
                counts[row, at + 1 : end] = learnt[unit.start + 1 : unit.end]
                segments[row, at : end - 1] = count
                at = end
        return Sequences(*map(torch.from_numpy, (rows, counts[:, 1:], segments[:, :-1])))

    def step(self, seed: int, step: int, count: int, context: int) -> Sequences:
        """The sequences of an optimizer step (from 1)."""
        from regrow.corpus import order

        found = order.step_windows(seed, step, count, self.windows("train", context))
        return self.sequences("train", found.tolist(), context)

    @cached_property
    def _packings(self) -> dict[tuple[Part, int], Packing]:
        return {}

    @cached_property
    def _places(self) -> Mapping[Part, tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        """Where the documents of parts with conversations end, and which are conversations."""
        import numpy as np
        import pyarrow.parquet as pq

        found = {}
        for part in filter(self.is_packed, PARTS):
            table = pq.read_table(self.directory / f"{part}.documents.parquet", columns=["end", "learnt"])
            found[part] = np.array(table["end"], np.int64), np.array(table["learnt"].is_valid(), np.bool_)
        return found

    def batch(self, seed: int, step: int, count: int, context: int) -> Tensor:
        """The tokens of the sequences of an optimizer step (from 1): int64 ``(count, context + 1)``."""
        return self.step(seed, step, count, context).tokens


def _write_part(
    directory: Path, part: Part, documents: Iterable[Encoded], dtype: np.dtype[Any], end_of_text: int
) -> int:
    """Write the row of a part, whose its tokens are and, if not all, which are learnt; returns their number."""
    import numpy as np
    import pyarrow as pa

    places: list[Place] = []
    start = 0
    learnt = directory / f"{part}.learnt"
    with (directory / f"{part}.bin").open("wb") as file, learnt.open("wb") as marks:
        for document in documents:
            is_text = document.learnt is None
            tokens = [*document.tokens, end_of_text] if is_text else document.tokens
            counts = [True] * len(tokens) if document.learnt is None else document.learnt
            file.write(np.array(tokens, dtype).tobytes())
            marks.write(np.array(counts, np.bool_).tobytes())
            places.append(Place(document.id, start, start + len(tokens), None if is_text else sum(counts)))
            start = places[-1].end
    fields = [pa.field("id", pa.string()), pa.field("start", pa.int64()), pa.field("end", pa.int64())]
    if all(place.learnt is None for place in places):
        learnt.unlink()
    else:
        fields.append(pa.field("learnt", pa.int64()))
    write_table(directory / f"{part}.documents.parquet", pa.schema(fields), places)
    return start
