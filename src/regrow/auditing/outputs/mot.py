"""The audit as a file for the Model Openness Tool: its YAML, with the place and licence of each component filled in.

Scalars are written as JSON strings, which YAML reads as what they are.
"""

from __future__ import annotations

import json
import re

from regrow.auditing.facts import Component, ComponentFact, Scope, State
from regrow.auditing.outputs import view
from regrow.auditing.outputs.safe import whole
from regrow.auditing.outputs.templates import environment, source
from regrow.auditing.result import Audit

_TYPES = {("text",): "language", ("image",): "image", ("audio",): "audio", ("video",): "video"}
_LICENCES = {
    "distribution": Scope.EVERYTHING,
    "code": Scope.CODE,
    "data": Scope.DATA,
    "document": Scope.DOCUMENTS,
}


def mot(audit: Audit) -> str:
    """The file. A component that was promised and not seen is not in it."""
    first = view.subject(audit)
    found = view.architecture(first)
    filled = environment(
        autoescape=False,
        yaml=lambda value: json.dumps(whole(value), ensure_ascii=False),
        title=_title,
        type=lambda modalities: _TYPES.get(modalities, "multimodal"),
        licence=lambda fact: _expression(view.licence_name(fact)),
        expression=_expression,
        path=lambda fact: fact.link or fact.evidence.file,
        place=view.place,
    )
    return filled.from_string(source("mot.yml.j2")).render(
        audit=audit,
        first=first,
        modalities=found.modalities if found else (),
        parents=[edge.parent for edge in view.edges_from(audit, audit.lineage.nodes[0].id)],
        hub=first.id.removeprefix("hf:").partition("@")[0] if view.package_url(first.id) else "",
        licences=[(kind, facts[0]) for kind, scope in _LICENCES.items() if (facts := view.licence_facts(first, scope))],
        weights=view.licence_facts(first, Scope.WEIGHTS),
        components=_components(first.of(ComponentFact)),
    )


def _components(facts: list[ComponentFact]) -> list[ComponentFact]:
    """The first fact of each component that was seen, in the order of the framework."""
    seen = {fact.component: fact for fact in reversed(facts) if fact.state is State.PRESENT}
    return [seen[component] for component in Component if component in seen]


def _title(component: Component) -> str:
    """What the tool calls a component: ``Model parameters (Final)``."""
    words = component.replace("-", " ").capitalize()
    return re.sub("(?<=parameters )[a-z]+", lambda match: f"({match[0].capitalize()})", words)


def _expression(name: str) -> str:
    return view.spdx_expression(name) or name
