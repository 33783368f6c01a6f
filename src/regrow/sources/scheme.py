"""What the kinds of sources have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from regrow.recipe.pin import Pin, Pins
from regrow.sources.addresses import shown
from regrow.sources.downloads import Downloads, offline_error
from regrow.sources.faults import Promise
from regrow.sources.select import Choice

if TYPE_CHECKING:
    from regrow.sources.web import Caller, Page

Emit = Callable[..., None]
"""Takes an event's name and its fields: ``emit("progress", done=3, total=10, unit="bytes")``."""

Poll = Callable[[], None]
"""Called now and then during long work; may raise to give up."""


def idle() -> None:
    """A :data:`Poll` that never gives up."""


def silent(event: str, **fields: Any) -> None:
    """An :data:`Emit` for those who do not care."""


@dataclass(frozen=True)
class Site:
    """Where and how to look for a source.

    Attributes:
        base: the folder of the recipe, where relative paths begin.
        choice: which files are wanted, for schemes that can see several.
        emit: is told what is going on.
        offline: True to leave the network alone.
        poll: called now and then, to be able to give up.
        downloads: what has been downloaded before.
        known: the files that the source had when it was last pinned.
    """

    base: Path = field(default_factory=Path)
    choice: Choice = field(default_factory=Choice)
    emit: Emit = silent
    offline: bool = False
    poll: Poll = idle
    downloads: Downloads = field(default_factory=Downloads)
    known: Pins = field(default_factory=Pins)

    def download(self, url: str, promise: Promise | None = None) -> Path:
        """A file from the web: see :meth:`regrow.sources.downloads.Downloads.get`."""
        return self.downloads.get(url, promise, emit=self.emit, offline=self.offline, poll=self.poll)

    def page(self, url: str, *, accept: str, most: int) -> Page | None:
        """Something small from the web as it is now: see :func:`regrow.sources.web.page`."""
        if self.offline:
            raise offline_error(shown(url))
        return self.downloads.page(url, accept=accept, most=most, emit=self.emit, poll=self.poll)

    @property
    def caller(self) -> Caller:
        """Who asks the web."""
        from regrow.sources.web import Caller

        return Caller(self.emit, self.poll, self.downloads.sleep)


class Scheme(Protocol):
    """A way to get sources; one module of this package each, named like the part of ``fetch`` before the colon.

    Attributes:
        EXAMPLE: what the whole looks like, for the reference and for errors.
        LOCAL: True for files of the author's own, which lie beside the recipe and may change at any time.
    """

    EXAMPLE: str
    LOCAL: bool

    def check(self, locator: str) -> None:
        """Raise :class:`regrow.errors.RecipeError` if the part after the colon makes no sense."""

    def package_url(self, locator: str) -> str:
        """What the world calls it; empty if it has no name for it."""

    def resolve(self, locator: str, site: Site) -> tuple[Pin, ...]:
        """Find out which files the source has now."""

    def obtain(self, locator: str, pin: Pin, site: Site) -> Path:
        """Get a file of the source, wherever it then is. The caller checks its bytes and leaves it there."""
