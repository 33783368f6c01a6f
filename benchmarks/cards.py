"""How well sentences of other people's cards are read: precision and recall by topic, on a labelled set.

    python -m benchmarks.cards FOLDER                   # a row per topic and half
    python -m benchmarks.cards FOLDER --wrong tokens    # and what was read wrong, of the half that is not held out
    python -m benchmarks.cards FOLDER --label           # write labels without texts from the files of FOLDER

FOLDER has files ``NAME.jsonl`` of objects ``{text, where, topic, want}``: a sentence as it stands in a card (a heading
before it, if that matters), the address or ``repository:path`` it was read at, one of the topics below, and the list of
what it says of it. The texts are other people's and stay where they are; ``cards/NAME.jsonl`` keeps the labels with the
sha256 of each text, and only texts that have one there are counted. Which half a text is in follows from ``where``, so
that it was settled before anyone looked, and no card is in both.

Precision is the share of what was read that is right; recall is the share of what should be read that was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.auditing.collectors import card
from regrow.auditing.collectors.folder import Text
from regrow.auditing.facts import Component, ComponentFact, Fact, LicenceFact, ParentFact, State, TrainingFact

LABELS = Path(__file__).with_suffix("")


def _withheld(fact: Fact) -> str | None:
    known = isinstance(fact, ComponentFact) and fact.component is Component.DATASETS and fact.state is State.ABSENT
    return "withheld" if known else None


def _tokens(fact: Fact) -> str | None:
    return str(fact.tokens) if isinstance(fact, TrainingFact) and fact.tokens is not None else None


def _parent(fact: Fact) -> str | None:
    return f"{fact.relation} {fact.parent}" if isinstance(fact, ParentFact) else None


def _licence(fact: Fact) -> str | None:
    return fact.id or fact.raw if isinstance(fact, LicenceFact) else None


TOPICS: Mapping[str, Callable[[Fact], str | None]] = {
    "withheld": _withheld,
    "tokens": _tokens,
    "parents": _parent,
    "licences": _licence,
}
"""What a topic is -> what a fact says of it, in the words of the labels; None for a fact about something else."""


@dataclass(frozen=True)
class Sentence:
    """A sentence that somebody labelled."""

    text: str
    where: str
    topic: str
    want: frozenset[str]

    @property
    def half(self) -> str:
        """Which half it is in."""
        return half(self.where)

    @property
    def read(self) -> frozenset[str]:
        """What we read in it."""
        facts = card.read(Text("README.md", self.text, "", "card", "2026-01-01"))
        said = (TOPICS[self.topic](fact) for fact in facts if isinstance(fact, Fact))
        return frozenset(value for value in said if value is not None)


def half(where: str) -> str:
    """``open`` or ``held out``: one bit of a hash of where a text was read."""
    return "held out" if hashlib.sha256(where.encode()).digest()[0] & 1 else "open"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file, one a line."""
    return (json.loads(line) for line in path.read_text("utf-8").splitlines() if line)


def label(folder: Path) -> None:
    """Write the labels of a folder's texts, without the texts."""
    LABELS.mkdir(exist_ok=True)
    for path in sorted(folder.glob("*.jsonl")):
        rows = ({**row, "sha256": _digest(row.pop("text"))} for row in lines(path))
        written = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
        (LABELS / path.name).write_text(written, "utf-8")


def sentences(folder: Path) -> Iterator[Sentence]:
    """The texts of a folder that have a label."""
    texts = {_digest(row["text"]): row["text"] for path in sorted(folder.glob("*.jsonl")) for row in lines(path)}
    for path in sorted(LABELS.glob("*.jsonl")):
        for row in lines(path):
            if row["sha256"] in texts:
                yield Sentence(texts[row["sha256"]], row["where"], row["topic"], frozenset(row["want"]))


def measure(found: list[Sentence]) -> dict[str, float]:
    """Counts, precision and recall."""
    right = sum(len(one.read & one.want) for one in found)
    read, wanted = sum(len(one.read) for one in found), sum(len(one.want) for one in found)
    return {
        "sentences": len(found),
        "saying nothing": sum(not one.want for one in found),
        "precision": right / read if read else 1.0,
        "recall": right / wanted if wanted else 1.0,
    }


def main() -> None:
    """Read the folder and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wrong", choices=TOPICS, help="show what was read wrong of a topic, of the open half")
    parser.add_argument("--label", action="store_true", help="write labels without texts")
    options = parser.parse_args()
    if options.label:
        label(options.folder)
    found = list(sentences(options.folder))
    print(f"{'topic':<12}{'half':<12}{'sentences':>10}{'of them saying nothing':>24}{'precision':>11}{'recall':>8}")
    for topic in TOPICS:
        for part in ("open", "held out"):
            row = measure([one for one in found if (one.topic, one.half) == (topic, part)])
            print(f"{topic:<12}{part:<12}{row['sentences']:>10}{row['saying nothing']:>24}", end="")
            print(f"{row['precision']:>11.3f}{row['recall']:>8.3f}")
    for one in found:
        if (one.topic, one.half) == (options.wrong, "open") and one.read != one.want:
            print(f"\n{one.topic}: read {sorted(one.read)}, want {sorted(one.want)}\n  {one.text!r}\n  {one.where}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


if __name__ == "__main__":
    main()
