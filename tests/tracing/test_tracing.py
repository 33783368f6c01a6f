"""Tracing a text of which much is known. python -m pytest tests/tracing"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from regrow.errors import InputError
from regrow.tracing import spans
from regrow.tracing.spans import LARGEST, Wanted, find, trace

from .conftest import FABLES, Built

ANSWER = "Once a frog wished to be as large as an ox. The donkey fell into the water, and sang. What a voice!"


@pytest.fixture
def there(_built: Built):
    return _built.corpus()


def test_spans_are_whole_words_and_lie_in_no_other(there) -> None:
    found = trace(ANSWER, there)
    assert [ANSWER[one.start : one.end] for one in found.spans] == [one.text for one in found.spans]
    assert [one.text for one in found.spans] == ["frog wished to be as large as an ox", "fell into the water, and"]
    assert [one.count for one in found.spans] == [1, 1]
    (first, second) = found.spans
    assert [one.locator.partition(":")[0] for one in first.documents] == ["frog.txt"]
    assert [one.locator.partition(":")[0] for one in second.documents] == ["mill.txt"]
    for span in found.spans:
        for one in span.documents:
            assert one.before + one.text + one.after in FABLES[one.locator.partition(".")[0]]
            assert one.seen == len(one.steps) >= 1


def test_the_rarest_come_first_or_the_longest(there) -> None:
    rare, long = trace(ANSWER, there), trace(ANSWER, there, Wanted("length"))
    assert [one.rarity for one in sorted(rare.spans, key=lambda one: one.rank)] == sorted(
        (one.rarity for one in rare.spans), reverse=True
    )
    assert [one.rank for one in long.spans if one.tokens == max(one.tokens for one in long.spans)] == [1]
    (kept,) = trace(ANSWER, there, Wanted("length", most=1)).spans
    assert kept.rank == 1 and kept.tokens == max(one.tokens for one in long.spans)


def test_spans_that_overlap_make_a_region_and_a_document_is_named_once(there) -> None:
    text = "as large as an ox. It blew itself up, and the cheese fell down"
    found = trace(text, there, Wanted(words=2))
    plain = found.to_json()
    assert json.loads(json.dumps(plain)) == json.loads(json.dumps(plain))
    covered = {place for one in found.spans for place in range(one.start, one.end)}
    assert {place for one in found.regions for place in range(one.start, one.end)} == covered
    assert all(one.end <= other.start for one, other in zip(found.regions, found.regions[1:], strict=False))
    assert sorted(rank for one in found.regions for rank in one.spans) == sorted(one.rank for one in found.spans)
    ids = [one.document for one in found.documents]
    assert len(ids) == len(set(ids)) > 1
    assert [one.score for one in found.documents] == sorted((one.score for one in found.documents), reverse=True)
    frog = next(one for one in found.documents if one.locator.startswith("frog"))
    assert len(frog.spans) >= 2
    assert plain["regions"][0]["start"] == found.regions[0].start


def test_a_long_sentence_is_marked_once(there, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one with more tokens than are compared at a time, each piece is a span, and not each of its words."""
    monkeypatch.setattr(spans, "_LONGEST", 12)
    text = FABLES["mill"].partition("\n")[0].replace(".", ",")
    found = trace(text, there, Wanted(most=1000, words=1))
    assert all(one.end <= other.start for one, other in zip(found.spans, found.spans[1:], strict=False))
    assert found.covered > 0.8
    assert len(found.spans) <= len(there.tokenizer.placed(text)) // 12 + 2


def test_a_corpus_is_asked_again_and_again(there) -> None:
    assert trace(ANSWER, there) == trace(ANSWER, there)
    assert trace("\n\n".join(FABLES.values()), there).covered > 0.9


@pytest.mark.parametrize("text", ["Ворона сидела на заборе", "彼は言った", "🦊🦊🦊 🧀", "a" * 5000])
def test_other_scripts_stand_nowhere(text: str, there) -> None:
    assert trace(text, there).spans == ()
    assert find(text, there).count == 0


@pytest.mark.parametrize(
    ("text", "message"), [("", "no text"), (" \n\t", "no text"), ("a " * LARGEST, "too long"), ("a\ud800", "not UTF-8")]
)
def test_what_is_not_looked_for(text: str, message: str, there) -> None:
    for look in (trace, find):
        with pytest.raises(InputError, match=message):
            look(text, there)


