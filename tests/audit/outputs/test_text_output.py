"""python -m pytest tests/audit/outputs/test_text_output.py"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from rich.cells import cell_len
from sample_audits import CHATTY, FOREIGN, LLAMA, MET, NOT_MET, OURS, hostile_audits, verdict

from regrow.auditing.audit import Options, audit
from regrow.auditing.facts import Collected, Relation
from regrow.auditing.lineage import Edge, Lineage, Node
from regrow.auditing.outputs import full, text
from regrow.auditing.result import Answer, Audit, Definition
from tests.audit.collectors.making import release, sound, write


def test_the_first_screen_is_a_screen() -> None:
    for example in (OURS, FOREIGN):
        lines = text(example).splitlines()
        assert len(lines) <= 24
        assert max(map(cell_len, lines)) <= 80


def test_the_first_screen_says_how_it_stands_and_because_of_what() -> None:
    lines = text(FOREIGN).splitlines()
    assert lines[0] == "chatty-8b (huggingface), audited on 2026-11-21"
    words = " ".join(text(FOREIGN).split())
    assert "not open source AI: example/Llama-3.1-8B does not give open terms for its weights" in words
    assert "not exempt under Article 53(2) of the EU AI Act: it does not give a licence that is free" in words
    assert "open source AI: every rule is met" in text(OURS)
    assert "class II of the Model Openness Framework: for a higher one it does not" in text(OURS)


def test_the_first_screen_has_a_line_for_each_answer_and_for_what_must_not_be_missed() -> None:
    lines = text(FOREIGN).splitlines()
    rows = [line for line in lines if line.startswith(("  yes   ", "  no   ", "  not shown  "))]
    assert [row[13:26].strip() for row in rows] == [one.name for one in (*FOREIGN.parts, *FOREIGN.freedoms)]
    assert "  duties     5 from llama3.1 (of example/Llama-3.1-8B)" in lines
    assert any(line.startswith("  conflicts  apache-2.0 of chatty-8b against llama3.1") for line in lines)
    assert any(line.startswith("  beware     1 conflict between licences") for line in lines)
    assert "--full" in lines[-1] and "--explain" in lines[-1]
    assert not any(line.startswith(("  conflicts", "  beware")) for line in text(OURS).splitlines())


def test_what_a_row_has_in_common_with_one_above_is_not_said_again() -> None:
    first, second = (
        verdict("a/1", "One", NOT_MET, "no code; no data"),
        verdict("a/2", "Two", NOT_MET, "no data; no map"),
    )
    third = verdict("a/3", "Three", NOT_MET, "missing: no data; and 2 more")
    fourth = verdict("a/4", "Four", NOT_MET, "limited by b/c: no data", limited_by="hf:b/c")
    judged = Definition("a", "A", NOT_MET, "", (first, second, third, fourth), next=("add it",), notes=("add it", "hm"))
    shown = " ".join(full(replace(OURS, parts=(), freedoms=(), definitions=(judged, judged))).split())
    assert "not met One no code; no data not met Two no map; see “One” " in shown
    assert "Three missing: see “One”; and 2 more" in shown
    assert "Four see “One” (limited by b/c)" in shown, "the ancestor is named, for it lacks that too"
    assert shown.count("add it") == 1 and "1 of those above" in shown


@pytest.mark.parametrize(
    "reason", ["weights: free; in part as known (Heron: a; b)", f"weights: {'free ' * 30}, as known (Heron)"]
)
def test_what_is_only_known_is_said_to_be_in_every_row(reason: str) -> None:
    both = (Answer("use", "yes", reason), Answer("share", "yes", reason))
    shown = replace(OURS, parts=(), freedoms=both, definitions=())
    for form in (text, full):
        rows = " ".join(form(shown).split()).partition("yes use ")[2].split("yes share ")
        assert len(rows) == 2 and all("as known" in row for row in rows)


def test_a_note_does_not_repeat_a_claim() -> None:
    noted = replace(FOREIGN.definitions[0], notes=("Claimed, not delivered: Fully open source!", "Another."))
    shown = full(replace(FOREIGN, definitions=(noted,)))
    assert shown.count("Fully open source!") == 1 and "note: Another." in shown


def test_a_class_as_listed_is_said_to_be_so() -> None:
    missing = verdict("mof/data-card", "Data card", NOT_MET, "as listed: missing")
    listed = Definition("mof-listed", "Framework, as listed", MET, "III", (missing,))
    words = " ".join(text(replace(OURS, definitions=(listed,))).split())
    assert "class III of the Model Openness Framework, as listed: for a higher one it does not give data card" in words


@pytest.mark.parametrize("audit", [OURS, FOREIGN])
@pytest.mark.parametrize("form", [text, full])
def test_no_reason_stands_in_a_text_twice(audit: Audit, form: Callable[[Audit], str]) -> None:
    twice = replace(audit, definitions=(*audit.definitions, *audit.definitions), findings=audit.findings * 2)
    shown = " ".join(form(twice).split())
    judged = [one for definition in audit.definitions for one in definition.verdicts]
    told = {*(one.reason for one in (*audit.parts, *audit.freedoms, *judged)), *(one.text for one in audit.findings)}
    assert {line for line in told if shown.count(line) > 1} <= {"README.md"}, "the name of a file is no sentence"


def test_every_part_comes_in_its_order() -> None:
    shown = full(FOREIGN)
    headings = (
        "Is it all there?",
        "What may you do with it?",
        "What would a rebuild cost?",
        "Open Source AI Definition 1.0: not met",
        "  To meet it:",
        "Model Openness Framework 1.0: no class",
        "  To reach the next class:",
        "What the licences ask",
        "Licences of the training data",
        "Lineage",
        "Conflicts between licences",
        "Findings",
        "What the maker claims, and what was found",
        "Your policy",
    )
    lines = shown.splitlines()
    places = [lines.index(heading) for heading in headings]
    assert places == sorted(places)


def test_an_answer_is_one_row_with_reason_and_limiting_ancestor() -> None:
    assert "  no         study           what it was trained on is not told (limited by example/Llama-3.1-8B)" in full(
        FOREIGN
    )


def test_our_readings_are_marked_and_explained() -> None:
    shown = full(OURS)
    assert "The whole chain *" in shown
    assert "* our reading" in shown


def test_lineage_names_each_parent_once_with_relation_and_licence() -> None:
    lines = full(FOREIGN).splitlines()
    start = lines.index("Lineage")
    assert lines[start + 1 : start + 4] == [
        "  chatty-8b: llama3.1",
        f"  ├─ finetune of {LLAMA} (known; could not be read): llama3.1",
        "  └─ synthetic-data of GPT-4 (declared; could not be read): no licence seen",
    ]


def family(*edges: tuple[str, str]) -> Audit:
    """An audit whose lineage has these edges, from child to parent; the first child is the audited model."""
    names = list(dict.fromkeys(name for edge in edges for name in edge))
    nodes = [Node(name, 0, replace(CHATTY, id=name, name=name, facts=())) for name in names]
    links = [Edge(child, parent, Relation.MERGE, "declared") for child, parent in edges]
    return replace(OURS, lineage=Lineage(tuple(nodes), tuple(links)))


def test_a_shared_ancestor_is_shown_in_full_once() -> None:
    shown = full(family(("top", "left"), ("top", "right"), ("left", "base"), ("right", "base"), ("base", "root")))
    assert shown.count("merge of base") == 2
    assert shown.count("merge of base (declared; see above)") == 1
    assert shown.count("merge of root") == 1


def test_a_cycle_ends() -> None:
    assert full(family(("a", "b"), ("b", "a"))).count("see above") == 1


def test_a_long_chain_fits() -> None:
    chain = [(f"model-{i}", f"model-{i + 1}") for i in range(2000)]
    assert max(map(cell_len, full(family(*chain)).splitlines())) <= 100


def test_an_audit_of_nothing_has_a_text() -> None:
    nothing = replace(
        OURS,
        definitions=(),
        duties=(),
        data=(),
        claims=(),
        findings=(),
        policy=(),
        lineage=Lineage((Node("x", 0, Collected("x", "code", "", "")),), ()),
    )
    assert "no parent is declared, found or known" in full(nothing)
    assert text(nothing)


@pytest.mark.parametrize(("form", "columns"), [(text, 80), (full, 100)])
@given(audit=hostile_audits())
@settings(max_examples=40, deadline=None)
def test_no_word_from_outside_leaves_its_line_or_moves_the_cursor(
    form: Callable[[Audit], str], columns: int, audit: Audit
) -> None:
    lines = form(audit).split("\n")
    assert all(line.isprintable() for line in lines)
    assert max(map(cell_len, lines)) <= columns
    assert "\n".join(lines).encode("utf-8")


def test_the_answer_warns_of_what_must_not_be_missed() -> None:
    words = " ".join(full(FOREIGN).split())
    assert (
        "Beware: 1 conflict between licences, 1 contradiction between facts, 1 warning, "
        "2 of 2 demands of your policy not met." in words
    )
    assert "Beware" not in full(OURS)


TUNE = "---\nlicense: apache-2.0\nbase_model: meta-llama/Llama-3.1-8B\n---\n# Tune\nAll of its code is open source.\n"
BARE = "---\nlicense: cc-by-4.0\n---\n# Bare\n"


@pytest.mark.parametrize("kind", ["tune", "bare", "release"])
def test_what_is_really_audited_fits_a_screen_and_says_no_reason_twice(tmp_path: Path, kind: str) -> None:
    if kind == "release":
        release(tmp_path)
    else:
        card = TUNE if kind == "tune" else BARE
        write(tmp_path, {"README.md": card, "config.json": "{}", "model.safetensors": sound(16)})
    found = audit(str(tmp_path), Options("2026-11-21"))
    assert len(text(found).splitlines()) <= 26
    verdicts = [one for definition in found.definitions for one in definition.verdicts]
    told = {part for one in (*found.parts, *found.freedoms, *verdicts) for part in one.reason.split("; ")}
    told = {part for part in told if not re.fullmatch(r"and \d+ more", part)}
    told |= {line for one in found.definitions for line in one.next}
    for form in (text, full):
        cells = [" ".join(cell.split()) for cell in re.split(r"\n|  +|; ", form(found))]
        assert [cell for cell in cells if cell in told and cells.count(cell) > 1] == []
