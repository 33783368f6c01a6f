"""What licences come to along a lineage. python -m pytest tests/audit/licences/test_judge.py"""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.auditing.facts import (
    Availability,
    Basis,
    Collected,
    DatasetFact,
    Evidence,
    Fact,
    Finding,
    LicenceFact,
    Relation,
    Role,
    Scope,
    Severity,
)
from regrow.auditing.licences import Terms, judge
from regrow.auditing.lineage import Edge, Lineage, Node
from regrow.auditing.result import DataShare, Outcome
from regrow.licences import every, find

ME = "hf:me/tern"
RIGHTS = ("open", "osi", "use", "commercial", "modify", "share")
ORDER = [Outcome.NOT_MET, Outcome.NOT_SHOWN, Outcome.MET]


def at(file: str) -> Evidence:
    return Evidence(file, "key license", "0" * 64, "card", "2026-11-21")


def licence(
    raw: str, basis: Basis = Basis.DECLARED, scope: Scope = Scope.EVERYTHING, name: str = "", link: str = ""
) -> LicenceFact:
    """As collectors give it: a tag, or a text under the name of its file."""
    known = find(raw)
    file = "LICENSE" if basis is Basis.FOUND else "README.md"
    shown = file if basis is Basis.FOUND else raw
    return LicenceFact(basis, at(file), scope, known.id if known else None, shown, name, link)


def model(id: str, *facts: Fact | str, name: str | None = None, depth: int = 1, kind: str = "huggingface") -> Node:
    read = tuple(licence(fact) if isinstance(fact, str) else fact for fact in facts)
    return Node(id, depth, Collected(id, kind, id.removeprefix("hf:") if name is None else name, "v", read))


def judged(first: Node, *parents: tuple[Relation, Node]) -> Terms:
    edges = tuple(Edge(first.id, parent.id, relation, "declared") for relation, parent in parents)
    return judge(Lineage((first, *(parent for _, parent in parents)), edges))


def outcomes(terms: Terms, scope: Scope = Scope.WEIGHTS) -> dict[str, Outcome]:
    return {right: getattr(terms.effective[scope], right) for right in RIGHTS}


def findings(terms: Terms) -> list[str]:
    return [finding.id for finding in terms.findings]


def test_an_open_model_from_nothing_grants_everything() -> None:
    terms = judged(model(ME, "apache-2.0"))
    assert set(outcomes(terms).values()) == {Outcome.MET}
    assert terms.effective[Scope.WEIGHTS].ids == ("apache-2.0",)
    assert (terms.conflicts, terms.findings) == ((), ())
    assert [duty.when for duty in terms.duties] == ["share"] * 3


def test_no_licence_permits_nothing() -> None:
    for node in (model(ME), model(ME, "unknown")):
        terms = judged(node)
        assert set(outcomes(terms).values()) == {Outcome.NOT_MET}
        assert findings(terms) == ["no-licence"]


def test_what_could_not_be_read_is_not_without_a_licence() -> None:
    whole = model(ME)
    terms = judged(replace(whole, collected=replace(whole.collected, complete=False)))
    assert set(outcomes(terms).values()) == {Outcome.NOT_SHOWN}
    assert findings(terms) == ["licence-unread"]


def test_other_is_not_guessed() -> None:
    terms = judged(model(ME, "other"))
    assert set(outcomes(terms).values()) == {Outcome.NOT_SHOWN}
    assert findings(terms) == ["licence-unresolved"]


def test_other_is_resolved_by_its_name_or_link_or_text() -> None:
    by_name = licence("other", name="nvidia-open-model-license")
    by_link = licence("other", link="https://ai.google.dev/gemma/terms")
    text = licence("qwen-research", Basis.FOUND)
    assert judged(model(ME, by_name)).effective[Scope.WEIGHTS].ids == ("nvidia-open-model",)
    assert judged(model(ME, by_link)).effective[Scope.WEIGHTS].ids == ("gemma",)
    terms = judged(model(ME, licence("other", name="mine"), text))
    assert terms.effective[Scope.WEIGHTS].ids == ("qwen-research",)
    assert findings(terms) == []


