"""Markdown as far as an auditor needs it: blocks of text with their headings, lines and links."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_HEADING = re.compile(r"\s{0,3}(#{1,6})\s")
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
ITEM = re.compile(r"(\s*)(?:[-*+]|\d{1,3}[.)])\s+(?=\S)")
"""How an item of a list begins, after what it is set in by."""

_LINK = re.compile(r"!?\[([^\[\]]{0,300})\]\(\s*<?([^()\s<>]{0,1000}+)>?[^()]{0,200}+\)")
_ANCHOR = re.compile(
    r"<a\s[^<>]{0,300}?\bhref\s{0,2}=\s{0,2}[\"']?([^\s\"'<>]{1,1000}+)[^<>]{0,300}+>([^<>]{0,300}+)</a\s{0,2}>",
    re.IGNORECASE,
)
_IMAGE = re.compile(_LINK.pattern.replace("!?", "!", 1))
_RAISED = re.compile(r"(?<=10)<sup>(\d{1,2})</sup>")
_BARE = re.compile(r"https?://[^\s<>\"'`|\])}]{1,1000}")
_STRUCK = re.compile(r"(?<!~)~~(?!~)[^~\n]{1,1000}~~(?!~)|<(del|s|strike)>[^<\n]{0,1000}</\1>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,500}>")
_MARKS = re.compile(r"((?<!\d)\*\*|\*\*(?!\d)|__|`|(?<!\w)(?<!\d\*)[*_](?=\w)|(?<=\w)[*_](?!\w)(?!\*\d))")
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(\[])|(?<=[\u3002\uff01\uff1f])(?![\u300d\u300f\u201d\u2019\uff09)])\s*")
_ABBREVIATED = re.compile(r"\b(e\.g|i\.e|etc|vs|cf|al|Fig|Tab|Sec|No|approx)\.$")
_PLACEHOLDER = re.compile(
    r"(?:[^.:]{1,60}:)?[\W_]*(?:more information needed|tbd|to be added|to be completed|coming soon|n/?a)[\W_]*"
    # Nothing but sentences that stand in every card that was begun from a template, whatever the model.
    r"|(?:[^.!?]{0,300}?\b(?:model card of a|card has been (?:automatically )?generated|more information needed"
    r"|both direct and downstream|code below to get started|carbon emissions can be estimated)\b"
    r"[^.!?]{0,300}+[.!?\W_]*+)++",
    re.IGNORECASE,
)
_LONGEST_BLOCK = 20_000
_LONGEST_HEADING = 300


@dataclass(frozen=True)
class Block:
    """A paragraph, a list item, a table or a piece of code.

    Attributes:
        kind: ``text``, ``table`` or ``code``.
        text: without marks; of a table, its rows as they are.
        line: of its beginning in the file.
        last: its last line.
        headings: those it stands under, outermost first.
        links: the addresses in it.
        source: as it was written, with its marks.
        lead: of an item of a list, the item it is under, or else the text before the list if that ends in a colon;
            with its marks.
    """

    kind: str
    text: str
    line: int
    last: int
    headings: tuple[str, ...]
    links: tuple[str, ...] = ()
    source: str = ""
    lead: str = ""

    def sentences(self) -> Iterator[str]:
        """The sentences of a text."""
        return sentences(self.text)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text that is without marks."""
    held = ""
    for piece in _END.split(text):
        held = f"{held} {piece}" if held else piece
        if not _ABBREVIATED.search(held[-10:]):
            yield held.strip()
            held = ""
    if held:
        yield held.strip()


def blocks(text: str, first_line: int = 1) -> Iterator[Block]:
    """The blocks of a text. Placeholders of card templates are left out.

    Args:
        text: Markdown.
        first_line: its line in the file.
    """
    headings: list[tuple[int, str]] = []
    above: list[tuple[int, str]] = []  # what an item that is further in is under
    for kind, begin, lines in _groups(_without_hidden(text)):
        number = begin + first_line
        if kind == "heading":
            level, title = _heading(lines[0])
            headings = [*(entry for entry in headings if entry[0] < level), (level, clean(title))]
            above = []
            continue
        raw = "\n".join(line for line in lines if not _PLACEHOLDER.fullmatch(line))[:_LONGEST_BLOCK]
        links = tuple(dict.fromkeys(links_in(raw)))
        item = ITEM.match(raw)
        words = raw if kind != "text" else clean(raw[item.end() :] if item else raw)
        depth = len(raw) - len(raw.lstrip()) if item else -1
        above = [entry for entry in above if entry[0] < depth]
        lead = above[-1][1] if above else ""
        if item or words.endswith(":"):
            above.append((depth, raw[:_LONGEST_HEADING] if item else raw[-_LONGEST_HEADING:]))
        if words and not _PLACEHOLDER.fullmatch(words):
            last = number + len(lines) - 1
            yield Block(kind, words, number, last, tuple(title for _, title in headings), links, raw, lead)


def _groups(lines: list[str]) -> Iterator[tuple[str, int, list[str]]]:
    """Lines that belong together, with what they are."""
    held: list[str] = []
    kind, begin, fence = "", 0, ""
    for number, line in enumerate(lines):
        if fence:
            held.append(line)
            if line.strip().startswith(fence):
                yield "code", begin, held
                held, kind, fence = [], "", ""
            continue
        new = _kind(line)
        if held and (new != kind or ITEM.match(line)):
            yield kind, begin, held
            held = []
        if new == "code" and (match := _FENCE.match(line)):
            fence = match[1]
        if new:
            if not held:
                kind, begin = new, number
            held.append(line)
        if new == "heading":
            yield new, number, held
            held, kind = [], ""
    if held:
        yield kind, begin, held


def _kind(line: str) -> str:
    if not line.strip():
        return ""
    if _FENCE.match(line):
        return "code"
    if _heading(line)[1]:
        return "heading"
    return "table" if line.lstrip().startswith("|") else "text"


def _heading(line: str) -> tuple[int, str]:
    """Level and title of a heading; the title of any other line is empty."""
    match = _HEADING.match(line)
    title = line[match.end() :].strip().rstrip("#").rstrip() if match else ""
    return (len(match[1]) if match else 0), title if len(title) <= _LONGEST_HEADING else ""


def _without_hidden(text: str) -> list[str]:
    """The lines, with HTML comments and what is struck out blanked so that line numbers stay."""
    kept, position = [], 0
    while (begin := text.find("<!--", position)) >= 0:
        end = text.find("-->", begin)
        end = len(text) if end < 0 else end + 3
        kept += [text[position:begin], "\n" * text.count("\n", begin, end)]
        position = end
    return _STRUCK.sub(" ", "".join([*kept, text[position:]])).split("\n")


def links_in(text: str) -> Iterator[str]:
    """The addresses in a text, those of Markdown's links first."""
    yield from (match[2] for match in _LINK.finditer(text) if match[2])
    for match in _BARE.finditer(_LINK.sub(" ", text)):
        yield match[0].rstrip(".,;:!?")


def clean(text: str, link: Callable[[str, str], str] = lambda words, _: words) -> str:
    """Text without tags and marks, in one line.

    Args:
        text: Markdown.
        link: what stands for a link, of its words and its address.
    """
    text = _LINK.sub(lambda match: link(match[1], match[2]), _IMAGE.sub(r"\1", text))
    text = _ANCHOR.sub(lambda match: link(match[2], match[1]), text)
    return " ".join(_MARKS.sub("", _TAG.sub(" ", _RAISED.sub(r"^\1", text))).split())
