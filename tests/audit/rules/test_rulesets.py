"""The rules as data. python -m pytest tests/audit/rules/test_rulesets.py"""

import inspect
from collections.abc import Iterator

import pytest

from regrow.auditing.facts import Component
from regrow.auditing.rules import Leaf, Rule, explain, ids, named
from regrow.auditing.rules.predicates import PREDICATES
from regrow.auditing.rules.rulesets import FILES, Needs, ruleset, usual_licences
from regrow.errors import RecipeError

RULES = [explain(name) for name in ids()]


def leaves(needs: Needs) -> Iterator[Leaf]:
    if isinstance(needs, Leaf):
        yield needs
    else:
        for need in needs.needs:
            yield from leaves(need)


def test_ids_are_unique_and_begin_with_their_definition() -> None:
    assert len(set(ids())) == len(ids())
    assert all(name.startswith(tuple(f"{definition}/" for definition in FILES)) for name in ids())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_asks_predicates_for_what_they_take(rule: Rule) -> None:
    for leaf in leaves(rule.needs):
        signature = inspect.signature(PREDICATES[leaf.predicate])
        signature.bind(None, None, **leaf.parameters)
        for names in (leaf.parameters.get("any_of", []), leaf.parameters.get("carriers", [])):
            assert all(Component(name) for name in names)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_says_what_it_is_and_where_from(rule: Rule) -> None:
    assert rule.title and rule.obligation and rule.how and rule.version >= 1
    assert bool(rule.source) == (rule.id.split("/")[0] not in ("ladder", "part")), "ours have no source"
    assert rule.mechanical in ("", "skip", "only")
    if rule.source and rule.id.split("/")[1] not in ("rebuild", "fork"):
        assert rule.place
    assert len(rule.quote) <= 90


def test_every_predicate_is_used() -> None:
    assert {leaf.predicate for rule in RULES for leaf in leaves(rule.needs)} == set(PREDICATES)


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("osaid-1.0/code/training", ["osaid-1.0/code/training"]),
        ("data", ["part/data"]),
        ("training code", ["part/training-code"]),
        ("part/data", ["part/data"]),
        ("use", ["freedom/use/right", "freedom/use/means"]),
        ("freedom/use/right", ["freedom/use/right"]),
        ("mof/data-card", ["mof/data-card"]),
    ],
)
def test_a_name_means_a_rule_or_those_of_an_answer(name: str, ids: list[str]) -> None:
    assert [rule.id for rule in named(name)] == ids


def test_the_name_of_a_definition_or_of_a_group_means_all_rules_in_it() -> None:
    assert named("osaid-1.0") == ruleset("osaid-1.0").rules
    assert {rule.id.rpartition("/")[0] for rule in named("osaid-1.0/code/")} == {"osaid-1.0/code"}


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("osaid-1.0/orign", "`osaid-1.0/origin`"),
        ("dta", "`data`"),
        ("shar", "`share`"),
        ("osaid", "`osaid-1.0`"),
        ("trainin", "`osaid-1.0/code/training`"),
        ("rebild", "`rebuild`"),
        ("", "`data`"),
        ("zzz", "`osaid-1.0`"),
    ],
)
def test_a_wrong_name_is_an_error_with_those_that_are_near(wrong: str, near: str) -> None:
    with pytest.raises(RecipeError, match="there is no rule") as caught:
        named(wrong)
    assert near in caught.value.hint
    with pytest.raises(RecipeError, match="there is no rule"):
        explain(wrong)


def test_the_framework_has_its_components_classes_and_licences() -> None:
    rules = ruleset("mof").rules
    assert {rule.id.removeprefix("mof/") for rule in rules} == set(Component)
    required = {level: sum(rule.level == level and rule.required for rule in rules) for level in ("III", "II", "I")}
    assert required == {"III": 6, "II": 4, "I": 4}
    assert len([rule for rule in rules if not rule.required]) == 3
    assert sum(map(len, usual_licences().values())) == 33  # 31 in all; CC-PDDC and CC0 count twice, OpenMDW three times
