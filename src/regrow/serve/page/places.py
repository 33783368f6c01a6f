"""Where the words of an answer stand in the training data, as the page asks for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from regrow.errors import InputError
from regrow.recipe.values import UNSHAREABLE
from regrow.release import Release
from regrow.tracing.corpus import Corpus, corpus
from regrow.tracing.spans import trace

_WITHHELD = "Its text may not be shared. Who holds it sees what stands around with `regrow trace`."


@dataclass
class Places:
    """The training data of a release, opened when somebody asks for the first time.

    Attributes:
        release: whose; None if the model is no release, whose training data nobody knows.
        store: where its text is; by default the user's.
    """

    release: Release | None
    store: Path | None = None
    _opening: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _corpus: Corpus | None = None

    def of(self, text: str) -> dict[str, Any]:
        """Which spans of a text stand there, and in which documents. From any thread.

        Of texts that may not be shared only the span itself is shown: a page may have other readers than their holder.

        Raises:
            RegrowError: as :func:`trace` and :attr:`corpus` do.
        """
        found = trace(text, self.corpus).to_json()
        for span in found["spans"]:
            for one in span["documents"]:
                if one["source"] in self._unshareable:
                    one |= {"before": "", "after": "", "withheld": _WITHHELD}
        return found

    @property
    def corpus(self) -> Corpus:
        """The training data.

        Raises:
            RegrowError: as :func:`regrow.tracing.corpus.corpus` does; the next time it is tried anew.
        """
        if self.release is None:
            raise InputError("this model is not a release", why="nothing is known of what it was trained on")
        with self._opening:  # two that ask at once shall not make two indices
            if self._corpus is None:
                self._corpus = corpus(self.release, self.store, lambda _: None, self._stop)
            return self._corpus

    def close(self) -> None:
        """Give up what is not opened yet: the index of much text takes long to make."""
        self._stop.set()

    @cached_property
    def _unshareable(self) -> frozenset[str]:
        sources = self.release.sources if self.release else ()
        return frozenset(str(one.get("name")) for one in sources if one.get("availability") == UNSHAREABLE)
