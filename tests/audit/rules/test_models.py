"""Kinds of models and how far each falls. python -m pytest tests/audit/rules/test_models.py"""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from regrow.auditing.facts import (
    AccessFact,
    AllDataFact,
    Availability,
    Basis,
    Component,
    DataAspectFact,
    DatasetFact,
    Fact,
    LicenceFact,
    OriginFact,
    Rebuild,
    RebuildFact,
    Relation,
    Scope,
    State,
)
from regrow.auditing.lineage import Lineage
from regrow.auditing.result import Claim, Definition, Outcome, Verdict
from regrow.auditing.rules import Judgement, judge

from . import build
from .build import alone, complete, component, data, derived, documented, drop, judged, licence, without

MET, NOT_MET, NOT_SHOWN = Outcome.MET, Outcome.NOT_MET, Outcome.NOT_SHOWN
BASE = "hf:mistralai/Mistral-7B-v0.1"


def answers(judgement: Judgement) -> dict[str, str]:
    return {one.name: one.answer for one in (*judgement.parts, *judgement.freedoms)}


def verdict(judgement: Judgement, rule: str) -> Verdict:
    return next(one for whole in judgement.definitions for one in whole.verdicts if one.rule == rule)


def definition(judgement: Judgement, name: str) -> Definition:
    return next(one for one in judgement.definitions if one.id == name)


def failing(judgement: Judgement, name: str) -> set[str]:
    return {one.rule.removeprefix(f"{name}/") for one in definition(judgement, name).verdicts if one.outcome is not MET}


def of(facts: Iterable[Fact], kind: str = "release") -> Judgement:
    return judged(alone(facts, kind))


# Complete


def test_a_complete_release_meets_everything() -> None:
    judgement = of(complete())
    assert set(answers(judgement).values()) == {"yes"}
    assert judgement.osaid is MET
    assert judgement.mof_class == "I"
    assert definition(judgement, "eu-ai-act-53-2").outcome is MET
    assert definition(judgement, "ladder").level == "rebuilt-here"
    assert [one.name for one in judgement.parts] == ["data", "training-code", "weights", "inference"]
    assert [one.name for one in judgement.freedoms] == ["use", "study", "modify", "share", "rebuild", "fork"]


def test_a_documented_model_meets_the_definitions_but_nobody_has_built_it() -> None:
    judgement = of(documented(), "huggingface")
    assert judgement.osaid is MET
    assert judgement.mof_class == "I"
    assert {name for name, word in answers(judgement).items() if word != "yes"} == {"rebuild"}
    assert definition(judgement, "ladder").level == ""


# Stripped: each variant falls exactly as far as it should


def test_without_its_data() -> None:
    gone = without(complete(), Component.DATASETS, Component.DATA_CARD, state=State.ABSENT)
    judgement = of(drop(gone, DatasetFact))
    found = answers(judgement)
    assert {name for name, word in found.items() if word == "no"} == {"data", "study", "rebuild", "fork"}
    assert judgement.osaid is NOT_MET
    assert failing(judgement, "osaid-1.0") == {
        f"data-information/{name}"
        for name in ("kinds", "public-data", "obtainable-data", "open-data", "unshareable-data")
    }
    assert judgement.mof_class == "II", "the data card may stand in the model card, the data itself may not"
    assert definition(judgement, "mof").next == ("add the datasets under an open licence",)


def test_without_its_recipe() -> None:
    gone = Component.TRAINING_CODE, Component.METADATA
    judgement = of(drop(without(complete(), *gone, state=State.ABSENT), RebuildFact))
    assert failing(judgement, "osaid-1.0") == {"code/training", "code/settings", "code/complete"}
    assert judgement.osaid is NOT_MET
    assert judgement.mof_class == "III"
    found = {name for name, word in answers(judgement).items() if word != "yes"}
    assert found == {"training-code", "study", "modify", "rebuild", "fork"}
    assert definition(judgement, "mof").next == ("add the training code under an open licence",)


