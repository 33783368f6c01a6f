"""Token shards as training reads them: flat files of tokens, and batches by step."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from regrow.corpus import order

if TYPE_CHECKING:
    from torch import Tensor

Part = Literal["train", "validation"]


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
        facts = json.loads((directory / "tokens.json").read_text(encoding="utf-8"))
        return TokenShards(
            directory, facts["dtype"], facts["vocabulary"], facts["end_of_text"], facts["validation_bytes"]
        )

    def read(self, part: Part) -> NDArray[np.unsignedinteger]:
        """All tokens of a part, mapped from disk."""
        return np.memmap(self.directory / f"{part}.bin", dtype=np.dtype(self.dtype).newbyteorder("<"), mode="r")

    def windows(self, part: Part, context: int) -> int:
        """How many sequences of ``context`` tokens and their successors a part makes."""
        return order.windows(len(self.read(part)), context)

    def batch(self, seed: int, step: int, count: int, context: int) -> Tensor:
        """The sequences of an optimizer step (from 1): int64 ``(count, context + 1)``."""
        import torch

        tokens = self.read("train")
        found = order.step_windows(seed, step, count, order.windows(len(tokens), context))
        rows = np.stack([tokens[int(w) * context : (int(w) + 1) * context + 1] for w in found])
        return torch.from_numpy(rows.astype(np.int64))
