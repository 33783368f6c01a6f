"""The rules for prose, against plain definitions of them, one text at a time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.evidence import quality
from regrow.evidence.quality import RULES

PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u00ab\u00bb\u00b7\u2022\xa0"
STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
ENDS = tuple(".?!。")
BLANKS = " \t\n\r\x0b\x0c"
PAGES = [
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
]


def broken(text: str) -> set[str]:
    """What a text breaks, among others."""
    found = quality.broken(pa.array(["", text, text + "x"]))
    return {rule.name for rule, row in zip(RULES, found, strict=True) if row[1]}


def split(text: str) -> list[str]:
    return text.translate(dict.fromkeys(map(ord, BLANKS), " ")).split(" ")


def again(things: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [one for one in things if one in seen or seen.add(one)]  # type: ignore[func-returns-value]


def plainly(text: str) -> set[str]:
    lines = [line.strip(BLANKS) for line in text.split("\n") if line.strip(BLANKS)]
    paragraphs = [one.strip(BLANKS) for one in text.split("\n\n") if one.strip(BLANKS)]
    words = [word for word in split(text) if word]
    cores = [core for word in words if (core := word.strip(PUNCTUATION))]
    size = sum(map(len, cores))
    kept = [
        line
        for line in lines
        if line.endswith((".", "?", "!", '"', "'"))
        and not line.endswith("...")
        and len([word for word in split(line) if word]) >= 3
        and not any(page in line.lower() for page in PAGES)
        and max(map(len, split(line))) <= 1000
    ]
    ends = [sum(word.rstrip("\"'\u2019\u201d)]").endswith((".", "?", "!")) for word in split(line)) for line in kept]
    whole = len(text)
    grams = {n: [tuple(words[i : i + n]) for i in range(len(words) - n + 1)] for n in range(2, 11)}
    tops, covers = [], []
    for n, most in ((2, 0.20), (3, 0.18), (4, 0.16)):
        counts = Counter(grams[n])
        best = max(counts.values(), default=0)
        sizes = [best * len(" ".join(gram)) for gram, count in counts.items() if count == best > 1]
        tops.append(max(sizes, default=0) > most * whole)
    for n, most in zip(range(5, 11), (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), strict=True):
        seen, marked = set(), set()
        for place, gram in enumerate(grams[n]):
            if gram in seen:
                marked.update(range(place, place + n))
            seen.add(gram)
        covers.append(sum(len(words[place]) for place in marked) > most * whole)
    said = again(lines)
    rules = {
        "gopher-words": not 50 <= len(cores) <= 100_000,
        "gopher-word-length": not 3 * len(cores) <= size <= 10 * len(cores),
        "gopher-symbols": 10 * text.count("#") > len(words)
        or 10 * (sum(word.count("...") for word in words) + text.count("\u2026")) > len(words),
        "gopher-bullets": 10 * sum(line.startswith(("-", "\u2022")) for line in lines) > 9 * len(lines),
        "gopher-ellipses": 10 * sum(line.endswith(("...", "\u2026")) for line in lines) > 3 * len(lines),
        "gopher-alphabetic": 10 * sum(any(map(str.isalpha, word)) for word in words) < 8 * len(words),
        "gopher-stop-words": len({core.lower() for core in cores} & STOP_WORDS) < 2,
        "gopher-lines-again": 10 * len(said) > 3 * len(lines) or 5 * sum(map(len, said)) > whole,
        "gopher-paragraphs-again": 10 * len(again(paragraphs)) > 3 * len(paragraphs)
        or 5 * sum(map(len, again(paragraphs))) > whole,
        "gopher-top-n-gram": any(tops),
        "gopher-n-grams-again": any(covers),
        "c4-curly-bracket": "{" in text,
        "c4-lorem-ipsum": "lorem ipsum" in text.lower(),
        "c4-sentences": sum(max(1, number) for number in ends) < 5,
        "fineweb-punctuation": 100 * sum(line.endswith(ENDS) for line in lines) <= 12 * len(lines),
        "fineweb-lines-again": 10 * sum(map(len, said)) >= whole - text.count("\n"),
        "fineweb-short-lines": 100 * sum(len(line) < 30 for line in lines) >= 67 * len(lines),
    }
    return {name for name, breaks in rules.items() if breaks}


WORDS = [
    *STOP_WORDS,
    "The",
    "(of",
    "house.",
    "1984",
    "#",
    "…",
    "a...",
    "é",
    "日本",
    "-",
    "x" * 12,
    "Javascript",
    'says"',
    "•",
    "{",
]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Texts that repeat themselves, in lines and paragraphs."""
    chance = random.Random(draw(st.integers(0, 10**6)))
    few = chance.sample(WORDS, chance.choice([2, 5, 12, len(WORDS)]))
    lines: list[str] = []
    for _ in range(chance.choice([0, 1, 3, 12])):
        line = " ".join(chance.choices(few, k=chance.choice([0, 1, 4, 9, 25])))
        lines += [line + chance.choice(["", ".", "...", "?", "\t"])] * chance.choice([1, 1, 1, 2, 3])
    chance.shuffle(lines)
    return "".join(line + chance.choice(["\n", "\n", "\n\n", "\n\n\n", " \n"]) for line in lines)


