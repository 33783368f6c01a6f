"""What the text of a card says about data, training, use and openness.

Sentences are recognised by the words in them under the headings they stand under. This is meant to find what a reader
can then look up at the line given, and leaves out what it is not sure of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from regrow.auditing import names
from regrow.auditing.collectors.folder import Statement, Text, printable
from regrow.auditing.collectors.markdown import Block, blocks
from regrow.auditing.data import toml, whole_words
from regrow.auditing.facts import (
    Aspect,
    Basis,
    ClaimFact,
    Component,
    ComponentFact,
    DataAspectFact,
    Evidence,
    OriginFact,
    ParentFact,
    Relation,
    State,
    TrainingFact,
    UsageFact,
)

_MOST_PER_KIND = 40
_QUOTE = 300

_PATTERNS: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    table: {name: whole_words(words) for name, words in lists.items()}
    for table, lists in toml("collectors", "prose").items()
}
"""What the lists of ``data/prose.toml`` stand for -> how their words are recognised."""


def _says(text: str, name: str) -> bool:
    """Whether any of the words of a list is in a text."""
    return _PATTERNS["words"][name].search(text) is not None


# Everything that repeats is bounded: a card is a stranger's, and must not make a search take longer than it is long.
_NUMBER = (
    r"(?<![\d.])(?P<number>\d[\d,]{0,20}(?:\.\d{1,9})?)\s{0,3}"
    r"(?P<unit>trillion|billion|million|thousand|[TBMKtbmk](?![a-zA-Z]))?\+?"
)
_TOKENS = re.compile(rf"{_NUMBER}[- ](?:\w{{1,30}} ){{0,2}}tokens\b", re.IGNORECASE)
_HOURS = re.compile(
    rf"{_NUMBER}\s{{0,3}}(?:[\w-]{{1,30}} ){{0,3}}(?:[GT]PU|accelerator|device|[AH]\d+)[- ]?hours\b", re.IGNORECASE
)
_TEMPLATE_HOURS = re.compile(rf"hours used:?\s{{0,3}}{_NUMBER}", re.IGNORECASE)
_HARDWARE = re.compile(
    r"(?:(?:\d[\d,]{0,6})\s?(?:x|\u00d7|\*)?\s?)?(?:NVIDIA |AMD |Google )?"
    r"(?:[ABHLV]\d{2,3}L?(?:-\w{2,5})?|GB?200|RTX ?\d{4}|MI\d{3}X?|TPU ?v\d\w?(?:-\d+)?|Gaudi ?\d?|Trainium\d?)"
    r"(?:[ -](?:80|40|96|192) ?GB)?(?: [GT]PUs?)?\b"
)
_SCALE = {"t": 10**12, "b": 10**9, "m": 10**6, "k": 10**3}
_SCRATCH = re.compile(r"\b(?:trained|training|pre-?trained|built|learned)\b[^.]{0,80}\bfrom scratch\b", re.IGNORECASE)
_NAMES = r"\b[^.;]{0,40}?(?<![\w./-])(?P<id>[A-Za-z0-9][\w-]{0,95}+/[A-Za-z0-9][\w.-]{0,95}\w)"
_TEXT = r"(?:data|datasets?|examples?|instructions?|conversations?|answers?|completions?|texts?|outputs?)"
_SPELT = re.compile(r"[A-Z0-9]")
_MADE = r"(?:generated|written|synthesi[sz]ed|produced)"
_TEACHERS = tuple(
    (relation, re.compile(rf"\b{words}{_NAMES}", re.IGNORECASE))
    for relation, words in (
        (Relation.DISTILLED, r"distill?\w*\b[^.:;]{0,60}?\b(?:from|of)"),
        (Relation.DISTILLED, r"teachers?"),
        (Relation.SYNTHETIC_DATA, rf"{_TEXT}\b[^.;]{{0,40}}?\b{_MADE} (?:by|with|using|from)"),
        (Relation.SYNTHETIC_DATA, r"trained on (?:the )?outputs? (?:of|from)"),
    )
)
_COMPONENT = {
    "data": Component.DATASETS,
    "training-code": Component.TRAINING_CODE,
    "inference": Component.INFERENCE_CODE,
}
_JUDGING = {"data": Component.EVALUATION_DATA, "training-code": Component.EVALUATION_CODE}
_ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf|html)/(\d{4}\.\d{4,5})", re.IGNORECASE)
_SCORE = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def read(text: Text, body: str, line: int) -> Iterator[Statement]:
    """What the body of a card says.

    Args:
        text: the card, for evidence.
        body: its text below the front matter.
        line: the line on which the body begins.
    """
    found = [(block, text.line(block.line, block.last)) for block in blocks(body, line)]
    for reader in (_aspects, _uses, _training, _teachers, _claims, _papers, _results):
        yield from _limited(reader, found)


def aspects(text: Text, body: str, line: int) -> Iterator[Statement]:
    """What a text that is all about data tells of it."""
    for block in blocks(body, line):
        yield from _of_data(block, text.line(block.line, block.last))


def _limited(
    reader: Callable[[Block, Evidence], Iterator[Statement]], found: list[tuple[Block, Evidence]]
) -> Iterator[Statement]:
    """A reader's statements, each once, up to a number that still can be looked through."""
    seen: set[object] = set()
    for block, at in found:
        for statement in reader(block, at):
            key = _key(statement)
            if key not in seen and len(seen) < _MOST_PER_KIND:
                seen.add(key)
                yield statement


