"""What each stage of a corpus takes, and what datatrove takes for the same steps: processor time, clock, peak memory.

    python -m benchmarks.corpus FOLDER --size 100e6 --shards 4 --jobs 1 --peer ~/datatrove/bin/python

Texts are made up, with the spread of words and the share of copies of a crawl of the web, so anybody gets the same
ones. Every step of datatrove runs in a process of its own that has its inputs on the disk, and so do the stages that do
the same; modules are compiled before. Memory is the highest that the process, or one that it started, has held.
datatrove (0.10.1 was used) has an environment of its own, whose Python is named; it reads, filters by length, finds
near-duplicates by MinHash with the same bands, and encodes with the tokenizer that was just trained. Rounds alternate;
the ratio of each is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

STAGES = ("documents-web+clean", "deduplicate", "split", "tokenizer", "tokenize")
STEPS = ("clean", "signature", "buckets", "cluster", "filter", "tokenize")
SAME = {"read and clean": (("documents-web+clean",), ("clean",)),
        "deduplicate": (("deduplicate",), ("signature", "buckets", "cluster", "filter")),
        "tokenize": (("tokenize",), ("tokenize",))}  # fmt: skip
RECIPE = """recipe = 1
[model]
name = "corpus"
licence = "Apache-2.0"
[[source]]
name = "web"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"
[corpus]
min_characters = 20
{shards}[tokenizer]
vocabulary = 8192
[architecture]
layers = 1
width = 64
heads = 1
kv_heads = 1
context = 64
[train]
tokens = 4096
"""


@dataclass(frozen=True)
class Used:
    """What a step took."""

    step: str
    cpu: float
    clock: float
    peak_mb: float


def texts(size: float, seed: int) -> Iterator[str]:
    """Texts of so many bytes together; one in 25 is a copy of an earlier one, and one in 25 nearly so."""
    chance = random.Random(seed)
    words = ["".join(chance.choice("bcdfghklmnprstvz") + chance.choice("aeiou") for _ in range(chance.randint(1, 5)))
             for _ in range(60_000)]  # fmt: skip
    pool = chance.choices(words, cum_weights=_zipf(len(words)), k=2_000_000)
    recent: list[list[str]] = []
    done = 0
    while done < size:
        what = chance.random()
        if recent and what < 0.08:
            parts = list(chance.choice(recent))
            if what < 0.04 and len(parts) > 12:
                parts[chance.randrange(len(parts))] = "something else"
        else:
            parts = _body(chance, pool, min(60_000, max(150, chance.lognormvariate(7.5, 0.9))))
            recent = [*recent, parts][-200:] if chance.random() < 0.02 else recent
        text = " ".join(parts) + ("\u2026" if chance.random() < 0.3 else ".")
        done += len(text.encode())
        yield text


def _zipf(count: int) -> list[float]:
    total, sums = 0.0, []
    for rank in range(1, count + 1):
        total += 1 / (rank + 2.7)
        sums.append(total)
    return sums


def _body(chance: random.Random, pool: list[str], characters: float) -> list[str]:
    parts, size = [], 0
    while size < characters:
        begin, length = chance.randrange(len(pool) - 60), chance.randint(12, 60)
        said = " ".join(pool[begin : begin + length])
        parts.append(said.capitalize() + (".\n\n" if chance.random() < 0.25 else "."))
        size += len(said)
    return parts


def make(folder: Path, size: float, files: int, parquet: bool) -> None:
    """Write the texts as JSONL or Parquet, unless they are there."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    for number in range(files):
        rows = ({"id": f"{number}-{row}", "text": text} for row, text in enumerate(texts(size / files, number)))
        if parquet:
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist([*rows]), folder / f"{number:03}.parquet")
        else:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / f"{number:03}.jsonl").write_text("".join(lines), "utf-8")


def stage(folder: Path, names: str, jobs: int) -> None:
    """Run a stage, or several that are joined by ``+``; those before them are there."""
    from threading import Event

    from regrow.building.locking import Mode, locked_recipe
    from regrow.engine import Choice, evaluate
    from regrow.store import opened

    locked = locked_recipe(folder, Mode.RENEW, listener=lambda event: None, stop=Event(), offline=True)
    with opened(folder / "store") as store:
        evaluate(locked.graph, store, scope="benchmark", listener=lambda event: None, stop=Event(),
                 only=names.split("+"), who=Choice(jobs=jobs), surroundings=locked.surroundings)  # fmt: skip


