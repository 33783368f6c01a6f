"""``deduplicate`` over parts, against a plain definition of what it does."""

from __future__ import annotations

import pickle
import random
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.corpus import exchange
from regrow.corpus.documents import Document, Documents, Exclusion, identify
from regrow.corpus.near_duplicates import numbers, runs, similarity
from regrow.engine import phases
from regrow.errors import Interrupted, StageError
from regrow.formats import parts
from regrow.recipe.kind import Call
from regrow.stages.deduplicate import KIND
from regrow.store.digest import sha256_bytes

from .conftest import Quiet

WORDS = [f"w{n}" for n in range(400)]


def document(text: str, place: int, source: str = "s") -> Document:
    identity = identify(source, f"a.txt:{place}", text)
    sha256 = sha256_bytes(text.encode())
    return Document(identity, source, "CC0-1.0", "open", "a.txt", place, place + 1, sha256, text)


def written(folder: Path, documents: list[Document], borders: list[int]) -> Path:
    """Documents in parts that end at some of them."""
    rows = sorted(documents, key=lambda one: one.position)
    ends = [0, *sorted(border % (len(rows) + 1) for border in borders), len(rows)]
    for number, (begin, end) in enumerate(pairwise(ends)):
        excluded = [] if number else [Exclusion("0" * 64, "s", "a.txt:0-1", "clean", "empty", "", 0)]
        Documents(rows[begin:end], excluded).write(parts.made(folder, number, len(ends) - 1))
    return folder


def deduplicated(root: Path, given: Path, *, stopped: bool = False) -> Path:
    wanted = KIND.parameters(near_duplicates=0.6)
    call: Call[Any] = Call("d", wanted, {"documents": (given,)}, root / "out", root / "scratch", Quiet(stopped))
    call.output.mkdir()
    phases.run(KIND, call)
    return call.output


def plainly(documents: list[Document], threshold: float) -> tuple[set[str], set[tuple[str, str, str]]]:
    """The ids that are kept; and id, reason and detail of the others."""
    first: dict[str, Document] = {}
    excluded = set()
    for one in sorted(documents, key=lambda one: one.rank):
        if first.setdefault(one.sha256, one) is not one:
            excluded.add((one.id, "exact duplicate", f"of {first[one.sha256].id}"))
    kept = list(first.values())
    group = list(range(len(kept)))
    buckets = defaultdict(list)
    for names, found in numbers((place, one.text) for place, one in enumerate(kept)):
        for name, row in zip(names.tolist(), found.tolist(), strict=True):
            for number in row:
                buckets[number].append(name)
    for bucket in buckets.values():
        for one in bucket:
            for other in bucket[:8]:
                if other < one and similarity(runs(kept[one].text), runs(kept[other].text)) >= threshold:
                    group = [min(group[one], group[other]) if of in (group[one], group[other]) else of for of in group]
    for one, of in zip(kept, group, strict=True):
        if one is not kept[of]:
            alike = similarity(runs(kept[of].text), runs(one.text))
            excluded.add((one.id, "near-duplicate", f"of {kept[of].id}, Jaccard {alike:.4f}"))
    return {one.id for one in documents} - {identity for identity, _, _ in excluded}, excluded


@st.composite
def corpora(draw: st.DrawFn) -> list[Document]:
    """Texts of which many are copies of others, or nearly."""
    chance = random.Random(draw(st.integers(0, 10**6)))
    bases = [chance.choices(WORDS, k=chance.choice([3, 30, 60])) for _ in range(4)]
    found = ["", "..."]
    for _ in range(draw(st.integers(1, 40))):
        text = list(chance.choice(bases))
        for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
            text[chance.randrange(len(text))] = chance.choice(WORDS)
        found.append(" ".join(text))
    return [document(text, place, chance.choice("st")) for place, text in enumerate(found)]


@given(corpora(), st.lists(st.integers(0, 50), max_size=4), st.booleans())
@settings(max_examples=12, deadline=None)
def test_any_number_of_parts_gives_what_is_defined(
    tmp_path_factory: pytest.TempPathFactory, documents: list[Document], borders: list[int], little: bool
) -> None:
    root = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        if little:
            patch.setattr(exchange, "HELD", 256)
            patch.setattr(exchange, "_LEAST", 64)
        out = deduplicated(root, written(root / "given", documents, borders))
    kept, excluded = plainly(documents, 0.6)
    assert len(parts.folders(out)) == len(borders) + 1
    found = Documents.open(out)
    assert [one.id for one in found.kept] == [
        one.id for one in sorted(documents, key=lambda one: one.position) if one.id in kept
    ]
    own = {(one.id, one.reason, one.detail) for one in found.excluded if one.stage == "deduplicate"}
    assert own == excluded
    assert len(found.excluded) == len(excluded) + 1


def test_parts_keep_their_documents(tmp_path: Path) -> None:
    """A part loses what others stand for, wherever they are, and nothing moves."""
    texts = [" ".join(WORDS[n : n + 50]) for n in (0, 100, 200)]
    documents = [document(text, place) for place, text in enumerate([texts[0], texts[1], texts[0], texts[2]])]
    out = deduplicated(tmp_path, written(tmp_path / "given", documents, [2, 2]))
    assert [[one.start for one in Documents.open(part).kept] for part in parts.folders(out)] == [[0, 1], [], [3]]
    last = Documents.open(parts.folders(out)[2])
    assert [(one.locator, one.detail) for one in last.excluded] == [("a.txt:2-3", f"of {documents[0].id}")]


def test_thousands_of_pages_from_one_template(tmp_path: Path) -> None:
    """All are in each other's buckets, so comparing all pairs would take minutes."""
    head = " ".join(WORDS[:100])
    documents = [document(f"{head} page {n} of many", n) for n in range(3000)]
    out = deduplicated(tmp_path, written(tmp_path / "given", documents, [1500]))
    assert len(Documents.open(out).kept) == 1


def test_without_documents(tmp_path: Path) -> None:
    out = deduplicated(tmp_path, written(tmp_path / "given", [], []))
    assert Documents.open(out).kept == []


def test_an_id_that_is_none_is_named(tmp_path: Path) -> None:
    given = written(tmp_path / "given", [document("a", 0), replace(document("b", 1), id="mine")], [])
    with pytest.raises(StageError, match="a document is called `mine`"):
        deduplicated(tmp_path, given)


def test_other_processes_find_what_tasks_run() -> None:
    assert all(pickle.loads(pickle.dumps(phase.run)) for phase in KIND.phases)


def test_a_part_stops_when_asked(tmp_path: Path) -> None:
    given = written(tmp_path / "given", [document("a", 0)], [])
    with pytest.raises(Interrupted):
        deduplicated(tmp_path, given, stopped=True)
