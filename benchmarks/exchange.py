"""The exchange of near-duplicates at the size of a large corpus, simulated: every sender writes for every destination.

    python -m benchmarks.exchange --shards 4096 --documents 200

Each of ``--shards`` senders writes one file with the bands of so many documents, as deduplication does, and
some destinations read their segments from all files. What is printed is what one document, sender and destination cost,
and what this makes of a trillion tokens. Hashes are random; the files are written to a folder that is removed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from regrow.corpus.exchange import Exchange, spread
from regrow.recipe.kind import FilesHere

BANDS = 32
TOKENS = 1e12
TOKENS_OF_A_DOCUMENT = 1000
WIDTH = 2
"""Numbers of a row: that of the band, and the name of the text."""


def main() -> None:
    """Print the costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=4096)
    parser.add_argument("--documents", type=int, default=200, help="of each shard")
    parser.add_argument("--destinations", type=int, default=16, help="that read")
    options = parser.parse_args()
    exchange, random = Exchange("bands", WIDTH), np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        senders = [Path(folder) / f"{number:05}" for number in range(options.shards)]
        begin = time.process_time()
        for sender in senders:
            sender.mkdir()
            rows = random.integers(0, 2**64 - 1, (options.documents * BANDS, WIDTH), np.uint64, endpoint=True)
            with exchange.sender(sender, options.shards) as out:
                out.put(spread(rows[:, 0], options.shards), rows)
        sent, size = time.process_time() - begin, sum((one / "bands").stat().st_size for one in senders)
        begin, got = time.process_time(), 0
        for destination in np.linspace(0, options.shards - 1, options.destinations).astype(int).tolist():
            got += sum(len(block) for block in exchange.received(FilesHere(), senders, destination))
        read = (time.process_time() - begin) / options.destinations
    documents = options.shards * options.documents
    offsets = 8 * options.shards * (2 * options.shards + 1)
    print(f"{options.shards} senders, {documents:,} documents: {size / documents:,.0f} bytes sent for each")
    print(
        f"of which {offsets / size:.1%} say where segments begin ({offsets / 1e6:,.0f} MB for any number of documents)"
    )
    print(f"sending: {sent / documents * 1e6:,.1f} us of a processor for a document")
    print(
        f"a destination: {options.shards} files, {read:.2f} s, {read / (got / options.destinations) * 1e6:.1f} us a row"
    )
    whole = TOKENS / TOKENS_OF_A_DOCUMENT
    moved = whole * BANDS * WIDTH * 8 + offsets
    print(f"a trillion tokens, {whole:,.0f} documents: {moved / 1e12:.2f} TB are sent and read once")


if __name__ == "__main__":
    main()