def test_a_text_beats_the_tag_and_the_difference_is_told() -> None:
    terms = judged(model(ME, "apache-2.0", licence("llama3.1", Basis.FOUND)))
    assert terms.effective[Scope.WEIGHTS].ids == ("llama3.1",)
    (finding,) = [one for one in terms.findings if one.id == "licence-differs"]
    assert finding.severity is Severity.CONFLICT
    assert {place.file for place in finding.evidence} == {"README.md", "LICENSE"}


def test_a_text_that_is_not_known_leaves_it_open() -> None:
    text = LicenceFact(Basis.FOUND, at("LICENSE"), Scope.EVERYTHING, None, "LICENSE", score=0.0)
    terms = judged(model(ME, "mit", text))
    assert set(outcomes(terms).values()) == {Outcome.NOT_SHOWN}
    assert findings(terms) == ["licence-text-unidentified"]


@pytest.mark.parametrize(
    ("tag", "texts", "ids"),
    [
        ("gpl", ["gpl-3.0"], ("gpl-3.0",)),
        ("bsd", ["bsd-3-clause"], ("bsd-3-clause",)),
        ("lgpl-3.0", ["lgpl-3.0", "gpl-3.0"], ("lgpl-3.0", "gpl-3.0")),
        ("MIT OR Apache-2.0", ["mit", "apache-2.0"], ("mit",)),
        ("MIT AND CC-BY-NC-4.0", [], ("cc-by-nc-4.0", "mit")),
        ("GPL-2.0-only OR CC-BY-NC-4.0", [], ("gpl-2.0",)),
    ],
)
def test_what_agrees_is_no_difference(tag: str, texts: Sequence[str], ids: tuple[str, ...]) -> None:
    terms = judged(model(ME, licence(tag), *(licence(text, Basis.FOUND) for text in texts)))
    assert sorted(terms.effective[Scope.WEIGHTS].ids) == sorted(ids)
    assert "licence-differs" not in findings(terms)


@pytest.mark.parametrize(
    "facts",
    [
        (licence("other", name="acme-research-only"), licence("mit", Basis.FOUND)),
        (licence("apache-2.0", name="acme-non-commercial"),),
        (licence("apache-2.0", name="acme-non-commercial"), licence("apache-2.0", Basis.FOUND)),
        (licence("apache-2.0", name="llama3.1"),),
    ],
)
def test_an_open_licence_under_the_name_of_other_terms_is_in_dispute(facts: tuple[LicenceFact, ...]) -> None:
    terms = judged(model(ME, *facts))
    assert set(outcomes(terms).values()) == {Outcome.NOT_SHOWN}
    assert findings(terms) == ["licence-differs"]
    assert {fact.evidence for fact in facts} <= set(terms.effective[Scope.WEIGHTS].evidence)


@pytest.mark.parametrize(("tag", "name"), [("apache-2.0", "Apache License, Version 2.0"), ("mit", "The MIT License")])
def test_the_title_of_a_licence_is_no_name_of_other_terms(tag: str, name: str) -> None:
    terms = judged(model(ME, licence(tag, name=name)))
    assert (outcomes(terms)["open"], findings(terms)) == (Outcome.MET, [])


def test_a_policy_for_the_use_speaks_against_an_open_licence_only() -> None:
    policy = Finding("use-policy", Severity.NOTE, "USE_POLICY.md limits the use", (at("USE_POLICY.md"),))
    for tag, outcome in (("apache-2.0", Outcome.NOT_SHOWN), ("llama3.1", Outcome.NOT_MET)):
        node = model(ME, tag)
        terms = judged(replace(node, collected=replace(node.collected, findings=(policy,))))
        assert outcomes(terms)["use"] is outcome
        assert ("licence-differs" in findings(terms)) is (tag == "apache-2.0")


def test_an_open_tag_against_closed_terms_that_are_known_is_in_dispute() -> None:
    known = licence("llama2", Basis.KNOWN)
    terms = judged(model(ME, "mit", known))
    assert findings(terms) == ["licence-differs"]
    assert Outcome.MET not in outcomes(terms).values()
    open_too = judged(model(ME, "mit", licence("apache-2.0", Basis.KNOWN)))
    assert set(outcomes(open_too).values()) == {Outcome.MET}


def test_one_of_several_tags_that_names_nothing_leaves_all_open() -> None:
    terms = judged(model(ME, "apache-2.0", licence("other", name="acme")))
    assert set(outcomes(terms).values()) == {Outcome.NOT_SHOWN}