def test_without_its_licence() -> None:
    judgement = of(drop(complete(), LicenceFact))
    assert judgement.osaid is NOT_MET, "a release that was read and states no terms"
    assert failing(judgement, "osaid-1.0") == {
        "data-information/terms",
        "code/licence",
        "parameters/terms",
        "parameters/assertion",
    }
    assert judgement.mof_class is None
    assert all(answers(judgement)[name] == "yes" for name in ("data", "training-code", "weights", "study", "rebuild"))
    assert all(answers(judgement)[name] == "not shown" for name in ("use", "modify", "share", "fork"))


def test_promised_is_neither_there_nor_absent() -> None:
    judgement = of(drop(without(complete(), Component.TRAINING_CODE, state=State.PROMISED), RebuildFact))
    assert answers(judgement)["training-code"] == "not shown"
    assert verdict(judgement, "osaid-1.0/code/training").reason == "training code: promised, not seen"
    assert verdict(judgement, "mof/training-code").reason.startswith("missing: training code: promised")


def test_weights_only() -> None:
    judgement = of(build.weights_only(), "huggingface")
    found = answers(judgement)
    assert {name for name, word in found.items() if word == "yes"} == {"weights", "use", "share"}
    assert "no" not in found.values(), "what was not looked for is not absent"
    assert judgement.osaid is NOT_SHOWN
    assert judgement.mof_class is None


def test_public_data_that_was_not_seen_is_listed_but_not_had() -> None:
    facts = [fact for fact in documented() if not isinstance(fact, DatasetFact)]
    facts = without(facts, Component.DATASETS, state=State.PROMISED)
    facts.append(replace(build.named("pile", Availability.PUBLIC, "https://example/pile"), licence="cc0-1.0"))
    judgement = of(facts, "huggingface")
    assert verdict(judgement, "osaid-1.0/data-information/public-data").outcome is MET
    assert judgement.osaid is MET, "public data need not be shared"
    assert answers(judgement)["data"] == "not shown"
    assert judgement.mof_class == "II"


# Data


def test_all_four_kinds_of_data_are_allowed_but_nobody_can_rebuild_from_secrets() -> None:
    shared = (data(f"set-{kind}", kind) for kind in list(Availability)[:3])
    kept = data("letters", Availability.UNSHAREABLE, "LicenseRef-Archive")
    judgement = of([*drop(complete(), DatasetFact), *shared, kept])
    assert judgement.osaid is MET
    assert "cannot be shared (LicenseRef-Archive), which the definition allows" in (
        verdict(judgement, "osaid-1.0/data-information/unshareable-data").reason
    )
    assert {answers(judgement)[name] for name in ("data", "rebuild", "fork")} == {"no"}
    assert answers(judgement)["study"] == "yes"
    assert verdict(judgement, "mof/datasets").outcome is NOT_MET, "the framework wants all of the data"
    reason = verdict(judgement, "mof/datasets").reason
    assert reason.startswith("set-obtainable has to be got from its owner; letters cannot be shared or had by others")


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"licence": ""}, "not told of it: why"),
        ({"licence": "", "reason": "it holds patients' names"}, ""),
        ({"licence": "cc0-1.0"}, "cc0-1.0 lets everyone share it"),
    ],
)
def test_what_is_called_unshareable_needs_a_reason(change: dict[str, str], reason: str) -> None:
    kept = replace(data("letters", Availability.UNSHAREABLE, "LicenseRef-Archive"), **change)  # type: ignore[arg-type]
    judgement = of([*complete(), kept])
    assert judgement.osaid is (NOT_SHOWN if reason else MET)
    assert reason in verdict(judgement, "osaid-1.0/data-information/unshareable-data").reason


def test_a_description_of_the_other_data_does_not_describe_what_cannot_be_shared() -> None:
    told = [replace(fact, basis=Basis.DECLARED) for fact in build.aspects()]
    kept = data("letters", Availability.UNSHAREABLE, "LicenseRef-Archive")
    general = [*drop(complete(), DataAspectFact), *told, kept]
    assert verdict(of(general), "osaid-1.0/data-information/description").outcome is MET
    assert verdict(of(general), "osaid-1.0/data-information/unshareable-data").outcome is NOT_SHOWN
    assert answers(of(general))["study"] == "not shown"
    own = [replace(fact, about="letters") for fact in told if isinstance(fact, DataAspectFact)]
    judgement = of([*general, *own])
    assert verdict(judgement, "osaid-1.0/data-information/unshareable-data").outcome is MET
    assert answers(judgement)["study"] == "yes"


