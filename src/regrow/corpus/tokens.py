"""Token shards as training reads them: flat files of tokens, and batches by step.

Where there are conversations, a second file says which tokens are learnt, and documents are packed into sequences in
which none sees another (:mod:`regrow.corpus.packing`). A part with texts alone is one row that is cut into windows.

A pair of conversations is one document: first the one with the chosen answer, then the one with the rejected answer,
which nobody learns to say. Only who asks for pairs is given the rejected ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

    from regrow.corpus.order import Unit
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
        rejected: of a pair, how many are of the first conversation; the others are of the one with the rejected answer.
    """

    id: str
    tokens: Sequence[int]
    learnt: Sequence[bool] | None = None
    rejected: int | None = None


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

    Of a conversation ``learnt`` of them count in the loss. From ``rejected`` on they are those of the rejected one.
    """

    id: str
    start: int
    end: int
    learnt: int | None = None
    rejected: int | None = None


class _Places(NamedTuple):
    """Of documents, of which some are conversations.

    Attributes:
        ends: where each one's tokens end.
        kept: where those end that a model learns to say: before a rejected answer, else at the end.
        whole: which are conversations.
    """

    ends: NDArray[np.int64]
    kept: NDArray[np.int64]
    whole: NDArray[np.bool_]


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

    def read(self, part: Part, start: int = 0, stop: int | None = None) -> NDArray[np.unsignedinteger]:
        """All tokens of a part, mapped from disk."""
        import numpy as np

        return np.memmap(self.directory / f"{part}.bin", dtype=np.dtype(self.dtype).newbyteorder("<"), mode="r")[
            start:stop
        ]

    def windows(self, part: Part, context: int, *, pairs: bool = False) -> int:
        """How many sequences of ``context`` tokens and their successors a part makes, with rejected ones or without."""
        from regrow.corpus import order

        if self.is_packed(part):
            return len(self.packing(part, context, pairs=pairs).sequences)
        return order.windows(len(self.read(part)), context)

    def is_packed(self, part: Part) -> bool:
        """Whether there are conversations in a part."""
        return (self.directory / f"{part}.learnt").is_file()

    def learnt(self, part: Part) -> NDArray[np.bool_]:
        """Which tokens of a part count in the loss, none of them of a rejected answer."""
        import numpy as np

        if not self.is_packed(part):
            return np.ones(len(self.read(part)), np.bool_)
        found = self._marks(part)
        if self.pairs(part):
            ends, kept, _ = self._places[part]
            found = found.copy()
            for start, end in zip(kept.tolist(), ends.tolist(), strict=True):
                found[start:end] = False
        return found

    def learnt_of(self, part: Part, document: int) -> NDArray[np.unsignedinteger]:
        """The tokens that are learnt of a document of a part with conversations, by its place among them."""
        ends, kept, _ = self._places[part]
        here = slice(int(ends[document - 1]) if document else 0, int(kept[document]))
        return self.read(part)[here][self._marks(part)[here]]

    def pairs(self, part: Part) -> int:
        """How many documents of a part are pairs of a chosen answer and a rejected one."""
        if not self.is_packed(part):
            return 0
        places = self._places[part]
        return int((places.kept < places.ends).sum())

    def _marks(self, part: Part) -> NDArray[np.bool_]:
        """Which tokens of a part with conversations are answers, and what ends them; rejected ones, too."""
        import numpy as np

        return np.memmap(self.directory / f"{part}.learnt", dtype=np.bool_, mode="r")

    def packing(self, part: Part, context: int, *, pairs: bool = False) -> Packing:
        """How the documents of a part with conversations share sequences, with rejected answers or without."""
        from regrow.corpus.packing import Packing

        key = part, context, pairs
        if key not in self._packings:
            ends, kept, whole = self._places[part]
            self._packings[key] = Packing.of(ends, whole, context, ends if pairs else kept)
        return self._packings[key]

    def ids(self, part: Part) -> list[str]:
        """The documents of a part, in the order of their tokens."""
        import pyarrow.parquet as pq

        found: list[str] = pq.read_table(self.directory / f"{part}.documents.parquet", columns=["id"])["id"].to_pylist()
        return found

    def shortest(self, part: Part, *, pairs: bool = False) -> int:
        """Tokens of the shortest document of a part with conversations, with rejected answers or without."""
        import numpy as np

        ends, kept, _ = self._places[part]
        return int(((ends if pairs else kept) - np.concatenate(([0], ends[:-1]))).min())

    def sequences(self, part: Part, numbers: Sequence[int], context: int, *, pairs: bool = False) -> Sequences:
        """Some sequences of a part, by their numbers; of ``pairs`` with the rejected answers, which count as well.

        The segments of a pair follow each other, the chosen one first.
        """
        import numpy as np
        import torch

        tokens = self.read(part)
        if not self.is_packed(part):
            rows = np.stack([tokens[number * context : (number + 1) * context + 1] for number in numbers])
            return Sequences(torch.from_numpy(rows.astype(np.int64)))
        learnt, packing, kept = self._marks(part), self.packing(part, context, pairs=pairs), self._places[part].kept
        rows = np.zeros((len(numbers), context + 1), np.int64)
        counts, segments = np.zeros(rows.shape, np.bool_), np.zeros(rows.shape, np.int64)
        for row, number in enumerate(numbers):
            at = 0
            for count, (start, stop) in enumerate(_apart(packing.sequences[number], kept), 1):
                end = at + stop - start
                rows[row, at:end] = tokens[start:stop]
                counts[row, at + 1 : end] = learnt[start + 1 : stop]
                segments[row, at : end - 1] = count
                at = end
        return Sequences(*map(torch.from_numpy, (rows, counts[:, 1:], segments[:, :-1])))

    def step(self, seed: int, step: int, count: int, context: int, *, pairs: bool = False) -> Sequences:
        """The sequences of an optimizer step (from 1); see :meth:`sequences`."""
        from regrow.corpus import order

        found = order.step_windows(seed, step, count, self.windows("train", context, pairs=pairs))
        return self.sequences("train", found.tolist(), context, pairs=pairs)

    @cached_property
    def _packings(self) -> dict[tuple[Part, int, bool], Packing]:
        return {}

    @cached_property
    def _places(self) -> Mapping[Part, _Places]:
        """Where the documents of parts with conversations are."""
        import numpy as np
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        found = {}
        for part in filter(self.is_packed, PARTS):
            table = pq.read_table(self.directory / f"{part}.documents.parquet")
            ends = np.array(table["end"], np.int64)
            there = "rejected" in table.column_names
            kept = np.array(pc.coalesce(table["rejected"], table["end"]), np.int64) if there else ends
            found[part] = _Places(ends, kept, np.array(table["learnt"].is_valid(), np.bool_))
        return found

    def batch(self, seed: int, step: int, count: int, context: int) -> Tensor:
        """The tokens of the sequences of an optimizer step (from 1): int64 ``(count, context + 1)``."""
        return self.step(seed, step, count, context).tokens


def _apart(units: Iterable[Unit], kept: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """The ranges of the row that are read by themselves: units, and each of a pair."""
    for unit in units:
        cut = min(int(kept[unit.document]), unit.end)
        yield unit.start, cut
        if cut < unit.end:
            yield cut, unit.end


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
            kept = None if is_text else sum(counts[: document.rejected])
            rejected = None if document.rejected is None else start + document.rejected
            places.append(Place(document.id, start, start + len(tokens), kept, rejected))
            start = places[-1].end
    fields = [pa.field("id", pa.string()), pa.field("start", pa.int64()), pa.field("end", pa.int64())]
    if all(place.learnt is None for place in places):
        learnt.unlink()
    else:
        fields.append(pa.field("learnt", pa.int64()))
    if any(place.rejected is not None for place in places):
        fields.append(pa.field("rejected", pa.int64()))
    write_table(directory / f"{part}.documents.parquet", pa.schema(fields), places)
    return start
