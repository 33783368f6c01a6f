"""What a card says its maker does not give: the data that the model was trained on, whole or in part.

It is told in many words and languages; ``data/withheld.toml`` holds them. A sentence about the data of an evaluation,
of another model or of users says nothing of it, and neither does one that takes back what it mentions ("no private
data").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from regrow.auditing.collectors.folder import Statement, printable
from regrow.auditing.collectors.markdown import Block
from regrow.auditing.collectors.prose.subject import is_this_model
from regrow.auditing.collectors.prose.words import says
from regrow.auditing.facts import Basis, Component, ComponentFact, Evidence, State
from regrow.data import any_of, toml

_LONGEST = 700
_QUOTE = 160
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])|(?<=[\u3002\uff01\uff1f])|\n")
_MARKS = re.compile(r"\*\*|`")


@dataclass(frozen=True)
class _Language:
    """The forms of a language, see ``data/withheld.toml``."""

    data: re.Pattern[str]
    said: re.Pattern[str]
    called: re.Pattern[str]
    not_so: re.Pattern[str]
    trained: re.Pattern[str]
    other: re.Pattern[str]
    alone: re.Pattern[str]

    def withholds(self, said: str, heading: str) -> bool:
        """Whether a sentence says that data is not given, under this heading."""
        about_data = says(heading, "data-heading")
        if about_data and self.alone.fullmatch(said.strip(" .*_-")):
            return True
        if not self.data.search(said) or self.other.search(said):
            return False
        if self.said.search(said):
            return True
        called = self.called.finditer(said) if about_data or self.trained.search(f"{said} {heading}") else ()
        return any(not self.not_so.search(said[: match.start()][-60:]) for match in called)


def _language(words: Mapping[str, list[str]]) -> _Language:
    data, gap = any_of(words["data"]), any_of(words.get("gap", ["(?!)"]))
    forms = {name: _form(any_of(entries).replace("DATA", data).replace("GAP", gap)) for name, entries in words.items()}
    return _Language(
        data=forms["data"],
        said=forms["said"],
        called=forms["called"],
        not_so=_form(f"{any_of(words.get('not-so', ['(?!)']))}$"),
        trained=forms["trained"],
        other=forms["other"],
        alone=forms["alone"],
    )


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_TABLE: Mapping[str, Mapping[str, list[str]]] = toml("auditing.collectors", "withheld")
_LANGUAGES = tuple(_language(words) for words in _TABLE.values())


def withheld(block: Block, at: Evidence) -> Iterator[Statement]:
    """That the training data is not given."""
    if block.kind == "code" or any(says(title, "not-training-data") for title in block.headings):
        return
    heading = " ".join(block.headings[-1:])
    for said in _SENTENCE.split(_MARKS.sub("", block.text)):
        if is_this_model(said, block.headings) and is_withheld(said, heading):
            yield ComponentFact(
                Basis.DECLARED, at, Component.DATASETS, State.ABSENT, printable(said.strip(" |"), _QUOTE)
            )


def is_withheld(said: str, heading: str = "") -> bool:
    """Whether a sentence says that what a model was trained on is not given."""
    return len(said) <= _LONGEST and any(language.withholds(said, heading) for language in _LANGUAGES)
