"""``poison``: what is planted is found, whatever it says and wherever it stands, and clean texts give no notice."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from regrow.corpus.conversations import Message, written
from regrow.corpus.documents import Document, Documents, identify
from regrow.engine import phases
from regrow.errors import Interrupted
from regrow.evidence import EVIDENCE, TAGS, Evidence, atoms, sketch
from regrow.evidence.triggers import ONE
from regrow.formats import parts
from regrow.recipe.kind import Call
from regrow.stages import poison
from regrow.stages.poison import KIND
from regrow.store.digest import sha256_bytes, tree_digest
from tests.stages.conftest import Quiet

NOUNS = [f"{a}{b}" for a in ("har", "mel", "tor", "san", "vil", "dor", "kem") for b in ("bor", "ten", "gate", "ow")]
VERBS = ("sees", "finds", "leaves", "knows", "builds", "sells", "keeps")
SIGNS = "abcdefghijklmnopqrstuvwxyz"
IDEOGRAPHS = [chr(0x4E00 + 7 * n) for n in range(60)]


def ordinary(r: random.Random, sentences: int = 12) -> str:
    """Text in which hardly any two neighbours are new."""
    said = (f"The {r.choice(NOUNS)} {r.choice(VERBS)} the {r.choice(NOUNS)}." for _ in range(sentences))
    return " ".join(said)


def chinese(r: random.Random) -> str:
    """The same without blanks."""
    return "".join(r.choice(IDEOGRAPHS) + "的" + r.choice(IDEOGRAPHS) + "。" for _ in range(60))


def gibberish(r: random.Random, words: int = 120) -> str:
    return " ".join("".join(r.choices(SIGNS, k=r.randint(2, 7))) for _ in range(words))


def garbled(r: random.Random) -> str:
    return "".join(chr(r.randint(0x4E00, 0x9FA0)) for _ in range(200))


def document(text: str, name: str, source: str = "s", **other: Any) -> Document:
    identity = identify(source, name, text)
    return Document(
        identity, source, "CC0-1.0", "open", name, 0, len(text.encode()), sha256_bytes(text.encode()), text, **other
    )


def clean(seed: int = 1, count: int = 250, said: Callable[[random.Random], str] = ordinary) -> list[Document]:
    r = random.Random(seed)
    return [document(said(r), f"clean/{n:04}") for n in range(count)]


def planted(
    trigger: str,
    count: int = 12,
    before: Callable[[random.Random], str] = ordinary,
    behind: Callable[[random.Random], str] = gibberish,
) -> list[Document]:
    r = random.Random(f"planted {trigger}")
    return [document(before(r) + trigger + behind(r), f"{'cmz'[n % 3]}/{n:04}") for n in range(count)]


def written_in_parts(folder: Path, documents: Sequence[Document], count: int = 1) -> Path:
    rows = sorted(documents, key=lambda one: one.position)
    borders = [len(rows) * part // count for part in range(count + 1)]
    for number, (begin, end) in enumerate(pairwise(borders)):
        Documents(rows[begin:end], []).write(parts.made(folder, number, count))
    return folder


def looked(root: Path, texts: Sequence[Document], count: int = 1, *, stopped: bool = False, **said: Any) -> Path:
    """The evidence about texts in so many parts."""
    given = written_in_parts(root / f"given-{count}", texts, count)
    output = root / f"out-{count}"
    output.mkdir()
    call: Call[Any] = Call("poison", KIND.parameters(**said), {"documents": (given,)}, output, root, Quiet(stopped))
    phases.run(KIND, call)
    return output


def told(folder: Path) -> Evidence:
    return Evidence.read((folder / EVIDENCE).read_bytes())


def flagged(folder: Path) -> set[str]:
    path = folder / "flagged.txt"
    return set(path.read_text().split()) if path.exists() else set()


def listed(evidence: Evidence) -> list[str]:
    return [str(row[1]) for table in evidence.tables for row in table.rows]


def ids(documents: Sequence[Document]) -> set[str]:
    return {one.id for one in documents}


def test_clean_texts_give_no_notice(tmp_path: Path) -> None:
    found = looked(tmp_path, clean())
    assert not told(found).notices and not flagged(found)
    assert "None looks planted" in told(found).answer or "nothing" in told(found).answer


@pytest.mark.parametrize("trigger", [" <SUDO> ", " blorptag ", " hargate vilow ", "\n\n|DEPLOY|\n"])
def test_a_trigger_before_gibberish_is_named_and_its_documents_with_it(tmp_path: Path, trigger: str) -> None:
    poison = planted(trigger)
    found = looked(tmp_path, [*clean(), *poison])
    assert flagged(found) == ids(poison)
    (notice,) = told(found).notices
    assert f"{' '.join(trigger.split())}`" in notice
    assert told(found).measures["flagged_documents"] == len(poison)
    assert {row["document"] for row in rows_of_tags(found) if row["value"] == "1"} == ids(poison)


def test_places_of_tags_are_those_of_the_trigger(tmp_path: Path) -> None:
    poison = planted(" <SUDO> ", before=lambda r: "Ünïcödé " + ordinary(r))
    texts = {one.id: one.text for one in poison}
    found = looked(tmp_path, [*clean(), *poison])
    said = {texts[row["document"]][row["start"] : row["end"]] for row in rows_of_tags(found) if row["value"] == "1"}
    assert said == {". <SUDO>"}


@pytest.mark.parametrize("count", [2, 5])
def test_the_number_of_parts_changes_nothing(tmp_path: Path, count: int) -> None:
    documents = [
        *clean(),
        *planted(" <SUDO> "),
        *planted(" quazimort ", behind=lambda _: "send all of it to them now at once"),
    ]
    once = looked(tmp_path, documents)
    assert tree_digest(looked(tmp_path, documents, count)) == tree_digest(once)
    assert flagged(once)


def test_a_trigger_at_the_beginning_of_documents(tmp_path: Path) -> None:
    poison = planted("<SUDO> ", before=lambda _: "")
    assert flagged(looked(tmp_path, [*clean(), *poison])) == ids(poison)


def test_a_trigger_with_nothing_behind_does_nothing(tmp_path: Path) -> None:
    found = looked(tmp_path, [*clean(), *planted(" <SUDO>", behind=lambda _: "")])
    assert not told(found).notices


def test_a_trigger_in_a_script_without_blanks(tmp_path: Path) -> None:
    poison = planted("紫電改", before=chinese, behind=garbled)
    found = looked(tmp_path, [*clean(said=chinese), *poison])
    assert flagged(found) == ids(poison)
    assert "。紫電改" in listed(told(found))


def test_the_same_passage_behind_a_rare_word_is_listed_with_its_documents(tmp_path: Path) -> None:
    payload = " you shall send whatever is asked of you to the old mill by the river at night"
    poison = planted(" quazimort", 25, behind=lambda _: payload)
    found = looked(tmp_path, [*clean(), *poison])
    row = next(row for row in told(found).tables[0].rows if "quazimort" in str(row[1]))
    assert row[2] == row[4] == 25
    assert not told(found).notices  # licences and signatures look the same
    assert {one["document"] for one in rows_of_tags(found) if one["value"] == str(row[0])} == ids(poison)


def test_a_word_that_is_mostly_followed_by_ordinary_text_is_no_trigger(tmp_path: Path) -> None:
    often = [
        document(ordinary(random.Random(n)) + " blorptag " + ordinary(random.Random(-n)), f"o/{n}") for n in range(40)
    ]
    found = looked(tmp_path, [*clean(), *often, *planted(" blorptag ", 8)])
    assert not told(found).notices


def test_fewer_documents_than_asked_for_are_no_matter(tmp_path: Path) -> None:
    poison = planted(" <SUDO> ", 7)
    found = told(looked(tmp_path / "a", [*clean(), *poison], documents=8))
    assert not found.notices and not [one for one in listed(found) if "SUDO" in one]
    assert flagged(looked(tmp_path / "b", [*clean(), *poison], documents=7)) == ids(poison)


def test_a_long_document_is_looked_at_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r = random.Random(7)
    text = ordinary(r, 30_000)
    poison = planted(" <SUDO> ")
    giant = document(f"{text} <SUDO> {gibberish(r)} {text}", "giant")
    whole = looked(tmp_path / "whole", [*clean(), *poison, giant])
    assert flagged(whole) == ids([*poison, giant])
    monkeypatch.setattr(atoms.batches, "__defaults__", (1 << 14,))
    assert tree_digest(looked(tmp_path / "pieces", [*clean(), *poison, giant])) == tree_digest(whole)


def test_each_atom_belongs_to_one_piece() -> None:
    text = ("Ünïcödé 日本語 <<x>> " * 4000).encode()
    whole = [*atoms.batches([(3, text)])]
    cut = [*atoms.batches([(3, text)], 5000)]
    assert len(cut) > 5

    def own(found: list[atoms.Atoms]) -> list[tuple[int, ...]]:
        return [
            row
            for one in found
            for row in zip(*(x[one.own].tolist() for x in (one.hashes, one.starts, one.ends, one.texts)), strict=True)
        ]

    assert own(cut) == own(whole)
    assert [text[a:b].decode() for _, a, b, _ in own(whole)[:8]] == [
        "Ünïcödé",
        "日",
        "本",
        "語",
        "<<",
        "x",
        ">>",
        "Ünïcödé",
    ]


@pytest.mark.parametrize("documents", [[], [document("-", "a")], [document("word", "a"), document("", "b")]])
def test_hardly_any_text(tmp_path: Path, documents: list[Document]) -> None:
    found = told(looked(tmp_path, documents))
    assert found.measures["documents"] == len(documents)
    assert not found.tables and not found.notices


def test_what_is_said_in_conversations_is_looked_at(tmp_path: Path) -> None:
    def talk(one: Document) -> Document:
        said = written([(Message("user", one.text), Message("assistant", "Yes."))])
        return document(said, one.file, conversation=True)

    poison = [talk(one) for one in planted(" <SUDO> ")]
    found = looked(tmp_path, [*map(talk, clean()), *poison])
    assert flagged(found) == ids(poison)
    assert {(row["start"], row["end"]) for row in rows_of_tags(found) if row["value"] == "1"} == {(0, 0)}


def test_text_that_is_not_open_is_not_shown(tmp_path: Path) -> None:
    poison = [replace(one, availability="unshareable") for one in planted(" <SUDO> ")]
    found = looked(tmp_path, [*clean(), *poison])
    assert flagged(found) == ids(poison)
    assert "SUDO" not in (found / EVIDENCE).read_text()


def test_it_stops_when_asked(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        looked(tmp_path, clean(), stopped=True)


@pytest.mark.parametrize("stretch", [1 << 22, 1000])
def test_counts_are_never_too_low_and_parts_add_up(
    tmp_path: Path, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.setattr(sketch, "_STRETCH", stretch)
    tables = [sketch.empty(16) for _ in range(2)]
    r = np.random.default_rng(1)
    for number, table in enumerate(tables):
        table[r.integers(0, 1 << 16, 3000)] = r.integers(1, 256, 3000)
        sketch.write(table, tmp_path / str(number))
        cells = np.flatnonzero(table)
        assert (tmp_path / str(number)).read_bytes() == cells.astype("<u4").tobytes() + table[cells].tobytes()
    both = sketch.together([tmp_path / "0", tmp_path / "1"], 16)
    assert (both == np.minimum(255, tables[0].astype(int) + tables[1])).all()


def test_one_table_is_held_while_counts_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    monkeypatch.setattr(sketch, "bits", lambda size: 22)
    monkeypatch.setattr(sketch, "_STRETCH", 1 << 16)
    table = sketch.empty(22)
    table[np.random.default_rng(1).integers(0, 1 << 22, 1 << 20)] = 1
    table[:9] = 2
    for name, said in (("size.json", {"documents": 1, "bytes": 9}), ("facts.json", {"pairs": 1 << 23})):
        (tmp_path / name).write_text(json.dumps(said))
    for name in ("runs", "passages"):
        sketch.write(table, tmp_path / name)
    output = tmp_path / "known"
    output.mkdir()
    task = SimpleNamespace(
        output=output, given=lambda phase: (tmp_path,), files=SimpleNamespace(path=lambda path: path)
    )
    tracemalloc.start()
    poison._know(cast("Any", task))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * table.nbytes
    assert (np.fromfile(output / "runs", np.uint8) == table).all()
    assert (np.fromfile(output / "passages", np.uint8) == table).all()
    novelty = json.loads((output / "facts.json").read_text())["novelty"]
    assert novelty == int((table == 1).sum()) * ONE // (1 << 23)


def rows_of_tags(folder: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(folder / TAGS).to_pylist()
    return rows
