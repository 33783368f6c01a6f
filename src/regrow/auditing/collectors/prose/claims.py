"""What a card claims to be open or delivered, the papers it names and the results it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regrow.auditing.collectors.folder import Statement, printable
from regrow.auditing.collectors.markdown import Block
from regrow.auditing.collectors.prose.words import PATTERNS, says, short
from regrow.auditing.facts import Basis, ClaimFact, Component, ComponentFact, Evidence, State

_COMPONENT = {
    "data": Component.DATASETS,
    "training-code": Component.TRAINING_CODE,
    "inference": Component.INFERENCE_CODE,
}
_JUDGING = {"data": Component.EVALUATION_DATA, "training-code": Component.EVALUATION_CODE}
_ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf|html)/(\d{4}\.\d{4,5})", re.IGNORECASE)
_SCORE = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def claims(block: Block, at: Evidence) -> Iterator[Statement]:
    """What the maker says to give."""
    if block.kind != "text":
        return
    for said in block.sentences():
        if len(said) > 1000 or says(said, "negated") or says(said, "about-others"):
            continue
        topics = (
            [topic for topic, words in PATTERNS["topics"].items() if words.search(said)] if says(said, "opens") else []
        )
        if not topics and says(said, "model") and says(said, "released"):
            topics = ["weights"]
        # What is open about an evaluation is no claim about how the model was made.
        judging = says(said, "evaluation") and not says(said, "trained-on")
        for topic in topics:
            if not judging:
                yield ClaimFact(Basis.DECLARED, at, topic, short(said), block.links)
            component = (_JUDGING if judging else _COMPONENT).get(topic)
            if component is not None and block.links:
                yield ComponentFact(Basis.DECLARED, at, component, State.PROMISED, printable(block.links[0]))


def papers(block: Block, at: Evidence) -> Iterator[Statement]:
    """The papers and reports about the model."""
    about = f"{' '.join(block.headings[-1:])} {block.text}"
    if not says(about, "paper"):
        return
    component = Component.TECHNICAL_REPORT if says(about, "report") else Component.RESEARCH_PAPER
    for link in block.links:
        if match := _ARXIV.search(link):
            yield ComponentFact(Basis.DECLARED, at, component, State.PROMISED, f"arXiv:{match[1]}")


def results(block: Block, at: Evidence) -> Iterator[Statement]:
    """Tables of results, and samples of output."""
    if block.kind == "table" and any(says(title, "results") for title in block.headings):
        if any(_SCORE.fullmatch(cell.strip(" \t\n*%")) for cell in block.text.split("|")[1:-1]):
            yield ComponentFact(Basis.FOUND, at, Component.EVALUATION_RESULTS, State.PRESENT, at.file)
    elif block.headings and says(block.headings[-1], "samples") and len(block.text) > 20:
        yield ComponentFact(Basis.FOUND, at, Component.SAMPLE_OUTPUTS, State.PRESENT, at.file)
