"""Which licence a text is. python -m pytest tests/audit/licences/test_identify.py"""

import textwrap
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.licences import Match, get, identify, index, matching
from regrow.licences.words import words
from tools.licence_index import fingerprint

from .texts import COMMUNITY, apache, installed

OPEN = {
    "apache-2.0": apache(),
    "mit": installed("pytest"),
    "bsd-3-clause": installed("click"),
    "mpl-2.0": installed("pathspec"),
}
RESTRICTIONS = (
    "The Software may not be used for commercial purposes.",
    "Use is permitted for research and education only.",
    "You must not use the outputs to train other models.",
    "Products with more than 100 million monthly active users shall display the name of the model.",
    "Military use is forbidden.",
    "This grant does not extend to companies with a revenue above one million.",
    "Nur für nichtkommerzielle Zwecke.",
    "Uso commerciale vietato.",
    "仅限非商业用途。",
    "Только для некоммерческого использования.",
    "All rights under this file end if a separate agreement is not signed.",
    "The weights are governed by the Heron terms.",
)


TAILS = (
    "EU residents: please stay away.",
    "Expires December 2026.",
    "For hobbyists.",
    "Attribution: Acme everywhere visible please.",
    "See ADDENDUM.",
)


def reading(text: str) -> str | None:
    match = identify(text)
    return match.id if match else None


def markdown(text: str) -> str:
    return "# License\n\n" + "\n".join(f"> {line}" if line.strip() else ">" for line in text.splitlines())


def page(text: str) -> str:
    lines = "".join(
        f"<p class='t'>{line.replace('&', '&amp;').replace('<', '&lt;')}</p>\n" for line in text.splitlines()
    )
    return f"<html><body><h1>LICENSE</h1>\n{lines}</body></html>"


def cut(text: str) -> str:
    return text[: int(len(text) * 0.92)]


DEFORMATIONS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "wrapped": lambda text: textwrap.fill(text, 50, break_long_words=False),
    "on one line": lambda text: " ".join(text.split()),
    "in capitals": str.upper,
    "in small letters": str.lower,
    "as a comment": lambda text: textwrap.indent(text, " * "),
    "with carriage returns": lambda text: text.replace("\n", "\r\n"),
    "typographic quotes": lambda text: text.replace('"', "\u201d").replace("'", "\u2019"),
    "Markdown": markdown,
    "HTML": page,
    "copyright lines": lambda text: "Copyright (c) 2019-2024 Ann Example\nCopyright 2020 Example GmbH\n\n" + text,
    "a heading": lambda text: "heron-7b\n========\n\n" + text,
    "cut at the end": cut,
}


@pytest.mark.parametrize("name", DEFORMATIONS)
@pytest.mark.parametrize("id", OPEN)
def test_a_licence_is_known_through_deformations(id: str, name: str) -> None:
    match = identify(DEFORMATIONS[name](OPEN[id]))
    assert match is not None
    assert (match.id, match.also) == (id, ())
    assert match.score > 0.85


def test_an_appendix_may_be_missing() -> None:
    assert reading(apache().split("END OF TERMS")[0]) == "apache-2.0"
    assert reading(apache()[apache().index("Licensed under the Apache") :]) == "apache-2.0"


def test_names_stand_in_the_places_of_names() -> None:
    text = OPEN["bsd-3-clause"].replace("the copyright holder nor", "Heron Works, Inc. nor")
    text = text.replace("COPYRIGHT HOLDERS AND CONTRIBUTORS", "REGENTS AND CONTRIBUTORS")
    assert text != OPEN["bsd-3-clause"]
    assert reading(text) == "bsd-3-clause"