def _key(statement: Statement) -> object:
    """What makes a second statement superfluous: of an aspect and of a use, the first under each heading is enough."""
    match statement:
        case DataAspectFact(aspect=aspect, text=said):
            return aspect, said
        case UsageFact(topic=topic):
            return topic
        case ComponentFact(component=component, where=where):
            return component, where
        case _:
            return statement


def _aspects(block: Block, at: Evidence) -> Iterator[Statement]:
    about = block.kind != "code" and any(_says(title, "data-heading") for title in block.headings)
    if about and not any(_says(title, "not-training-data") for title in block.headings):
        yield from _of_data(block, at)


def _of_data(block: Block, at: Evidence) -> Iterator[Statement]:
    if block.kind == "code":
        return
    if block.kind == "table":
        yield DataAspectFact(Basis.DECLARED, at, Aspect.CHARACTERISTICS, _short(block.text))
        return
    for aspect, words in _PATTERNS["aspects"].items():
        told = (one for one in block.sentences() if words.search(one) and not _says(one, "withheld"))
        said = next((one for one in told if len(one) > 20), None)
        if said:
            yield DataAspectFact(Basis.DECLARED, at, Aspect(aspect), _short(said))


def _uses(block: Block, at: Evidence) -> Iterator[Statement]:
    if len(block.text) < 20:
        return
    for topic, words in _PATTERNS["headings"].items():
        if block.headings and words.search(block.headings[-1]):
            topic = "integration" if block.kind == "code" else topic
            yield UsageFact(Basis.DECLARED, at, topic, _short(block.text))
            return
    if block.kind == "text":
        for said in block.sentences():
            for topic, words in _PATTERNS["uses"].items():
                if words.search(said):
                    yield UsageFact(Basis.DECLARED, at, topic, _short(said))


def _training(block: Block, at: Evidence) -> Iterator[Statement]:
    if block.kind == "code":
        return
    for said in block.sentences() if block.kind == "text" else block.text.split("\n"):
        fact = _training_of(said, " ".join(block.headings))
        if fact != (None, None, ""):
            tokens, hours, hardware = fact
            yield TrainingFact(Basis.DECLARED, at, tokens, None, hours, hardware)
        if _is_from_scratch(said):
            yield OriginFact(Basis.DECLARED, at, _short(said))


def _is_from_scratch(said: str) -> bool:
    """Whether a sentence says that the model, and not only a part of it, was trained from scratch."""
    other = _says(said, "negated") or _says(said, "part-of-a-model")
    return bool(_SCRATCH.search(said)) and _says(said, "whole-model") and not other


