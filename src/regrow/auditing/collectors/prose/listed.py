"""Items of lists about training data that only link to it; of those that tell more, :mod:`sources` does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from regrow.auditing import names
from regrow.auditing.collectors.folder import Statement, printable
from regrow.auditing.collectors.markdown import ITEM, Block, clean
from regrow.auditing.collectors.prose.described import is_about_data
from regrow.auditing.collectors.prose.words import says
from regrow.auditing.facts import Availability, Basis, Component, ComponentFact, DatasetFact, Evidence, Role, State
from regrow.data import any_of, toml

_LINKED = re.compile(
    r"[*_`]{0,3}(?:\[(?P<name>[^\[\]]{1,200})\]\(\s?<?(?P<link>https?://[^\s()<>]{1,500})"
    r"|(?P<words>[^\[\]()<>|:]{2,80}):[*_`]{0,3}\s<?(?P<bare>https?://[^\s()<>]{1,500})>?\s*$)"
)
_DATASETS = "datasets/"
_NO_DATA = re.compile(any_of(toml("auditing.collectors", "sources")["no-data"]["addresses"]), re.IGNORECASE)


def sources(block: Block, at: Evidence) -> Iterator[Statement]:
    """The source that an item of a list about training data links to; nobody says how others can get it."""
    item = ITEM.match(block.source) if block.kind == "text" and is_about_data(block) else None
    match = _LINKED.match(block.source, item.end()) if item else None
    if match is None:
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
    if names.is_hub(host):
        return f"hf:{'/'.join(path.split('/')[:3])}" if path.startswith(_DATASETS) else ""
    return "" if _NO_DATA.search(host) or _NO_DATA.search(path) else printable(address)
