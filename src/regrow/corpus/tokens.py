"""Token shards as training reads them: flat files of tokens, and batches by step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.corpus.documents import write_table
from regrow.corpus.split import Part
from regrow.store.digest import canonical_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

ROW = "train.documents.parquet"
"""The table that says which tokens of the training row are whose."""

_FACTS = "tokens.json"


@dataclass(frozen=True)
class Place:
    """Tokens ``[start, end)`` of the row are a document's; the last of them is the end-of-text token."""

    id: str
    start: int
    end: int


@dataclass(frozen=True)
class TokenShards:
    """The output of a ``tokenize`` stage.

    Attributes:
        directory: where the files lie.
        dtype: of the flat little-endian files, ``uint16`` or ``uint32``.
        vocabulary: number of tokens there are.
        end_of_text: the token after each document.
        validation_bytes: UTF-8 bytes of the validation documents.
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
        parts: Mapping[Part, Iterable[tuple[str, Sequence[int]]]],
        *,
        vocabulary: int,
        end_of_text: int,
        validation_bytes: int,
    ) -> None:
        """Write the artifact.

        Args:
            directory: where.
            parts: for each part the id of every document and its tokens, to which the one that ends a text is added.
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

        return order.windows(len(self.read(part)), context)

    def batch(self, seed: int, step: int, count: int, context: int) -> Tensor:
        """The sequences of an optimizer step (from 1): int64 ``(count, context + 1)``."""
        import numpy as np
        import torch

        from regrow.corpus import order

        tokens = self.read("train")
        found = order.step_windows(seed, step, count, order.windows(len(tokens), context))
        rows = np.stack([tokens[int(w) * context : (int(w) + 1) * context + 1] for w in found])
        return torch.from_numpy(rows.astype(np.int64))


def _write_part(
    directory: Path, part: Part, documents: Iterable[tuple[str, Sequence[int]]], dtype: np.dtype[Any], end_of_text: int
) -> int:
    """Write the row of a part and whose its tokens are; returns their number."""
    import numpy as np
    import pyarrow as pa

    places: list[Place] = []
    start = 0
    with (directory / f"{part}.bin").open("wb") as file:
        for identity, tokens in documents:
            file.write(np.array([*tokens, end_of_text], dtype).tobytes())
            places.append(Place(identity, start, start + len(tokens) + 1))
            start = places[-1].end
    schema = pa.schema([("id", pa.string()), ("start", pa.int64()), ("end", pa.int64())])
    write_table(directory / f"{part}.documents.parquet", schema, places)
    return start
