"""What holds of every model. python -m pytest tests/audit/rules/test_properties.py"""

from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.auditing.facts import (
    Availability,
    Basis,
    Component,
    ComponentFact,
    DatasetFact,
    Fact,
    LicenceFact,
    OriginFact,
    Rebuild,
    Relation,
    State,
    TrainingFact,
)
from regrow.auditing.lineage import Lineage
from regrow.auditing.result import Outcome
from regrow.auditing.rules.results import rank

from . import build

EVERYTHING: list[Fact] = [
    *build.complete(),
    *(build.component(name, state) for name in Component for state in (State.PROMISED, State.ABSENT)),
    *(build.data(f"set-{kind}", kind) for kind in Availability),
    *(build.rebuild(level, "alice") for level in Rebuild),
    *(build.licence(name) for name in ("cc0-1.0", "cc-by-nc-4.0", "gemma", None)),
    *(build.AccessFact(Basis.DECLARED, build.at("README.md", word), word) for word in ("gated", "paid")),
    build.component(Component.TRAINING_CODE, licence="what\x1b[31m is\nthis"),
    build.named("evil\nname" * 30),
    build.flops(3e25),
]

facts = st.lists(st.sampled_from(EVERYTHING), unique=True, max_size=60)
mostly = st.sets(st.sampled_from(range(len(build.complete()))), max_size=4).map(
    lambda gone: [fact for i, fact in enumerate(build.complete()) if i not in gone]
)
models = facts | mostly
kinds = st.sampled_from(["release", "huggingface", "gguf", "unreached"])
relations = st.sampled_from(list(Relation))


def supports(fact: Fact) -> bool:
    """Whether a fact can only speak for a model: it says that something is there, and nothing against it."""
    if isinstance(fact, ComponentFact):
        return fact.state is not State.ABSENT and fact.licence is None
    if isinstance(fact, DatasetFact):
        return False  # what is not named cannot be found lacking
    if isinstance(fact, LicenceFact):
        return fact.id in ("apache-2.0",)
    return not isinstance(fact, (build.AccessFact, TrainingFact, OriginFact))


def lineage(child: list[Fact], parents: list[tuple[Relation, list[Fact] | None]], kind: str) -> Lineage:
    named = [(f"hf:org/parent-{i}", relation, facts) for i, (relation, facts) in enumerate(parents)]
    return build.derived(child, *named, kind=kind)


OF_WHAT_IS_THERE = (
    "mof/",
    "osaid-1.0/code/licence",
    "osaid-1.0/data-information/terms",
    "osaid-1.0/parameters/",
    "eu-ai-act-53-2/licence",
    "answer ",
    "whole ",
)
"""Rules that judge the terms of something, and what follows from them."""


def no_better(left: Lineage, right: Lineage) -> None:
    """Nothing about ``left`` is better than about ``right``, but that what is missing is not under a closed licence."""
    ours, theirs = build.outcomes(build.judged(left)), build.outcomes(build.judged(right))
    better = [name for name, outcome in ours.items() if rank(outcome) > rank(theirs.get(name, Outcome.MET))]
    assert not [name for name in better if ours[name] is Outcome.MET or not name.startswith(OF_WHAT_IS_THERE)]


@settings(deadline=None, max_examples=60)
@given(models, st.lists(st.tuples(relations, st.none() | models), max_size=2), kinds, st.data())
def test_removing_what_speaks_for_a_model_never_improves_it(
    child: list[Fact], parents: list[tuple[Relation, list[Fact] | None]], kind: str, draw: st.DataObject
) -> None:
    speaking = [fact for fact in child if supports(fact)]
    if speaking:
        gone = draw.draw(st.sampled_from(speaking))
        rest = [fact for fact in child if fact is not gone]
        no_better(lineage(rest, parents, kind), lineage(child, parents, kind))


@settings(deadline=None, max_examples=60)
@given(models, st.lists(st.tuples(relations, models), max_size=1), st.tuples(relations, st.none() | models), kinds)
def test_adding_a_parent_never_improves_a_model_whose_origin_is_told(
    child: list[Fact],
    parents: list[tuple[Relation, list[Fact]]],
    another: tuple[Relation, list[Fact] | None],
    kind: str,
) -> None:
    told = [*child, build.origin()]
    no_better(lineage(told, [*parents, another], kind), lineage(told, list(parents), kind))


@settings(deadline=None, max_examples=60)
@given(models, st.lists(st.tuples(relations, st.none() | models), max_size=2), kinds)
def test_every_verdict_has_one_line_and_what_it_rests_on(
    child: list[Fact], parents: list[tuple[Relation, list[Fact] | None]], kind: str
) -> None:
    judgement = build.judged(lineage(child, parents, kind))
    for whole in judgement.definitions:
        for verdict in whole.verdicts:
            assert verdict.reason and verdict.reason.isprintable()
            assert bool(verdict.missing) == (verdict.outcome is not Outcome.MET), verdict
            assert verdict.evidence or verdict.outcome is not Outcome.MET, verdict
        assert all(line.isprintable() for line in (*whole.next, *whole.notes))
        assert whole.outcome is not Outcome.MET or whole.id in ("mof", "ladder") or not whole.next
    for answer in (*judgement.parts, *judgement.freedoms):
        assert answer.reason and answer.reason.isprintable()
        assert answer.evidence or answer.answer != "yes"


@given(models, kinds)
@settings(deadline=None, max_examples=30)
def test_judging_twice_gives_the_same(child: list[Fact], kind: str) -> None:
    assert build.judged(build.alone(child, kind)) == build.judged(build.alone(list(child), kind))
