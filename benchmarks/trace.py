"""How long it takes to index a training text and to trace an answer of a kilobyte in it.

    python -m benchmarks.trace build/bard --store ~/.cache/regrow

The answers are stretches of the training text with every tenth word replaced, so there is much to find. Processor time
of this process; the corpus is opened once, as a server does.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regrow.corpus import suffixes
from regrow.release import Release
from regrow.tracing.corpus import Corpus, corpus
from regrow.tracing.spans import Wanted, find, trace

SIZE = 1000


def answers(there: Corpus, count: int) -> list[str]:
    """Texts of about a kilobyte."""
    chance = random.Random(1)
    found = []
    for _ in range(count):
        place = chance.randrange(there.index.tokens)
        first, last = there.bounds(there.document(place))
        begin = max(first, min(place, last - SIZE))
        words = there.text(begin, min(last, begin + SIZE))[:SIZE].split(" ")
        found.append(" ".join("another" if number % 10 == 9 else word for number, word in enumerate(words)))
    return found


def peer(row: NDArray[np.unsignedinteger], text: int) -> None:
    """The same by libdivsufsort, if it is there: as bytes, of which every second place is one of a token."""
    try:
        from pydivsufsort import divsufsort
    except ImportError:
        return
    begin = time.process_time()
    places = divsufsort(row.astype(row.dtype.newbyteorder(">")).view(np.uint8))
    _ = (places[places % row.itemsize == 0] // row.itemsize).astype("<u4")
    print(f"by pydivsufsort: {text / (time.process_time() - begin) / 1e6:.1f} MB/s")


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--answers", type=int, default=20)
    options = parser.parse_args()
    begin = time.process_time()
    there = corpus(Release.open(options.release), options.store, lambda event: None)
    print(f"opened: {time.process_time() - begin:.2f} s")
    row = np.array(there.index.shards[0].row)
    text = sum(len(there.tokenizer.decode(row[at : at + 4096].tolist()).encode()) for at in range(0, len(row), 4096))
    with tempfile.TemporaryDirectory() as folder:
        suffixes.build(Path(folder), row[:1000], 0, 1, there.index.vocabulary)  # the loops are compiled
        begin = time.process_time()
        suffixes.build(Path(folder), row, 0, 0, there.index.vocabulary)
        taken = time.process_time() - begin
        size = sum(one.stat().st_size for one in Path(folder).glob("*-00000.bin"))
    print(
        f"indexed: {text / 1e6:.1f} MB of text, {text / taken / 1e6:.1f} MB/s, {size / text:.2f} bytes for each of text"
    )
    peer(row, text)
    trace("warm", there)
    took, spans = [], []
    for answer in answers(there, options.answers):
        begin = time.process_time()
        spans.append(len(trace(answer, there, Wanted()).spans))
        took.append((time.process_time() - begin) * 1000)
    middle, mean = statistics.median(took), statistics.mean(spans)
    print(f"traced: median {middle:.0f} ms, at most {max(took):.0f} ms, {mean:.0f} spans")
    for fold in (False, True):
        find("x", there, fold=fold)
        begin = time.process_time()
        found = find("the king of", there, fold=fold)
        print(f"found{' in any case' if fold else ''}: {found.count}, {(time.process_time() - begin) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
