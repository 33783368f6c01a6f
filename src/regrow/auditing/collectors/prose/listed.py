"""Lists of training data that a card links to, item by item."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from regrow.auditing import names
from regrow.auditing.collectors.folder import Statement, printable
from regrow.auditing.collectors.markdown import Block, clean
from regrow.auditing.collectors.prose.words import says
from regrow.auditing.facts import Availability, Basis, Component, ComponentFact, DatasetFact, Evidence, Role, State

_ITEM = re.compile(
    r"\s{0,12}(?:[-*+]|\d{1,3}[.)])\s{1,4}[*_`]{0,3}"
    r"(?:\[(?P<name>[^\[\]]{1,200})\]\(\s?<?(?P<link>https?://[^\s()<>]{1,500})"
    r"|(?P<words>[^\[\]()<>|:]{2,80}):[*_`]{0,3}\s<?(?P<bare>https?://[^\s()<>]{1,500})>?\s*$)"
)
_DATASETS = "datasets/"
_NO_DATA = re.compile(
    r"(?:^|\.)(?:arxiv|doi|openreview|aclanthology|semanticscholar|twitter|medium|youtube)\.|\.pdf$", re.IGNORECASE
)


def sources(block: Block, at: Evidence) -> Iterator[Statement]:
    """The source that an item of a list about training data links to; nobody says how others can get it."""
    match = _ITEM.match(block.source) if block.kind == "text" else None
    about = any(says(title, "data-heading") for title in block.headings)
    if match is None or not about or any(says(title, "not-training-data") for title in block.headings):
        return
    name, where = printable(clean(match["name"] or match["words"])), _where(match["link"] or match["bare"])
    if name and where:
        role = Role.FINETUNING if says(block.headings[-1], "tuning") else Role.TRAINING
        yield DatasetFact(Basis.DECLARED, at, name, role, Availability.UNKNOWN, where=where)
        yield ComponentFact(Basis.DECLARED, at, Component.DATASETS, State.PROMISED, name)


def _where(address: str) -> str:
    """An address of data, on the hub as its cards write it; empty for what is a paper, a model or no address."""
    try:
        parts = urlsplit(address)
        host, path = parts.hostname or "", parts.path.strip("/")
    except ValueError:
        return ""
    if _NO_DATA.search(host) or _NO_DATA.search(path):
        return ""
    if names.is_hub(host):
        return f"hf:{'/'.join(path.split('/')[:3])}" if path.startswith(_DATASETS) else ""
    return printable(address)
