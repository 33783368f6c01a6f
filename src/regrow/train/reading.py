"""What only reads the state is done beside the next step's gradients, and saves are spaced by what they cost.

Between two updates nothing of a state changes, and nearly all of a step's time passes before its update. So digests and
checkpoints need no copy: a second thread reads the state itself, and the update waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

SECONDS_BETWEEN_SAVES = 20.0
TIMES_A_SAVE = 50.0
"""How many times as long as a save took a run goes on before the next: so all of them take a fiftieth of its time."""


class Reading(AbstractContextManager["Reading", None]):
    """A thread that reads a state; at the end of the block it is done, in whatever way."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "reading")
        self._pending: Future[None] | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Start to read, once what was begun before has ended."""
        self.end()
        self._pending = self._thread.submit(work)

    def end(self) -> None:
        """Wait until nobody reads. Raises what reading has raised, once."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __exit__(self, *_: object) -> None:
        """Wait, and let what went wrong in the block be what is told."""
        self._thread.shutdown()


class Saves:
    """When the next save is due."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = clock() + SECONDS_BETWEEN_SAVES

    def due(self) -> bool:
        """Whether the end of the last one is long enough ago."""
        return self._clock() >= self._due

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Time a save."""
        start = self._clock()
        yield
        end = self._clock()
        self._due = end + max(SECONDS_BETWEEN_SAVES, TIMES_A_SAVE * (end - start))
