"""The audit for a terminal: the answer first, then what it rests on. Readable without colour, 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from regrow.auditing.facts import Evidence, Finding, Severity
from regrow.auditing.lineage import Edge
from regrow.auditing.outputs import view
from regrow.auditing.outputs.safe import plain, row, whole, wrap
from regrow.auditing.result import Answer, Audit, DataShare, Definition, Verdict
from regrow.report.render import share, size

COLUMNS = 100
_OUTCOME = 9  # as wide as `not shown`
_FOOT = (
    "* our reading: the source does not say it in these words. Nobody certifies models under these definitions; the "
    "verdicts are regrow's own, about this version only, and no legal advice."
)


def text(audit: Audit) -> str:
    """The audit as text that ends with a line feed."""
    parts = (
        _head(audit),
        _section("Is it all there?", _answers(audit.parts)),
        _section("What may you do with it?", _answers(audit.freedoms)),
        _section("What would a rebuild cost?", _indented(view.cost_words(audit.cost))),
        *map(_definition, audit.definitions),
        _section("What the licences ask", _duties(audit)),
        _section("Licences of the training data", _data(audit.data)),
        _section("Lineage", _lineage(audit)),
        _section("Conflicts between licences", _conflicts(audit)),
        _section("Findings", _findings(audit.findings)),
        _section("What the maker claims, and what was found", _claims(audit)),
        _section("Your policy", _policy(audit)),
        wrap(_FOOT, COLUMNS),
    )
    return "\n\n".join("\n".join(lines) for lines in map(list, parts) if lines) + "\n"


def _section(heading: str, lines: Iterable[str]) -> list[str]:
    """Lines under a heading; without lines, no heading either."""
    told = list(lines)
    return [heading, *told] if told else []


def _head(audit: Audit) -> Iterator[str]:
    yield from wrap(audit.name, COLUMNS)
    yield from _indented(f"{audit.id} ({audit.kind}), audited on {audit.date}")
    yield from _indented(f"version {whole(audit.version)}")
    yield ""
    for definition in audit.definitions:
        yield from row((view.standing(definition), definition.title), (18, COLUMNS - 22))
    if alarms := view.alarms(audit):
        yield from ("", *_indented(f"Beware: {alarms}."))


def _answers(answers: Sequence[Answer]) -> Iterator[str]:
    for answer in answers:
        reason = _limited(answer.reason, answer.limited_by)
        yield from row((answer.answer, answer.name.replace("-", " "), reason), (_OUTCOME, 14, COLUMNS - _OUTCOME - 20))


def _limited(reason: str, by: str) -> str:
    told = not by or by.removeprefix("hf:") in reason
    return plain(reason) if told else f"{plain(reason)} (limited by {plain(by)})"


def _definition(definition: Definition) -> Iterator[str]:
    yield from wrap(f"{definition.title}: {view.standing(definition)}", COLUMNS)
    for verdict in definition.verdicts:
        yield from _verdict(verdict)
    if definition.next:
        yield f"  {view.next_heading(definition)}"
        yield from _list(definition.next, 4)
    for note in definition.notes:
        yield from _indented(f"note: {note}")


def _verdict(verdict: Verdict) -> Iterator[str]:
    title = f"{plain(verdict.title)} *" if verdict.reading else verdict.title
    cells = (verdict.outcome, title, _limited(verdict.reason, verdict.limited_by))
    return row(cells, (_OUTCOME, 34, COLUMNS - _OUTCOME - 40))


def _duties(audit: Audit) -> Iterator[str]:
    for heading, duties in view.duties(audit):
        yield from _indented(f"{heading}:")
        yield from _list([f"{plain(one.text)} ({plain(one.licence)}, of {plain(one.origin)})" for one in duties], 4)


def _data(shares: Sequence[DataShare]) -> Iterator[str]:
    for one in shares:
        amount = "size not shown" if one.bytes is None else size(one.bytes)
        part = "" if one.share is None else share(one.share, 1)
        sources = f"{one.sources} source{'s' * (one.sources != 1)}"
        yield from row((one.licence or "no licence", amount, part, sources), (30, 14, 9, 30))


def _lineage(audit: Audit) -> Iterator[str]:
    nodes = {node.id: node for node in audit.lineage.nodes}
    start = audit.lineage.nodes[0]
    seen = {start.id}
    yield from _node(start.name, view.licence_names(start.collected), "  ", "  ")
    stack = [(edge, "  ", last) for edge, last in _marked(audit, start.id)]
    while stack:
        edge, before, last = stack.pop()
        after = f"{before}{'   ' if last else '│  '}"
        node = nodes.get(edge.parent)
        licences = view.licence_names(node.collected) if node else ()
        unread = node is None or node.collected.kind == "unreached"
        remarks = ["could not be read"] * unread + ["see above"] * (edge.parent in seen)
        words = f"{edge.relation} of {plain(edge.parent)} ({'; '.join([plain(edge.basis), *remarks])})"
        if len(before) < COLUMNS // 2:
            yield from _node(words, licences, f"{before}{'└─ ' if last else '├─ '}", after)
        if edge.parent not in seen:
            seen.add(edge.parent)
            stack += [(one, after, end) for one, end in _marked(audit, edge.parent)]
    if len(seen) == 1:
        yield "  no parent is declared, found or known"


def _marked(audit: Audit, child: str) -> list[tuple[Edge, bool]]:
    """The edges from a model, the last one marked as such and first, as a stack wants them."""
    edges = view.edges_from(audit, child)
    return [(edge, i == len(edges) - 1) for i, edge in enumerate(edges)][::-1]


def _node(words: str, licences: Sequence[str], first: str, rest: str) -> Iterator[str]:
    lines = wrap(f"{plain(words)}: {', '.join(map(plain, licences)) or 'no licence seen'}", COLUMNS - len(first))
    return (f"{first if i == 0 else rest}{line}" for i, line in enumerate(lines))


def _conflicts(audit: Audit) -> Iterator[str]:
    for one in audit.conflicts:
        between = " against ".join(map(plain, one.between))
        yield from _list([f"{plain(one.text)} ({between}){_places(one.evidence)}"], 2)


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    for severity in Severity:
        for one in (one for one in findings if one.severity is severity):
            words = f"{plain(one.text)}{_places(one.evidence)}"
            yield from row((severity, one.id, words), (_OUTCOME, 22, COLUMNS - _OUTCOME - 28))


def _places(evidence: Sequence[Evidence]) -> str:
    if not evidence:
        return ""
    more = f" and {len(evidence) - 1} more" if len(evidence) > 1 else ""
    return f" [{plain(view.place(evidence[0]), 120)}{more}]"


def _claims(audit: Audit) -> Iterator[str]:
    for one in audit.claims:
        words = f"“{plain(one.text)}” {plain(one.reason)}"
        yield from row((view.outcome_word(one.outcome), one.topic, words), (13, 13, COLUMNS - 32))


def _policy(audit: Audit) -> Iterator[str]:
    for one in audit.policy:
        yield from row((one.outcome, one.text, one.reason), (_OUTCOME, 34, COLUMNS - _OUTCOME - 40))


def _indented(words: str) -> Iterator[str]:
    return (f"  {line}" for line in wrap(words, COLUMNS - 2))


def _list(items: Iterable[str], indent: int) -> Iterator[str]:
    for item in items:
        first, *rest = wrap(item, COLUMNS - indent - 2)
        yield f"{' ' * indent}- {first}"
        yield from (f"{' ' * (indent + 2)}{line}" for line in rest)