def test_a_source_that_is_said_to_be_of_two_kinds_is_of_neither() -> None:
    other = replace(data(kind=Availability.UNSHAREABLE), evidence=build.at("README.md"))
    assert verdict(of([*complete(), other]), "osaid-1.0/data-information/kinds").outcome is NOT_SHOWN


def test_data_that_a_card_merely_names_is_not_all_data() -> None:
    facts = drop(documented(), DatasetFact, AllDataFact)
    facts = [*facts, build.named("a", Availability.PUBLIC, "https://a")]
    kinds = verdict(of(facts, "huggingface"), "osaid-1.0/data-information/kinds")
    assert kinds.outcome is NOT_SHOWN
    assert kinds.reason == "data is named, but nothing says that this is all of it"


def test_one_source_of_unknown_availability_leaves_all_open() -> None:
    judgement = of([*complete(), build.data("diary", Availability.UNKNOWN)])
    assert verdict(judgement, "osaid-1.0/data-information/kinds").reason == "not told how one can get diary"
    assert answers(judgement)["data"] == "not shown"


def test_a_name_in_a_card_is_the_data_that_is_known_by_it() -> None:
    judgement = of([*complete(), build.named("someone/Plays")])
    assert verdict(judgement, "osaid-1.0/data-information/kinds").outcome is MET


def test_a_data_card_may_stand_in_the_model_card() -> None:
    facts = without(complete(), Component.DATA_CARD)
    assert of(facts).mof_class == "I"
    assert of(drop(facts, DataAspectFact)).mof_class is None


def test_what_is_optional_does_not_count() -> None:
    judgement = of(without(complete(), Component.SAMPLE_OUTPUTS, Component.LIBRARIES, Component.METADATA))
    assert judgement.mof_class == "I"
    assert failing(judgement, "mof") == {"sample-model-outputs", "supporting-libraries-and-tools", "model-metadata"}


def test_a_paper_makes_the_report_unnecessary_and_may_hold_the_results() -> None:
    facts = without(complete(), Component.TECHNICAL_REPORT, state=State.ABSENT)
    assert of(facts).mof_class == "I"
    facts = without(facts, Component.EVALUATION_RESULTS, state=State.ABSENT)
    results = verdict(of(facts), "mof/evaluation-results")
    assert (results.outcome, "may be in the research paper" in results.reason) == (NOT_SHOWN, True)
    facts = without(facts, Component.RESEARCH_PAPER, state=State.ABSENT)
    assert verdict(of(facts), "mof/evaluation-results").outcome is NOT_MET


def test_a_path_on_the_makers_machine_is_no_place_to_get_data() -> None:
    judgement = of([*drop(complete(), DatasetFact), replace(data(), where="file:texts")])
    assert verdict(judgement, "osaid-1.0/data-information/public-data").reason == "not told where to get plays"
    assert answers(judgement)["rebuild"] == "not shown"


# Licences


def test_code_may_have_another_licence_than_weights() -> None:
    code = Component.TRAINING_CODE, Component.PREPROCESSING_CODE, Component.EVALUATION_CODE, Component.INFERENCE_CODE
    facts = [*drop(without(complete(), *code), LicenceFact), licence("cc0-1.0")]
    assert verdict(of([*facts, *map(component, code)]), "osaid-1.0/code/licence").outcome is NOT_MET
    own = [component(name, licence="apache-2.0") for name in code]
    assert of([*facts, *own]).osaid is MET
    assert of([*facts, *own, component(code[0], licence="our terms")]).osaid is NOT_SHOWN


