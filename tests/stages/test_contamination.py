"""Items of benchmarks, planted in every way that is known to hide one, and texts that only look like one."""

from __future__ import annotations

import gzip
import json
import random
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regrow.corpus.documents import EXCLUDED, Document, Documents, DocumentsWriter
from regrow.errors import InputError, RegrowError, StageError
from regrow.evidence.record import EVIDENCE, TAGS, Evidence
from regrow.evidence.tags import Tag
from regrow.formats import parts
from regrow.stages.contamination import ContaminationParameters

from .conftest import Bench

ROOT = Path(__file__).parents[2]
LONG = (
    "A ferry leaves the north bank of a wide river at seven and needs forty minutes to cross it. Another leaves the "
    "south bank ten minutes later and is twice as fast. How far from the north bank do the two of them meet?",
    "Seven friends share a cottage by the lake, and each of them owns a kettle of another colour. If nobody may use "
    "the kettle of a neighbour, in how many orders can they sit down around the breakfast table?",
    "The mayor of Ilmenroda has promised a tree for every child that is born in the town. In the first year she "
    "planted nineteen limes, and each year three fewer. After how many years is there no lime to be planted?",
    "An old clock in the tower strikes the hours but skips every fourth stroke since lightning hit it. How many "
    "strokes does a watchman hear between noon on Tuesday and midnight on Thursday of the same week?",
)
SHORT = ("Who invented the pneumatic hedgehog trap?", "Name Ozimandel's third symphony.", "Which moon orbits Quaoar?")
CHOICE = (
    ("Which vessel did the harbour master of Ostrevik sell before the regatta?",
     ("the cutter", "a barge with two masts", "his sloop", "no vessel at all")),
    ("What do beekeepers on the island of Marra burn to calm a swarm?",
     ("dry puffballs", "heather and peat", "old rope", "lavender")),
)  # fmt: skip
FRAME = (
    "Read the passage below with great care and then decide which of the four statements that follow it agrees best "
    "with what its author meant to say: {} Which statement would the author be most likely to accept?"
)
FRAMED = (
    "Glaciers remember every winter that fell on them.",
    "A map of the moors is a map of old quarrels.",
    "No orchestra ever tuned itself by vote.",
    "The tide tables of Corrow were written by a liar.",
)
TARGETS = ("the quarry", "of the old mill", "his own opinion", "a distant relative")


def items() -> dict[str, dict[str, Any]]:
    """Id -> the row of a benchmark."""
    found: dict[str, dict[str, Any]] = {f"long-{i}": {"question": one} for i, one in enumerate(LONG)}
    found |= {f"short-{i}": {"question": one} for i, one in enumerate(SHORT)}
    found |= {f"choice-{i}": {"question": one, "choices": [*said]} for i, (one, said) in enumerate(CHOICE)}
    found |= {f"framed-{i}": {"question": FRAME.format(one), "choices": TARGETS} for i, one in enumerate(FRAMED)}
    return {name: {"id": name, **row} for name, row in found.items()}


FILLER = re.sub(r"\s+", " ", "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))))


def page(row: Mapping[str, Any], order: Sequence[int] = (0, 1, 2, 3)) -> str:
    said = [row["choices"][i] for i in order] if "choices" in row else []
    return "\n".join([row["question"], *(f"({letter}) {one}" for letter, one in zip("ABCD", said, strict=False))])


def around(text: str, share: float) -> str:
    size = int(len(text) * (1 - share) / share)
    return f"{FILLER[: size // 3]}\n{text}\n{FILLER[size // 3 : size]}"


def unmarked(text: str) -> str:
    chance = random.Random(1)
    text = text.upper().replace("'", "")
    return re.sub(r"[^\w\s]", lambda mark: chance.choice([" ", mark[0] * 2, " / "]), text)


def without_every_15th(text: str) -> str:
    return " ".join(word for number, word in enumerate(text.split(), 1) if number % 15)


WAYS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "verbatim": page,
    "rewrapped": lambda row: "\n".join(f"> {line}" for line in textwrap.wrap(" ".join(page(row).split()), 23)),
    "half": lambda row: around(page(row), 0.5),
    "tenth": lambda row: around(page(row), 0.1),
    "hundredth": lambda row: around(page(row), 0.01),
    "marks": lambda row: unmarked(page(row)),
    "dropped": lambda row: without_every_15th(page(row)),
    "shuffled": lambda row: page(row, (2, 0, 3, 1)),
}


