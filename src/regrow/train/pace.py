"""How fast a run gets on, judged by its recent steps: compiling kernels makes the first ones a hundred times slower."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from regrow.train.settings import Settings

_RECENT = 50
_FEWEST = 5


class Pace:
    """Speed and time left, for people.

    Both follow from the median of the recent steps, so that a step that had to wait for something says nothing about
    those to come. They are not known before a few steps were seen in this process.
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
        seconds = max(median(self._steps), 1e-9)
        left = seconds * (self._settings.steps - step)
        if self._validations:
            left += median(self._validations) * sum(one > step for one in self._settings.validation_steps)
        return {"tokens_per_second": self._tokens / seconds, "seconds_left": left}

    @contextmanager
    def _timed(self, where: deque[float]) -> Iterator[None]:
        start = self._clock()
        yield
        where.append(self._clock() - start)