def test_a_components_own_licence_comes_first() -> None:
    facts = without(complete(), Component.TRAINING_CODE)
    closed = of([*facts, component(Component.TRAINING_CODE, licence="cc-by-nc-4.0")])
    assert verdict(closed, "mof/training-code").reason.startswith("invalid: training code")
    assert closed.mof_class == "III"
    unknown = of([*facts, component(Component.TRAINING_CODE, licence="our terms")])
    assert verdict(unknown, "mof/training-code").outcome is NOT_SHOWN
    unusual = of([*facts, component(Component.TRAINING_CODE, licence="cc0-1.0")])
    assert unusual.mof_class == "I"
    assert any("cc0-1.0 is open, but not among" in note for note in definition(unusual, "mof").notes)


def test_a_licence_that_the_framework_means_for_data_will_do_for_data_and_not_for_code() -> None:
    facts = without(complete(), Component.EVALUATION_DATA, Component.EVALUATION_CODE)
    for name, outcome in ((Component.EVALUATION_DATA, MET), (Component.EVALUATION_CODE, NOT_MET)):
        assert verdict(of([*facts, component(name, licence="c-uda")]), f"mof/{name}").outcome is outcome


def test_then_the_licence_of_its_type() -> None:
    facts = drop(complete(), LicenceFact)
    judgement = of([*facts, licence("apache-2.0"), licence("cc-by-nc-4.0", Scope.CODE)])
    assert verdict(judgement, "mof/training-code").outcome is NOT_MET
    assert verdict(judgement, "mof/model-parameters-final").outcome is MET
    assert verdict(judgement, "osaid-1.0/code/licence").outcome is NOT_MET


@pytest.mark.parametrize(
    ("name", "eu", "use"),
    [
        ("apache-2.0", MET, "yes"),
        ("cc-by-nc-4.0", NOT_MET, "no"),
        ("llama3.1", NOT_MET, "no"),
        ("bigscience-openrail-m", NOT_SHOWN, "no"),
        ("gemma", NOT_SHOWN, "no"),
        (None, NOT_SHOWN, "not shown"),
    ],
)
def test_licences_of_weights(name: str | None, eu: Outcome, use: str) -> None:
    judgement = of([*drop(complete(), LicenceFact), licence(name)])
    assert verdict(judgement, "eu-ai-act-53-2/licence").outcome is eu
    assert answers(judgement)["use"] == use
    assert (judgement.osaid is MET) == (name == "apache-2.0")


def test_a_gate_is_no_open_door() -> None:
    gated = [*drop(complete(), AccessFact), AccessFact(Basis.DECLARED, build.at("README.md"), "gated")]
    judgement = of(gated)
    assert {answers(judgement)[name] for name in ("weights", "use", "fork")} == {"not shown"}
    assert verdict(judgement, "eu-ai-act-53-2/no-monetisation").outcome is NOT_SHOWN
    paid = [*drop(complete(), AccessFact), AccessFact(Basis.DECLARED, build.at("README.md"), "paid")]
    assert answers(of(paid))["use"] == "no"


def test_having_the_weights_does_not_tell_how_others_get_them() -> None:
    judgement = of(drop(complete(), AccessFact))
    assert answers(judgement)["use"] == "yes"
    assert verdict(judgement, "eu-ai-act-53-2/no-monetisation").outcome is NOT_SHOWN


# Lineage


def test_an_ancestor_that_the_licence_judge_names_is_named() -> None:
    line = derived(documented(), (BASE, Relation.DISTILLED, []))
    own = build.own_terms(line)
    less = replace(own.effective[Scope.WEIGHTS], open=NOT_MET, reason="gemma reaches it", limited_by=BASE)
    judgement = judge(line, replace(own, effective={**own.effective, Scope.WEIGHTS: less}), (), build.own_terms)
    terms = verdict(judgement, "osaid-1.0/parameters/terms")
    assert (terms.outcome, terms.limited_by, terms.reason) == (NOT_MET, BASE, "weights: gemma reaches it")
    assert verdict(judgement, "mof/model-parameters-final").outcome is NOT_MET


