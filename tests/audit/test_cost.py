"""What a rebuild would take. python -m pytest tests/audit/test_cost.py"""

from dataclasses import replace

import pytest

from regrow.auditing.cost import estimate
from regrow.auditing.facts import Basis, Fact, Relation, TrainingFact

from .rules.build import MODEL, alone, architecture, at, derived, flops, origin

BASE = "hf:org/base"


def training(tokens: int | None = None, hours: float | None = None, hardware: str = "") -> TrainingFact:
    return TrainingFact(Basis.DECLARED, at("README.md", "training"), tokens, None, hours, hardware)


def test_the_plan_comes_before_what_is_stated_and_that_before_an_estimate() -> None:
    stated = replace(flops(1e20), basis=Basis.DECLARED)
    assert estimate(alone([origin(), stated, flops(1e15)])).flops == 1e15
    assert estimate(alone([origin(), flops(1e15)])).source == "the plan"
    assert estimate(alone([origin(), stated, architecture(), training(1000)], "huggingface")).source == "stated"


def test_an_estimate_says_that_it_is_one() -> None:
    cost = estimate(alone([origin(), architecture(1_000_000_000), training(20_000_000_000)], "huggingface"))
    assert cost.flops == 6 * 1e9 * 20e9
    assert cost.source == "estimated as 6 x parameters x tokens"
    assert (cost.accelerator_hours, cost.accelerator) == (None, "")  # nobody measured any


def test_stated_hours_are_taken_as_stated() -> None:
    cost = estimate(alone([origin(), architecture(), training(1000, 86016, "A100 80GB")], "huggingface"))
    assert (cost.accelerator_hours, cost.accelerator) == (86016, "A100 80GB, as stated")
    alone_hours = estimate(alone([training(None, 5, "TPU v4\n")], "huggingface"))
    assert (alone_hours.flops, alone_hours.accelerator_hours, alone_hours.accelerator) == (None, 5, "TPU v4, as stated")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ([], "not told: parameters and training tokens"),
        ([architecture()], "not told: training tokens"),
        ([training(1000)], "not told: parameters"),
    ],
)
def test_what_cannot_be_told_is_not_guessed(facts: list[Fact], why: str) -> None:
    cost = estimate(alone(facts, "huggingface"))
    assert (cost.flops, cost.accelerator_hours, cost.source) == (None, None, why)


def test_it_is_told_of_whom_something_is_not_told() -> None:
    line = derived([architecture()], (BASE, Relation.FINETUNE, [origin()]))
    base = BASE.removeprefix("hf:")
    assert estimate(line).source == f"not told: training tokens; not told: parameters and training tokens ({base})"


def test_a_chain_is_added_up_from_the_beginning() -> None:
    line = derived([flops(1e18)], (BASE, Relation.FINETUNE, [origin(), flops(1e20)]))
    assert estimate(line).flops == 1.01e20
    converted = derived([], (BASE, Relation.QUANTISED, [origin(), flops(1e20)]))
    assert estimate(converted).flops == 1e20


def test_a_last_stage_alone_is_called_so() -> None:
    cost = estimate(derived([flops(1e18)], (BASE, Relation.FINETUNE, [])))
    assert cost.flops == 1e18
    assert "for the last stage only, not told for org/base" in cost.source


def test_without_an_origin_nobody_knows_what_came_before() -> None:
    assert estimate(alone([flops(1e18)])).source == (
        "the plan; for the last stage only, not told for what model was made from"
    )


def test_an_adapter_is_not_estimated_from_its_own_size() -> None:
    child = [architecture(4_000_000), training(1_000_000)]
    cost = estimate(derived(child, (BASE, Relation.ADAPTER, [origin(), flops(1e20)])))
    assert cost.flops is None
    assert "adapter" in cost.source


def test_teachers_cost_nothing_here() -> None:
    line = derived([origin(), flops(1e18)], (BASE, Relation.DISTILLED, [flops(1e24)]))
    assert estimate(line).flops == 1e18
    assert line.nodes[0].id == MODEL
