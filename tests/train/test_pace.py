"""Speed and time left. python -m pytest tests/train/test_pace.py"""

import dataclasses

import pytest

from regrow.train.pace import Pace
from tests.train.toy import SETTINGS


class Steps:
    """A run of 800 steps of 96 tokens, on a clock that only the work moves."""

    def __init__(self, validate_every=0):
        self.now = 0.0
        settings = dataclasses.replace(SETTINGS, steps=800, validate_every=validate_every)
        self.pace = Pace(settings, 16, lambda: self.now)

    def take(self, *seconds):
        for one in seconds:
            with self.pace.step():
                self.now += one

    def look(self, seconds):
        with self.pace.validation():
            self.now += seconds


def test_nothing_is_said_before_a_few_steps_are_known():
    run = Steps()
    run.take(40.0, 0.1, 0.1, 0.1)
    assert run.pace.report(4) == {"tokens_per_second": None, "seconds_left": None}


def test_compiling_kernels_is_no_measure_of_what_is_to_come():
    run = Steps()
    run.take(40.0, 3.0, 0.1, 0.1, 0.1)
    assert run.pace.report(5) == {"tokens_per_second": pytest.approx(960), "seconds_left": pytest.approx(79.5)}


def test_it_follows_the_recent_steps():
    run = Steps()
    run.take(*[0.1] * 300)
    run.take(*[0.2] * 50)
    assert run.pace.report(350)["seconds_left"] == pytest.approx(0.2 * 450)


def test_it_is_right_after_a_resume():
    run = Steps()
    run.take(5.0, *[0.1] * 9)  # the first ten steps of this process
    assert run.pace.report(710)["seconds_left"] == pytest.approx(9.0)


def test_looks_at_validation_text_that_are_to_come_count():
    run = Steps(validate_every=50)
    run.take(*[0.1] * 50)
    run.look(30.0)  # compiles
    assert run.pace.report(50)["seconds_left"] == pytest.approx(75.0)
    run.take(*[0.1] * 50)
    run.look(2.0)
    assert run.pace.report(100)["seconds_left"] == pytest.approx(70.0 + 13 * 2.0)
