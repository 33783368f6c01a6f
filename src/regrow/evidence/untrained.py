"""Tokens that a model has hardly ever read, and whether its weights show it.

A token that is never in the data keeps a row that nothing but the others' gradients has moved, and all such rows move
alike. So the direction of their mean, once the direction that all rows share is taken away, tells rows that were learnt
from rows that were not (Land and Bartolo 2024, arXiv 2405.05417, "Magikarp"). They have to guess which tokens are
unused; here they are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from regrow.evidence.record import Evidence, Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regrow.corpus.tokenizer import Tokenizer
    from regrow.corpus.tokens import TokenShards

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Truths = NDArray[np.bool_]

RARE = 10
"""Places in the data with fewer than which a token is hardly there."""

_OFTEN = 100
_LISTED = 20
_READ = 1 << 22
_TURNS = 60
_TELLING = 0.9
_SHOWN = 40


@dataclass(frozen=True)
class Table:
    """A table of rows, one for each token, seen against those that nothing was learnt of.

    Attributes:
        name: of the table among the parameters.
        said: what it is called for people.
        norms: the length of each row.
        cosines: of each row, with the mean of the unused ones, once the direction that all share is taken away; of an
            unused one, with the mean of the others.
    """

    name: str
    said: str
    norms: Floats
    cosines: Floats

    @staticmethod
    def of(name: str, said: str, rows: NDArray[np.float32], unused: Truths) -> Table:
        """Look at some rows ``(rows, width)``, of which two at least are unused."""
        import numpy as np

        columns = np.ascontiguousarray(rows.T, np.float64)
        shared = _first_direction(rows)
        along = _weighted(columns, shared)
        for column, part in zip(columns, shared.tolist(), strict=True):
            column -= along * part
        mean = np.array([_total(column[unused]) for column in columns])
        others = [total - np.where(unused, column, 0) for column, total in zip(columns, mean.tolist(), strict=True)]
        products, own, theirs = (np.zeros(len(rows)) for _ in range(3))
        for column, other in zip(columns, others, strict=True):
            products += column * other
            own += column * column
            theirs += other * other
        cosines = products / np.sqrt(np.maximum(own * theirs, np.finfo(np.float64).tiny))
        return Table(name, said, np.sqrt(own + along * along), cosines)

    def telling(self, unused: Truths, often: Truths) -> float:
        """How well cosines tell unused tokens from frequent ones: the share of pairs in which that of the former is
        larger. 1 is always, 0.5 is chance.
        """
        import numpy as np

        known = np.sort(self.cosines[often])
        below = sum(int(np.searchsorted(known, self.cosines[unused], side).sum()) for side in ("left", "right"))
        return below / max(1, 2 * int(unused.sum()) * len(known))


def _first_direction(rows: NDArray[np.float32]) -> Floats:
    """The direction in which rows are largest: the first principal component about zero, of length 1."""
    import numpy as np
    import torch

    from regrow.compression.gram import Gram

    gram = Gram(rows.shape[1])
    for begin in range(0, len(rows), 1 << 14):
        gram.add(torch.from_numpy(rows[begin : begin + (1 << 14)]))
    matrix = gram.total()
    found = np.full(len(matrix), 1.0)
    for _ in range(_TURNS):
        found = _weighted(matrix, found)
        length = float(np.sqrt(_total(found * found)))
        if not length:
            break
        found = found / length
    return found


def _weighted(columns: Floats, weights: Floats) -> Floats:
    """The sum of columns with weights, one after the other, so that everybody gets the same."""
    import numpy as np

    found = np.zeros(columns.shape[1])
    for column, weight in zip(columns, weights.tolist(), strict=True):
        found += column * weight
    return found


def _total(numbers: Floats) -> float:
    """The sum of some numbers: halves are added to halves, so that everybody gets the same."""
    import numpy as np

    size = 1 << max(0, len(numbers) - 1).bit_length()
    found = np.zeros(size)
    found[: len(numbers)] = numbers
    while len(found) > 1:
        found = found[: len(found) // 2] + found[len(found) // 2 :]
    return float(found[0])


def counted(shards: TokenShards, rows: int) -> Counts:
    """How often each token is in the training data, of as many as a model has rows for."""
    import numpy as np

    found = np.zeros(rows, np.int64)
    whole = shards.tokens("train")
    for start in range(0, whole, _READ):
        found += np.bincount(shards.read("train", start, min(whole, start + _READ)), minlength=rows)
    return found


def evidence(counts: Counts, tables: list[Table], tokenizer: Tokenizer) -> Evidence:
    """What is said of the tokens of a model.

    Args:
        counts: of each row.
        tables: of rows of the model, in which it reads tokens, or writes them; none if too few are unused.
        tokenizer: of the model.
    """
    unused, often = counts == 0, counts >= _OFTEN
    without = len(counts) - tokenizer.vocabulary
    never = int(unused.sum()) - int(unused[tokenizer.vocabulary :].sum())
    rare = int(((counts > 0) & (counts < RARE))[: tokenizer.vocabulary].sum())
    telling = {one.name: round(one.telling(unused, often), 4) for one in tables}
    listed = _listed(counts, tables, tokenizer)
    return Evidence(
        check="untrained",
        question="Which tokens has the model hardly ever read?",
        answer=_answer(never, rare, tokenizer.vocabulary, telling),
        measures={
            "tokens": tokenizer.vocabulary,
            "never_read": never,
            "hardly_read": rare,
            "rows_without_token": without,
            **{f"telling_{name}": value for name, value in telling.items()},
        },
        tables=(listed,) if listed.rows else (),
        limits=LIMITS,
        method=METHOD,
    )


def _answer(never: int, rare: int, tokens: int, telling: dict[str, float]) -> str:
    said = f"Of {tokens:,} tokens, {never:,} are nowhere in the training data, and {rare:,} less than {RARE} times."
    if not telling:
        return said
    best = max(telling.values())
    if best >= _TELLING:
        return f"{said} The weights show it: in {best:.0%} of pairs their row is unlike that of a frequent token."
    return (
        f"{said} The weights do not show it ({best:.0%} of pairs of rows): they read other data before, or too little "
        "of any."
    )


def _listed(counts: Counts, tables: list[Table], tokenizer: Tokenizer) -> Rows:
    """The tokens that are hardly there, the rarest first."""
    import numpy as np

    places = np.flatnonzero(counts[: tokenizer.vocabulary] < RARE)
    likeness = -tables[0].cosines[places] if tables else np.zeros(len(places))
    first = places[np.lexsort((places, likeness, counts[places]))][:_LISTED].tolist()
    columns = ["token", "says", "times in the data"]
    for one in tables:
        columns += [f"length of its row in {one.said}", f"cosine to unused rows in {one.said}"]
    rows = []
    for token in first:
        said = _said(tokenizer.bytes[token])
        numbers = [round(float(row[token]), 4) for one in tables for row in (one.norms, one.cosines)]
        rows.append((token, said, int(counts[token]), *numbers))
    note = f"The first {len(rows)} of {len(places):,}." if len(places) > len(rows) else ""
    return Rows("Tokens that are hardly in the data", tuple(columns), tuple(rows), note)


def _said(data: bytes) -> str:
    """What a token says, if it says something by itself; else its bytes."""
    text = data.decode("utf-8", "replace")
    return (text if text.isprintable() and "\ufffd" not in text else repr(data)[2:-1])[:_SHOWN]


METHOD = (
    "Every token of the training data is counted. Rows of tokens that are nowhere in it are unused.",
    "The direction that all rows share (the first principal component) is taken away, and each row is compared with "
    "the mean of the unused ones (Land and Bartolo 2024, arXiv 2405.05417).",
)
LIMITS = (
    "Only the data of this release is counted: of a model that began with another one, what that one had read is not "
    "known here.",
    "A token that is hardly ever read may make the model write anything; whether it does is not tried.",
)