def _teachers(block: Block, at: Evidence) -> Iterator[Statement]:
    """Models whose outputs this one learned from, where a sentence gives their id."""
    for said in block.sentences() if block.kind == "text" else ():
        for relation, words in _TEACHERS:
            name = names.model(match["id"]) if (match := words.search(said)) and not _says(said, "negated") else ""
            # Two words with a stroke between them are seldom a model, unless they are spelt or linked like one; but
            # nothing else is distilled from.
            spelt = _SPELT.search(name, 3) or name in map(names.model, block.links)
            if name and (spelt or words is _TEACHERS[0][1]):
                yield ParentFact(Basis.DECLARED, at, name, relation)
                break


def _training_of(said: str, headings: str) -> tuple[int | None, float | None, str]:
    trained = _says(said, "trained") or _says(headings, "trained")
    tokens = [_scaled(match) for match in _TOKENS.finditer(said) if _is_total(match)] if _says(said, "trained") else []
    hours = _HOURS.search(said) or _TEMPLATE_HOURS.search(said)
    hardware = _HARDWARE.search(said) if trained or hours or "hardware" in f"{said} {headings}".lower() else None
    return (
        int(max(tokens)) if tokens else None,
        _scaled(hours) if hours else None,
        printable(hardware[0].strip(), 80) if hardware else "",
    )


def _is_total(match: re.Match[str]) -> bool:
    """Whether the words around a number of tokens leave it a total: not a context, a batch or a speed."""
    before, after = match.string[max(0, match.start() - 30) : match.start()], match.string[match.end() :][:14]
    return not _says(before, "not-a-total") and not _says(after, "not-a-total")


def _scaled(match: re.Match[str]) -> float:
    scale = _SCALE.get((match["unit"] or "")[:1].lower(), 1)
    whole, _, part = match["number"].replace(",", "")[:18].partition(".")
    # In whole numbers as far as possible, so that 1.4 trillion is just that.
    return int(whole) * scale + (int(part[:9]) * scale / 10 ** len(part[:9]) if part else 0)


def _claims(block: Block, at: Evidence) -> Iterator[Statement]:
    if block.kind != "text":
        return
    for said in block.sentences():
        if len(said) > 1000 or _says(said, "negated") or _says(said, "about-others"):
            continue
        topics = (
            [topic for topic, words in _PATTERNS["topics"].items() if words.search(said)]
            if _says(said, "opens")
            else []
        )
        if not topics and _says(said, "model") and _says(said, "released"):
            topics = ["weights"]
        # What is open about an evaluation is no claim about how the model was made.
        judging = _says(said, "evaluation") and not _says(said, "trained-on")
        for topic in topics:
            if not judging:
                yield ClaimFact(Basis.DECLARED, at, topic, _short(said), block.links)
            component = (_JUDGING if judging else _COMPONENT).get(topic)
            if component is not None and block.links:
                yield ComponentFact(Basis.DECLARED, at, component, State.PROMISED, printable(block.links[0]))


def _papers(block: Block, at: Evidence) -> Iterator[Statement]:
    about = f"{' '.join(block.headings[-1:])} {block.text}"
    if not _says(about, "paper"):
        return
    component = Component.TECHNICAL_REPORT if _says(about, "report") else Component.RESEARCH_PAPER
    for link in block.links:
        if match := _ARXIV.search(link):
            yield ComponentFact(Basis.DECLARED, at, component, State.PROMISED, f"arXiv:{match[1]}")


def _results(block: Block, at: Evidence) -> Iterator[Statement]:
    if block.kind == "table" and any(_says(title, "results") for title in block.headings):
        if any(_SCORE.fullmatch(cell.strip(" \t\n*%")) for cell in block.text.split("|")[1:-1]):
            yield ComponentFact(Basis.FOUND, at, Component.EVALUATION_RESULTS, State.PRESENT, at.file)
    elif block.headings and _says(block.headings[-1], "samples") and len(block.text) > 20:
        yield ComponentFact(Basis.FOUND, at, Component.SAMPLE_OUTPUTS, State.PRESENT, at.file)


def _short(text: str) -> str:
    return printable(" ".join(text.split()), _QUOTE)
