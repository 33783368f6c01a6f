"""Whether what an audit says rests on something that was read: every place is looked up in the files once more.

:class:`Witness` is told what collectors read, while it is still there, and then what was judged. It knows nothing of
how collectors and rules come to what they say.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from regrow.auditing.collectors.folder import Folder
from regrow.auditing.facts import (
    Basis,
    ClaimFact,
    DatasetFact,
    Evidence,
    Fact,
    LicenceFact,
    ParentFact,
)
from regrow.auditing.lineage import Lineage
from regrow.auditing.result import Answer, Claim, Outcome, Verdict
from regrow.auditing.rules import Group, Judgement, explain
from regrow.auditing.rules.rulesets import Needs
from regrow.formats import gguf

TOLD = frozenset(("origin", "terms", "terms_fixed", "licence_kinds", "code_terms", "included", "compute"))
"""The predicates that ask, at least in part, for what can be known of a model without having it."""

BYTES = r"bytes (\d+)-(\d+)"
LARGEST = 1 << 26


class Witness:
    """Remembers each place that a fact was read in, and that it is there."""

    def __init__(self) -> None:
        self.read: set[Evidence] = set()

    def collected(self, folder: Folder, facts: Iterable[Fact]) -> None:
        """Facts that collectors give about a folder or file."""
        texts: dict[str, str] = {}
        for fact in facts:
            assert fact.basis is not Basis.KNOWN, f"collectors read, and know nothing: {fact}"
            place = fact.evidence
            if place not in self.read:
                look_up(folder, place)
            for name in said(fact):
                text = texts.get(place.file) or texts.setdefault(place.file, plain(text_of(folder, place)))
                assert all(plain(part) in text for part in name.split("/")), f"{place.file} does not say {fact}"
            self.read.add(place)

    def judged(self, lineage: Lineage, judgement: Judgement, claims: Iterable[Claim] = ()) -> None:
        """What the rules make of it."""
        facts = {fact.evidence for node in lineage.nodes for fact in node.collected.facts}
        verdicts = [one for whole in judgement.definitions for one in whole.verdicts]
        for one in (*verdicts, *judgement.parts, *judgement.freedoms, *claims):
            if is_good(one):
                self._rests(one, facts)

    def _rests(self, one: Verdict | Answer | Claim, facts: set[Evidence]) -> None:
        assert one.evidence, f"nothing stands behind {one}"
        known = {place for place in one.evidence if place.collector == Basis.KNOWN}
        assert set(one.evidence) <= facts, f"no fact stands behind some of {one}"
        assert set(one.evidence) - known <= self.read, f"somebody read what stands behind {one}, and no collector"
        assert bool(known) == ("as known (" in one.reason), f"known or read? {one}"
        assert all(re.search(r": .*\d{4}-\d\d-\d\d", place.locator) for place in known)
        assert not (known and isinstance(one, Claim)), f"a claim was delivered or not: {one}"
        if known and isinstance(one, Verdict):
            asked = set(predicates(explain(one.rule).needs))
            assert asked & TOLD, f"this asks for something that is there: {one}"


def is_good(one: Verdict | Answer | Claim) -> bool:
    return one.answer == "yes" if isinstance(one, Answer) else one.outcome is Outcome.MET


def predicates(needs: Needs) -> Iterator[str]:
    if isinstance(needs, Group):
        for need in needs.needs:
            yield from predicates(need)
    else:
        yield needs.predicate


def look_up(folder: Folder, place: Evidence) -> None:
    """That a place is there, and that it is the one whose hash was kept."""
    if place.file.startswith("hf:"):  # what the hub answered
        return
    if match := re.fullmatch(r"inventory of (\d+) files", place.locator):
        assert place.file == "." and int(match[1]) == len(folder.entries), place
        return
    data = content(folder, place)
    if re.fullmatch(BYTES, place.locator):
        pass
    elif match := re.fullmatch(r"line (\d+)|lines (\d+)-(\d+)", place.locator):
        rows = data.decode("utf-8", "replace").split("\n")
        first = int(match[1] or match[2])
        last = int(match[1] or match[3])
        assert 1 <= first <= last <= len(rows), f"{place} is outside of a file of {len(rows)} lines"
        assert "".join(rows[first - 1 : last]).strip(), f"nothing is at {place}"
    elif match := re.fullmatch(r"key (.+)", place.locator):
        has_key(place.file, data, match[1])
    else:
        assert not place.locator, f"what is {place}?"
    assert digest(place, data) == place.sha256, f"{place} is of another file"


def content(folder: Folder, place: Evidence) -> bytes:
    """The bytes that a place is of: of a file of weights not more than it names."""
    if Path(place.file).is_absolute():  # what this machine remembers of the release
        return Path(place.file).read_bytes()
    match = re.fullmatch(BYTES, place.locator)
    begin, end = (int(match[1]), int(match[2])) if match else (0, folder.size(place.file))
    assert begin < end <= folder.size(place.file) or not match, f"{place} is outside of a file"
    assert end - begin <= LARGEST, f"nobody looks through all of {place}"
    with folder.open(place.file, "test") as file:
        file.seek(begin)
        return file.read(end - begin)


def digest(place: Evidence, data: bytes) -> str:
    """Of a key in a header, of the header."""
    if place.file.endswith(".gguf") and place.locator.startswith("key "):
        data = data[: header(data).end]
    return hashlib.sha256(data).hexdigest()


def header(data: bytes) -> Any:
    import io

    return gguf.read_header(io.BytesIO(data), len(data))


def has_key(file: str, data: bytes, key: str) -> None:
    value = structure(file, data)
    if isinstance(value, dict) and key in value:
        return
    for part in key.split("."):
        there = part in value if isinstance(value, dict) else part.isdigit() and int(part) < len(value)
        assert there, f"{file} has no {part} of {key}"
        value = value[part] if isinstance(value, dict) else value[int(part)]


def structure(file: str, data: bytes) -> Any:
    match Path(file).suffix:
        case ".json":
            return json.loads(data)
        case ".toml" | ".lock":
            return tomllib.loads(data.decode())
        case ".yml" | ".yaml":
            return yaml.load(data.decode(), Loader=yaml.BaseLoader)
        case ".gguf":
            return header(data).values
    raise AssertionError(f"{file} has no keys")


def text_of(folder: Folder, place: Evidence) -> str:
    return content(folder, place).decode("utf-8", "replace")


def said(fact: Fact) -> list[str]:
    """The names that a fact has from a file."""
    match fact:
        case LicenceFact(basis=Basis.DECLARED, raw=raw, name=name):
            return [one for one in (raw, name) if one != "other"]
        case ParentFact(parent=parent):
            return [parent.removeprefix("hf:").removeprefix("what stage ").removesuffix(" took")]
        case DatasetFact(name=name):
            return [name]
        case ClaimFact(text=text):
            return [text]
    return []


def plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold().removesuffix("..."))
