"""How fast texts are tagged, and how much of what is planted in them is found.

    python -m benchmarks.tags TEXTS --peer PYTHON

TEXTS is a folder with documents of a store (``documents.parquet``) or with files of text; PYTHON is that of an
environment with datatrove and spaCy, whose filters are then timed on the same texts, and their verdicts compared with
ours, in two groups of rules. Processor time of one thread; kernels are compiled before.
"""

from __future__ import annotations

import argparse
import ipaddress
import pickle
import random
import string
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from regrow.evidence import keys, personal, quality
from regrow.evidence.block import Block, sliced
from regrow.evidence.places import places

COMPARED = 1000
PLANTED = 2000
_DIGITS, _MIXED = string.digits, string.ascii_letters + string.digits
_PEER = """
import pickle, sys, time
from datatrove.data import Document
from datatrove.pipeline import filters
from datatrove.pipeline.formatters.pii import PIIFormatter
texts, size = pickle.load(open(sys.argv[1], "rb"))
begun = time.process_time()
for text in texts:
    PIIFormatter().format(text)
print(f"datatrove's e-mail and IP addresses: {size / (time.process_time() - begun):.2f} MB/s", flush=True)
found = {}
repetition, fineweb = filters.GopherRepetitionFilter(), filters.FineWebQualityFilter(char_duplicates_ratio=0.1)
peers = {"gopher": filters.GopherQualityFilter(), "repetition": repetition, "c4": filters.C4QualityFilter()}
for name, one in {**peers, "fineweb": fineweb}.items():
    begun = time.process_time()
    said = [one.filter(Document(text=text, id="")) for text in texts]
    print(f"datatrove's {name}: {size / (time.process_time() - begun):.2f} MB/s", flush=True)
    found[name] = [None if verdict is True else verdict[1] for verdict in said]
pickle.dump(found, open(sys.argv[2], "wb"))
"""


