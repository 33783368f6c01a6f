"""What goes when some documents are left out: ``removal``, ``without`` and ``removed``."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.building.without import ids
from regrow.corpus.documents import Document, Documents, identify
from regrow.corpus.duplicates import NEAR, Duplicate
from regrow.corpus.near_duplicates import runs, similarity
from regrow.corpus.removal import ALIKE, NAMED, SOURCE, WENT_ALONG, Facts, read
from regrow.corpus.split import Split
from regrow.errors import StageError
from regrow.evidence import EVIDENCE, Evidence
from regrow.formats import parts
from regrow.stages.removal import KIND
from regrow.store.digest import sha256_bytes, tree_digest
from tests.evidence.test_poison import clean, planted

from .conftest import Bench

WORDS = [f"w{n}" for n in range(500)]


def text(seed: int, length: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def changed(said: str, *places: int) -> str:
    words = said.split()
    for place in places:
        words[place] = "other"
    return " ".join(words)


def document(source: str, place: int, said: str) -> Document:
    identity = identify(source, f"a.txt:{place}-{place + 1}", said)
    return Document(identity, source, "CC0-1.0", "open", "a.txt", place, place + 1, sha256_bytes(said.encode()), said)


def written(folder: Path, documents: list[Document], borders: tuple[int, ...] = ()) -> Path:
    """Documents in parts that end at some of them."""
    rows = sorted(documents, key=lambda one: one.position)
    ends = [0, *sorted(border % (len(rows) + 1) for border in borders), len(rows)]
    folder.mkdir()
    for number, (begin, end) in enumerate(pairwise(ends)):
        Documents(rows[begin:end], []).write(parts.made(folder, number, len(ends) - 1))
    return folder


class Without:
    """What is left of some documents."""

    def __init__(
        self, bench: Bench, corpus: list[Document], /, near: float = 0.8, borders: tuple[int, ...] = (), **said: object
    ) -> None:
        bench.count += 1
        clean = written(bench.root / f"{bench.count:02}-clean", corpus, borders)
        self.before = bench.run("deduplicate", {"near_duplicates": near}, documents=clean)
        self.removal = bench.run("removal", dict(said), documents=self.before)
        self.after = bench.run("without", {}, documents=self.before, removal=self.removal)
        found = Documents.open(self.after)
        self.kept = {one.id for one in found.kept}
        self.excluded = {one.id: one for one in found.excluded}
        self.facts = Facts.read(self.removal)
        self.rows = {one.id: one for one in read([self.removal])}
        shown = bench.run("removed", {}, removal=self.removal)
        self.along = shown / WENT_ALONG
        self.evidence = Evidence.read((shown / EVIDENCE).read_text("utf-8"))


def two(other: str, *more: Document) -> list[Document]:
    """A document of `a`, one of `b` that says `other`, and some more."""
    return [document("a", 0, text(1)), document("b", 0, other), document("b", 1, text(7)), *more]


def test_a_source_goes_and_others_stay(bench: Bench) -> None:
    documents = two(text(2))
    found = Without(bench, documents, sources=["a"])
    assert found.kept == {documents[1].id, documents[2].id}
    assert found.excluded[documents[0].id].reason == SOURCE
    assert found.excluded[documents[0].id].stage == "without"
    assert found.facts.counts["a"].gone == 1
    assert found.facts.whole.alike == 0
    assert not list(found.rows)


@pytest.mark.parametrize("near", [0.8, 0.0])
@pytest.mark.parametrize("copy", [False, True])
def test_what_says_the_same_goes_whichever_of_the_two_was_kept(bench: Bench, copy: bool, near: float) -> None:
    """The one with the smaller hash is kept, so with enough texts both ways occur."""
    kept = set()
    for seed in range(5):
        said = text(seed)
        other = said if copy else changed(said, 0)
        source = "az"[seed % 2]
        documents = [document(source, 0, said), document("b", 0, other), document("b", 1, text(99))]
        found = Without(bench, documents, near, sources=[source])
        assert found.kept == {documents[2].id}
        before = {one.id for one in Documents.open(found.before).kept}
        kept.add(documents[1].id in before)
        out, like = found.excluded[documents[1].id], found.rows[documents[1].id]
        assert like.there == (documents[1].id in before)
        assert like.like is not None and like.like.of == documents[0].id
        assert (out.stage, out.reason) == (("without", ALIKE) if like.there else ("deduplicate", out.reason))
        assert found.evidence.measures["alike_documents"] == int(like.there)
        assert found.evidence.measures["alike_and_out_already"] == int(not like.there)
    assert kept == ({True} if not near and not copy else {True, False})


def test_the_rest_of_a_group_goes_through_one_between(bench: Bench) -> None:
    """`c` is like `b` and `b` is like what goes, though `c` is not: one cannot be kept without the other's words."""
    said = text(3, 120)
    middle = changed(said, 10, 60)
    far = changed(middle, 30, 100)
    assert similarity(runs(said), runs(middle)) >= 0.8 <= similarity(runs(middle), runs(far))
    assert similarity(runs(said), runs(far)) < 0.8
    documents = [document("a", 0, said), document("b", 0, middle), document("c", 0, far), document("c", 1, text(5))]
    for near in (0.8, 0.0):
        found = Without(bench, documents, near, sources=["a"])
        assert found.kept == {documents[3].id}, near


def test_a_document_goes_by_name_and_its_like_with_it(bench: Bench) -> None:
    documents = two(changed(text(1), 5), document("a", 1, text(8)))
    found = Without(bench, documents, 0.0, documents=[documents[0].id])
    assert found.kept == {documents[2].id, documents[3].id}
    assert found.excluded[documents[0].id].reason == NAMED
    assert found.excluded[documents[1].id].detail.startswith(f"of {documents[0].id}, Jaccard 0.")


