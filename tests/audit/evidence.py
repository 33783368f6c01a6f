"""Whether what an audit says rests on something that was read: every place is looked up in the files once more.

:class:`Witness` is told what collectors read, while it is still there, and then what was judged. It knows nothing of
how collectors and rules come to what they say.
"""

import hashlib
import io
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
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
GGUF = b"GGUF"
LARGEST = 1 << 26
MOST = 2000  # of more facts of one model, as tests of long files make them, some are looked up


class Witness:
    """Remembers each place that a fact was read in, and that it is there."""

    def __init__(self) -> None:
        self.read: set[Evidence] = set()

    def collected(self, folder: Folder, facts: Iterable[Fact]) -> None:
        """Facts that collectors give about a folder or file."""
        given = tuple(facts)
        files: dict[tuple[str, str], File] = {}
        self.read.update(fact.evidence for fact in given)
        for fact in given[:: 1 + len(given) // MOST]:
            assert fact.basis is not Basis.KNOWN, f"collectors read, and know nothing: {fact}"
            place = fact.evidence
            if place.file.startswith("hf:"):  # what the hub answered
                continue
            if match := re.fullmatch(r"inventory of (\d+) files", place.locator):
                assert place.file == "." and int(match[1]) == len(folder.entries), place
                continue
            span = place.locator if re.fullmatch(BYTES, place.locator) else ""
            file = files.get((place.file, span)) or files.setdefault((place.file, span), opened(folder, place))
            file.look_up(place)
            for name in said(fact):
                assert all(plain(part) in file.text for part in name.split("/")), f"{place.file} does not say {fact}"

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


@dataclass(frozen=True)
class File:
    """What was read of a file: all of it, or of weights the bytes that a place names."""

    path: str
    data: bytes

    @cached_property
    def rows(self) -> list[str]:
        return self.data.decode("utf-8", "replace").split("\n")

    @cached_property
    def text(self) -> str:
        text = self.data.decode("utf-8", "replace")
        return plain(text) + plain(re.sub(r"\]\([^)]*\)", "", text))  # a sentence is told without addresses of links

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def values(self) -> Any:
        if self.data.startswith(GGUF):
            return gguf.read_header(io.BytesIO(self.data), len(self.data)).values
        match Path(self.path).suffix:
            case ".json":
                return json.loads(self.data)
            case ".toml" | ".lock":
                return tomllib.loads(self.data.decode())
            case ".yml" | ".yaml":
                return yaml.load(self.data.decode(), Loader=yaml.BaseLoader)
        raise AssertionError(f"{self.path} has no keys")

    def look_up(self, place: Evidence) -> None:
        """That a place is there, and in the file whose hash was kept."""
        if match := re.fullmatch(r"lines? (\d+)(?:-(\d+))?", place.locator):
            first, last = int(match[1]), int(match[2] or match[1])
            assert 1 <= first <= last <= len(self.rows), f"{place} is outside of a file of {len(self.rows)} lines"
            assert any(row.strip() for row in self.rows[first - 1 : last]), f"nothing is at {place}"
        elif place.locator.startswith("key "):
            self.has_key(place.locator.removeprefix("key "))
        else:
            assert not place.locator or re.fullmatch(BYTES, place.locator), f"what is {place}?"
        assert place.sha256 in (self.sha256, self.header_sha256), f"{place} is of another file"

    @cached_property
    def header_sha256(self) -> str:
        """Of a file with a header that names its keys, that of the header."""
        if not self.data.startswith(GGUF):
            return self.sha256
        return gguf.read_header(io.BytesIO(self.data), len(self.data)).sha256

    def has_key(self, key: str) -> None:
        value = self.values
        if key in value:
            return
        for part in key.split("."):
            there = part in value if isinstance(value, dict) else part.isdigit() and int(part) < len(value)
            assert there, f"{self.path} has no {part} of {key}"
            value = value[part] if isinstance(value, dict) else value[int(part)]


def opened(folder: Folder, place: Evidence) -> File:
    """What a place is in."""
    if Path(place.file).is_absolute():  # what this machine remembers of the release
        return File(place.file, Path(place.file).read_bytes())
    size = folder.size(place.file)
    match = re.fullmatch(BYTES, place.locator)
    begin, end = (int(match[1]), int(match[2])) if match else (0, size)
    assert begin < end <= size or not match, f"{place} is outside of a file of {size} bytes"
    assert end - begin <= LARGEST, f"nobody looks through all of {place}"
    with folder.open(place.file, "test") as file:
        file.seek(begin)
        return File(place.file, file.read(end - begin))


def said(fact: Fact) -> list[str]:
    """The names that a fact has from a file."""
    match fact:
        case LicenceFact(basis=Basis.DECLARED, raw=raw, name=name):
            quote = getattr(fact, "quote", "")  # what a sentence says is called as the catalogue calls it
            return [one for one in ((quote,) if quote else (raw, name)) if one != "other"]
        case ParentFact(parent=parent):
            return [parent.removeprefix("hf:").removeprefix("what stage ").removesuffix(" took").rpartition("/")[2]]
        case DatasetFact(name=name):
            return [name] if name != "a source without a name" else []
        case ClaimFact(text=text):
            return [text]
    return []


def plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold().removesuffix("..."))