def read(folder: Path) -> list[str]:
    """The texts of a folder."""
    if tables := sorted(folder.rglob("documents.parquet")):
        return [text for table in tables for text in pq.read_table(table, columns=["text"])["text"].to_pylist()]
    files = (path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    return [data.decode("utf-8", "ignore") for data in files]


def timed(what: str, size: float, work: Callable[[], object]) -> None:
    """Print how fast it is done, the best of two."""
    took = []
    for _ in range(2):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    print(f"{what}: {size / min(took):.1f} MB/s")


def forms(chance: random.Random) -> Iterator[tuple[str, str, Callable[[], str]]]:
    """What is planted: its name, its sort, and what makes one."""

    def some(letters: str, count: int) -> str:
        return "".join(chance.choices(letters, k=count))

    def number(count: int) -> str:
        return chance.choice("2346789") + some(_DIGITS, count - 1)

    def address(domains: str) -> str:
        name = some(string.ascii_lowercase, 5) + chance.choice("._-+") + some(string.ascii_lowercase, 4)
        return f"{name}@{some(string.ascii_lowercase, 7)}.{chance.choice(domains.split())}"

    def network() -> str:
        while not (found := ipaddress.IPv4Address(chance.getrandbits(32))).is_global or found.is_multicast:
            pass
        return str(found)

    def styled(*styles: str) -> str:
        return "".join(
            number(1) if one == "N" else some(_DIGITS, 1) if one == "d" else one for one in chance.choice(styles)
        )

    yield "e-mail address", "email", lambda: address("com com org net de co.uk fr io edu")
    yield "e-mail address, rare domain", "email", lambda: address("photography guru club ninja wiki gmbh")
    yield "e-mail address, spelled out", "email", lambda: address("com org").replace("@", " at ").replace(".", " dot ")
    yield "IPv4", "ip", network
    yield (
        "IPv6",
        "ip",
        lambda: str(ipaddress.IPv6Address(0x2A00 + chance.randrange(768) << 112 | chance.getrandbits(64))),
    )
    yield (
        "number, international",
        "phone",
        lambda: styled("+49 30 Nddddddd", "+33 1 dd dd dd dd", "+44 20 7ddd dddd", "+81-3-dddd-dddd"),
    )
    yield (
        "number, (ddd) ddd-dddd",
        "phone",
        lambda: styled("(Ndd) Ndd-dddd", "Ndd-Ndd-dddd", "Ndd.Ndd.dddd", "1-Ndd-Ndd-dddd"),
    )
    yield "number, ddd ddd dddd", "phone", lambda: styled("Ndd Ndd dddd")
    yield (
        "number, national, called",
        "phone",
        lambda: styled("Tel. 0Nd ddddddd", "Phone: 0Ndd/dddddd", "Fax 0N dd dd dd dd"),
    )
    yield "number, national", "phone", lambda: styled("0Nd ddddddd", "0Ndd/dddddd", "0N dd dd dd dd")
    for name, made in (
        ("aws", lambda: "AKIA" + some(string.ascii_uppercase, 16)),
        ("github", lambda: f"gh{'p'}_{some(_MIXED, 36)}"),
        ("gitlab", lambda: f"gl{'pat'}-{some(_MIXED, 20)}"),
        ("google", lambda: f"AI{'za'}{some(_MIXED, 35)}"),
        ("slack", lambda: f"xo{'xb'}-{some(_DIGITS, 12)}-{some(_DIGITS, 12)}-{some(_MIXED, 24)}"),
        ("stripe", lambda: f"sk_{'live'}_{some(_MIXED, 24)}"),
    ):
        yield f"key, {name}", "key", made


def planted(texts: list[str]) -> None:
    """Print how much is found of what is planted between words of the texts."""
    chance = random.Random(7)
    for name, sort, made in forms(chance):
        rows, wanted = [], []
        for _ in range(PLANTED):
            words, one = chance.choice(texts)[:4000].split(" "), made()
            place = chance.randrange(len(words))
            before = " ".join([*words[max(0, place - 20) : place], ""])
            rows.append(f"{before}{one} {' '.join(words[place : place + 20])}")
            wanted.append((len(before) + len(one) - 1, one))
        block = Block.of(pa.array(rows))
        found = places(block)
        hits = {
            row
            for one, (row, start, end) in zip(found, block.characters(found), strict=True)
            if one.sort == sort and start <= wanted[row][0] < end
        }
        print(f"{name}: {len(hits) / PLANTED:.3f} found")


def compare(texts: list[str], peer: str) -> None:
    """Time datatrove, and print how often it leaves out what breaks a rule of ours."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "given", Path(folder) / "taken"
        given.write_bytes(pickle.dumps((texts, size)))
        subprocess.run([peer, "-c", _PEER, str(given), str(taken)], check=True)
        theirs = pickle.loads(taken.read_bytes())
    ours = {rule.name: row for rule, row in zip(quality.RULES, quality.broken(pa.array(texts)), strict=True)}
    repeats = {name for name in ours if name.startswith("gopher") and name.endswith(("again", "n-gram"))}
    for name, said in theirs.items():
        rules = repeats if name == "repetition" else {one for one in ours if one.startswith(name)} - repeats
        mine = [any(ours[one][row] for one in rules) for row in range(len(texts))]
        same = sum((verdict is not None) == it for verdict, it in zip(said, mine, strict=True))
        print(f"{name}: {same / len(texts):.3f} of the verdicts are the same")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--peer", default="")
    options = parser.parse_args()
    pa.set_cpu_count(1)
    texts = read(options.texts)
    rows = [one.column("text") for one in sliced(pa.RecordBatch.from_pydict({"text": texts}))]
    size = sum(len(text.encode()) for text in texts) / 1e6
    quality.broken(rows[0])
    keys.detectors()
    print(f"{len(texts):,} texts, {size:.1f} MB")
    timed("personal data", size, lambda: [[*personal.personal(Block.of(one))] for one in rows])
    timed("keys", size, lambda: [[*keys.keys(Block.of(one))] for one in rows])
    timed("rules for prose", size, lambda: [quality.broken(one) for one in rows])
    planted(texts)
    if options.peer:
        compare(random.Random(1).sample(texts, min(COMPARED, len(texts))), options.peer)


if __name__ == "__main__":
    main()
