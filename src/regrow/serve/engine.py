"""Many texts at once from one model, each with the same bits as if it were alone.

    engine = Engine(decoder, parameters)
    engine.submit(Request(tokens, most=64, sampling=Sampling()), print)  # prints Read, then each Written, then Ended

Events of a request come in the order in which they happen, from the engine's own thread, so whoever hears them hands
them on and returns at once.
"""

from __future__ import annotations

import atexit
import contextvars
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from regrow.model.decoder import Decoder, Weights
from regrow.serve.batch import Batch, Figures, Limits
from regrow.serve.requests import (
    BusyError,
    Chance,
    ClosedError,
    Ended,
    Event,
    Hearer,
    Read,
    Reason,
    Request,
    RequestError,
    Running,
    Written,
)
from regrow.serve.writing import Model, Text

__all__ = [
    "BusyError", "Chance", "ClosedError", "Ended", "Engine", "Event", "Figures", "Hearer", "Limits", "Model", "Read",
    "Reason", "Request", "RequestError", "Running", "Written",
]  # fmt: skip

_LINGER = 1.0
"""Seconds for which the thread waits for more to do before it ends: another one is begun in no time."""


class Engine:
    """Takes requests from any thread, and works on them in one of its own, which is there while there is work."""

    def __init__(
        self,
        decoder: Decoder,
        parameters: Weights,
        limits: Limits | None = None,
        adapters: Mapping[str, Model] = MappingProxyType({}),
    ) -> None:
        """Take a model.

        Args:
            decoder: the computation.
            parameters: of the model.
            limits: what may be taken of the machine.
            adapters: other models by the names that requests have for them, which may share its parameters.
        """
        self.limits = Limits() if limits is None else limits
        self._models = {"": Model(decoder, parameters), **adapters}
        self._batch = Batch(self.limits)
        self._asked: list[Text] = []
        self._number = 0
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = self._given_up = False

    @property
    def figures(self) -> Figures:
        """What is going on, for those who watch."""
        with self._wake:
            return replace(self._batch.figures, waiting=self._batch.figures.waiting + len(self._asked))

    def submit(self, request: Request, heard: Hearer) -> Running:
        """Begin with a request as soon as there is room for it.

        Raises:
            RequestError: if nothing could ever be written for it.
            BusyError: if as many wait already as may.
            ClosedError: if the engine was closed.
        """
        model = self._models.get(request.adapter)
        if model is None:
            raise RequestError(f"there is no adapter `{request.adapter}`", where="adapter")
        request.require(model.decoder.config)
        with self._wake:
            text = Text(self._number, request, heard, Running(), model)
            self._require_room(text)
            self._number += 1
            self._asked.append(text)
            if self._thread is None:
                # Whoever asked first hears of kernels that are compiled.
                work = partial(contextvars.copy_context().run, self._work)
                self._thread = threading.Thread(target=work, name="regrow engine", daemon=True)
                # A thread that is left in the middle of a product when Python goes ends the process with a fault.
                atexit.register(self._leave)
                self._thread.start()
            self._wake.notify()
        return text.running

    def close(self, *, now: bool = False) -> None:
        """Take no more, and end what was asked for so far: by writing it, or ``now`` by giving it up."""
        with self._wake:
            self._closed, self._given_up = True, self._given_up or now
            thread = self._thread
            self._wake.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _leave(self) -> None:
        self.close(now=True)

    def _require_room(self, text: Text) -> None:
        if self._closed:
            raise ClosedError("the engine was closed")
        needed = text.longest * text.model.position_bytes
        if needed > self.limits.memory_bytes:
            raise RequestError(
                f"{text.longest:,} positions need {needed:,} bytes of keys and values",
                where="most",
                why=f"there may be {self.limits.memory_bytes:,}",
                hint="ask for fewer tokens, or give the engine more memory",
            )
        figures = self._batch.figures
        if len(self._asked) + figures.waiting + figures.running >= self.limits.waiting + self.limits.together:
            raise BusyError(
                f"{self.limits.waiting:,} requests are waiting already", hint="ask again when some have ended"
            )

    def _work(self) -> None:
        while self._has_work():
            try:
                self._batch.step()
            except Exception as error:  # whoever waits is told, whatever happens
                self._batch.fail(error)

    def _has_work(self) -> bool:
        """Wait for something to do; False, and the thread is no longer there, if nothing comes."""
        with self._wake:
            while not (self._asked or self._batch.busy):
                if self._closed or not self._wake.wait(_LINGER):
                    self._thread = None
                    atexit.unregister(self._leave)
                    return False
            for text in self._asked:
                self._batch.add(text)
            self._asked.clear()
            if self._given_up:
                self._batch.give_up()
            return True
