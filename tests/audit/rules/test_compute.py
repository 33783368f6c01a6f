"""Figures that cannot be right. python -m pytest tests/audit/rules/test_compute.py"""

from dataclasses import replace

import pytest

from regrow.auditing.facts import Availability, Basis, Component, ComponentFact, Fact, Relation, State, TrainingFact
from regrow.auditing.lineage import Lineage
from regrow.auditing.result import Outcome, Verdict
from regrow.auditing.rules.compute import own

from .build import alone, architecture, at, derived, flops, judged, named, origin

BASE = "hf:org/base"
BILLION = 10**9


def verdict(line: Lineage, rule: str) -> Verdict:
    return next(one for part in judged(line).definitions for one in part.verdicts if one.rule == rule)


def tokens(number: int) -> TrainingFact:
    return TrainingFact(Basis.DECLARED, at("README.md", "training"), number)


@pytest.mark.parametrize(
    ("facts", "right"),
    [
        ([architecture(7 * BILLION), tokens(3)], False),
        ([architecture(100), tokens(19)], False),
        ([architecture(100), tokens(20)], True),
        ([architecture(7 * BILLION), tokens(69_000_000)], False),
        ([architecture(7 * BILLION), tokens(70_000_000)], True),
        ([architecture(7 * BILLION), replace(flops(1e9), basis=Basis.DECLARED)], False),
        ([architecture(7 * BILLION), replace(flops(1e23), basis=Basis.DECLARED)], True),
    ],
)
def test_an_implausible_figure_is_no_figure(facts: list[Fact], right: bool) -> None:
    line = alone([origin(), *facts], "huggingface")
    told = own(line, line.nodes[0])
    assert (told.flops is not None) is right
    assert ("cannot be right" in told.source) is not right
    assert (verdict(line, "eu-ai-act-53-2/no-systemic-risk").outcome is Outcome.MET) is right


def test_tuning_may_take_few_tokens_for_each_parameter() -> None:
    line = derived([architecture(7 * BILLION), tokens(BILLION // 1000)], (BASE, Relation.FINETUNE, [origin()]))
    assert own(line, line.nodes[0]).flops == 6 * 7e9 * 1e6
    line = derived([architecture(7 * BILLION), tokens(3)], (BASE, Relation.FINETUNE, [origin()]))
    assert own(line, line.nodes[0]).flops is None


def test_data_that_is_not_given_limits_all_that_is_made_of_it() -> None:
    withheld = ComponentFact(
        Basis.DECLARED, at("README.md", "line 3"), Component.DATASETS, State.ABSENT, "It is secret."
    )
    base = [origin(), named("wikipedia", where="https://example.org"), withheld]
    line = derived([named("questions")], (BASE, Relation.FINETUNE, base))
    kinds = verdict(line, "osaid-1.0/data-information/kinds")
    assert (kinds.outcome, kinds.limited_by) == (Outcome.NOT_MET, BASE)
    assert "its maker does not give the data (It is secret.)" in kinds.reason
    listed = named("letters", Availability.UNSHAREABLE)
    line = derived([named("questions")], (BASE, Relation.FINETUNE, [*base, listed]))
    assert verdict(line, "osaid-1.0/data-information/kinds").outcome is Outcome.NOT_SHOWN
    looked_for = replace(withheld, basis=Basis.FOUND)
    line = derived([named("questions")], (BASE, Relation.FINETUNE, [*base[:2], looked_for]))
    assert verdict(line, "osaid-1.0/data-information/kinds").outcome is Outcome.NOT_SHOWN
