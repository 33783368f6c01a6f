"""The rows of models whose tokenizers differ, found by the text of the token.

A model that lacks a token takes part with a row that stands for its own: that of the first model, or, where that lacks
it too, the row of the only model that has one, or the mean of those that several have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regrow.model.weights import Ends

TABLES = ("embed", "head")
"""The parameters with a row for each token."""


@dataclass(frozen=True)
class Rows:
    """Which rows of several models are one token's.

    Attributes:
        texts: of the tokens, in the order of the rows that they will have.
        own: how many of them, the first ones, the first model has in these rows.
        others: the other models -> for each token the row that they have for it, if any.
    """

    texts: Sequence[str]
    own: int
    others: Mapping[str, Sequence[int | None]]

    @staticmethod
    def of(texts: Sequence[str], own: int, others: Mapping[str, Sequence[str]]) -> Rows:
        """Find them.

        Args:
            texts: as above.
            own: as above.
            others: the other models -> the tokens that they have, in the order of their rows.
        """
        places = {name: {token: row for row, token in enumerate(theirs)} for name, theirs in others.items()}
        return Rows(texts, own, {name: [rows.get(text) for text in texts] for name, rows in places.items()})

    @property
    def tokens(self) -> int:
        """How many there are."""
        return len(self.texts)

    def owners(self, token: int) -> list[str]:
        """The other models that have it."""
        return [name for name, rows in self.others.items() if rows[token] is not None]

    def grown(self, first: Mapping[str, Tensor], others: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The first model's parameters with a row for each token; rows that no token has stay behind them."""
        found = dict(first)
        for table in (table for table in TABLES if table in first):
            theirs = {name: parameters[table] for name, parameters in others.items()}
            new = [self._standing(token, theirs) for token in range(self.own, self.tokens)]
            parts = [first[table][: self.own], *(row[None] for row in new), first[table][self.tokens :]]
            found[table] = torch.cat(parts)
        return found

    def _standing(self, token: int, others: Mapping[str, Tensor]) -> Tensor:
        """The row for a token that the first model lacks: their mean, in float64 and in their order."""
        rows = [others[name][self.others[name][token]] for name in self.owners(token)]
        total = np.zeros(rows[0].shape)
        for row in rows:
            total += row.numpy()
        return torch.from_numpy((total / len(rows)).astype(np.float32))

    def mapped(self, theirs: Mapping[str, Tensor], first: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
        """Another model's parameters, its rows in the order of the tokens; where it has none, the first's stand."""
        known = [(token, row) for token, row in enumerate(self.others[name]) if row is not None]
        tokens, rows = (torch.tensor(one) for one in zip(*known, strict=True))
        found = dict(theirs)
        for table in TABLES:
            if table in theirs and theirs[table].shape[1:] == first[table].shape[1:]:
                found[table] = first[table].index_copy(0, tokens, theirs[table].index_select(0, rows))
        return found

    def ends(self, first: Ends, others: Mapping[str, Ends]) -> Ends:
        """Those of the first model, and besides them where the others stop to write."""
        numbers = {
            (name, row): token
            for name, rows in self.others.items()
            for token, row in enumerate(rows)
            if row is not None
        }
        theirs = [
            numbers[name, token] for name, ends in others.items() for token in ends.stops if (name, token) in numbers
        ]
        for token in theirs:
            first = first.also(token)
        return first

    def records(self) -> Iterator[str]:
        """A line for each token: which row of each model it was made of; null where it had none, and what stood for it
        if that was not the first model's.
        """
        for token, text in enumerate(self.texts):
            told = {"row": token, "token": text, "from": {name: rows[token] for name, rows in self.others.items()}}
            if token >= self.own:
                told["otherwise"] = self.owners(token)
            yield json.dumps(told, ensure_ascii=False, sort_keys=True) + "\n"
