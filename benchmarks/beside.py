"""Models side by side on texts that none of them saw: bits per byte, by source.

    python -m benchmarks.beside build/commons build/bard --texts STORE/artifacts/31/31a9.../validation.parquet

The texts are documents that the recipe of the first release held out; `regrow store list` has the artifact of its
`split`. A document belongs here only if no other model has learnt from it: recipes that name a source alike, and hold
out the same share, hold out the same documents of it. Each model reads the documents of a source one after another in
windows of its own context, as `evaluate` does, and all bytes count.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from regrow.corpus.documents import read_documents
from regrow.model.decoder import Decoder
from regrow.model.weights import load
from regrow.release.release import Release
from regrow.stages.evaluate import LN2

BATCH = 16


def main() -> None:
    """A row for each source, a column for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("releases", nargs="+", type=Path)
    parser.add_argument("--texts", type=Path, required=True, help="a table of documents, such as validation.parquet")
    chosen = parser.parse_args()
    texts = defaultdict[str, list[str]](list)
    for document in read_documents(chosen.texts):
        texts[document.source].append(document.text)
    models = [Model(folder) for folder in chosen.releases]
    print(f"{'source':20} {'bytes':>10}  " + "  ".join(f"{model.name:>12}" for model in models))
    total, sums = 0, [0.0] * len(models)
    for source, found in texts.items():
        size = sum(len(text.encode()) for text in found)
        bits = [model.bits(found) for model in models]
        print(_row(source, size, bits))
        total, sums = total + size, [one + more for one, more in zip(sums, bits, strict=True)]
    print(_row("all", total, sums))


def _row(source: str, size: int, bits: Sequence[float]) -> str:
    return f"{source:20} {size:10,}  " + "  ".join(f"{one / size:12.3f}" for one in bits)


class Model:
    """A release that reads texts."""

    def __init__(self, folder: Path) -> None:
        self.name = Release.open(folder).name or folder.name
        self._config, self._parameters = load(folder)
        self._decoder = Decoder(self._config)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._end = self._tokenizer.token_to_id("<|endoftext|>")

    def bits(self, texts: Sequence[str]) -> float:
        """What it takes to say the texts, one after another, each with a mark at its end."""
        tokens = [self._end]
        for text in texts:
            tokens += [*self._tokenizer.encode(text, add_special_tokens=False).ids, self._end]
        nats = 0.0
        with torch.no_grad():
            for rows, mask in self._batches(np.array(tokens, np.int64)):
                nats += float(self._decoder(self._parameters, rows, mask)) * int(mask.sum())
        return nats / LN2

    def _batches(self, tokens: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        """Windows of the context, the last one filled up with what does not count."""
        context, count = self._config.context, len(tokens) - 1
        windows = -(-count // context)
        padded = np.zeros(windows * context + 1, np.int64)
        padded[: len(tokens)] = tokens
        rows = np.stack([padded[i * context : (i + 1) * context + 1] for i in range(windows)])
        mask = (np.arange(windows * context) < count).reshape(windows, context)
        for start in range(0, windows, BATCH):
            yield torch.from_numpy(rows[start : start + BATCH]), torch.from_numpy(mask[start : start + BATCH])


if __name__ == "__main__":
    main()
