"""What a card says that training took: tokens, hours and hardware, and whether it began from random values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regrow.auditing.collectors.folder import Statement, printable
from regrow.auditing.collectors.markdown import Block
from regrow.auditing.collectors.prose.words import says, short
from regrow.auditing.facts import Basis, Evidence, OriginFact, TrainingFact

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


def training(block: Block, at: Evidence) -> Iterator[Statement]:
    """What training took, and that it began from random values."""
    if block.kind == "code":
        return
    for said in block.sentences() if block.kind == "text" else block.text.split("\n"):
        fact = _training_of(said, " ".join(block.headings))
        if fact != (None, None, ""):
            tokens, hours, hardware = fact
            yield TrainingFact(Basis.DECLARED, at, tokens, None, hours, hardware)
        if _is_from_scratch(said):
            yield OriginFact(Basis.DECLARED, at, short(said))


def _is_from_scratch(said: str) -> bool:
    """Whether a sentence says that the model, and not only a part of it, was trained from scratch."""
    other = says(said, "negated") or says(said, "part-of-a-model")
    return bool(_SCRATCH.search(said)) and says(said, "whole-model") and not other


def _training_of(said: str, headings: str) -> tuple[int | None, float | None, str]:
    trained = says(said, "trained") or says(headings, "trained")
    tokens = [_scaled(match) for match in _TOKENS.finditer(said) if _is_total(match)] if says(said, "trained") else []
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
    return not says(before, "not-a-total") and not says(after, "not-a-total")


def _scaled(match: re.Match[str]) -> float:
    scale = _SCALE.get((match["unit"] or "")[:1].lower(), 1)
    whole, _, part = match["number"].replace(",", "")[:18].partition(".")
    # In whole numbers as far as possible, so that 1.4 trillion is just that.
    return int(whole) * scale + (int(part[:9]) * scale / 10 ** len(part[:9]) if part else 0)