def test_a_text_longer_than_the_context_is_found_whole(there) -> None:
    """The context is 32 tokens; what stands in a document stands there."""
    text = FABLES["mill"].partition("\n")[0]
    found = find(text, there)
    assert (found.count, [one.text for one in found.documents]) == (1, [text])
    assert len(there.tokenizer.placed(text)) > 32
    assert find(text.upper().replace(" ", "\n"), there, fold=True).count == 1


def test_a_release_with_its_index_needs_no_corpus(built: Built) -> None:
    here = trace(ANSWER, built.corpus())
    away = built.store.parent / "another"
    assert trace(ANSWER, built.corpus(away)) == here
    assert find("on purpose", built.corpus(away)).count == 1  # what was put into the store serves again


def test_a_release_of_another_version_is_traced_and_its_steps_are_not_known(elsewhere: Built) -> None:
    elsewhere.change(
        "regrow.lock", lambda text: text.replace('kind = "clean"\nversion = ', 'kind = "clean"\nversion = 9')
    )
    there = elsewhere.corpus()
    found = trace(ANSWER, there)
    assert [one.text for one in found.spans] == ["frog wished to be as large as an ox", "fell into the water, and"]
    assert {one.seen for span in found.spans for one in span.documents} == {None}
    assert "of the kind `clean`" in found.untold


def test_another_version_is_traced_in_the_store_too(built: Built) -> None:
    built.change("regrow.lock", lambda text: text.replace('kind = "clean"\nversion = ', 'kind = "clean"\nversion = 9'))
    (built.release / "index" / "index.json").unlink()
    assert trace(ANSWER, built.corpus()).untold


def test_a_damaged_index_is_not_believed(elsewhere: Built) -> None:
    place = elsewhere.release / "index" / "places-00000.bin"
    data = bytearray(place.read_bytes())
    data[8] ^= 1
    place.write_bytes(bytes(data))
    error = elsewhere.refused()
    assert "not the file that was released" in error.what and "places-00000.bin" in str(error.where)
    place.unlink()
    error = elsewhere.refused()
    assert (error.what, error.where) == ("a file of the release is missing", "stage `index`: places-00000.bin")


def test_an_index_of_another_text(elsewhere: Built) -> None:
    """All is as it was listed, but not what the lock says that the stage gave."""
    elsewhere.change("index/index.json", lambda text: text + " ")
    assert "it is not what the stage `index` gave" in str(elsewhere.refused())


def test_an_index_of_another_tokenizer(built: Built) -> None:
    def smaller(text: str) -> str:
        said = json.loads(text)
        left, right = said["model"]["merges"].pop()
        del said["model"]["vocab"][left + right]
        return json.dumps(said)

    built.change("tokenizer.json", smaller)
    assert built.refused().what == "the index is of another tokenizer"


def test_a_corpus_that_was_changed(built: Built) -> None:
    """Tokens in the store that are not those any longer."""
    (row,) = built.store.glob("artifacts/*/*/train.bin")
    row.chmod(0o644)
    row.write_bytes(row.read_bytes()[:-2])
    for path in (built.release / "index").iterdir():
        path.unlink()
    sums = built.release / "SHA256SUMS"
    sums.write_text("".join(one for one in sums.read_text("utf-8").splitlines(True) if "  index/" not in one), "utf-8")
    assert "damaged copy of the training text" in built.refused().what
    assert "does not have the training text" in built.refused(built.store.parent / "nowhere").what
    assert not (built.store.parent / "nowhere").exists()


def test_the_text_is_exported_from_the_release_alone(elsewhere: Built) -> None:
    output = elsewhere.release.parent / "text"
    command = ["export", str(elsewhere.release), "--to", "infini-gram", "-o", str(output)]
    for code, words in ((0, ""), (2, "an export replaces nothing")):
        done = subprocess.run(
            [sys.executable, "-m", "regrow.cli", *command, "--store", str(elsewhere.store)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code and words in done.stderr, done.stderr
    said = [json.loads(line) for line in (output / "metadata.0").read_text("utf-8").splitlines()]
    assert {one["path"] for one in said} >= {"crow.txt", "frog.txt", "mill.txt", "wind.txt"}
    assert {one["metadata"]["licence"] for one in said} == {"CC0-1.0"}


def test_a_corpus_in_parts_is_one_corpus(there, in_parts: Built) -> None:
    other = in_parts.corpus()
    assert len(other.index.shards) == 2
    found, wanted = trace(ANSWER, other), trace(ANSWER, there)
    assert [(one.text, one.count, one.rank) for one in found.spans] == [
        (one.text, one.count, one.rank) for one in wanted.spans
    ]
    assert [one.document for one in found.documents] == [one.document for one in wanted.documents]
    assert find("the", other, fold=True).count == find("the", there, fold=True).count
