"""What the page shows of the release that answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from regrow.attesting.trust import NOBODY, Believed
from regrow.exact.version import ARITHMETIC, INFERENCE
from regrow.printable import one_line
from regrow.release.files import DamagedError
from regrow.serve.http.asked import Asked
from regrow.serve.http.chosen import Chosen
from regrow.serve.http.served import Served
from regrow.serve.page.standing import Standing

T = TypeVar("T")
_PROMPTS = 4
_LONGEST = 80
_MOST = 200
"""Tokens that an answer has at most, unless somebody asks for more."""


@dataclass(frozen=True)
class Source:
    """Where training text comes from."""

    name: str
    licence: str


@dataclass(frozen=True)
class Shown:
    """A release, as the page tells of it.

    Attributes:
        model: what clients call it.
        name: what people do.
        digest: of the release; of the files of a model that is none.
        adapters: whoever else answers, by what clients call them, each with its fingerprint.
        fingerprint: of whatever fixes an answer beside the question.
        description: in the words of its recipe.
        licence: of its weights.
        chat: whether it takes conversations.
        most: tokens of an answer, unless somebody asks for others.
        limit: tokens that anybody may ask for.
        usual: how tokens are chosen, unless somebody asks for another way.
        prompts: that its makers tried it with.
        facts: others, each with its name.
        sources: of its training text.
        standing: what was seen here that speaks for it.
    """

    model: str
    name: str
    digest: str
    adapters: Mapping[str, str]
    fingerprint: str
    description: str
    licence: str
    chat: bool
    most: int
    limit: int
    usual: Mapping[str, Any]
    prompts: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    sources: tuple[Source, ...]
    standing: Standing

    @staticmethod
    def of(served: Served, trust: Believed = NOBODY) -> Shown:
        """That of what is served; damage in one part spares the others."""
        release = served.release
        model = (release and _read(lambda: release.model)) or {}
        samples = (release and _read(lambda: release.samples)) or ()
        chat = served.generator.template is not None
        told = [one.prompt for one in samples if one.answers == chat and 0 < len(one.prompt) <= _LONGEST]
        return Shown(
            model=served.name,
            name=one_line(served.name),
            digest=served.digest,
            adapters={one.name: one.fingerprint for one in served.writers if one.adapter},
            fingerprint=served.fingerprint,
            description=str(model.get("description", "")),
            licence=one_line(str(model.get("licence", ""))),
            chat=chat,
            most=min(_MOST, served.limits.answer, max(1, served.context // 2)),
            limit=served.limits.answer,
            usual=Chosen.of(Asked(), served.usual).values,
            prompts=tuple(dict.fromkeys(told))[:_PROMPTS],
            facts=_facts(served),
            sources=tuple(
                Source(one_line(str(one.get("name", ""))), one_line(str(one.get("licence", ""))))
                for one in (release and _read(lambda: release.sources)) or ()
            ),
            standing=_read(lambda: Standing.of(release, served.digest, trust)) or Standing(),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        standing = {"words": self.standing.words, "shown": self.standing.shown, "lines": self.standing.lines}
        return {**asdict(self), "standing": {**asdict(self.standing), **standing}}


def _read(read: Callable[[], T]) -> T | None:
    """A part of a release; None if it cannot be read."""
    try:
        return read()
    except (DamagedError, OSError):
        return None


def _facts(served: Served) -> tuple[tuple[str, str], ...]:
    release = served.release
    parameters = release and _read(lambda: release.facts.get("parameters"))
    return (
        ("Arithmetic", f"inference {INFERENCE}, training {ARITHMETIC}"),
        *([("Parameters", f"{parameters:,}")] if parameters else []),
        ("Context", f"{served.context:,} tokens"),
        *([("Files", "weights, configuration, tokenizer and template as listed")] if release else []),
    )