@pytest.mark.parametrize(
    ("base", "child", "conflict"),
    [
        ("gpl-2.0-or-later", "gpl-3.0", False),
        ("gpl-2.0-or-later", "GPL-3.0-or-later", False),
        ("lgpl-2.1-or-later", "lgpl-3.0", False),
        ("gpl-2.0", "gpl-3.0", True),
        ("gpl-3.0", "gpl-2.0-or-later", True),
        ("gpl-2.0-or-later", "mit", True),
    ],
)
def test_a_later_version_will_do_where_the_licence_says_so(base: str, child: str, conflict: bool) -> None:
    terms = judged(model(ME, child), (Relation.FINETUNE, model("hf:a/base", base)))
    assert bool(terms.conflicts) is conflict


def test_that_later_versions_will_do_stands_in_the_tag_and_not_in_the_text() -> None:
    terms = judged(model(ME, "GPL-2.0-or-later", licence("gpl-2.0", Basis.FOUND)))
    assert terms.effective[Scope.WEIGHTS].ids == ("gpl-2.0-or-later",)
    assert "licence-differs" not in findings(terms)


def header(tag: str) -> LicenceFact:
    """A tag in the file of the weights."""
    return replace(licence(tag, scope=Scope.WEIGHTS), evidence=at("model.gguf"))


@pytest.mark.parametrize(("card", "weights"), [("cc-by-nc-4.0", "apache-2.0"), ("apache-2.0", "mit"), ("other", "mit")])
def test_a_header_does_not_silence_the_card(card: str, weights: str) -> None:
    terms = judged(model(ME, card, header(weights)))
    assert set(outcomes(terms).values()) == {Outcome.NOT_SHOWN}
    (finding,) = [one for one in terms.findings if one.id == "licence-differs"]
    assert {place.file for place in finding.evidence} == {"README.md", "model.gguf"}


@pytest.mark.parametrize(("card", "weights"), [("mit", "MIT"), ("gpl", "gpl-3.0"), ("MIT OR Apache-2.0", "mit")])
def test_a_header_that_agrees_with_the_card_is_no_difference(card: str, weights: str) -> None:
    terms = judged(model(ME, card, header(weights)))
    assert outcomes(terms)["open"] is Outcome.MET
    assert "licence-differs" not in findings(terms)


def test_what_one_form_says_of_the_weights_is_more_than_what_it_says_of_everything() -> None:
    told = licence("apache-2.0"), licence("cc-by-nc-4.0", scope=Scope.WEIGHTS)
    assert judged(model(ME, *told)).effective[Scope.WEIGHTS].ids == ("cc-by-nc-4.0",)


def test_a_text_counts_where_header_and_card_differ() -> None:
    terms = judged(model(ME, "cc-by-nc-4.0", header("apache-2.0"), licence("cc-by-nc-4.0", Basis.FOUND)))
    assert terms.effective[Scope.WEIGHTS].ids == ("cc-by-nc-4.0",)
    assert findings(terms) == ["licence-differs"]


def test_what_an_ancestor_takes_is_taken_from_the_parameters_alone() -> None:
    terms = judged(model(ME, "apache-2.0"), (Relation.FINETUNE, model("hf:google/gemma-3-4b-it", "gemma")))
    assert outcomes(terms)["open"] is Outcome.NOT_MET
    for scope in (Scope.CODE, Scope.DOCUMENTS):
        assert set(outcomes(terms, scope).values()) == {Outcome.MET}
        assert terms.effective[scope].limited_by == ""


def test_each_scope_has_its_own_licence() -> None:
    node = model(ME, licence("mit", scope=Scope.CODE), licence("cc-by-nc-4.0", scope=Scope.WEIGHTS))
    terms = judged(node)
    assert outcomes(terms, Scope.CODE)["commercial"] is Outcome.MET
    assert outcomes(terms)["commercial"] is Outcome.NOT_MET
    assert Scope.DOCUMENTS not in terms.effective


