"""The text of an HTML page, without what surrounds it."""

from __future__ import annotations

import re
from typing import Any

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
_SPACE = re.compile("[ \t\n\f\r]+")  # what HTML calls space; a no-break space is a character like others


def html_text(page: str) -> str:
    """The text of a page as a reader sees it: paragraphs apart, blanks joined, preformatted text as it is."""
    from selectolax.lexbor import LexborHTMLParser

    body = LexborHTMLParser(page).body
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