@pytest.mark.parametrize("restriction", RESTRICTIONS)
@pytest.mark.parametrize("id", OPEN)
def test_an_added_restriction_is_never_overlooked(id: str, restriction: str) -> None:
    text = OPEN[id]
    paragraphs = text.split("\n\n")
    for at in {0, 1, len(paragraphs) // 2, len(paragraphs)}:
        changed = "\n\n".join([*paragraphs[:at], restriction, *paragraphs[at:]])
        assert reading(changed) is None, (at, identify(changed))
    copyright = text.lower().find("copyright")
    assert reading(text[:copyright] + f"Copyright (c) 2024 X. {restriction} " + text[copyright:]) is None


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("id", OPEN)
def test_no_sentence_after_a_licence_stays_unexplained(id: str, tail: str) -> None:
    assert reading(f"{OPEN[id]}\n\n{tail}\n") is None
    assert reading(f"{OPEN[id]}\n\n{tail}\n\n{OPEN['mit']}") is None
    assert reading(f"{OPEN[id]}\n\nCopyright 2024 Ann Example\n") == id


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(OPEN)), st.sampled_from(RESTRICTIONS), st.floats(0, 1))
def test_a_restriction_between_any_two_words_is_not_overlooked(id: str, restriction: str, where: float) -> None:
    given = OPEN[id].split()
    at = int(where * len(given))
    assert reading(" ".join([*given[:at], restriction, *given[at:]])) is None


@pytest.mark.parametrize(
    ("id", "old", "new"),
    [
        ("mit", "without restriction", "with restriction"),
        ("mit", ", and/or sell", ""),
        ("mit", "to any person obtaining", "to any person living in Ohio obtaining"),
        ("mit", "is hereby granted", "is hereby not granted"),
        ("bsd-3-clause", "are permitted", "are not permitted"),
        ("bsd-3-clause", "in source and binary forms, ", ""),
        ("apache-2.0", "perpetual,", ""),
        ("apache-2.0", "royalty-free,", ""),
        ("mpl-2.0", "world-wide", "town-wide"),
    ],
)
def test_a_changed_permission_is_noticed(id: str, old: str, new: str) -> None:
    text = " ".join(OPEN[id].split())
    assert old in text
    assert reading(text.replace(old, new)) is None


def test_parts_in_another_order_are_another_text() -> None:
    text = words(OPEN["mit"])
    assert reading(" ".join(text)) == "mit"
    assert reading(" ".join([*text[80:], *text[:80]])) is None


def test_a_file_with_several_licences_is_as_strict_as_the_strictest() -> None:
    both = f"{OPEN['mit']}\n\n----\n\n{OPEN['mpl-2.0']}"
    assert identify(both) == Match("mpl-2.0", 1.0, ("mit",))
    assert reading(f"{OPEN['mit']}\n\nThe model falls under other terms:\n\n{OPEN['mpl-2.0']}") is None


@pytest.mark.parametrize("text", ["", " ", "MIT", "see LICENSE", "\0" * 100, "\x7fELF\x02", "licence " * 50_000])
def test_what_is_no_licence_is_none(text: str) -> None:
    assert identify(text) is None


@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    assert identify(text) is None


def test_time_is_bounded_whatever_is_repeated() -> None:
    start = time.process_time()
    clause = " ".join(words(apache())[100:160])
    identify((clause + " ") * 1_500)
    identify(apache() * 10 + "x")
    identify("of the work " * 40_000)
    assert time.process_time() - start < 10
    assert identify("a" * 10_000_001) is None


@pytest.fixture
def heron(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own licence in the place of a restricted one of the table."""
    parts = words(COMMUNITY)
    text = fingerprint("llama3.1", [(parts, False, [False] * len(parts))])
    texts = (*index.shipped(), text)
    monkeypatch.setattr(matching, "shipped", lambda: texts)
    for cached in (matching._own, matching._standard_hashes):
        cached.cache_clear()


@pytest.mark.usefixtures("heron")
@pytest.mark.parametrize("name", DEFORMATIONS)
def test_a_restricted_licence_is_known_through_deformations(name: str) -> None:
    assert reading(DEFORMATIONS[name](COMMUNITY)) == "llama3.1"


@pytest.mark.usefixtures("heron")
def test_a_restricted_licence_is_known_under_any_title_and_beside_an_open_one() -> None:
    body = COMMUNITY.split("2021", 1)[1]
    title = "Apache License\nVersion 2.0, January 2004\nhttp://www.apache.org/licenses/\n"
    assert reading(title + body) == "llama3.1"
    both = identify(OPEN["mit"] + body)
    assert both is not None
    assert (both.id, both.also) == ("llama3.1", ("mit",))
    assert reading(OPEN["mit"] + body[: len(body) // 2]) is None
    assert not get("llama3.1").open
