"""How fast this machine was seen to be. python -m pytest tests/release/test_speed.py"""

from dataclasses import replace
from pathlib import Path

import pytest

from regrow.building import speed
from regrow.engine.evaluation import StageResult
from regrow.engine.plan import estimated, plan
from tests.engine.test_plan import forecasts, graph

EXPECTED = 20.0  # seconds, as many as a first measurement of training is doubted with


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "default_root", lambda: tmp_path)
    return tmp_path / "speed.json"


def results(cached=(), seconds=10.0):
    names = [stage.name for stage in graph().stages]
    return [StageResult(one, "", {}, "", Path("nowhere"), one in cached, seconds) for one in names]


def note(slowness, monkeypatch, expected=EXPECTED):
    """Note a build whose training was expected to take so many seconds, and of which all else was there."""
    costs = dict(estimated(graph()))
    training = replace(costs["pretrain"].training, seconds=expected)
    costs["pretrain"] = replace(costs["pretrain"], training=training)
    monkeypatch.setattr(speed, "estimated", lambda graph, artifacts: costs)
    others = [stage.name for stage in graph().stages if stage.name != "pretrain"]
    speed.note(graph(), results(others), {"pretrain": training.tokens / (expected * slowness)})


def test_a_short_run_says_little_of_a_long_one(monkeypatch):
    assert speed.speeds().trained is None
    note(2.0, monkeypatch, expected=2.0)
    assert speed.speeds().trained == pytest.approx((4 + 20) / (2 + 20))
    note(1.5, monkeypatch, expected=200.0)
    assert speed.speeds().trained == pytest.approx((4 + 300 + 20) / (2 + 200 + 20))


def test_the_last_five_builds_count(monkeypatch):
    for one in (9.0, 9.0, 9.0, 2.0, 2.0, 2.0, 2.0, 2.0):
        note(one, monkeypatch)
    assert speed.speeds().of("pretrain", exact=True) == pytest.approx((5 * 40 + 20) / (5 * 20 + 20))


def test_another_kind_that_calculates_is_as_slow_and_one_that_does_not_is_not(monkeypatch):
    note(2.0, monkeypatch)
    assert speed.speeds().of("lora", exact=True) == pytest.approx(1.5)
    assert speed.speeds().of("tokenize", exact=False) == 1


def test_stages_of_text_are_seen_too_and_the_network_is_not():
    costs = {name: replace(cost, seconds=5.0) for name, cost in estimated(graph()).items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "estimated", lambda graph, artifacts: costs)
        speed.note(graph(), results(("clean",)), {})
    found = speed.speeds()
    assert found.of("deduplicate", exact=False) == pytest.approx(12 / 7, rel=0.01)  # and a moment to store it
    assert found.of("clean", exact=False) == 1
    assert found.of("pretrain", exact=True) == 1  # of which it has not seen a run
    before, after = (plan("x", graph(), forecasts(0), speeds=one) for one in (None, found))
    at = [stage.name for stage in graph().stages].index("tokenize")
    assert after.stages[at].cost.seconds > before.stages[at].cost.seconds


def test_what_does_not_train_tells_nothing_of_training():
    costs = {name: replace(cost, seconds=3.0) for name, cost in estimated(graph()).items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "estimated", lambda graph, artifacts: costs)
        speed.note(graph(), results(("pretrain",), seconds=0.1), {})
    found = speed.speeds()
    assert found.trained is None
    assert found.of("evaluate", exact=True) < 1
    assert found.of("pretrain", exact=True) == 1


def test_a_build_that_runs_nothing_says_nothing(place):
    speed.note(graph(), results([stage.name for stage in graph().stages]), {})
    assert not place.exists()


@pytest.mark.parametrize("pairs", ["", "3", "[[1]]", "[[-1, 2]]", "[[null, 2]]"])
def test_a_record_that_cannot_be_read_is_none(pairs, place, monkeypatch):
    place.write_text(f'{{"schema": "regrow/speed/3", "kinds": {{"pretrain": {pairs}}}}}')
    assert speed.speeds().trained is None
    note(1.5, monkeypatch)
    assert speed.speeds().trained == pytest.approx(1.25)


def test_what_was_measured_holds_until_a_build_shows_more(place, monkeypatch):
    speed.note_measured(5.0, 1.0)
    assert speed.speeds().of("pretrain", exact=True) == 3
    assert speed.speeds().of("pretrain", exact=True, products=1.0) == 5
    assert speed.speeds().of("tokenize", exact=False) == 1
    # Of the training at hand products are none; it was expected to take as long as numbers do.
    monkeypatch.setattr(speed, "products", lambda cost: 0.0)
    note(4.0, monkeypatch)
    assert speed.speeds().of("pretrain", exact=True, products=0.0) == pytest.approx((20 * 4 + 20) / (20 + 20))
    assert speed.speeds().of("lora", exact=True, products=1.0) == pytest.approx(5 * 2.5)


@pytest.mark.parametrize("products", ["", "null", "-1", "[2]", "1e999"])
def test_a_measure_that_cannot_be_read_is_none(products, place):
    text = f'{{"schema": "regrow/measured/2", "products": {products}, "numbers": 1.0}}'
    place.with_name("measured.json").write_text(text)
    assert speed.speeds().measured is None
