"""python -m pytest tests/audit/outputs/test_audit_page.py"""

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from sample_audits import FOREIGN, LLAMA, OURS, hostile_audits

from regrow.auditing.facts import Collected, Relation
from regrow.auditing.lineage import Edge, Lineage, Node
from regrow.auditing.outputs import html
from regrow.auditing.result import Audit

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """The elements of a page, and whether they nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    def ids(self) -> list[str]:
        return [attrs["id"] or "" for _, attrs in self.tags if "id" in attrs]

    def links(self) -> list[str]:
        return [attrs["href"] or "" for _, attrs in self.tags if "href" in attrs]


def is_safe(page: Page) -> bool:
    """Whether nothing in the page runs, and nothing but a click makes a request."""
    names = {name for _, attrs in page.tags for name in attrs}
    links = all(link.startswith(("#", "https://")) for link in page.links())
    return (
        not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
        and not any(name.startswith("on") or name == "src" for name in names)
        and links
    )


@pytest.mark.parametrize("audit", [OURS, FOREIGN])
def test_is_a_page_that_needs_nothing_and_runs_nothing(audit: Audit) -> None:
    source = html(audit)
    page = Page(source)
    assert is_safe(page)
    assert "default-src 'none'" in source
    assert "url(" not in source
    assert "@import" not in source


@pytest.mark.parametrize("audit", [OURS, FOREIGN])
def test_every_link_within_leads_somewhere(audit: Audit) -> None:
    page = Page(html(audit))
    assert len(page.ids()) == len(set(page.ids()))
    assert {link[1:] for link in page.links() if link.startswith("#")} <= set(page.ids())


def test_shows_verdicts_answers_and_evidence() -> None:
    words = " ".join(" ".join(Page(html(FOREIGN)).words).split())
    for expected in (
        "an acceptable-use policy limits the purposes",
        f"Limited by {LLAMA}",
        "parameters that do not come from Llama 3.1",
        "Show “Built with Llama” where people see it.",
        "README.md, key license",
        "read by huggingface on 2026-11-21",
        "optimizer.pt is a pickle and was not opened",
        "not delivered",
        "1 conflict",
    ):
        assert expected in words


def test_begins_with_the_answer_as_the_text_does() -> None:
    words = " ".join(" ".join(Page(html(FOREIGN)).words).split())
    head = words.partition("Is it all there?")[0]
    assert "not open source AI example/Llama-3.1-8B does not give open terms for its weights" in head
    assert "declared its maker says how it was made, and pins nothing" in head
    assert "Conflicts: apache-2.0 of chatty-8b against llama3.1 of" in head
    assert "Duties: 5 from llama3.1 (of example/Llama-3.1-8B)" in head


def test_draws_the_lineage() -> None:
    page = Page(html(FOREIGN))
    assert [attrs["href"] for tag, attrs in page.tags if tag == "a" and "limits" in (attrs.get("class") or "")] == [
        "#model-1"
    ]
    assert "finetune of" in page.words


def test_a_merge_of_very_many_is_drawn_in_part_and_listed_in_full() -> None:
    nodes = [Node(f"m{i}", int(i > 0), Collected(f"m{i}", "huggingface", f"m{i}", "")) for i in range(60)]
    edges = [Edge("m0", f"m{i}", Relation.MERGE, "declared") for i in range(1, 60)]
    source = html(replace(OURS, lineage=Lineage(tuple(nodes), tuple(edges))))
    assert "47 more models" in " ".join(source.split())
    assert 'id="model-59"' in source


@given(hostile_audits())
@settings(max_examples=25, deadline=None)
def test_words_from_outside_stay_words(audit: Audit) -> None:
    source = html(audit)
    page = Page(source)
    assert is_safe(page)
    assert all(line.isprintable() for line in source.split("\n"))
    assert source.encode("utf-8")
