"""The artifact ``benchmark``: the items of one, as questions, choices and answers in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from regrow.store.digest import sha256_bytes

ITEMS = "items.jsonl"
FACTS = "benchmark.json"


@dataclass(frozen=True)
class Item:
    """One task of a benchmark.

    Attributes:
        id: what the benchmark calls it, or its row.
        question: what is asked.
        choices: what may be answered; empty if it is not a question of choice.
        answer: what is right, in words; empty if the benchmark does not say.
    """

    id: str
    question: str
    choices: tuple[str, ...] = ()
    answer: str = ""

    @property
    def sha256(self) -> str:
        """Of all of it: so it can be told apart where its text may not be shown."""
        return sha256_bytes("\0".join([self.question, *self.choices, self.answer]).encode())


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes:
        name: of its source.
        availability: of its source: the texts of one that is not open are never published.
        fields: what of its rows is the question, the choices, the answer and the id.
        files: how many it was read from.
        passed_over: how many files of the source are no tables with questions.
        items: all of them, in order.
    """

    name: str
    availability: str
    fields: dict[str, tuple[str, ...]]
    files: int
    passed_over: int
    items: Sequence[Item]

    @property
    def is_open(self) -> bool:
        """Whether its texts may be published."""
        return self.availability == "open"

    def write(self, folder: Path) -> None:
        """Write the artifact."""
        facts = {key: value for key, value in asdict(self).items() if key != "items"}
        (folder / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", "utf-8", newline="\n")
        with (folder / ITEMS).open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in self.items)

    @staticmethod
    def open(folder: Path) -> Benchmark:
        """Read the artifact."""
        facts = json.loads((folder / FACTS).read_text("utf-8"))
        facts["fields"] = {key: tuple(value) for key, value in facts["fields"].items()}
        return Benchmark(**facts, items=tuple(_items(folder / ITEMS)))


def _items(path: Path) -> Iterator[Item]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            told = json.loads(line)
            yield Item(told["id"], told["question"], tuple(told["choices"]), told["answer"])
