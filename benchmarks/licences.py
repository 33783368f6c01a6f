"""How well licences are known by their texts, and in what time; against spdx-matcher where it is installed.

    python -m benchmarks.licences CORPUS            # a table
    python -m benchmarks.licences CORPUS --json     # one object per row

CORPUS is the folder that the index was built from (see ``tools/licence_index.py``). A row gives, over the texts of
the table and one way to change them, how many were identified right, as nothing, and as another licence; how often a
text with restrictions was called open, which must never be; and the median time of a text. The peer knows the licences
of the SPDX list alone and is slow, so it gets the short ones among them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import textwrap
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from regrow.licences import every, get, identify, index
from tools import licence_index

Text = tuple[str, str]  # the id of the licence, and its text
Identify = Callable[[str], str | None]

SHORT = 12_000  # characters of a text that the peer is asked about
RESTRICTIONS = {
    "non-commercial sentence": "The Software may not be used for commercial purposes.",
    "Commons Clause": "The grant of rights does not include the right to Sell the Software.",
    "field of use": "Use in the development of weapons, or for surveillance, is not permitted.",
    "scale duty": "Products with more than 100 million monthly active users shall display the name of the model.",
    "research only": "This model is made available to academic institutions for research.",
    "another language": "Die Nutzung ist nur für nichtkommerzielle Zwecke erlaubt.",
    "terms elsewhere": "The weights are governed by the terms in WEIGHTS.md.",
}
APACHE_TITLE = "Apache License\nVersion 2.0, January 2004\nhttp://www.apache.org/licenses/\n\n"


def page(text: str) -> str:
    return "<html><body>" + "".join(f"<p>{line}</p>\n" for line in text.splitlines()) + "</body></html>"


DEFORMATIONS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "wrapped at 50": lambda text: textwrap.fill(text, 50),
    "on one line": lambda text: " ".join(text.split()),
    "in capitals": str.upper,
    "Markdown": lambda text: "# License\n\n" + textwrap.indent(text, "> ", lambda _: True),
    "HTML": page,
    "copyright lines": lambda text: f"Copyright (c) 2019-2024 Ann Example\n(c) 2020 Example GmbH\n\n{text}",
    "as a comment": lambda text: textwrap.indent(text, "# ", lambda _: True),
    "last 8 % cut": lambda text: text[: int(0.92 * len(text))],
}


def corpus(folder: Path) -> list[Text]:
    """The texts of the table."""
    plan = tomllib.loads(licence_index.PLAN.read_text(encoding="utf-8"))
    return [(id, licence_index.text_of(folder, name)) for id, names in plan["files"].items() for name in names]


def strangers(folder: Path) -> list[str]:
    """The texts of licences that are not in the table."""
    plan = tomllib.loads(licence_index.PLAN.read_text(encoding="utf-8"))
    ours = {name for names in plan["files"].values() for name in names}
    return [
        licence_index.text_of(folder, path.stem) for path in sorted(folder.glob("*.LICENSE")) if path.stem not in ours
    ]


def inserted(text: str, sentence: str) -> Iterator[str]:
    """A text with a sentence of its own before it, in it and after it."""
    paragraphs = text.split("\n\n")
    for at in sorted({0, len(paragraphs) // 2, len(paragraphs)}):
        yield "\n\n".join([*paragraphs[:at], sentence, *paragraphs[at:]])


def restricted(texts: list[Text]) -> Iterator[tuple[str, list[Text]]]:
    """Texts that must not be called open; those with an added sentence must not be called anything open at all."""
    open_texts = [(id, text) for id, text in texts if get(id).open]
    for name, sentence in RESTRICTIONS.items():
        yield f"+ {name}", [(id, changed) for id, text in open_texts for changed in inserted(text, sentence)]
    closed = [(id, text) for id, text in texts if not get(id).open]
    yield "restricted, titled Apache", [(id, APACHE_TITLE + "\n".join(text.splitlines()[4:])) for id, text in closed]


def row(what: str, who: str, texts: list[Text], identify: Identify, *, safe: bool) -> dict[str, object]:
    """Ask about texts; where they are not ``safe``, an open answer is the one that must not come."""
    times, answers = [], []
    for id, text in texts:
        start = time.perf_counter()
        answers.append((id, identify(text)))
        times.append(time.perf_counter() - start)
    right = sum(answer == id for id, answer in answers)
    none = sum(answer is None for _, answer in answers)
    opened = sum(answer is not None and get(answer).open for _, answer in answers) if not safe else 0
    return {
        "texts": what,
        "by": who,
        "number": len(texts),
        "right": right,
        "none": none,
        "other": len(texts) - right - none,
        "called open": opened,
        "ms": round(1000 * statistics.median(times), 1),
    }


def ours(text: str) -> str | None:
    match = identify(text)
    return match.id if match else None


def peer() -> Identify | None:
    """The peer's identification, with its answers as ids of our table."""
    try:
        import spdx_matcher
    except ImportError:
        return None
    ids = {licence.spdx.removesuffix("-only"): licence.id for licence in every() if licence.spdx}

    def identify(text: str) -> str | None:
        found, _ = spdx_matcher.analyse_license_text(text)
        names = [
            ids[name.removesuffix("-only")] for name in found.get("licenses", {}) if name.removesuffix("-only") in ids
        ]
        return names[0] if names else None

    return identify


def rows(folder: Path) -> Iterator[dict[str, object]]:
    texts = corpus(folder)
    start = time.perf_counter()
    size = len(index.shipped())
    yield {
        "texts": "reading the index",
        "by": "regrow",
        "number": size,
        "ms": round(1000 * (time.perf_counter() - start), 1),
    }
    theirs = peer()
    short = [(id, text) for id, text in texts if get(id).spdx and len(text) < SHORT and get(id).open]
    for name, change in DEFORMATIONS.items():
        yield row(name, "regrow", [(id, change(text)) for id, text in texts], ours, safe=True)
        if theirs and name in ("as it is", "copyright lines", "Markdown"):
            yield row(f"{name}, short", "spdx-matcher", [(id, change(text)) for id, text in short], theirs, safe=True)
            yield row(f"{name}, short", "regrow", [(id, change(text)) for id, text in short], ours, safe=True)
    for name, changed in restricted(texts):
        yield row(name, "regrow", changed, ours, safe=False)
    if theirs:
        for name, changed in restricted(short):
            if changed:
                yield row(f"{name}, short", "spdx-matcher", changed, theirs, safe=False)
    others = [("", text) for text in strangers(folder)]
    yield row("licences not in the table", "regrow", others, ours, safe=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for one in rows(arguments.corpus):
        print(
            json.dumps(one) if arguments.json else "  ".join(f"{key} {value}" for key, value in one.items()), flush=True
        )


if __name__ == "__main__":
    main()
