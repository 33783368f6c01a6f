"""The audit as one HTML page that needs nothing else: no script, no font, no image, no request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from importlib.resources import files

from regrow.auditing.facts import Fact, Severity
from regrow.auditing.outputs import view
from regrow.auditing.outputs.because import because, standing
from regrow.auditing.outputs.document import kebab
from regrow.auditing.outputs.drawing import HIGH, WIDE, lineage_drawing
from regrow.auditing.outputs.safe import plain, whole
from regrow.auditing.outputs.templates import environment, source
from regrow.auditing.result import Audit
from regrow.report.render import licence_link, link, share, size

_MOST_FILES = 200


def html(audit: Audit) -> str:
    """The audit as HTML. Every text in it is taken as text, whatever it looks like."""
    page = environment(
        autoescape=True,
        plain=plain,
        whole=whole,
        size=size,
        share=share,
        link=link,
        style=view.outcome_class,
        standing=view.standing,
        tone=view.tone,
        heading=view.next_heading,
        stands=standing,
        because=because,
        fact_kind=lambda fact: kebab(type(fact).__name__).replace("-", " "),
        fact_words=fact_words,
        outcome_word=view.outcome_word,
        licence_link=lambda name: licence_link(view.spdx_expression(name) or "-"),
    )
    return page.from_string(source("audit.html.j2")).render(
        audit=audit,
        style=files("regrow.report").joinpath("style.css").read_text("utf-8") + source("audit.css"),
        drawing=lineage_drawing(audit),
        box=(WIDE, HIGH),
        cost=view.cost_words(audit.cost),
        alarms=view.alarms(audit),
        reminders=view.reminders(audit),
        limiting=sorted(view.limiting(audit)),
        duties=view.duties(audit),
        findings=sorted(audit.findings, key=lambda one: list(Severity).index(one.severity)),
        licences={node.id: view.licence_names(node.collected) for node in audit.lineage.nodes},
        most_files=_MOST_FILES,
    )


def fact_words(fact: Fact) -> Iterator[tuple[str, str]]:
    """What a fact says, field by field; what it does not say is left out."""
    for field in fields(fact):
        value = getattr(fact, field.name)
        if field.name in ("basis", "evidence") or value is None or value in ("", ()):
            continue
        if isinstance(value, tuple):
            words = ", ".join(map(str, value))
        elif isinstance(value, Enum):
            words = str(value.value)
        else:
            words = f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
        yield field.name.replace("_", " "), plain(words)
