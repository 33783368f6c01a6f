"""python -m pytest tests/report/test_render.py"""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from regrow.evidence import Evidence, Rows
from regrow.release.release import Loss, Sample
from regrow.report import Doubt, Found, ReportData, render
from regrow.report.data import Example, Exclusion, File, Measure, Source, StageRow
from regrow.report.render import licence_link, link, quoted, seconds, share, size

HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='x",
    "{{ 7*7 }}{% x %}",
]


def full(text: str) -> ReportData:
    """A report in which every text that can be is ``text``."""
    return ReportData(
        name=text,
        digest="0123abcd" * 8,
        licence=text,
        description=text,
        facts={"parameters": 3_000_000},
        samples=(Sample(text, text),),
        losses=(Loss(1, 8.0, 1e-3, 2.0, 7.5, text), Loss(2, 4.0, 2e-3, 1.0)),
        validation_loss=4.5,
        measures=(Measure(text, 2.5, text, True),),
        doubts=(Doubt("diverged", text, text),),
        sources=(Source(text, text, text, text, text, 1, 10, 1, 2, ((text, 1, 10),)),),
        exclusions=(Exclusion(text, text, 3, 30, (Example(text, text, text),)),),
        stages=(StageRow(text, text, 1, text, {text: text}, ((text, text),), ((text, text),), text, 1.0, False),),
        files=(File(text, text, 3),),
        evidence=(
            Found(
                text,
                Evidence(
                    text, text, text, {text: 1}, (text,), (Rows(text, (text,), ((text,),), text),), (text,), (text,)
                ),
            ),
        ),
        machine={text: text, "libraries": {text: text}, "flags": [text]},
        build={text: text},
    )


class Reader(HTMLParser):
    """Notes every tag and attribute, and complains about tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def shape(page: str) -> list[tuple[str, list[str]]]:
    return [(tag, sorted(attributes)) for tag, attributes in Reader(page).tags]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    page = render(full(text))
    assert shape(page) == shape(render(full("quite harmless")))
    assert text in "".join(Reader(page).text)


def test_it_is_well_formed_and_asks_nobody_for_anything() -> None:
    page = render(full("https://example.org/a"))
    reader = Reader(page)
    assert reader.open == []
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & {tag for tag, _ in reader.tags}
    assert not re.search(r"url\(|@import|\bsrc=|srcset=", page)
    for _, attributes in reader.tags:
        assert not any(name.startswith("on") for name in attributes)
    policy = next(a["content"] for t, a in reader.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None and policy.startswith("default-src 'none'")


@pytest.mark.parametrize("fetch", ["javascript:alert(1)", "http://plain", "data:text/html,x", "https://a b", "file:x"])
def test_only_safe_locators_become_links(fetch: str) -> None:
    assert link(fetch) == ""
    page = render(replace(full("x y"), sources=(Source("s", fetch, "MIT", "open", "", 1, 1, 0, 0, ()),)))
    hrefs = [a["href"] for t, a in Reader(page).tags if t == "a"]
    assert all(href is not None and href.startswith(("#", "https://spdx.org/licenses/MIT")) for href in hrefs)


def test_digest_can_be_copied_in_one_piece() -> None:
    page = render(full("x"))
    found = re.search(r'<p class="digest">(.*?)</p>', page)
    assert found is not None
    assert re.sub(r"<[^>]*>", "", found[1]) == "0123abcd" * 8


def test_a_report_of_next_to_nothing() -> None:
    page = render(ReportData(name="m", digest="0" * 64))
    assert Reader(page).open == []
    assert "How it learned" not in page
    assert "Where every byte" not in page


def test_it_is_the_same_every_time() -> None:
    assert render(full("x")) == render(full("x"))


def test_every_link_inside_leads_somewhere() -> None:
    data = replace(full("stage"), licence="MIT", sources=full("x").sources)
    tags = Reader(render(data)).tags
    ids = {a["id"] for _, a in tags if "id" in a}
    assert {a["href"] for t, a in tags if t == "a" and str(a["href"]).startswith("#")} <= {f"#{name}" for name in ids}


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (8_412_000, "8.41 MB"), (12 * 10**9, "12 GB")]
)
def test_size(value: int, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


def test_share_does_not_round_something_to_nothing() -> None:
    assert [share(1, 100000), share(0, 9), share(1, 3), share(0, 0)] == ["< 0.1 %", "0.0 %", "33.3 %", "0.0 %"]


def test_licence_link() -> None:
    assert licence_link("CC-BY-4.0") == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert licence_link("LicenseRef-Mine") == licence_link("MIT OR ISC") == licence_link('"><b>') == ""


def test_what_scrolls_can_be_reached_by_keyboard_and_has_a_name_of_its_own() -> None:
    two = replace(full("a"), stages=tuple(replace(full("a").stages[0], name=name) for name in ("a", "b")))
    tags = Reader(render(two)).tags
    scrolling = [found for tag, found in tags if tag == "pre" or found.get("class") in ("scroll", "graph")]
    assert len(scrolling) > 8
    assert all(found.get("tabindex") == "0" and found.get("role") == "group" for found in scrolling)
    names = [found["aria-label"] for found in scrolling]
    assert len(names) == len(set(names))


def test_hashes_are_whole() -> None:
    digest = "0123456789abcdef" * 4
    page = render(replace(full("a"), stages=(replace(full("a").stages[0], digest=digest),)))
    texts = [text for text in Reader(page).text if "0123456789abcdef" in text]
    assert texts == [digest, digest]


def test_a_file_that_was_never_read_is_not_called_a_document() -> None:
    data = full("x")
    example = (Example("x", "a.bin", ""),)
    read, unread = Exclusion("clean", "short", 2, 30, example), Exclusion("documents", "not text", 2, 0, example)
    page = " ".join(Reader(render(replace(data, exclusions=(read, unread)))).text)
    assert "2 documents" in page
    assert "2 unread" in page


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("say `a <b>` & `c`", "say <code>a &lt;b&gt;</code> &amp; <code>c</code>"),
        ("a lone ` and <i>", "a lone ` and &lt;i&gt;"),
        ("", ""),
    ],
)
def test_words_of_programs_look_like_it(text: str, html: str) -> None:
    assert quoted(text) == html
