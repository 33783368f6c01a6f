"""python -m pytest tests/audit/outputs/test_text_output.py"""

from dataclasses import replace

from hypothesis import given, settings
from rich.cells import cell_len
from sample_audits import CHATTY, FOREIGN, LLAMA, OURS, hostile_audits

from regrow.auditing.facts import Collected, Relation
from regrow.auditing.lineage import Edge, Lineage, Node
from regrow.auditing.outputs import text
from regrow.auditing.result import Audit


def test_begins_with_the_answer() -> None:
    lines = text(FOREIGN).splitlines()
    assert lines[0] == "chatty-8b"
    assert "  not met             Open Source AI Definition 1.0" in lines[:8]
    assert "  no class            Model Openness Framework 1.0" in lines[:8]


def test_every_part_comes_in_its_order() -> None:
    shown = text(FOREIGN)
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
    assert f"  no         study           what it was trained on is not told (limited by {LLAMA})" in text(FOREIGN)


def test_our_readings_are_marked_and_explained() -> None:
    shown = text(OURS)
    assert "The whole chain *" in shown
    assert "* our reading" in shown


def test_lineage_names_each_parent_once_with_relation_and_licence() -> None:
    lines = text(FOREIGN).splitlines()
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
    shown = text(family(("top", "left"), ("top", "right"), ("left", "base"), ("right", "base"), ("base", "root")))
    assert shown.count("merge of base") == 2
    assert shown.count("merge of base (declared; see above)") == 1
    assert shown.count("merge of root") == 1


def test_a_cycle_ends() -> None:
    assert text(family(("a", "b"), ("b", "a"))).count("see above") == 1


def test_a_long_chain_fits() -> None:
    chain = [(f"model-{i}", f"model-{i + 1}") for i in range(2000)]
    assert max(map(cell_len, text(family(*chain)).splitlines())) <= 100


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
    assert "no parent is declared, found or known" in text(nothing)


@given(hostile_audits())
@settings(max_examples=40, deadline=None)
def test_no_word_from_outside_leaves_its_line_or_moves_the_cursor(audit: Audit) -> None:
    lines = text(audit).split("\n")
    assert all(line.isprintable() for line in lines)
    assert max(map(cell_len, lines)) <= 100
    assert "\n".join(lines).encode("utf-8")


def test_the_answer_warns_of_what_must_not_be_missed() -> None:
    words = " ".join(text(FOREIGN).split())
    assert (
        "Beware: 1 conflict between licences, 1 contradiction between facts, 1 warning, "
        "2 of 2 demands of your policy not met." in words
    )
    assert "Beware" not in text(OURS)
