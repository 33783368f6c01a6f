"""From texts to their fingerprints."""

from __future__ import annotations

from collections.abc import Iterable

from regrow.evidence.fingerprints.lists import Fingerprints
from regrow.evidence.fingerprints.windows import count, windows


def fingerprint(texts: Iterable[tuple[str, str]]) -> Fingerprints:
    """The fingerprints of works.

    Args:
        texts: the name and the text of each.
    """
    import numpy as np

    names, lengths = list[str](), list[int]()
    hashes, work = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)]
    for number, (name, text) in enumerate(texts):
        names.append(name)
        lengths.append(count(text))
        for found in windows([text]):
            distinct = np.unique(found.hashes)
            hashes.append(distinct)
            work.append(np.full(len(distinct), number, np.uint32))
    return Fingerprints.of(names, lengths, np.concatenate(hashes), np.concatenate(work))