def test_a_fine_tune_relabelled_against_the_llama_licence() -> None:
    terms = judged(model(ME, "apache-2.0"), (Relation.FINETUNE, model("hf:meta-llama/Llama-3.1-8B", "llama3.1")))
    label, name = terms.conflicts
    assert label.between == ("hf:me/tern (apache-2.0)", "hf:meta-llama/Llama-3.1-8B (llama3.1)")
    assert "begins with “Llama”" in name.text
    effective = terms.effective[Scope.WEIGHTS]
    assert (effective.open, effective.use, effective.modify) == (Outcome.NOT_MET, Outcome.NOT_MET, Outcome.MET)
    assert (effective.ids, effective.limited_by) == (("apache-2.0", "llama3.1"), "hf:meta-llama/Llama-3.1-8B")
    assert any("700 million" in duty.text and duty.when == "scale" for duty in terms.duties)


def test_the_name_that_the_licence_asks_for_is_no_conflict() -> None:
    node = model("hf:me/llama-tern", "llama3.1")
    assert not judged(node, (Relation.FINETUNE, model("hf:meta-llama/Llama-3.1-8B", "llama3.1"))).conflicts


def test_an_adapter_on_a_base_for_research() -> None:
    terms = judged(model(ME, "apache-2.0"), (Relation.ADAPTER, model("hf:a/base", "mrl-0.1")))
    assert [conflict.between[1] for conflict in terms.conflicts] == ["hf:a/base (mrl-0.1)"]
    assert outcomes(terms)["commercial"] is Outcome.NOT_MET


def test_distilled_from_gemma() -> None:
    gemma = model("hf:google/gemma-2-9b", "gemma")
    terms = judged(model(ME, "mit"), (Relation.DISTILLED, gemma))
    assert len(terms.conflicts) == 1
    assert outcomes(terms)["open"] is Outcome.NOT_MET
    assert any("distilled from Gemma" in duty.text for duty in terms.duties)
    assert not judged(model(ME, "mit"), (Relation.DISTILLED, model("hf:a/b", "apache-2.0"))).conflicts


def test_outputs_that_may_not_train_others() -> None:
    llama = model("hf:meta-llama/Llama-2-7b", "llama2")
    assert judged(model(ME, "mit"), (Relation.SYNTHETIC_DATA, llama)).conflicts
    of_the_family = (Relation.FINETUNE, model("hf:meta-llama/Llama-2-13b", "llama2"))
    assert not judged(model(ME, "llama2"), (Relation.SYNTHETIC_DATA, llama), of_the_family).conflicts


def test_a_merge_of_what_cannot_be_merged() -> None:
    parents = {"hf:a/one": "cc-by-nc-4.0", "hf:b/two": "llama3", "hf:c/three": "gpl-3.0"}
    terms = judged(model(ME, "gpl-3.0"), *((Relation.MERGE, model(id, tag)) for id, tag in parents.items()))
    pairs = {conflict.between for conflict in terms.conflicts}
    assert ("hf:c/three (gpl-3.0)", "hf:a/one (cc-by-nc-4.0)") in pairs
    assert ("hf:c/three (gpl-3.0)", "hf:b/two (llama3)") in pairs
    assert "share-alike-weights" in findings(terms)


def test_a_base_without_derivatives() -> None:
    alone = judged(model(ME, "cc-by-nd-4.0"))
    assert (outcomes(alone)["share"], outcomes(alone)["modify"]) == (Outcome.MET, Outcome.NOT_MET)
    terms = judged(model(ME, "cc-by-nd-4.0"), (Relation.FINETUNE, model("hf:a/base", "cc-by-nd-4.0")))
    assert outcomes(terms)["share"] is Outcome.NOT_MET
    assert len(terms.conflicts) == 1


def test_what_may_reach_is_neither_yes_nor_no() -> None:
    terms = judged(model(ME, "mit"), (Relation.UNKNOWN, model("hf:a/base", "cc-by-nc-4.0")))
    assert outcomes(terms)["commercial"] is Outcome.NOT_SHOWN
    assert not terms.conflicts
    assert any(duty.text.startswith("may apply: ") for duty in terms.duties)


def test_nothing_known_of_a_parent_is_neither_yes_nor_no() -> None:
    terms = judged(model(ME, "mit"), (Relation.FINETUNE, model("hf:a/base", kind="unreached")))
    assert set(outcomes(terms).values()) == {Outcome.NOT_SHOWN}
    assert findings(terms) == ["licence-unread"]
    assert terms.effective[Scope.WEIGHTS].limited_by == "hf:a/base"


