"""How fast a run gets on, judged by its recent steps: compiling kernels makes the first ones a hundred times slower."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from statistics import fmean
from typing import Any

from regrow.train.settings import Settings

_RECENT = 50
_FEWEST = 5


class Pace:
    """Speed and time left, for people.

    Both follow from the mean of the recent steps without the slowest ones, which had to wait for a kernel to be
    compiled. They are not known before a few steps were seen in this process.
    """

    def __init__(self, settings: Settings, context: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._tokens = settings.sequences_per_step * context
        self._clock = clock
        self._steps: deque[float] = deque(maxlen=_RECENT)
        self._validations: deque[float] = deque(maxlen=_RECENT)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Time a step."""
        with self._timed(self._steps):
            yield

    @contextmanager
    def validation(self) -> Iterator[None]:
        """Time a look at the validation text."""
        with self._timed(self._validations):
            yield

    def report(self, step: int) -> dict[str, Any]:
        """What is known after a step: ``tokens_per_second`` and ``seconds_left``, or None for what is not known yet."""
        if len(self._steps) < _FEWEST:
            return {"tokens_per_second": None, "seconds_left": None}
        seconds = max(_usual(self._steps), 1e-9)
        left = seconds * (self._settings.end - step)
        if len(self._validations) > 1:
            left += _usual(self._validations) * sum(one > step for one in self._settings.validation_steps)
        return {"tokens_per_second": self._tokens / seconds, "seconds_left": left}

    @contextmanager
    def _timed(self, where: deque[float]) -> Iterator[None]:
        start = self._clock()
        yield
        where.append(self._clock() - start)


def _usual(times: Collection[float]) -> float:
    """The mean without the slowest tenth, of which there are at least two unless nothing would be left."""
    slowest = max(min(2, len(times) - 1), len(times) // 10)
    return fmean(sorted(times)[: len(times) - slowest])
