"""The audit as a file for the Model Openness Tool: its YAML, with the place and licence of each component filled in.

Scalars are written as JSON strings, which YAML reads as what they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from regrow.audit.facts import Component, ComponentFact, LicenceFact, Scope, State
from regrow.audit.outputs import view
from regrow.audit.outputs.safe import whole
from regrow.audit.result import Audit

_LICENCES = {
    "distribution": Scope.EVERYTHING,
    "code": Scope.CODE,
    "data": Scope.DATA,
    "document": Scope.DOCUMENTS,
}


def mot(audit: Audit) -> str:
    """The file. A component that was promised and not seen is not in it."""
    return "\n".join(_lines(audit)) + "\n"


def _lines(audit: Audit) -> Iterator[str]:
    first = view.subject(audit)
    yield "# Filled from an audit by regrow: components that were seen, with the place of each."
    yield "# Only a person can tell: release.date, release.producer, release.contact, release.treatment."
    yield from ("framework:", '  name: "Model Openness Framework"', '  version: "1.0"', '  date: "2024-12-15"')
    yield from ("release:", f"  name: {_yaml(audit.name)}", f"  version: {_yaml(audit.version)}")
    found = view.architecture(first)
    if found and found.modalities:
        yield f"  type: {_yaml('language' if found.modalities == ('text',) else 'multimodal')}"
    if first.kind == "release":
        yield '  architecture: "transformer decoder"'
    parents = [edge.parent for edge in view.edges_from(audit, audit.lineage.nodes[0].id)]
    if parents:
        yield f"  origin: {_yaml(', '.join(parents))}"
    if view.package_url(first.id):
        yield f"  huggingface: {_yaml(first.id.removeprefix('hf:').partition('@')[0])}"
    yield from _licences(audit)
    yield from _components(audit)


def _licences(audit: Audit) -> Iterator[str]:
    first = view.subject(audit)
    told = {kind: facts[0] for kind, scope in _LICENCES.items() if (facts := view.licence_facts(first, scope))}
    if told:
        yield "  license:"
    for kind, fact in told.items():
        yield from (f"    {kind}:", f"      name: {_yaml(_name(fact))}", f"      path: {_yaml(_path(fact))}")


def _name(fact: LicenceFact) -> str:
    name = view.licence_name(fact)
    return view.spdx_expression(name) or name


def _path(fact: LicenceFact) -> str:
    return fact.link or fact.evidence.file


def _components(audit: Audit) -> Iterator[str]:
    first = view.subject(audit)
    seen: dict[Component, ComponentFact] = {}
    for fact in view.of(first.facts, ComponentFact):
        if fact.state is State.PRESENT:
            seen.setdefault(fact.component, fact)
    weights = view.licence_facts(first, Scope.WEIGHTS)
    yield "  components:" if seen else "  components: []"
    for component in Component:
        if component not in seen:
            continue
        fact = seen[component]
        yield from (f"    - name: {_yaml(_title(component))}", f"      description: {_yaml(_description(fact))}")
        if fact.licence:
            yield f"      license: {_yaml(view.spdx_expression(fact.licence) or fact.licence)}"
        elif component in (Component.PARAMETERS, Component.INTERMEDIATE_PARAMETERS) and weights:
            yield from (f"      license: {_yaml(_name(weights[0]))}", f"      license_path: {_yaml(_path(weights[0]))}")
        yield f"      component_path: {_yaml(fact.where)}"


def _title(component: Component) -> str:
    """What the tool calls a component: ``Model parameters (Final)``."""
    words = component.replace("-", " ").capitalize()
    return re.sub("(?<=parameters )[a-z]+", lambda match: f"({match[0].capitalize()})", words)


def _description(fact: ComponentFact) -> str:
    return f"{fact.basis} in {view.place(fact.evidence)}, read on {fact.evidence.date}"


def _yaml(value: str) -> str:
    return json.dumps(whole(value), ensure_ascii=False)
