"""How fast this machine was seen to train. python -m pytest tests/release/test_speed.py"""

from dataclasses import replace

import pytest

from regrow.building import speed
from regrow.engine.plan import estimated
from tests.engine.test_plan import graph

EXPECTED = 20.0  # seconds, as many as a first measurement is doubted with


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "default_root", lambda: tmp_path)
    return tmp_path / "speed.json"


def note(slowness, monkeypatch, expected=EXPECTED):
    """Note a build whose training was expected to take so many seconds."""
    cost = estimated(graph())["pretrain"]
    training = replace(cost.training, seconds=expected)
    monkeypatch.setattr(speed, "estimated", lambda graph: {"pretrain": replace(cost, training=training)})
    speed.note(graph(), {"pretrain": training.tokens / (expected * slowness)})


def test_a_short_run_says_little_of_a_long_one(monkeypatch):
    assert speed.slowness() is None
    note(2.0, monkeypatch, expected=2.0)
    assert speed.slowness() == pytest.approx((4 + 20) / (2 + 20))
    note(1.5, monkeypatch, expected=200.0)
    assert speed.slowness() == pytest.approx((4 + 300 + 20) / (2 + 200 + 20))


def test_the_last_five_builds_count(monkeypatch):
    for one in (9.0, 9.0, 9.0, 2.0, 2.0, 2.0, 2.0, 2.0):
        note(one, monkeypatch)
    assert speed.slowness() == pytest.approx((5 * 40 + 20) / (5 * 20 + 20))


def test_a_build_that_trains_nothing_says_nothing(place):
    speed.note(graph(), {})
    assert not place.exists()


@pytest.mark.parametrize("trained", ["", "3", "[[1]]", "[[-1, 2]]", "[[null, 2]]"])
def test_a_record_that_cannot_be_read_is_none(trained, place, monkeypatch):
    place.write_text(f'{{"schema": "regrow/speed/1", "trained": {trained}}}')
    assert speed.slowness() is None
    note(1.5, monkeypatch)
    assert speed.slowness() == pytest.approx(1.25)
