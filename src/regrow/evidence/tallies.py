"""How many documents have which tags: counted part by part, and put together in the order of the parts."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FILE = "counted.json"
_SAMPLES = 3


@dataclass
class Tally:
    """What was counted.

    Attributes:
        documents: source -> how many were looked at.
        size: source -> bytes of their texts.
        tagged: tag -> source -> documents that have it.
        places: tag -> value -> how often it was found.
        samples: tag -> where the first few documents with it come from.
    """

    documents: Counter[str] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)
    tagged: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    places: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    samples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def look(self, source: str, documents: int, size: int) -> None:
        """Count documents that were looked at."""
        self.documents[source] += documents
        self.size[source] += size

    def tag(self, tag: str, source: str, documents: int, samples: Iterable[str]) -> None:
        """Count documents that have a tag; they come in canonical order."""
        self.tagged[tag][source] += documents
        self.samples[tag] += [*samples][: _SAMPLES - len(self.samples[tag])]

    def add(self, other: Tally) -> None:
        """Add what was counted in the part that comes next."""
        self.documents.update(other.documents)
        self.size.update(other.size)
        for tag, counts in other.tagged.items():
            self.tagged[tag].update(counts)
            self.samples[tag] += other.samples[tag][: _SAMPLES - len(self.samples[tag])]
        for tag, counts in other.places.items():
            self.places[tag].update(counts)

    def has(self, tag: str) -> int:
        """How many documents have a tag."""
        return sum(self.tagged.get(tag, Counter()).values())

    def found(self, tag: str) -> int:
        """How often a tag was found."""
        return sum(self.places.get(tag, Counter()).values())

    @property
    def total(self) -> int:
        """How many documents were looked at."""
        return sum(self.documents.values())

    @property
    def bytes(self) -> int:
        """Bytes of all texts."""
        return sum(self.size.values())

    def write(self, folder: Path) -> None:
        """Keep it for a later phase."""
        (folder / FILE).write_text(json.dumps(vars(self), ensure_ascii=False), "utf-8")

    @staticmethod
    def read(folder: Path) -> Tally:
        """What was kept."""
        told = json.loads((folder / FILE).read_text("utf-8"))
        tally = Tally(Counter(told["documents"]), Counter(told["size"]))
        for name in ("tagged", "places"):
            getattr(tally, name).update({tag: Counter(counts) for tag, counts in told[name].items()})
        tally.samples.update(told["samples"])
        return tally

    @staticmethod
    def together(folders: Sequence[Path]) -> Tally:
        """That of all parts, in their order."""
        whole = Tally()
        for folder in folders:
            whole.add(Tally.read(folder))
        return whole


def share(part: float, whole: float) -> str:
    """A part of something in percent, for people."""
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    return "less than 0.1 %" if percent < 0.1 else f"{percent:.1f} %"


def top(counts: Mapping[str, int], most: int) -> list[tuple[str, int]]:
    """The largest counts, the first by name of those that are equal."""
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:most]
