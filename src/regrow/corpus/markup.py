"""The text of an HTML page, without what surrounds it, and what that says of its rights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from regrow.corpus.beside import said

_SKIPPED = frozenset(
    (
        "-comment", "head", "script", "style", "noscript", "template", "nav", "svg", "math", "form", "button",
        "select", "iframe", "object", "audio", "video"
    )
)  # fmt: skip
_PARAGRAPHS = frozenset(
    (
        "p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "ul", "ol", "dl", "table", "figure", "hr"
    )
)  # fmt: skip
_LINES = frozenset(
    (
        "div", "section", "article", "main", "aside", "header", "footer", "address", "details", "summary",
        "figcaption", "caption", "li", "dt", "dd", "tr", "br"
    )
)  # fmt: skip
_CELLS = frozenset(("td", "th"))
_UNNESTED = frozenset(
    (
        "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
        "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "option", "optgroup", "rp", "rt"
    )
)  # fmt: skip
"""Elements that hold nothing, or end by themselves where the next one begins."""
_TAG = re.compile(
    r"<!--(?:>|->|.*?(?:--!?>|\Z))|<(?P<end>/?)(?P<name>[a-z][^\s/>]*+)"
    r"(?P<attributes>(?:[\s/]++|=?+[^\s/>=]++(?:\s*+=\s*+(?:\"[^\"]*+\"?|'[^']*+'?|[^\s>\"'][^\s>]*+)?+)?+)*+)",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(r"[^\s/>=]++")
_LONG = 1000  # characters of attributes that are not worth counting
_MOST_WORK = 50_000_000  # steps; the parser takes some ten seconds for a billion
_SPACE = re.compile("[ \t\n\f\r]+")  # what HTML calls space; a no-break space is a character like others


class TooDeepError(ValueError):
    """A page is made to keep a parser busy."""


@dataclass(frozen=True)
class Page:
    """What a page says.

    Attributes:
        text: as a reader sees it: paragraphs apart, blanks joined, preformatted text as it is.
        rights: what its head and its links say of its rights (:mod:`regrow.corpus.beside`).
    """

    text: str
    rights: str


def html_page(page: str, headers: Mapping[str, str] | None = None) -> Page:
    """Read a page.

    Args:
        page: its HTML.
        headers: what a server said with it.

    Raises:
        TooDeepError: if reading it would take a time that has nothing to do with its size.
    """
    from selectolax.lexbor import LexborHTMLParser

    _require_little_work(page)
    read = LexborHTMLParser(page)
    return Page(_text(read.body), said([*(headers or {}).items(), *_told(read)]))


def _told(page: Any) -> Iterator[tuple[str, str]]:
    """What the head of a page tells programs, and where links lead that say that they lead to its licence."""
    for node in page.css("head meta[name][content]"):
        yield node.attributes["name"] or "", node.attributes["content"] or ""
    for node in page.css("[rel~=license i][href]"):
        yield "license", node.attributes["href"] or ""


def _text(body: Any) -> str:
    writer = _Writer()
    pending: list[tuple[Any, bool]] = [] if body is None else [(body, False)]
    while pending:  # not recursive: pages may be nested deeper than Python's stack
        node, leaving = pending.pop()
        tag = node.tag
        if tag in _SKIPPED:
            continue
        if node.is_text_node:
            writer.text(node.text_content or "")
            continue
        writer.edge(tag, leaving)
        if not leaving:
            pending.append((node, True))
            pending.extend((child, False) for child in reversed(list(node.iter(include_text=True))))
    return "".join(writer.parts)


def _require_little_work(page: str) -> None:
    """Count what the parser does: for a tag it goes through all that is open, for an attribute through all before.

    Raises:
        TooDeepError: if that is too much, as in a hundred thousand elements one inside the other.
    """
    opened: Counter[str] = Counter()
    depth = work = 0
    for tag in _TAG.finditer(page):
        if not (name := (tag["name"] or "").lower()):
            continue
        if tag["end"]:
            if opened[name]:
                opened[name] -= 1
                depth -= 1
        elif name not in _UNNESTED:
            opened[name] += 1
            depth += 1
        attributes = len(tag["attributes"])
        work += depth + (len(_ATTRIBUTE.findall(tag["attributes"])) ** 2 // 8 if attributes > _LONG else 0)
        if work > _MOST_WORK:
            raise TooDeepError("elements inside each other, or attributes of one, by the thousand")


class _Writer:
    """Puts together text and the breaks between it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._breaks = 0
        self._space = False
        self._verbatim = 0

    def edge(self, tag: str, leaving: bool) -> None:
        """Note what the begin or end of an element means for what stands around it."""
        if tag == "pre":
            self._verbatim += -1 if leaving else 1
        if tag == "br":
            self._breaks += 0 if leaving else 1
        elif tag in _PARAGRAPHS:
            self._breaks = max(self._breaks, 2)
        elif tag in _LINES:
            self._breaks = max(self._breaks, 1)
        elif tag in _CELLS:
            self._space = True

    def text(self, text: str) -> None:
        """Add some text of the page."""
        if not self._verbatim:
            text = _SPACE.sub(" ", text)
            self._space |= text.startswith(" ")
        words = text if self._verbatim else text.strip(" ")
        if words:
            if self._breaks and self.parts:
                self.parts.append("\n" * self._breaks)
            elif self._space and self.parts:
                self.parts.append(" ")
            self.parts.append(words)
            self._breaks, self._space = 0, False
        self._space |= not self._verbatim and text.endswith(" ")
