"""How fast this machine was seen to train. python -m pytest tests/release/test_speed.py"""

import pytest

from regrow.building import speed
from regrow.engine.plan import estimated
from tests.engine.test_plan import graph


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "default_root", lambda: tmp_path)
    return tmp_path / "speed.json"


def note(slowness):
    training = estimated(graph())["pretrain"].training
    speed.note(graph(), {"pretrain": training.tokens / training.seconds / slowness})


def test_the_middle_of_the_last_five_builds_counts():
    assert speed.slowness() is None
    for one in (9.0, 9.0, 9.0, 1.0, 2.0, 2.0, 1.0, 30.0):
        note(one)
    assert speed.slowness() == pytest.approx(2.0)


def test_a_build_that_trains_nothing_says_nothing(place):
    speed.note(graph(), {})
    assert not place.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "regrow/speed/1", "slowness": [null, -1, "x"]}'])
def test_a_record_that_cannot_be_read_is_none(text, place):
    place.write_text(text)
    assert speed.slowness() is None
    note(1.5)
    assert speed.slowness() == pytest.approx(1.5)
