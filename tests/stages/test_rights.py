"""The evidence of rights over a corpus, with texts that contradict what is declared of them as packages do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from regrow.corpus.documents import Documents
from regrow.evidence import EVIDENCE, TAGS, Evidence
from tests.stages.conftest import Bench

SONGS = (
    "# songbook\n\nThe words of a few hundred songs, to try things out with. They belong to those who wrote them, so "
    "please do not republish them elsewhere. Write to ann@heron.example.\n"
)
PLAYS = "The plays are old. This edition of them is licensed under a Creative Commons Attribution 2.5 License.\n"
VERSES = "# verses\n\nThe text of these verses is in the public domain, and has been for centuries.\n"


def found(artifact: Path) -> Evidence:
    return Evidence.read((artifact / EVIDENCE).read_text("utf-8"))


def states(evidence: Evidence) -> dict[str, float]:
    begin = "documents-"
    return {name.removeprefix(begin): n for name, n in evidence.measures.items() if name.startswith(begin) and n}


def test_a_readme_that_asks_not_to_republish(bench: Bench) -> None:
    documents = bench.documents({"README.md": SONGS, "a.txt": "One, two, three, four.\n"}, licence="MIT")
    output = bench.run("rights", {}, documents=documents)
    evidence = found(output)
    assert states(evidence) == {"contradicts": 1, "declared": 1}
    assert evidence.answer == (
        "Of 2 documents (201 bytes), the text of 1 (178 bytes) asks for more than its source declares."
    )
    [notice] = evidence.notices
    assert notice.startswith("The source `s` is declared MIT, but the text of 1 of its 2 documents")
    assert "asks not to be republished (1)" in notice
    assert "heron.example" not in (output / EVIDENCE).read_text("utf-8")
    tags = pq.read_table(output / TAGS).to_pylist()
    [said] = [one for one in tags if one["tag"] == "restriction"]
    assert SONGS[said["start"] : said["end"]].endswith("please do not republish them elsewhere.")
    assert [one["value"] for one in tags if one["tag"] == "rights-contradicts"] == ["no-republishing"]


def test_nothing_is_quoted_of_what_may_not_be_shared(bench: Bench) -> None:
    files: dict[str, bytes | str] = {"README.md": SONGS, "robots.txt": "User-agent: GPTBot\nDisallow: /\n"}
    documents = bench.documents(files, licence="MIT")
    shared = Documents.open(documents)
    Documents([replace(one, availability="unshareable") for one in shared.kept], shared.excluded).write(documents)
    evidence = found(bench.run("rights", {}, documents=documents))
    assert [row[2:3] + row[5:] for row in evidence.tables[1].rows] == [
        ("asks not to be republished", ""),
        ("robots", ""),
    ]


def test_an_edition_under_another_licence_than_the_package(bench: Bench) -> None:
    evidence = found(bench.run("rights", {}, documents=bench.documents({"plays.txt": PLAYS}, licence="MIT")))
    assert states(evidence) == {"names-another": 1}
    assert evidence.tables[1].rows[0][2] == "CC-BY-2.5"
    assert not evidence.notices
    assert evidence.answer.startswith("No text of 1 document")


def test_free_verses_in_a_package_that_claims_more(bench: Bench) -> None:
    evidence = found(bench.run("rights", {}, documents=bench.documents({"v.md": VERSES}, licence="GPL-3.0-only")))
    assert states(evidence) == {"names-another": 1}
    assert evidence.tables[1].rows[0][2] == "public-domain"


def test_the_number_of_parts_changes_nothing(bench: Bench) -> None:
    files: dict[str, bytes | str] = {
        f"{i}.txt": f"Text {i} stands here. {said}\n" for i, said in enumerate((SONGS, PLAYS, VERSES, "é") * 5)
    }
    documents = bench.documents(files, licence="MIT")
    outputs = [
        bench.run(
            "rights", {}, documents=bench.run("clean", {"minimum_characters": 0, "shards": n}, documents=documents)
        )
        for n in (1, 3)
    ]
    for name in (EVIDENCE, TAGS):
        assert (outputs[0] / name).read_bytes() == (outputs[1] / name).read_bytes()
    assert sorted(path.name for path in outputs[1].iterdir()) == sorted((EVIDENCE, TAGS))


def test_places_count_characters(bench: Bench) -> None:
    text = "Über den Reihern. Ça va. © 2019 Ünï.\n\nThis poem is licensed under the MIT license.\n"
    output = bench.run("rights", {}, documents=bench.documents({"a.txt": text}, licence="MIT"))
    [said] = [one for one in pq.read_table(output / TAGS).to_pylist() if one["tag"] == "licence"]
    assert text[said["start"] : said["end"]] == "This poem is licensed under the MIT license"


def test_what_stands_beside_a_text_counts_as_if_it_began_with_it(bench: Bench) -> None:
    rows = (
        '{"text": "Über einen Reiher.", "license": "CC-BY-NC-4.0"}\n'
        '{"text": "Ä second one.\\n\\nLicense: MIT", "license": "MIT", "tdm_reservation": 1}\n'
        '{"text": "The third."}\n'
    )
    page = '<html><head><meta name="robots" content="noai"></head><body><p>A page of words.</p></body></html>'
    documents = bench.documents({"a.jsonl": rows, "b.html": page}, licence="MIT")
    output = bench.run("rights", {}, documents=documents)
    evidence = found(output)
    assert states(evidence) == {"contradicts": 1, "agrees": 1, "declared": 2}
    assert evidence.measures["opt-outs"] == 2
    assert "CC-BY-NC-4.0 (1)" in evidence.notices[0]
    assert {(row[3], row[5]) for row in evidence.tables[1].rows} == {
        ("a.jsonl:0-58", "License: CC-BY-NC-4.0"),
        ("a.jsonl:59-141", "tdm-reservation: 1"),
        ("b.html:0-97", "noai"),
    }
    places = {
        (one["tag"], one["value"]): (one["start"], one["end"]) for one in pq.read_table(output / TAGS).to_pylist()
    }
    assert places["licence", "CC-BY-NC-4.0"] == places["opt-out", "noai"] == (0, 0)
    text = "Ä second one.\n\nLicense: MIT"
    assert text[slice(*places["licence", "MIT"])] == "License: MIT"


def test_nothing_changes_for_texts_that_stand_beside_others_of_which_something_is_said(bench: Bench) -> None:
    said = f'{{"text": {SONGS!r}}}\n'.replace("'", '"')
    alone, beside = (
        bench.run("rights", {}, documents=bench.documents({"a.jsonl": said, "b.jsonl": other}, licence="MIT"))
        for other in ('{"text": "Words."}\n', '{"text": "Words.", "license": "MIT"}\n')
    )
    of_a = [[row for row in pq.read_table(one / TAGS).to_pylist() if row["start"]] for one in (alone, beside)]
    assert of_a[0]
    assert of_a[0] == of_a[1]


def test_terms_of_texts_that_others_stand_for_are_known(bench: Bench) -> None:
    """A copy and a text that is nearly the same, in a source of which nothing is left; in one part and in three."""
    words = " ".join(f"word{i}" for i in range(200))
    near = words.replace("word7 ", "other ")
    licences = {"a": "MIT", "b": "GPL-3.0-only", "c": "MIT"}
    texts = {
        "a": {"1.txt": words, "2.txt": "A text of its own."},
        "b": {"x.txt": words, "y.txt": near},
        "c": {"z.txt": words},
    }
    given = [
        bench.documents(dict(files), source=name, licence=licences[name], availability="open")
        for name, files in texts.items()
    ]
    evidences = []
    for shards in (1, 3):
        clean = bench.run("clean", {"minimum_characters": 0, "shards": shards}, documents=given)
        kept = bench.run("deduplicate", {}, documents=clean)
        [(source, id)] = [(one.source, one.id) for one in Documents.open(kept).kept if len(one.text) > 99]
        assert len(Documents.open(kept).kept) == 2
        output = bench.run("rights", {"licences": licences}, documents=kept)
        evidences.append(found(output))
        others = {*licences.values()} - {licences[source]}
        tags = [one for one in pq.read_table(output / TAGS).to_pylist() if one["tag"] == "rights-elsewhere"]
        assert {one["document"] for one in tags} == {id}
        assert {one["value"].partition(": ")[2] for one in tags} == others
    first, second = evidences
    assert first == second
    [table] = [one for one in first.tables if one.title == "The same text under other terms"]
    assert sum(int(row[5] or 0) for row in table.rows) == first.measures["duplicates-under-other-terms"] == 2
    assert [row[:4] for row in table.rows] == [
        (source, licences[source], *pair) for pair in sorted(licences.items()) if pair[1] != licences[source]
    ]
    if licences[source] == "MIT":
        assert first.notices[0].endswith("is also in `b`, which is declared GPL-3.0-only and asks for more.")


def test_sources_of_one_licence_have_nothing_elsewhere(bench: Bench) -> None:
    given = [bench.documents({"1.txt": "A text."}, source=name, licence="MIT", availability="open") for name in "ab"]
    clean = bench.run("clean", {"minimum_characters": 0}, documents=given)
    kept = bench.run("deduplicate", {}, documents=clean)
    evidence = found(bench.run("rights", {"licences": {"a": "MIT", "b": "MIT"}}, documents=kept))
    assert evidence.measures["duplicates-under-other-terms"] == 0
    assert "The same text under other terms" not in [one.title for one in evidence.tables]