class Corpus:
    """Documents by name, and what is found in them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def benchmark(self, data: str | bytes, name: str = "quiz.jsonl", **parameters: Any) -> Path:
        self.bench.count += 1
        folder = self.bench.root / f"{self.bench.count:02}-benchmark"
        folder.mkdir()
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
        said = {"source": "quiz", "licence": "CC0-1.0", "availability": "open", "role": "evaluation", **parameters}
        return self.bench.run("benchmark", said, files=folder)

    def documents(self, texts: Mapping[str, str], cuts: Sequence[int] = (), **fields: Any) -> Path:
        self.bench.count += 1
        folder = self.bench.root / f"{self.bench.count:02}-documents"
        borders = [0, *cuts, len(texts)]
        named = [
            Document(f"{number:064x}", "s", "CC0-1.0", "open", name, 0, 1, f"{number:064x}", text, **fields)
            for number, (name, text) in enumerate(sorted(texts.items()))
        ]
        for part, (start, end) in enumerate(pairwise(borders)):
            with DocumentsWriter(parts.made(folder, part, len(borders) - 1)) as writer:
                for one in named[start:end]:
                    writer.add(one)
        return folder

    def found(self, documents: Path, *benchmarks: Path, **parameters: Any) -> Path:
        return self.bench.run("contamination", parameters, documents=documents, benchmarks=[*benchmarks])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(Bench(tmp_path_factory.mktemp("contamination")))


def evidence(folder: Path) -> Evidence:
    return Evidence.read((folder / EVIDENCE).read_text("utf-8"))


def verdicts(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["item"]: row for row in pq.read_table(folder / "items.parquet").to_pylist()}


def tags(folder: Path) -> list[Tag]:
    return [Tag(**row) for row in pq.read_table(folder / TAGS).to_pylist()]


def lines(rows: Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in (rows.values() if isinstance(rows, Mapping) else rows))


@pytest.fixture(scope="module")
def quiz(corpus: Corpus) -> Path:
    return corpus.benchmark(lines(items()))


def planted() -> dict[str, str]:
    """All items in all ways, among texts with none."""
    chance = random.Random(3)
    texts = {
        f"{way}/{name}": change(row)
        for way, change in WAYS.items()
        for name, row in items().items()
        if way != "shuffled" or "choices" in row
    }
    texts |= {f"frame/{i}": page({"question": FRAME.format(other)}) for i, other in enumerate(OTHERS)}
    for number in range(60):
        begin = chance.randrange(len(FILLER) - 3000)
        texts[f"filler/{number}"] = FILLER[begin : begin + 3000]
    return texts


OTHERS = (
    "It rains more often on the western slopes than anybody admits.",
    "Bread that is cut warm is gone before it is cold.",
    "What the baker forgot the innkeeper remembered.",
)


@pytest.fixture(scope="module")
def searched(corpus: Corpus, quiz: Path) -> tuple[Path, set[tuple[str, str]]]:
    """The evidence about all that is planted, and which document was found to hold which item."""
    texts = planted()
    folder = corpus.found(corpus.documents(texts), quiz)
    names = sorted(texts)
    return folder, {(names[int(tag.document, 16)], tag.value.removeprefix("quiz/")) for tag in tags(folder)}


@pytest.mark.parametrize("way", WAYS)
def test_an_item_is_found_however_it_is_written(way: str, searched: tuple[Path, set[tuple[str, str]]]) -> None:
    wanted = {(one, one.partition("/")[2]) for one in planted() if one.startswith(f"{way}/")}
    assert wanted
    assert wanted - searched[1] == set()


def test_nothing_else_is_found(searched: tuple[Path, set[tuple[str, str]]]) -> None:
    assert {(place, item) for place, item in searched[1] if place.partition("/")[2] != item} == set()


def test_what_is_found_is_dirty_and_shown(searched: tuple[Path, set[tuple[str, str]]]) -> None:
    folder, _ = searched
    said = verdicts(folder)
    assert {row["verdict"] for row in said.values()} == {"dirty"}
    assert said["short-0"]["text"] == "Who invented the pneumatic hedgehog trap"
    assert said["short-0"]["documents"] == len(WAYS) - 1
    told = evidence(folder)
    assert told.measures["quiz.items"] == told.measures["quiz.dirty"] == len(items())
    assert told.tables[0].rows == (("quiz", "dirty", len(items()), 0, 0, 0, 1, 0),)
    assert told.notices


def test_what_many_items_have_in_common_is_no_item(corpus: Corpus, quiz: Path) -> None:
    texts = {name: page({"question": FRAME.format(other)}) for name, other in zip("abc", OTHERS, strict=True)}
    folder = corpus.found(corpus.documents(texts), quiz)
    assert tags(folder) == []
    assert evidence(folder).notices == ()
    assert evidence(folder).tables[0].rows == (("quiz", "clean", 0, 0, len(items()), 0, 1, 0),)


def test_an_ordinary_phrase_is_no_item(corpus: Corpus) -> None:
    rows = [
        {"id": "phrase", "question": "and what it is"},
        {"id": "own", "question": "Name Ozimandel's third symphony."},
    ]
    texts = {f"{i}": FILLER[3000 * i : 3000 * i + 3000] for i in range(40)}
    texts |= {"x": "It says what it does and what it is, in words.", "y": "name Ozimandels third symphony"}
    said = verdicts(corpus.found(corpus.documents(texts), corpus.benchmark(lines(rows))))
    assert (said["phrase"]["verdict"], said["phrase"]["reason"]) == ("not searched", "an ordinary phrase")
    assert said["own"]["verdict"] == "dirty"


def test_a_part_of_an_item_is_suspicious_and_less_is_nothing(corpus: Corpus, quiz: Path) -> None:
    words = LONG[1].split()
    texts = {"two-thirds": " ".join(words[: len(words) * 2 // 3]), "quarter": " ".join(LONG[0].split()[:10])}
    said = verdicts(corpus.found(corpus.documents(texts), quiz))
    assert said["long-1"]["verdict"] == "suspicious"
    assert said["long-0"]["verdict"] == "clean"
    assert (
        verdicts(corpus.found(corpus.documents(texts), quiz, dirty=0.6, suspicious=0.5))["long-1"]["verdict"] == "dirty"
    )


def test_the_result_does_not_depend_on_parts(corpus: Corpus, quiz: Path) -> None:
    texts = {name: text for name, text in planted().items() if name.startswith(("verbatim", "dropped", "filler"))}
    whole = corpus.found(corpus.documents(texts), quiz)
    parted = corpus.found(corpus.documents(texts, [3, 3, 40]), quiz)
    for name in (EVIDENCE, TAGS, "items.parquet"):
        assert (whole / name).read_bytes() == (parted / name).read_bytes()


def test_a_tag_is_where_the_item_stands(corpus: Corpus, quiz: Path) -> None:
    text = f"Größe zählt, sagte Zoë. {SHORT[0]} Und noch mehr über Bücher."
    (tag,) = tags(corpus.found(corpus.documents({"a": text}), quiz))
    assert text[tag.start : tag.end] == SHORT[0].rstrip("?")
    assert tag.value == "quiz/short-0"


def test_of_a_benchmark_that_is_not_open_no_text_is_told(corpus: Corpus) -> None:
    closed = corpus.benchmark(lines(items()), availability="obtainable")
    folder = corpus.found(corpus.documents({"a": page(items()["long-0"])}), closed)
    told = b"".join(path.read_bytes() for path in folder.iterdir())
    assert verdicts(folder)["long-0"]["verdict"] == "dirty"
    assert verdicts(folder)["long-0"]["sha256"]
    assert b"north bank" not in told
    assert b"NORTH" not in told.upper()


def test_an_answer_that_stands_there_is_told(corpus: Corpus) -> None:
    rows = [{"question": LONG[0], "answer": "at eleven furlongs"}, {"question": LONG[1], "answer": "in nine ways"}]
    quiz = corpus.benchmark(lines(rows))
    text = f"{LONG[0]} Well, at ELEVEN furlongs. {LONG[1]} Nobody knows."
    said = verdicts(corpus.found(corpus.documents({"a": text}), quiz))
    assert [row["answer"] for row in said.values()] == [True, False]
    assert [*said] == ["quiz.jsonl:1", "quiz.jsonl:2"]


def test_in_scripts_without_blanks_characters_are_words(corpus: Corpus) -> None:
    rows = [
        {"question": "下列哪位作家在流亡途中写下了关于雪山与渡船的长诗?"},
        {"question": "湖边的钟楼一共敲了多少下?"},
    ]
    texts = {
        "a": "老师问:「下列哪位作家在流亡途中,写下了关于雪山\n与渡船的长诗?」没有人回答。",
        "b": "他在湖边走了很久。",
    }
    said = verdicts(corpus.found(corpus.documents(texts), corpus.benchmark(lines(rows))))
    assert [row["verdict"] for row in said.values()] == ["dirty", "clean"]


def test_in_a_conversation_what_is_said_is_searched(corpus: Corpus, quiz: Path) -> None:
    first, second = LONG[3][:90], LONG[3][90:]
    talk = json.dumps([{"role": "user", "content": f"{first}\n{second}"}, {"role": "assistant", "content": "Ten."}])
    (tag,) = tags(corpus.found(corpus.documents({"a": talk}, conversation=True), quiz))
    assert (tag.value, tag.start, tag.end) == ("quiz/long-3", 0, 0)


def test_an_item_many_times_in_one_document_is_no_ordinary_phrase(corpus: Corpus, quiz: Path) -> None:
    text = "\n\n".join([*SHORT, *LONG] * 12)
    assert verdicts(corpus.found(corpus.documents({"a": text, "b": FILLER}), quiz))["short-1"]["verdict"] == "dirty"


def test_a_benchmark_larger_than_the_corpus(corpus: Corpus) -> None:
    chance = random.Random(5)
    words = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "per") for b in ("dra", "fos", "gel", "tin", "wick", "zo")]
    rows = [{"question": " ".join(chance.choice(words) for _ in range(12))} for _ in range(3000)]
    said = verdicts(corpus.found(corpus.documents({"a": rows[7]["question"]}), corpus.benchmark(lines(rows))))
    assert [name for name, row in said.items() if row["verdict"] == "dirty"] == ["quiz.jsonl:8"]


def test_what_cannot_be_searched_for_is_told(corpus: Corpus) -> None:
    rows = [{"question": "?!"}, {"question": ""}, {"question": "Spell it."}, {"question": LONG[0]}]
    rows += [
        {"question": "Which word of these is misspelt?", "choices": [f"word{i}", "a", "b", "c"]} for i in range(40)
    ]
    folder = corpus.found(corpus.documents({"a": "Which word of these is misspelt?"}), corpus.benchmark(lines(rows)))
    assert [row["reason"] for row in verdicts(folder).values()][:3] == ["no words", "no words", "too short"]
    assert {row["reason"] for row in [*verdicts(folder).values()][4:]} == {"nothing of its own"}
    assert tags(folder) == []
    assert "43 items could not be searched for" in evidence(folder).answer


def test_a_benchmark_of_which_nothing_can_be_searched_for(corpus: Corpus) -> None:
    folder = corpus.found(corpus.documents({"a": FILLER[:5000]}), corpus.benchmark('{"question": "?"}'))
    assert evidence(folder).tables[0].rows == (("quiz", "not searched", 0, 0, 0, 1, 1, 0),)
    assert tags(folder) == []


def test_an_empty_corpus(corpus: Corpus, quiz: Path) -> None:
    told = evidence(corpus.found(corpus.documents({}), quiz))
    assert told.measures["documents"] == 0
    assert told.tables[0].rows[0][1] == "clean"


def test_items_that_differ_in_signs_only_are_found_together(corpus: Corpus) -> None:
    rows = [{"id": "a", "question": f"{LONG[0]} <<>>"}, {"id": "b", "question": f"{LONG[0]} (())"}]
    folder = corpus.found(corpus.documents({"a": LONG[0]}), corpus.benchmark(lines(rows)))
    assert [tag.value for tag in tags(folder)] == ["quiz/a", "quiz/b"]
    assert {row["verdict"] for row in verdicts(folder).values()} == {"dirty"}


def test_several_benchmarks_are_told_apart(corpus: Corpus, quiz: Path) -> None:
    other = corpus.benchmark(lines([{"question": "Where does the Lethe reach the sea at low water?"}]), source="other")
    told = evidence(corpus.found(corpus.documents({"a": page(items()["long-1"])}), other, quiz))
    assert [row[:2] for row in told.tables[0].rows] == [("other", "clean"), ("quiz", "dirty")]


def test_decontaminating_leaves_them_out_and_says_why(corpus: Corpus, quiz: Path) -> None:
    texts = {name: text for name, text in planted().items() if name.startswith(("marks", "tenth", "filler"))}
    held = sorted(texts)
    for cuts in ((), (10, 50)):
        given = corpus.documents(texts, cuts)
        kept = corpus.bench.run("decontaminate", {}, documents=given, benchmarks=[quiz])
        found = Documents.open(kept)
        assert {one.file for one in found.kept} == {name for name in held if name.startswith("filler")}
        assert {one.reason for one in found.excluded} == {"holds an item of a benchmark"}
        assert len(found.excluded) == len(held) - len(found.kept)
        details = {held[int(one.id, 16)]: one.detail for one in found.excluded}
        assert details["tenth/long-0"] == "long-0 of quiz, coverage 1.00"
        assert len(parts.folders(kept)) == len(cuts) + 1
        assert (parts.folders(kept)[0] / EXCLUDED).is_file()
        assert tags(corpus.found(kept, quiz)) == []


ROW = {"prompt": LONG[0], "canonical_solution": "eleven", "task_id": "Q/1"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", json.dumps(ROW)),
        ("a.jsonl", json.dumps({"task": "quiz", "about": "What a task is."}) + "\r\n\r\n" + json.dumps(ROW)),
        ("a.json", json.dumps([ROW], indent=2)),
        ("a.json", json.dumps(ROW, indent=2)),
        ("a.jsonl.gz", gzip.compress(json.dumps(ROW).encode())),
        ("a.csv", "task_id,prompt,canonical_solution\nQ/1,\"" + LONG[0] + '",eleven\n'),
        ("a.tsv", "task_id\tprompt\tcanonical_solution\nQ/1\t" + LONG[0] + "\televen\n"),
    ],
)  # fmt: skip
def test_the_usual_shapes_are_known(name: str, data: str | bytes, corpus: Corpus) -> None:
    (row,) = map(json.loads, (corpus.benchmark(data, name) / "items.jsonl").read_text("utf-8").splitlines())
    assert row == {"id": "Q/1", "question": LONG[0], "choices": [], "answer": "eleven"}


def test_what_ends_a_line_elsewhere_ends_no_row(corpus: Corpus) -> None:
    row = ROW | {"prompt": "one\u2028two\x85three"}
    text = corpus.benchmark(json.dumps(row, ensure_ascii=False), "a.jsonl") / "items.jsonl"
    assert json.loads(text.read_text("utf-8"))["question"] == row["prompt"]


def test_parquet_with_choices_in_a_struct(corpus: Corpus, tmp_path: Path) -> None:
    rows = [{"question": "What is it?", "choices": {"text": ["a cat", "a dog"], "label": ["A", "B"]}, "answerKey": "B"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    made = corpus.benchmark((tmp_path / "a.parquet").read_bytes(), "a.parquet")
    (row,) = map(json.loads, (made / "items.jsonl").read_text("utf-8").splitlines())
    assert (row["choices"], row["answer"]) == (["a cat", "a dog"], "a dog")


def test_fields_of_one_s_own(corpus: Corpus) -> None:
    data = "ctx,stem,A,B,key\nIt was late.,Who came?,Ada,Bob,1\n"
    made = corpus.benchmark(data, "a.csv", question=["ctx", "stem"], choices=["A", "B"], answer="key")
    (row,) = map(json.loads, (made / "items.jsonl").read_text("utf-8").splitlines())
    assert row["question"] == "It was late.\nWho came?"
    assert (row["choices"], row["answer"]) == (["Ada", "Bob"], "Bob")


@pytest.mark.parametrize(
    ("name", "data", "where", "why"),
    [
        ("a.jsonl", '{"a": 1, "b": "x"}', "a.jsonl, row 1", "known to be the question; it has `a`, `b`"),
        ("a.jsonl", '{"question": "x"}\n{"query": "y"}', "a.jsonl, row 2", "it has no field `question`, but `query`"),
        ("a.jsonl", '{"question": null}', "a.jsonl, row 1", "its field `question` is null, and holds no text"),
        ("a.jsonl", '{"question": "x"}\n{"question": ', "a.jsonl, row 2", "it is not JSON"),
        ("a.jsonl", "[1, 2]", "a.jsonl, row 1", "it is a number, and not an object"),
        ("a.json", '{\n"data": [{"question": "x"}]}', "a.json, row 1", "the rows may be the list `data` in it"),
        ("a.json", "[" * 100_000, "a.json, row 1", "it is not JSON"),
        ("a.csv", "question,answer\nx,y,z\n", "a.csv, row 1", "it has 3 fields, the first row has 2"),
        ("a.csv", "question,answer\nx\n", "a.csv, row 1", "it has 1 fields, the first row has 2"),
        ("a.csv", 'question\n"x\n', "a.csv, row", "it breaks the rules of CSV"),
        ("a.parquet", b"PAR1 nothing", "a.parquet, row 1", "the file is damaged, or no Parquet"),
        ("a.jsonl", b'{"question": "x"}\n{"question": "\xff"}', "a.jsonl, line 2", "it is not in UTF-8"),
        ("a.jsonl", '{"question": "\\ud800"}', "a.jsonl, row 1", "half a character"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_of_another_shape(
    name: str, data: str | bytes, where: str, why: str, corpus: Corpus
) -> None:
    with pytest.raises(StageError) as error:
        corpus.benchmark(data, name)
    assert error.value.where.startswith(where)
    assert why in error.value.why


@pytest.mark.parametrize(("name", "data"), [("a.jsonl", ""), ("a.csv", "question\n"), ("notes.txt", "No rows here.")])
def test_a_benchmark_without_items(name: str, data: str, corpus: Corpus) -> None:
    with pytest.raises(InputError, match="in the files of the benchmark `quiz`") as error:
        corpus.benchmark(data, name)
    assert name in str(error.value)


def test_files_without_questions_are_passed_over_and_counted(corpus: Corpus) -> None:
    folder = corpus.bench.root / "several"
    folder.mkdir()
    (folder / "items.jsonl").write_text('{"question": "x"}\n')
    (folder / "samples.jsonl").write_text('{"task_id": 1, "completion": "y"}\n')
    (folder / "README").write_text("Questions.")
    said = {"source": "quiz", "licence": "CC0-1.0", "availability": "open"}
    facts = json.loads((corpus.bench.run("benchmark", said, files=folder) / "benchmark.json").read_text())
    assert (facts["files"], facts["passed_over"]) == (1, 2)
    with pytest.raises(StageError, match="it has no field `question`, but `task_id`"):
        corpus.bench.run("benchmark", {**said, "question": "question"}, files=folder)


def test_a_field_that_is_not_there(corpus: Corpus) -> None:
    with pytest.raises(StageError, match="it has no field `stem`, but `question`"):
        corpus.benchmark('{"question": "x"}', question="stem")


def test_what_is_suspicious_is_less_than_what_is_dirty() -> None:
    with pytest.raises((RegrowError, ValueError), match="must not be more than `dirty`"):
        ContaminationParameters(dirty=0.6, suspicious=0.7)