def test_an_open_adapter_on_closed_data_is_limited_by_its_base() -> None:
    judgement = judged(derived(build.adapter(), (BASE, Relation.ADAPTER, build.weights_only())))
    assert judgement.osaid is NOT_SHOWN
    description = verdict(judgement, "osaid-1.0/data-information/description")
    assert description.limited_by == BASE
    assert description.reason.startswith("limited by mistralai/Mistral-7B-v0.1: not seen: the training data")
    assert description.reading
    assert judgement.mof_class is None
    limited = {one.name for one in (*judgement.parts, *judgement.freedoms) if one.limited_by == BASE}
    assert limited == {"data", "training-code", "study", "modify", "rebuild", "fork"}
    assert any(
        line.startswith("of mistralai/Mistral-7B-v0.1: describe") for line in definition(judgement, "osaid-1.0").next
    )


def test_terms_of_the_base_bind_the_child() -> None:
    base = [*drop(complete(), LicenceFact), licence("cc-by-nc-4.0")]
    judgement = judged(derived(build.adapter(), (BASE, Relation.FINETUNE, base)))
    assert answers(judgement)["use"] == "no"
    assert verdict(judgement, "osaid-1.0/parameters/terms").limited_by == BASE
    assert verdict(judgement, "eu-ai-act-53-2/licence").outcome is NOT_MET


def test_what_could_not_be_read_shows_nothing() -> None:
    judgement = judged(derived(build.adapter(), (BASE, Relation.FINETUNE, None)))
    assert judgement.osaid is NOT_SHOWN
    assert "no" not in answers(judgement).values()


def test_a_parent_outside_the_lineage_counts_as_not_read() -> None:
    line = derived(build.adapter(), (BASE, Relation.FINETUNE, complete()))
    assert judged(line).osaid is MET
    assert judged(Lineage(line.nodes[:1], line.edges)).osaid is NOT_SHOWN


def test_a_parent_by_an_unknown_relation_can_only_cast_doubt() -> None:
    base = [*drop(complete(), LicenceFact), licence("cc-by-nc-4.0")]
    judgement = judged(derived(documented(), (BASE, Relation.UNKNOWN, base)))
    terms = verdict(judgement, "osaid-1.0/parameters/terms")
    assert (terms.outcome, terms.limited_by) == (NOT_SHOWN, BASE)


@pytest.mark.parametrize("relation", [Relation.DISTILLED, Relation.SYNTHETIC_DATA])
def test_teachers_are_reported_and_not_judged(relation: Relation) -> None:
    judgement = judged(derived(documented(), (BASE, relation, build.weights_only(None))))
    assert judgement.osaid is MET
    assert any("Outputs of mistralai/Mistral-7B-v0.1" in note for note in definition(judgement, "osaid-1.0").notes)


def test_a_conversion_needs_its_tool_and_the_data_of_its_parent_only() -> None:
    converted = [component(Component.PARAMETERS), build.architecture(), licence("apache-2.0")]
    converted += [component(Component.INFERENCE_CODE), component(Component.ARCHITECTURE)]
    bare = judged(derived(converted, (BASE, Relation.QUANTISED, complete())))
    assert failing(bare, "osaid-1.0") == {"code/conversion", "code/tokenizer"}
    whole = judged(derived([*converted, component(Component.LIBRARIES)], (BASE, Relation.QUANTISED, complete())))
    assert whole.osaid is MET
    assert answers(whole)["data"] == "yes"
    assert answers(whole)["rebuild"] == "not shown", "the conversion itself was not repeated"
    poor = judged(
        derived([*converted, component(Component.LIBRARIES)], (BASE, Relation.QUANTISED, build.weights_only()))
    )
    assert verdict(poor, "osaid-1.0/data-information/kinds").limited_by == BASE


def test_a_rule_on_conversions_is_silent_where_nothing_was_converted() -> None:
    assert all(one.rule != "osaid-1.0/code/conversion" for one in definition(of(complete()), "osaid-1.0").verdicts)


