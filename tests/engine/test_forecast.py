import threading
from dataclasses import replace
from pathlib import Path

import pytest
from toy import COUNT, WRITE, diamond, stage

from regrow.engine import Forecast, evaluate, forecast
from regrow.errors import Interrupted
from regrow.recipe.graph import Graph
from regrow.store import Store, remove_tree


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as store:
        yield store


def build(graph: Graph, store: Store, scope: str = "here", stop: bool = False):
    event = threading.Event()

    def listen(told):
        if stop and told["event"] == "progress":
            event.set()

    return evaluate(graph, store, scope=scope, listener=listen, stop=event).results


def said(graph: Graph, store: Store, scope: str = "here") -> dict[str, list[str]]:
    found = forecast(graph, store, scope)
    assert all(one.cached == (one.digest is not None) == (not one.reasons) for one in found)
    return {one.stage: list(one.reasons) for one in found}


def waits_for(*names: str) -> list[str]:
    return [f"will run because {name} runs (unless {name} gives the same bytes)" for name in names]


def test_before_the_first_build(store, tmp_path):
    assert said(diamond(tmp_path / "log"), store) == {
        "left": ["first build"],
        "right": ["first build"],
        "both": ["first build"],
        "end": ["first build"],
    }
    assert not (tmp_path / "log").exists()
    assert store.entries() == []


def test_after_a_build_all_is_cached_with_the_digests_it_gave(store):
    results = build(diamond(), store)
    assert forecast(diamond(), store, "here") == [
        Forecast(name, True, (), result.digest) for name, result in results.items()
    ]


def test_a_change_is_named_and_its_successors_wait(store):
    build(diamond(), store)
    assert said(diamond(text="new", separator="-"), store) == {
        "left": ["parameters.text a -> new"],
        "right": [],
        "both": ["parameters.separator + -> -", *waits_for("left")],
        "end": waits_for("both"),
    }


def test_a_new_version_of_a_kind_is_named(store):
    build(diamond(), store)
    graph = diamond()
    newer = Graph((replace(graph.stages[0], kind=replace(WRITE, version=2)), *graph.stages[1:]))
    assert said(newer, store)["left"] == ["kind version 1 -> 2"]


def test_a_changed_input_is_named_where_its_bytes_are_known(store):
    build(diamond(), store)
    changed = diamond(text="new")
    evaluate(changed, store, scope="here", listener=lambda _: None, stop=threading.Event(), only=["left"])
    assert said(changed, store)["both"] == ["input texts changed"]


def test_what_another_recipe_built_counts(store):
    build(diamond(), store, scope="there")
    assert said(diamond(), store, scope="here") == {"left": [], "right": [], "both": [], "end": []}


def test_a_missing_artifact_is_said_to_be_missing(store):
    remove_tree(build(diamond(), store)["both"].path)
    assert said(diamond(), store)["both"] == ["its artifact is no longer in the store"]


def test_unfinished_work_is_continued(store, tmp_path: Path):
    graph = Graph((stage("count", COUNT),))
    with pytest.raises(Interrupted):
        build(graph, store, stop=True)
    assert said(graph, store) == {"count": ["first build", "continues where it was stopped"]}