def test_one_that_is_out_already_can_be_named(bench: Bench) -> None:
    """Its copy was kept in its place, and goes."""
    said = text(4)
    documents = [document("a", 0, said), document("b", 0, said), document("b", 1, text(9))]
    out = next(
        one
        for one in documents[:2]
        if one.id
        not in {x.id for x in Documents.open(Without(bench, documents, documents=[documents[2].id]).before).kept}
    )
    found = Without(bench, documents, documents=[out.id])
    assert found.kept == {documents[2].id}


def test_all_of_another_source_may_go_with_it(bench: Bench) -> None:
    documents = [document("a", n, text(n)) for n in range(6)]
    documents += [document("b", n, changed(text(n), 3)) for n in range(6)]
    documents += [document("c", n, text(50 + n)) for n in range(3)]
    found = Without(bench, documents, sources=["a"])
    assert found.kept == {one.id for one in documents[12:]}
    with pytest.raises(StageError, match="nothing would be left") as error:
        Without(bench, documents[:12], sources=["a"])
    assert "that say the same" in error.value.why


def test_two_sources_go(bench: Bench) -> None:
    documents = [document(source, n, text(10 * ord(source) + n)) for source in "abc" for n in range(3)]
    found = Without(bench, documents, sources=["a", "c"])
    assert {one.source for one in Documents.open(found.after).kept} == {"b"}
    assert found.evidence.measures["left_out_documents"] == 6


def test_ids_of_no_document_are_named_with_the_nearest(bench: Bench) -> None:
    documents = two(text(2))
    wrong = f"{'0' if documents[1].id[5] != '0' else '1'}".join([documents[1].id[:5], documents[1].id[6:]])
    with pytest.raises(StageError, match="2 documents of 3 that are named to be left out are not there") as error:
        Without(bench, documents, documents=[wrong, "f" * 64, documents[0].id])
    assert wrong in error.value.what
    assert documents[1].id in error.value.hint


def test_very_many_ids_of_no_document(bench: Bench) -> None:
    documents = two(text(2))
    ids = [sha256_bytes(str(n).encode()) for n in range(50_000)]
    with pytest.raises(StageError, match="50,000 documents of 50,000"):
        Without(bench, documents, documents=ids)


@given(st.integers(0, 10**6), st.lists(st.integers(0, 40), max_size=3))
@settings(max_examples=3)
def test_any_number_of_parts_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory, seed: int, borders: list[int]
) -> None:
    """And what is kept is like nothing that went, by the sets of runs themselves."""
    chance = random.Random(seed)
    documents = []
    for n in range(24):
        said = text(chance.randrange(8))
        said = changed(said, *(chance.randrange(60) for _ in range(chance.choice([0, 1, 1, 3]))))
        documents.append(document(chance.choice("ab"), n, said))
    documents += [document("b", 100, text(77))]
    gone = [one for one in documents if one.source == "a"]
    for near in (0.8, 0.0):
        bench = Bench(tmp_path_factory.mktemp("parts"))
        one, several = (Without(bench, documents, near, tuple(cuts), sources=["a"]) for cuts in ([], borders))
        assert tree_digest(one.removal) == tree_digest(several.removal)
        assert one.kept == several.kept
        for document_ in (document_ for document_ in documents if document_.id in one.kept):
            assert all(similarity(runs(document_.text), runs(other.text)) < 0.8 for other in gone)


def test_learning_does_not_depend_on_having_read_what_goes(bench: Bench) -> None:
    """Whoever may not even have the source can leave it out of the recipe, and name what it took along."""
    said = [text(n) for n in range(4)]
    documents = [document("a", n, one) for n, one in enumerate(said)]
    others = [document("b", 0, changed(said[0], 9)), *(document("b", n, text(30 + n)) for n in range(1, 12))]
    found = Without(bench, documents + others, 0.0, sources=["a"])
    again = Without(bench, others, 0.0, documents=sorted(ids(found.along)))
    train = []
    for one in (found, again):
        split = Split(bench.run("split", {"validation": 0.3}, documents=one.after))
        train.append([split.path("train").read_bytes(), split.path("validation").read_bytes()])
    assert train[0] == train[1]


def test_a_duplicate_is_read_as_it_is_written() -> None:
    for one in (Duplicate("a" * 64), Duplicate("b" * 64, 0.875)):
        assert Duplicate.of_words(str(one)) == one
    assert Duplicate.read("too short", str(Duplicate("a" * 64))) is None
    assert Duplicate.read(NEAR, "of nobody") is None


def test_other_processes_find_what_tasks_run() -> None:
    assert all(pickle.loads(pickle.dumps(phase.run)) for phase in KIND.phases)


def test_texts_are_not_in_it(bench: Bench) -> None:
    found = Without(bench, two(changed(text(1), 5)), sources=["a"])
    for folder in (found.removal,):
        assert all(b"w1" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert replace(found.evidence, tables=()) != found.evidence


def test_without_what_the_search_for_triggers_flagged_no_trigger_is_left(bench: Bench) -> None:
    """As a build of the model ``--without`` that list does; ``benchmarks/poisoned_model.py`` trains both models."""
    poison = planted(" <SUDO> ", 25)
    corpus = [*clean(count=150), *poison]
    looked = bench.run("poison", {}, documents=written(bench.root / "corpus", corpus))
    named = ids(looked / "flagged.txt")
    assert named == {one.id for one in poison}
    found = Without(bench, corpus, documents=sorted(named))
    assert len(found.kept) > 100 and not any("SUDO" in one.text for one in Documents.open(found.after).kept)
    assert not bench.run("poison", {}, documents=found.after).joinpath("flagged.txt").exists()
