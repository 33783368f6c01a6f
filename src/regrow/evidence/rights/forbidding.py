"""How a text reserves rights, forbids, or tells machines to keep out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

from regrow.evidence.rights.passages import BEHIND, Passage
from regrow.evidence.rights.sorts import COPYRIGHT, ELSEWHERE, OPT_OUT, RESERVED, RESTRICTION, Said
from regrow.evidence.rights.wording import pattern, restrictions, speaks_of_itself, speaks_of_others
from regrow.licences.matching import familiar

_SENTENCE = 700  # characters of a sentence that is looked at
_FAMILIAR = 0.5  # of the words of a sentence: then it is one of an open licence

_HOLDER = re.compile(
    r"copyrights?\W{0,4}(?:\(c\)|\xc2?\xa9|&copy;|(?:19|20)\d\d|by\b)|(?:\xc2\xa9|\(c\))\W{0,3}(?:19|20)\d\d",
    re.IGNORECASE,
)


def _copyright(passage: Passage, at: int) -> Said | None:
    """A notice of copyright: the word or its sign, and a year or a holder."""
    notice = _HOLDER.match(passage.raw, at)
    if notice is None or (notice[0][0] not in "cC" and "copyright" in passage.raw[max(0, at - 16) : at].lower()):
        return None
    return COPYRIGHT, at, notice.end(), ""


def _reserved(passage: Passage, at: int) -> Said | None:
    """All rights reserved."""
    all_of = re.search(r"(?<![^\W_])all\s+rights\s+$", passage.text[max(0, at - 48) : at], re.IGNORECASE)
    if all_of is None:
        return None
    elsewhere = pattern("pointer").search(passage.text, max(0, at - BEHIND), at + BEHIND)
    return RESERVED, at - len(all_of[0]), at + len("reserved"), ELSEWHERE if elsewhere else ""


def _restriction(passage: Passage, at: int) -> Said | None:
    """A sentence that forbids."""
    begin, end = passage.sentence(at)
    sentence = passage.text[begin : min(end, begin + _SENTENCE)]
    cue = next((cue for cue in _cues_of_restrictions() if passage.small.startswith(cue, at)), "")
    for one in restrictions():
        if cue not in one.cues or not one.needs.search(sentence):
            continue
        for found in one.says.finditer(sentence):
            within = found.start() <= at - begin + len(cue) and at - begin < found.end()
            if within and _GUARDS[one.sort](sentence, found) and not _is_of_licence(sentence):
                return RESTRICTION, begin, begin + len(sentence.rstrip()), one.sort
    return None


def _is_of_licence(sentence: str) -> bool:
    """Whether a sentence only looks like one that forbids, or belongs to the text of an open licence."""
    return pattern("unless").search(sentence) is not None or familiar(sentence) >= _FAMILIAR


def _anyway(sentence: str, found: re.Match[str]) -> bool:
    return True


_FORBIDS = re.compile(
    r"\b(?:no part|not|never|prohibited|forbidden|must|illegal|unlawful)\b.*"
    r"\b(?:copi|copy|re-?publi|reproduc|redistribut|distribut|publish|post|transmit|stor)",
    re.IGNORECASE | re.DOTALL,
)
_WHOLE = re.compile(r"without|in (?:any|whole|part)|no part|permission|elsewhere|\bplease\b|strictly", re.IGNORECASE)


def _forbids(sentence: str, found: re.Match[str]) -> bool:
    """Whether something is forbidden without the permission that a sentence speaks of."""
    return _FORBIDS.search(sentence) is not None


def _of_text(sentence: str, found: re.Match[str]) -> bool:
    """Whether what may not be passed on is a text: of an error, one says the same."""
    if re.search("re-?publi", found[0], re.IGNORECASE):
        return True
    return speaks_of_itself(sentence) or _WHOLE.search(sentence) is not None


def _subject(sentence: str, found: re.Match[str]) -> bool:
    """Whether a sentence about a use is about the text itself."""
    before = sentence[: found.start()]
    alone = len(re.findall(r"\w+", before)) <= 2
    return (alone or speaks_of_itself(before)) and not speaks_of_others(before)


_GUARDS: Mapping[str, Callable[[str, re.Match[str]], bool]] = {
    "no-training": _anyway,
    "no-republishing": _of_text,
    "permission-needed": _forbids,
    "non-commercial": _subject,
    "personal-use": _subject,
}

_RESERVATION = re.compile(r"tdm[-_]reservation[\"']?[^\w\n]{1,12}(?:content[^\w\n]{1,4})?1\b", re.IGNORECASE)
_DISALLOW = re.compile(
    r"[\w-]*bot\s{0,4}\n(?:(?!user-agent).{0,80}\n){0,4}?\s*disallow:[ \t]*/\s*(?:\n|$)", re.IGNORECASE
)


def _signal(passage: Passage, at: int) -> Said | None:
    """A sign that machines are to leave the text alone."""
    if found := _RESERVATION.match(passage.raw, at):
        return OPT_OUT, at, found.end(), "tdm-reservation"
    before = passage.raw[max(0, at - 100) : at].lower()
    if passage.raw[at : at + 4].lower() == "noai" and "robots" in before:
        return OPT_OUT, at, at + 4, "noai"
    found = _DISALLOW.match(passage.raw, at)
    if found and re.search(r"(?:^|\n)user-agent:[ \t]*$", before):
        return OPT_OUT, at, found.end(), "robots"
    return None


READERS: Mapping[str, Callable[[Passage, int], Said | None]] = {
    "copyright": _copyright,
    "reserved": _reserved,
    "restriction": _restriction,
    "signal": _signal,
}


@cache
def _cues_of_restrictions() -> frozenset[str]:
    return frozenset(cue for one in restrictions() for cue in one.cues)
