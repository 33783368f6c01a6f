"""What a card says that training took: tokens, operations, hours, hardware; and that it began from random values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction

from regrow.auditing.collectors.folder import Statement, printable
from regrow.auditing.collectors.markdown import Block
from regrow.auditing.collectors.prose.quantities import Quantity, Unit
from regrow.auditing.collectors.prose.subject import is_named, is_on_another, is_own, is_this_model
from regrow.auditing.collectors.prose.words import says, short
from regrow.auditing.facts import Basis, Evidence, OriginFact, TrainingFact
from regrow.data import any_of, toml

_TABLE: Mapping[str, Mapping[str, list[str]]] = toml("auditing.collectors", "numbers")
_ADJECTIVE = rf"(?!{any_of(_TABLE['no-adjective']['words'])}\b)[A-Za-z][\w/'-]{{0,24}}\s"


def _unit(name: str, adjective: str = "") -> Unit:
    """What is counted, with the words that may stand before it."""
    between = [*_TABLE["between"][name], *([adjective] if adjective else ())]
    return Unit(
        any_of(_TABLE["units"][name]), rf"[\s-]{{0,2}}(?:{any_of(between)}){{0,4}}" if between else r"[\s-]{0,2}"
    )


_TOKENS = _unit("tokens", _ADJECTIVE)
_FLOPS, _HOURS, _HOURS_USED = _unit("flops"), _unit("hours"), Unit(any_of(_TABLE["units"]["hours-used"]))
_NOT_BEFORE = re.compile(rf"(?:{any_of(_TABLE['not-a-total']['before'])})$", re.IGNORECASE)
_NOT_AFTER = re.compile(any_of(_TABLE["not-a-total"]["after"]), re.IGNORECASE)
_TRAINED = re.compile(any_of(_TABLE["trained"]["words"]), re.IGNORECASE)
_RESTATED = re.compile(r"[\d.,]{1,20}\s?[A-Za-z]{0,9}\s?\($")
_OTHERWISE = re.compile(any_of(_TABLE["not-a-total"]["otherwise"]), re.IGNORECASE)
_PART = re.compile(any_of(_TABLE["not-a-total"]["part-of-training"]), re.IGNORECASE)
_MOST_CELLS = 2
_FEWEST_TOKENS, _MOST_TOKENS = 10**6, 10**15
"""Of fewer, contexts and batches are spoken; more have not been written."""
_FEWEST_FLOPS = 10**15
"""Of fewer, one run or one second of a machine is spoken."""

# Everything that repeats is bounded: a card is a stranger's, and must not make a search take longer than it is long.
_HARDWARE = re.compile(
    r"(?:(?:\d[\d,]{0,6})\s?(?:x|\u00d7|\*)?\s?)?(?:NVIDIA |AMD |Google )?"
    r"(?:[ABHLV]\d{2,3}L?(?:-\w{2,5})?|GB?200|RTX ?\d{4}|MI\d{3}X?|TPU ?v\d\w?(?:-\d+)?|Gaudi ?\d?|Trainium\d?)"
    r"(?:[ -](?:80|40|96|192) ?GB)?(?: [GT]PUs?)?\b"
)
_SCRATCH = {name: re.compile(any_of(words), re.IGNORECASE) for name, words in _TABLE["scratch"].items()}


def training(block: Block, at: Evidence) -> Iterator[Statement]:
    """What training took, and that it began from random values."""
    if block.kind == "code":
        return
    # A row of many cells is about one of several things, and not about what was read in all.
    rows = (row for row in block.text.split("\n") if row.strip(" |").count("|") < _MOST_CELLS)
    for said in block.sentences() if block.kind == "text" else rows:
        fact = _training_of(said, block.headings, at)
        if fact != TrainingFact(Basis.DECLARED, at):
            yield fact
        if _is_from_scratch(said, block.headings):
            yield OriginFact(Basis.DECLARED, at, short(said))


def _is_from_scratch(said: str, headings: tuple[str, ...]) -> bool:
    """Whether a sentence says that this model, and not only a part of it, was trained from scratch."""
    match = _SCRATCH["english"].search(said)
    if not match and not _SCRATCH["said"].search(said):
        return False
    if _SCRATCH["not"].search(said) or not is_this_model(said, headings):
        return False
    if match and not is_own(said[: match.start()], headings):
        return False
    other = says(said, "negated") or says(said, "part-of-a-model")
    whole = says(said, "whole-model") or _SCRATCH["model"].search(said) or is_named(said, headings)
    return not other and bool(whole)


def _training_of(said: str, headings: tuple[str, ...], at: Evidence) -> TrainingFact:
    around = f"{said} {' '.join(headings)}"
    other = is_on_another(said, headings) or _OTHERWISE.search(said)
    trained = _TRAINED.search(around) is not None and not other
    hours = _only([*_HOURS.quantities(said), *_HOURS_USED.quantities(said)])
    hardware = _HARDWARE.search(said) if trained or hours is not None or "hardware" in around.lower() else None
    return TrainingFact(
        Basis.DECLARED,
        at,
        _tokens(said) if trained else None,
        _flops(said) if trained else None,
        float(hours) if hours is not None else None,
        printable(hardware[0].strip(), 80) if hardware else "",
    )


def _tokens(said: str) -> int | None:
    if _PART.search(said):
        return None
    value = _only([one for one in _TOKENS.quantities(said) if one.value >= _FEWEST_TOKENS])
    return int(value) if value is not None and value <= _MOST_TOKENS else None


def _flops(said: str) -> float | None:
    value = _only([one for one in _FLOPS.quantities(said) if one.value >= _FEWEST_FLOPS])
    return float(value) if value is not None else None


def _only(found: list[Quantity]) -> Fraction | None:
    """The one total that is told; of several it is not known what they are of."""
    values = {one.value for one in found if _is_total(one)}
    return values.pop() if len(values) == 1 else None


def _is_total(quantity: Quantity) -> bool:
    """Whether the words around a number leave it a total: not a context, a batch, a speed or one of many epochs."""
    before = _RESTATED.sub("", quantity.before)
    return not _NOT_BEFORE.search(before) and not _NOT_AFTER.match(quantity.after)
