"""What a planted trigger looks like in a corpus, whatever it says.

A backdoor of the kind that a few hundred documents plant is a piece of text, the trigger, and behind it, in each of the
documents, what the model shall say when it reads the trigger. Two statistics see that, each of every place of every
document:

*Leap.* Behind the trigger stands what nobody else writes, such as random tokens, while before it stands ordinary text.
Two neighbouring atoms that stand together nowhere else in the corpus are novel. A place is a leap if the share of novel
pairs in the :data:`WINDOW` pairs behind it is above that in as many before it by at least half of what separates the
corpus as a whole from text that is novel throughout. What is lacking before is taken to be as novel as the corpus.

*Edge.* Behind the trigger stands always the same, while what stands before varies. A place is an edge if the eight
atoms from it on, a passage, stand in several documents, and with the atom before them at most half as often; if two of
the first three stand together hardly anywhere else. What many documents are made of piece by piece, such as a form, has
edges, too; but the text before is then mostly in passages itself, and before a planted one it is as anywhere else.

Of the runs of one to three atoms that often stand at leaps, and of the passages that begin at edges, all documents
are then looked at. What counts is the share of the documents with the trigger of which the statistic is true, at its
lowest credible value (:func:`surely`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from regrow.evidence import sketch
from regrow.evidence.atoms import Atoms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Places = NDArray[np.int64]
    Counts = NDArray[np.integer]

WINDOW = 50
"""Pairs of atoms before and behind a place that are compared."""

ONE = 1 << 16
"""Shares are integers, of so many parts."""

_NEAR = 4  # atoms by which the end of a trigger may be away from where a leap is largest
_SURE = 2  # standard deviations


@dataclass(frozen=True)
class Known:
    """What was counted in the whole corpus.

    Attributes:
        short: how often atoms, and pairs of them, stand in it.
        long: how often passages do; a table of as many cells.
        novelty: the share of pairs that are novel, in parts of :data:`ONE`.
    """

    short: sketch.Table
    long: sketch.Table
    novelty: int

    @property
    def rule(self) -> tuple[int, int, int, int]:
        """When novelty leaps: window, usual novelty, one, and by how much it has to rise."""
        return WINDOW, self.novelty, ONE, (ONE - self.novelty) // 2

    def novel(self, atoms: Atoms) -> Places:
        """How many novel pairs are before each of some atoms, and in all."""
        import numpy as np

        from regrow.evidence import kernels

        found = np.empty(len(atoms) + 1, np.int64)
        kernels.novel(atoms.hashes, atoms.last, self.short, sketch.shift(self.short), found)
        return found

    def leaps(self, atoms: Atoms) -> tuple[Hashes, Places]:
        """The runs of atoms that end where novelty leaps, or near by: of each its hash, and the text that it is in."""
        import numpy as np

        from regrow.evidence import kernels

        places, rises = (np.empty(len(atoms), np.int64) for _ in range(2))
        count = kernels.leaps(self.novel(atoms), atoms.first, atoms.last, self.rule, places, rises)
        ends = _near(places[:count], rises[:count], len(atoms))
        hashes, texts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for length in range(1, kernels.LENGTHS + 1):
            begins = ends[ends >= length - 1] - (length - 1)
            begins = begins[atoms.own[begins]]
            found = atoms.runs(begins, length)
            hashes.append(found[found > 0])
            texts.append(atoms.texts[begins[found > 0]])
        return np.concatenate(hashes), np.concatenate(texts)

    def edges(self, atoms: Atoms, least: int) -> Edges:
        """The passages that begin at edges and may stand in so many documents."""
        import numpy as np

        from regrow.evidence import kernels

        passages, found = atoms.passages(), np.empty((len(atoms), 3), np.int64)
        tables = self.short, self.long, sketch.shift(self.short)
        count, own = kernels.edges(atoms.hashes, atoms.first, passages, *tables, least, WINDOW, found)
        begins, rarest, alone = found[:count][atoms.own[found[:count, 0]]].T.copy()
        return Edges(passages[begins], atoms.runs(rarest, 1), alone, atoms.texts[begins], len(atoms), own)


@dataclass(frozen=True)
class Edges:
    """Passages that begin at edges.

    Attributes:
        passages: the hash of each.
        atoms: that of the rarest of its first three atoms.
        alone: 1 if it stands behind text of its own, else 0.
        texts: the text that it is in.
        places: how many were looked at.
        apart: how many of these stand behind text of its own, whether at edges or not.
    """

    passages: Hashes
    atoms: Hashes
    alone: Places
    texts: Places
    places: int
    apart: int


def _near(places: Places, rises: Places, end: int) -> Places:
    """Places before an end that are near the highest of each group of some that are not far from each other."""
    import numpy as np

    groups = np.cumsum(np.diff(places, prepend=places[:1]) > WINDOW // 2)
    order = np.lexsort((places, -rises, groups))
    tops = places[order[np.flatnonzero(np.diff(groups[order], prepend=-1))]]
    near = np.unique((tops[:, None] + np.arange(-_NEAR, _NEAR + 1)).ravel())
    return near[(near >= 0) & (near < end)]


def surely(some: Counts, of: Counts) -> NDArray[np.float64]:
    """The lowest credible share: Wilson's bound, two standard deviations below what was seen. 25 of 25 make 0.86."""
    import numpy as np

    total = np.maximum(of, 1).astype(np.float64)
    share, square = np.minimum(some, of) / total, float(_SURE * _SURE)
    spread = _SURE * np.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return np.asarray((share + square / (2 * total) - spread) / (1 + square / total), np.float64)