def step(folder: Path, name: str, jobs: int) -> None:
    """Run one step of datatrove; those before it are there."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.filters import LambdaFilter
    from datatrove.pipeline.readers import JsonlReader, ParquetReader
    from datatrove.pipeline.tokens import DocumentTokenizer
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Blanks(WordTokenizer):  # type: ignore[misc]  # its types are not there
        """Words between blanks: the quickest there is."""

        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    out = str(folder / "datatrove")
    config = MinhashConfig(n_grams=5, num_buckets=32, hashes_per_bucket=4, hash_config=HashConfig(precision=64))
    source = folder / "texts"
    reader = ParquetReader if any(source.glob("*.parquet")) else JsonlReader
    lines = JsonlReader(f"{out}/clean")
    pipeline = {
        "clean": [reader(str(source)), LambdaFilter(lambda one: len(one.text) >= 20),
                  JsonlWriter(f"{out}/clean", compression=None)],
        "signature": [lines, MinhashDedupSignature(f"{out}/signatures", config=config, language=Blanks())],
        "buckets": [MinhashDedupBuckets(f"{out}/signatures", f"{out}/buckets", config=config)],
        "cluster": [MinhashDedupCluster(f"{out}/buckets", f"{out}/remove", config=config)],
        "filter": [lines, MinhashDedupFilter(f"{out}/remove"), JsonlWriter(f"{out}/kept", compression=None)],
        "tokenize": [JsonlReader(f"{out}/kept"), DocumentTokenizer(f"{out}/tokens", tokenizer_name_or_path=str(
            folder / "tokenizer.json"), eos_token="<|endoftext|>", shuffle_documents=False)],
    }[name]  # fmt: skip
    tasks = {"buckets": 32, "cluster": 1}.get(name, len([*source.iterdir()]))
    LocalPipelineExecutor(pipeline, tasks=tasks, workers=min(jobs, tasks), logging_dir=f"{out}/logs/{name}").run()


def measured(python: str, options: argparse.Namespace, kind: str, name: str) -> Used:
    """What a stage or a step takes, in a process of its own."""
    command = [python, __file__, str(options.folder), "--only", f"{kind}:{name}", "--jobs", str(options.jobs)]
    command += ["--shards", str(options.shards)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stdout[-800:]}\n{done.stderr[-2000:]}")
    return Used(**json.loads(done.stdout.splitlines()[-1]))


def once(options: argparse.Namespace, kind: str, name: str) -> None:
    """Run one, and print what it took; or make the texts."""
    if kind == "texts":
        make(options.folder / "texts", options.size, options.files, options.parquet)
        return
    began = time.monotonic()
    (stage if kind == "stage" else step)(options.folder, name, options.jobs)
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    peak = max(own.ru_maxrss, others.ru_maxrss) / 1000
    print(json.dumps(asdict(Used(name, round(cpu, 2), round(time.monotonic() - began, 2), round(peak)))))


def tokenizer(folder: Path) -> None:
    """Lay the tokenizer where datatrove finds it."""
    (found,) = [*(folder / "store" / "artifacts").glob("*/*/tokenizer.json")]
    shutil.copyfile(found, folder / "tokenizer.json")


def main() -> None:
    """Print a line for every stage and step, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=float, default=100e6)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--parquet", action="store_true")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peer", help="a Python that has datatrove")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        once(options, *options.only.split(":"))
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Run all of them in turn."""
    # What this process holds would count as memory of those that it starts, so another one makes the texts.
    made = [sys.executable, __file__, str(options.folder), "--only", "texts:", "--size", str(options.size)]
    made += ["--files", str(options.files), *(["--parquet"] if options.parquet else [])]
    subprocess.run(made, check=True)
    shards = f"shards = {options.shards}\n" if options.shards > 1 else ""
    (options.folder / "regrow.toml").write_text(RECIPE.format(shards=shards))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("RAYON_NUM_THREADS", str(options.jobs))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process of ours compiles what pip compiled of theirs
    ratios: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for old in ("store", "datatrove"):
            subprocess.run(["chmod", "-R", "u+w", options.folder / old], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(options.folder / old, ignore_errors=True)
        took = {name: measured(sys.executable, options, "stage", name) for name in STAGES}
        tokenizer(options.folder)
        theirs = {name: measured(options.peer, options, "step", name) for name in STEPS} if options.peer else {}
        for who, found in (("regrow", took), ("datatrove", theirs)):
            for used in found.values():
                print(f"{who:10} {used.step:20} {used.cpu:8.1f} s CPU {used.clock:8.1f} s {used.peak_mb:7,.0f} MB")
        for what, (ours, peers) in SAME.items() if theirs else ():
            both = sum(took[name].cpu for name in ours), sum(theirs[name].cpu for name in peers)
            ratios.setdefault(what, []).append(both[0] / both[1])
        if theirs:
            whole = sum(one.cpu for name, one in took.items() if name != "tokenizer")
            ratios.setdefault("all of it", []).append(whole / sum(one.cpu for one in theirs.values()))
    for what, each in ratios.items():
        print(f"{what}: {statistics.median(each):.2f} of datatrove's processor time")


if __name__ == "__main__":
    main()