@given(st.lists(texts(), min_size=1, max_size=6))
@settings(max_examples=60)
def test_each_rule_is_what_it_says(some: list[str]) -> None:
    found = quality.broken(pa.array(some))
    names = [{rule.name for rule, breaks in zip(RULES, column, strict=True) if breaks} for column in found.T]
    assert names == [plainly(text) for text in some]


PROSE = "\n".join(
    f"The {a} of the {b} went to see what they would have to {c} with it, and came back before the {d} was over."
    for a, b, c, d in zip(
        ["farmer", "miller", "weaver", "smith", "baker", "mason"],
        ["valley", "village", "mountain", "harbour", "forest", "town"],
        ["carry", "mend", "borrow", "build", "measure", "plant"],
        ["winter", "summer", "harvest", "morning", "evening", "night"],
        strict=True,
    )
)


def test_prose_breaks_no_rule_but_that_it_repeats_itself() -> None:
    assert broken(PROSE) <= {"gopher-n-grams-again", "gopher-top-n-gram"}


@pytest.mark.parametrize(
    "rule, text",
    [
        ("gopher-words", "Too few words of the kind that we have."),
        ("gopher-words", "word " * 100_001),
        ("gopher-word-length", "a b c d " * 30),
        ("gopher-symbols", PROSE.replace(" the", " # the")),
        ("gopher-bullets", "\n".join(f"- {line}" for line in PROSE.split("\n"))),
        ("gopher-ellipses", PROSE.replace(".", "...")),
        ("gopher-alphabetic", PROSE + " 12 34" * 60),
        ("gopher-stop-words", "Keine davon steht hier irgendwo geschrieben. " * 20),
        ("gopher-lines-again", PROSE + "\n" + PROSE),
        ("gopher-paragraphs-again", f"{PROSE}\n\n{PROSE}"),
        ("gopher-top-n-gram", "to be " * 80),
        ("gopher-n-grams-again", f"{PROSE} {PROSE}"),
        ("c4-curly-bracket", PROSE + " {"),
        ("c4-lorem-ipsum", PROSE + " Lorem Ipsum"),
        ("c4-sentences", PROSE.replace(".", ", we use cookies.")),
        ("fineweb-punctuation", PROSE.replace(".", "")),
        ("fineweb-lines-again", PROSE + "\n" + PROSE),
        ("fineweb-short-lines", "\n".join(PROSE.split(" "))),
    ],
)
def test_each_rule_can_be_broken(rule: str, text: str) -> None:
    assert rule in broken(text)


def test_every_rule_was_broken_above() -> None:
    tried = test_each_rule_can_be_broken.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {rule for rule, _ in tried} == {rule.name for rule in RULES}


def test_verdicts_do_not_depend_on_other_texts() -> None:
    some = ["", "\n", " ", PROSE, "a", PROSE + "\n" + PROSE, "\0", "word " * 3000]
    together = quality.broken(pa.array(some))
    for number, text in enumerate(some):
        assert together[:, number].tolist() == quality.broken(pa.array([text]))[:, 0].tolist()
    assert quality.broken(pa.array([], pa.string())).shape == (len(RULES), 0)
