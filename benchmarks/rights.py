"""How fast texts are searched for their rights and for reference works, and how often licences are read right.

    python -m benchmarks.rights FOLDER              # a table
    python -m benchmarks.rights FOLDER --json       # one object per row

FOLDER has texts, e.g. the documentation of a system. A row gives the megabytes of text in a second of CPU time, as the
median of three passes: of the search for rights, of a plain regular expression for the same words (which only says
where they are), and of the lookup in a list of 10 million fingerprints, with the memory that the list takes. The last
rows are the packages of this Python: what their metadata declares, as an SPDX expression, beside what is read in the
licence files that they ship.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pyarrow as pa

from regrow.evidence.fingerprints import Fingerprints, Work
from regrow.evidence.fingerprints.matching import Matcher
from regrow.evidence.rights.places import cues, places
from regrow.evidence.rights.statements import statements
from regrow.evidence.rights.verdict import State, judge

LARGEST = 3_000_000  # bytes of a file
WHOLE = 60_000_000  # bytes of all
TOGETHER = 500  # texts
ROWS = 10_000_000
TIMES = 3

Row = dict[str, str | int | float]


def read(folder: Path) -> list[str]:
    """The texts of a folder."""
    found, size = list[str](), 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        data = path.read_bytes() if path.stat().st_size <= LARGEST else b""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            found.append(text)
            size += len(data)
        if size > WHOLE:
            break
    return found


def rights(texts: Sequence[str]) -> int:
    """Search for statements."""
    arrays = (pa.array(texts[first : first + TOGETHER]) for first in range(0, len(texts), TOGETHER))
    return sum(len(statements(data, found)) for array in arrays for _, data, found in places(array))


def plain(texts: Sequence[str]) -> int:
    """What a regular expression of Python takes for the places alone."""
    words = re.compile("|".join(map(re.escape, cues())), re.IGNORECASE)
    return sum(1 for text in texts for _ in words.finditer(text))


def fingerprints(folder: Path) -> Path:
    """A list of random windows."""
    chance = np.random.default_rng(1)
    hashes = np.sort(chance.integers(0, 1 << 64, ROWS, np.uint64, endpoint=False))
    path = folder / "random.fingerprints"
    Fingerprints((Work("random", ROWS, ROWS),), hashes, np.zeros(ROWS, np.uint32)).write(path)
    return path


def speed(name: str, texts: Sequence[str], run: Callable[[Sequence[str]], int]) -> Row:
    """How fast a search is."""
    size = sum(len(text.encode()) for text in texts)
    run(texts[:20])
    taken = []
    for _ in range(TIMES):
        begin = time.process_time()
        found = run(texts)
        taken.append(time.process_time() - begin)
    return {
        "what": name,
        "MB": round(size / 1e6, 1),
        "MB/s": round(size / 1e6 / statistics.median(taken), 1),
        "found": found,
    }


def lookup(texts: Sequence[str]) -> Iterator[Row]:
    """How fast windows are looked up in a long list, and in how much memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = fingerprints(Path(folder))
        begin, before = time.process_time(), _resident()
        prints = Fingerprints.open(path)
        matcher = Matcher(prints)
        opened = time.process_time() - begin
        seen = np.zeros(ROWS, np.bool_)

        def run(some: Sequence[str]) -> int:
            starts = range(0, len(some), TOGETHER)
            return sum(1 for first in starts for _ in matcher.runs(some[first : first + TOGETHER], seen))

        row = speed(f"lookup in {ROWS:,} fingerprints", texts, run)
        yield row | {"opened in s": round(opened, 2), "MiB more": round((_resident() - before) / 2**20)}


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def packages() -> Row:
    """What installed packages declare, beside what is read in their licence files."""
    counts = dict.fromkeys((*State, "declare no expression"), 0)
    for one in distributions():
        declared = next(iter(one.metadata.get_all("License-Expression") or ()), "")
        texts = [
            path.read_text("utf-8", "replace")
            for file in one.files or ()
            if re.search(r"licen[cs]e|copying", Path(file).name, re.IGNORECASE)
            and not file.name.endswith(".py")
            and (path := Path(str(one.locate_file(file)))).is_file()
        ]
        if not declared or not texts:
            counts["declare no expression"] += 1
            continue
        found = [item for _, data, cued in places(pa.array(texts)) for item in statements(data, cued)]
        counts[judge(declared, found).state] += 1
    return {"what": "packages", **{str(name): count for name, count in counts.items()}}


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    texts = read(asked.folder)
    rows = [speed("rights", texts, rights), speed("a regular expression", texts, plain), *lookup(texts), packages()]
    for row in rows:
        print(json.dumps(row) if asked.json else "  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
