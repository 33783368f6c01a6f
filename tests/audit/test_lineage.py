"""The walk over ancestors. python -m pytest tests/audit/test_lineage.py"""

import time
from itertools import pairwise

from regrow.auditing.facts import Basis, Collected, Relation
from regrow.auditing.lineage import BY_OUTPUTS, BY_PARAMETERS, DERIVING, WORDS, Edge, Lineage, Node, chain

FINETUNE, DISTILLED, UNKNOWN = Relation.FINETUNE, Relation.DISTILLED, Relation.UNKNOWN


def lineage(*edges: tuple[str, str, Relation]) -> Lineage:
    names = dict.fromkeys(name for child, parent, _ in edges for name in (child, parent))
    nodes = tuple(Node(name, depth, Collected(name, "huggingface", name, "")) for depth, name in enumerate(names))
    return Lineage(nodes, tuple(Edge(child, parent, how, Basis.DECLARED) for child, parent, how in edges))


def test_every_relation_is_of_one_kind_and_has_words() -> None:
    assert sorted((*BY_PARAMETERS, *BY_OUTPUTS, UNKNOWN)) == sorted(Relation)
    assert set(WORDS) == set(Relation)


def test_the_nearest_come_first_and_each_once() -> None:
    found = lineage(("a", "b", FINETUNE), ("b", "d", FINETUNE), ("a", "c", FINETUNE), ("c", "d", FINETUNE))
    assert found.ancestors("a") == ("b", "c", "d")
    assert found.ancestors("c") == ("d",)
    assert found.ancestors("d") == ()


def test_only_the_relations_that_are_asked_for_are_followed() -> None:
    found = lineage(("a", "b", FINETUNE), ("b", "c", DISTILLED), ("c", "d", FINETUNE), ("a", "e", UNKNOWN))
    assert found.ancestors("a", BY_PARAMETERS) == ("b",)
    assert found.ancestors("a", DERIVING) == ("b", "e")
    assert found.ancestors("a", (*BY_PARAMETERS, *BY_OUTPUTS)) == ("b", "c", "d")


def test_a_cycle_ends() -> None:
    found = lineage(("a", "b", FINETUNE), ("b", "c", FINETUNE), ("c", "a", FINETUNE), ("c", "c", FINETUNE))
    assert found.ancestors("a") == ("b", "c")
    assert found.ancestors("c") == ("a", "b")


def test_a_model_is_surely_an_ancestor_if_one_way_to_it_is_told() -> None:
    found = lineage(("a", "b", UNKNOWN), ("b", "d", FINETUNE), ("a", "c", FINETUNE), ("c", "d", FINETUNE))
    assert [(one.node.id, one.sure) for one in chain(found)] == [("a", True), ("b", False), ("c", True), ("d", True)]


def test_what_nobody_read_is_an_ancestor_too() -> None:
    found = Lineage(lineage(("a", "b", FINETUNE)).nodes[:1], (Edge("a", "b", FINETUNE, Basis.DECLARED),))
    assert [one.node.collected.kind for one in chain(found)] == ["huggingface", "unreached"]


def test_many_ways_take_no_more_time_than_there_are_edges() -> None:
    layers = [[f"{depth}-{number}" for number in range(10)] for depth in range(100)]
    steps = [(child, parent) for upper, lower in pairwise(layers) for child in upper for parent in lower]
    found = lineage(*((child, parent, FINETUNE) for child, parent in steps))
    begin = time.monotonic()
    assert len(found.ancestors("0-0")) == 990
    assert time.monotonic() - begin < 5
