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
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from regrow.corpus.encoded import FACTS, table_of
from regrow.corpus.split import PARTS, Part
from regrow.corpus.tables import Stretch
from regrow.errors import StageError
from regrow.formats import parts
from regrow.recipe.kind import Files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from regrow.corpus.flat import Flat
    from regrow.corpus.order import Unit
    from regrow.corpus.packing import Packing


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

    @staticmethod
    def read(tables: Sequence[Path], counts: Sequence[int]) -> _Places:
        """Those that some tables tell of, one behind the other, the rows of which have so many tokens."""
        import numpy as np
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        found: list[tuple[NDArray[Any], ...]] = []
        for table, begin in zip(tables, accumulate(counts, initial=0), strict=False):
            names = pq.read_schema(table).names
            rows = pq.read_table(table, columns=[name for name in ("end", "learnt", "rejected") if name in names])
            ends = np.array(rows["end"], np.int64)
            kept = np.array(pc.coalesce(rows["rejected"], rows["end"]), np.int64) if "rejected" in names else ends
            whole = np.array(rows["learnt"].is_valid() if "learnt" in names else [False] * len(ends), np.bool_)
            found.append((ends + begin, kept + begin, whole))
        return _Places(*map(np.concatenate, zip(*found, strict=True)))


@dataclass(frozen=True)
class TokenShards:
    """The output of a ``tokenize`` stage: of all its parts, one behind the other, as if they were one.

    Attributes:
        directory: where the files lie.
        dtype: of the flat little-endian files, ``uint16`` or ``uint32``.
        vocabulary: number of tokens there are.
        end_of_text: the token after each document.
        validation_bytes: UTF-8 bytes of the validation documents; of conversations, of what is learnt in them.
        folders: of its parts.
        counts: the tokens in the row of each of them.
        files: the way to its files, which may be on another machine; None if they are on this one.
        talks: whether there are conversations in a part, of each folder; None to look when it matters.
    """

    directory: Path
    dtype: str
    vocabulary: int
    end_of_text: int
    validation_bytes: int
    folders: tuple[Path, ...]
    counts: Mapping[Part, tuple[int, ...]]
    files: Files | None = None
    talks: Mapping[Part, tuple[bool, ...]] | None = None

    @staticmethod
    def open(directory: Path) -> TokenShards:
        """Read the description of the shards in ``directory``; the tokens stay where they are.

        Raises:
            StageError: if the parts do not belong together.
        """

        folders = parts.folders(directory)
        facts = [json.loads((folder / FACTS).read_text(encoding="utf-8")) for folder in folders]
        said = [tuple(one[name] for name in ("dtype", "vocabulary", "end_of_text")) for one in facts]
        if others := [folder.name for folder, one in zip(folders, said, strict=True) if one != said[0]]:
            what = f"{others[0]} has the tokens of another tokenizer than the first part"
            raise StageError(what, where=str(directory), hint="delete it from the store, and build again")
        dtype, vocabulary, end_of_text = said[0]
        held_out = sum(one["validation_bytes"] for one in facts)
        counts = {part: tuple(one[f"{part}_tokens"] for one in facts) for part in PARTS}
        return TokenShards(directory, dtype, vocabulary, end_of_text, held_out, folders, counts)

    def told(self) -> dict[str, Any]:
        """Plain JSON from which :meth:`elsewhere` makes shards of which nothing has to be looked up."""
        return {
            "directory": str(self.directory),
            "dtype": self.dtype,
            "vocabulary": self.vocabulary,
            "end_of_text": self.end_of_text,
            "validation_bytes": self.validation_bytes,
            "folders": [folder.relative_to(self.directory).as_posix() for folder in self.folders],
            "counts": {part: [*counts] for part, counts in self.counts.items()},
            "talks": {part: [*talks] for part, talks in self._talks.items()},
        }

    @staticmethod
    def elsewhere(told: Mapping[str, Any], files: Files | None) -> TokenShards:
        """What was told, as another process reads it."""
        directory = Path(told["directory"])
        return TokenShards(
            directory,
            told["dtype"],
            told["vocabulary"],
            told["end_of_text"],
            told["validation_bytes"],
            tuple(directory / name for name in told["folders"]),
            {part: tuple(told["counts"][part]) for part in PARTS},
            files,
            {part: tuple(told["talks"][part]) for part in PARTS},
        )

    def tokens(self, part: Part) -> int:
        """How many tokens the row of a part has."""
        return sum(self.counts[part])

    def read(self, part: Part, start: int = 0, stop: int | None = None) -> NDArray[np.unsignedinteger]:
        """The tokens ``[start, stop)`` of a part; by default all."""
        return self._row(part).read(start, self.tokens(part) if stop is None else stop)

    def learnt(self, part: Part, start: int = 0, stop: int | None = None) -> NDArray[np.bool_]:
        """Which of the tokens ``[start, stop)`` of a part count in the loss, none of them of a rejected answer."""
        import numpy as np

        stop = self.tokens(part) if stop is None else stop
        if not self.is_packed(part):
            return np.ones(stop - start, np.bool_)
        found, (ends, kept, _) = self._marks(part, start, stop).copy(), self._places[part]
        here = slice(np.searchsorted(ends, start, "right"), np.searchsorted(ends, stop, "left") + 1)
        for first, last in zip(kept[here].tolist(), ends[here].tolist(), strict=True):
            found[max(0, first - start) : max(0, last - start)] = False
        return found

    def spoken(self, part: Part) -> Iterator[NDArray[np.unsignedinteger]]:
        """All tokens of a part that count in the loss, some at a time."""
        for start, stop in self._row(part).chunks():
            tokens = self.read(part, start, stop)
            yield tokens[self.learnt(part, start, stop)] if self.is_packed(part) else tokens

    def windows(self, part: Part, context: int, *, pairs: bool = False) -> int:
        """How many sequences of ``context`` tokens and their successors a part makes, with rejected ones or without."""
        from regrow.corpus import order

        if self.is_packed(part):
            return len(self.packing(part, context, pairs=pairs))
        return order.windows(self.tokens(part), context)

    def is_packed(self, part: Part) -> bool:
        """Whether there are conversations in a part."""
        return any(self._talks[part])

    def learnt_of(self, part: Part, document: int) -> NDArray[np.unsignedinteger]:
        """The tokens that are learnt of a document of a part with conversations, by its place among them."""
        ends, kept, _ = self._places[part]
        here = int(ends[document - 1]) if document else 0, int(kept[document])
        return self.read(part, *here)[self._marks(part, *here)]

    def pairs(self, part: Part) -> int:
        """How many documents of a part are pairs of a chosen answer and a rejected one."""
        if not self.is_packed(part):
            return 0
        places = self._places[part]
        return int((places.kept < places.ends).sum())

    def packing(self, part: Part, context: int, *, pairs: bool = False) -> Packing:
        """How the documents of a part with conversations share sequences, with rejected answers or without."""
        from regrow.corpus.packing import Packing

        key = part, context, pairs
        if key not in self._packings:
            ends, kept, whole = self._places[part]
            self._packings[key] = Packing.of(ends, whole, context, ends if pairs else kept)
        return self._packings[key]

    def documents(self, part: Part) -> int:
        """How many documents a part has."""
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(table).num_rows for table in self._tables(part))

    def ids(self, part: Part, places: NDArray[np.int64]) -> list[str]:
        """Some documents of a part, by their places in the order of their tokens, from 0, which ascend."""
        import numpy as np

        found: list[str] = []
        begin = 0
        for batch in chain.from_iterable(Stretch(table).batches(["id"]) for table in self._tables(part)):
            end = begin + batch.num_rows
            here = places[slice(*np.searchsorted(places, (begin, end)))] - begin
            found += batch.column(0).take(here).to_pylist()
            begin = end
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

        if not self.is_packed(part):
            rows = np.stack([self.read(part, number * context, (number + 1) * context + 1) for number in numbers])
            return Sequences(torch.from_numpy(rows.astype(np.int64)))
        packing, kept = self.packing(part, context, pairs=pairs), self._places[part].kept
        rows = np.zeros((len(numbers), context + 1), np.int64)
        counts, segments = np.zeros(rows.shape, np.bool_), np.zeros(rows.shape, np.int64)
        for row, number in enumerate(numbers):
            at = 0
            for count, (start, stop) in enumerate(_apart(packing.units(number), kept), 1):
                end = at + stop - start
                rows[row, at:end] = self.read(part, start, stop)
                counts[row, at + 1 : end] = self._marks(part, start, stop)[1:]
                segments[row, at : end - 1] = count
                at = end
        return Sequences(*map(torch.from_numpy, (rows, counts[:, 1:], segments[:, :-1])))

    def step(self, seed: int, step: int, count: int, context: int, *, pairs: bool = False) -> Sequences:
        """The sequences of an optimizer step (from 1); see :meth:`sequences`."""
        from regrow.corpus import order

        found = order.step_windows(seed, step, count, self.windows("train", context, pairs=pairs))
        return self.sequences("train", found.tolist(), context, pairs=pairs)

    def batch(self, seed: int, step: int, count: int, context: int) -> Tensor:
        """The tokens of the sequences of an optimizer step (from 1): int64 ``(count, context + 1)``."""
        return self.step(seed, step, count, context).tokens

    def _row(self, part: Part) -> Flat:
        """The tokens of a part."""
        return self._rows[part]

    @cached_property
    def _rows(self) -> Mapping[Part, Flat]:
        import numpy as np

        dtype = np.dtype(self.dtype).newbyteorder("<")
        return {part: self._flat(part, [one / f"{part}.bin" for one in self.folders], dtype) for part in PARTS}

    def _flat(self, part: Part, files: Iterable[Path | None], dtype: np.dtype[Any]) -> Flat:
        """Numbers, of which there are as many as tokens of a part."""
        from regrow.corpus.flat import Flat, bytes_here

        return Flat(tuple(files), self.counts[part], dtype, self.files.read if self.files else bytes_here)

    def _marks(self, part: Part, start: int, stop: int) -> NDArray[np.bool_]:
        """Which tokens of a part with conversations are answers, and what ends them; rejected ones, too."""
        import numpy as np

        talking = zip(self.folders, self._talks[part], strict=True)
        files = (folder / f"{part}.learnt" if talks else None for folder, talks in talking)
        return self._flat(part, files, np.dtype(np.bool_)).read(start, stop)

    def _tables(self, part: Part) -> list[Path]:
        """The tables that say which tokens are whose."""
        tables = [folder / table_of(part) for folder in self.folders]
        return [self.files.path(table) for table in tables] if self.files else tables

    @cached_property
    def _talks(self) -> Mapping[Part, tuple[bool, ...]]:
        """Whether there are conversations in a part, of each folder."""
        if self.talks is not None:
            return self.talks
        import pyarrow.parquet as pq

        return {part: tuple("learnt" in pq.read_schema(table).names for table in self._tables(part)) for part in PARTS}

    @cached_property
    def _packings(self) -> dict[tuple[Part, int, bool], Packing]:
        return {}

    @cached_property
    def _places(self) -> Mapping[Part, _Places]:
        """Where the documents of parts with conversations are."""
        return {part: _Places.read(self._tables(part), self.counts[part]) for part in PARTS if self.is_packed(part)}


def _apart(units: Iterable[Unit], kept: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """The ranges of the row that are read by themselves: units, and each of a pair."""
    for unit in units:
        cut = min(int(kept[unit.document]), unit.end)
        yield unit.start, cut
        if cut < unit.end:
            yield cut, unit.end