def test_clauses_travel_over_several_edges_each_of_their_kind() -> None:
    first, middle, base = model(ME, "mit"), model("hf:a/mid", "mit"), model("hf:google/gemma", "gemma", depth=2)

    def lineage(second: Relation) -> Lineage:
        edges = (Edge(ME, "hf:a/mid", Relation.QUANTISED, "d"), Edge("hf:a/mid", "hf:google/gemma", second, "d"))
        return Lineage((first, middle, base), edges)

    assert judge(lineage(Relation.DISTILLED)).effective[Scope.WEIGHTS].limited_by == "hf:google/gemma"
    mrl = model("hf:google/gemma", "mrl-0.1", depth=2)
    far = Lineage((first, middle, mrl), lineage(Relation.DISTILLED).edges)
    assert outcomes(judge(far))["commercial"] is Outcome.MET


def test_a_publisher_may_relicense_its_own_model() -> None:
    terms = judged(model("hf:a/new", "mit"), (Relation.FINETUNE, model("hf:a/old", "mrl-0.1")))
    assert not terms.conflicts
    assert "licence-changed-by-publisher" in findings(terms)


def data(name: str, licence: str = "", size: int | None = None, basis: Basis = Basis.DECLARED) -> DatasetFact:
    return DatasetFact(basis, at("README.md"), name, Role.TRAINING, Availability.OPEN, licence, size)


def test_data_is_summed_up_by_licence_and_the_unknown_comes_last() -> None:
    facts = [data("a", "CC0-1.0", 60), data("b", "cc-by-sa-4.0", 30), data("c", "", 10), data("d", "other")]
    terms = judged(model(ME, "mit", *facts, data("a", "cc0-1.0", 60, Basis.FOUND)))
    assert terms.data == (
        DataShare("cc0-1.0", 60, 0.6, 1),
        DataShare("cc-by-sa-4.0", 30, 0.3, 1),
        DataShare("unknown", 10, 0.1, 2),
    )
    assert findings(terms) == ["data-share-alike", "data-licence-unknown"]
    assert [duty.origin for duty in terms.duties if duty.licence == "cc-by-sa-4.0"] == ["b"]
    assert not terms.conflicts


def test_data_that_is_not_for_commerce_or_is_outputs() -> None:
    terms = judged(model(ME, "mit", data("a", "cc-by-nc-4.0"), data("chats", "llama3.1")))
    assert "data-non-commercial" in findings(terms)
    assert any(duty.licence == "llama3.1" and "outputs" in duty.text for duty in terms.duties)
    assert outcomes(terms)["commercial"] is Outcome.MET


def test_evaluation_data_is_not_training_data() -> None:
    fact = DatasetFact(Basis.DECLARED, at("README.md"), "e", Role.EVALUATION, Availability.OPEN, "cc-by-nc-4.0")
    assert judged(model(ME, "mit", fact)).data == ()


IDS = [licence.id for licence in every()]
TAGS = st.sampled_from([*IDS, "other", ""])
PARENTS = st.lists(st.tuples(st.sampled_from(list(Relation)), TAGS), max_size=3)


def family(tag: str, parents: Sequence[tuple[Relation, str]]) -> Terms:
    def of(id: str, tag: str) -> Node:
        return model(id, *([tag] if tag else []))

    return judged(of(ME, tag), *((relation, of(f"hf:p{i}/m", tag)) for i, (relation, tag) in enumerate(parents)))


@given(TAGS, PARENTS, st.tuples(st.sampled_from(list(Relation)), TAGS))
def test_another_parent_never_gives_more(
    tag: str, parents: list[tuple[Relation, str]], more: tuple[Relation, str]
) -> None:
    before, after = outcomes(family(tag, parents)), outcomes(family(tag, [*parents, more]))
    for right in RIGHTS:
        assert ORDER.index(after[right]) <= ORDER.index(before[right]), right


@given(TAGS, PARENTS)
def test_a_lineage_with_cycles_ends(tag: str, parents: list[tuple[Relation, str]]) -> None:
    nodes = (model(ME, "mit"), *(model(f"hf:p{i}/m", tag) for i, (_, tag) in enumerate(parents) if tag))
    edges = tuple(Edge(a.id, b.id, relation, "d") for relation, _ in parents for a in nodes for b in nodes)
    terms = judge(Lineage(nodes, edges))
    assert len(set(terms.duties)) == len(terms.duties)