def test_circles_end() -> None:
    facts = drop(complete(), OriginFact)
    line = derived(facts, (BASE, Relation.QUANTISED, facts))
    back = build.Edge(BASE, build.MODEL, Relation.QUANTISED, "declared")
    judgement = judged(Lineage(line.nodes, (*line.edges, back)))
    assert verdict(judgement, "osaid-1.0/data-information/kinds").outcome is MET


def test_not_knowing_the_origin_is_not_meeting_the_definition() -> None:
    judgement = of(drop(complete(), OriginFact))
    assert failing(judgement, "osaid-1.0") == {"origin"}
    assert answers(judgement)["data"] == "not shown"


# The ladder, the Act, claims


@pytest.mark.parametrize("level", list(Rebuild))
def test_the_ladder(level: Rebuild) -> None:
    ladder = definition(of([*drop(complete(), RebuildFact), build.rebuild(level, "alice")]), "ladder")
    assert ladder.level == level
    assert bool(ladder.next) == (level is not Rebuild.REBUILT_BY_OTHERS)


def test_others_are_counted_once_and_other_digests_not_at_all() -> None:
    others = [build.rebuild(Rebuild.REBUILT_BY_OTHERS, name) for name in ("alice", "bob", "alice")]
    wrong = build.rebuild(Rebuild.REBUILT_BY_OTHERS, "mallory", "e" * 64)
    ladder = definition(of([*complete(), *others, wrong]), "ladder")
    assert "Rebuilt by 2 others: alice, bob." in ladder.notes
    assert "Not counted, being about another digest: 1 of 7 statements." in ladder.notes
    assert definition(of([*drop(complete(), RebuildFact), wrong]), "ladder").level == ""


@pytest.mark.parametrize(
    ("flops", "outcome", "words"),
    [
        (1e22, MET, "indicatively no general-purpose model"),
        (1e24, MET, "indicatively a general-purpose model"),
        (2e25, NOT_MET, "indicatively a general-purpose model"),
    ],
)
def test_thresholds_of_the_act(flops: float, outcome: Outcome, words: str) -> None:
    judgement = of([*drop(complete(), build.TrainingFact), build.flops(flops)])
    assert verdict(judgement, "eu-ai-act-53-2/no-systemic-risk").outcome is outcome
    notes = definition(judgement, "eu-ai-act-53-2").notes
    assert any(words in note for note in notes)
    assert any("53(1)(c)" in note and "53(1)(d)" in note for note in notes)


@pytest.mark.parametrize(
    ("change", "original", "words"),
    [
        (1e23, 2e23, "is the provider of a new model"),
        (1e22, 2e23, "is not the provider of a new model"),
        (1e22, 1e22, "indicatively no general-purpose model, so changing it"),
        (1e23, None, "is the provider of a new model"),
        (1e21, None, "is not the provider of a new model"),
    ],
)
def test_the_one_third_rule(change: float, original: float | None, words: str) -> None:
    child = [*drop(build.adapter(), build.TrainingFact), build.flops(change)]
    base = drop(complete(), build.TrainingFact, build.ArchitectureFact)
    base += [build.flops(original)] if original else []
    notes = definition(judged(derived(child, (BASE, Relation.FINETUNE, base))), "eu-ai-act-53-2").notes
    assert any(words in note for note in notes), notes


def test_a_third_of_what_is_not_wholly_known_is_not_computed() -> None:
    base = [*drop(complete(), build.TrainingFact, OriginFact), build.flops(9e23)]
    child = [*drop(build.adapter(), build.TrainingFact), build.flops(1e23)]
    notes = definition(judged(derived(child, (BASE, Relation.FINETUNE, base))), "eu-ai-act-53-2").notes
    assert any("more than a third of 1e23 (the training of" in note for note in notes), notes


def test_claims_that_were_not_delivered_are_noted() -> None:
    line = alone(complete())
    claim = Claim("All is\nopen", "everything", NOT_MET, "promised, not found: datasets")
    judgement = judge(line, build.own_terms(line), (claim,), build.own_terms)
    assert "Claimed, not delivered: All is open" in definition(judgement, "osaid-1.0").notes
