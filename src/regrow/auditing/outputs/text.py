"""The audit for a terminal, readable without colour: a first screen with the answer, and on demand what it rests on.

No sentence stands in a text twice: what a row has in common with one above, it refers to by that row's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from regrow.auditing.facts import Evidence, Finding, Severity
from regrow.auditing.lineage import Edge
from regrow.auditing.names import short
from regrow.auditing.outputs import view
from regrow.auditing.outputs.because import sentence
from regrow.auditing.outputs.safe import plain, row, shorten, whole, wrap
from regrow.auditing.outputs.said import KNOWN, Said
from regrow.auditing.result import Answer, Audit, Claim, DataShare, Definition, Verdict
from regrow.report.render import share, size

COLUMNS = 100
SCREEN = 80  # columns of the first screen
_OUTCOME = 9  # as wide as `not shown`
_NAME = 13  # as wide as `training code`
_QUOTED = 60  # characters by which a claim is known again in a note, which may cut it
_FOOT = (
    "* our reading: the source does not say it in these words. Nobody certifies models under these definitions; the "
    "verdicts are regrow's own, about this version only, and no legal advice."
)
_MORE = "--full for all of it, --explain data (or use, osaid-1.0) for one"


def text(audit: Audit) -> str:
    """The first screen, as text that ends with a line feed: each answer with one reason, and how to see more."""
    said = Said()
    head = (*_title(audit), *_sentences(audit, SCREEN))
    return _joined((head, (*_short_answers(audit, said), *_short_remarks(audit))))


def full(audit: Audit) -> str:
    """All of the audit as text that ends with a line feed."""
    said = Said()
    parts = (
        _long_title(audit),
        _sentences(audit, COLUMNS),
        _indented(f"Beware: {alarms}.") if (alarms := view.alarms(audit)) else (),
        _section("Is it all there?", _answers(audit.parts, said)),
        _section("What may you do with it?", _answers(audit.freedoms, said)),
        _section("What would a rebuild cost?", _indented(view.cost_words(audit.cost))),
        *(_definition(one, audit.claims, said) for one in audit.definitions),
        _section("What the licences ask", _duties(audit)),
        _section("Licences of the training data", _data(audit.data)),
        _section("Lineage", _lineage(audit)),
        _section("Conflicts between licences", _conflicts(audit, said)),
        _section("Findings", _findings(audit.findings, said)),
        _section("What the maker claims, and what was found", _claims(audit, said)),
        _section("Your policy", _policy(audit, said)),
        wrap(_FOOT, COLUMNS),
    )
    return _joined(parts)


def _joined(parts: Iterable[Iterable[str]]) -> str:
    return "\n\n".join("\n".join(lines) for lines in map(list, parts) if lines) + "\n"


def _section(heading: str, lines: Iterable[str]) -> list[str]:
    """Lines under a heading; without lines, no heading either."""
    told = list(lines)
    return [heading, *told] if told else []


def _title(audit: Audit) -> Iterator[str]:
    yield shorten(f"{audit.name} ({audit.kind}), audited on {audit.date}", SCREEN)
    yield f"  {shorten(audit.id if view.package_url(audit.id) else audit.version, SCREEN - 2)}"


def _long_title(audit: Audit) -> Iterator[str]:
    yield from wrap(f"{audit.name} ({audit.kind}), audited on {audit.date}", COLUMNS)
    yield from _indented(audit.id)
    yield from _indented(f"version {whole(audit.version)}")


def _sentences(audit: Audit, columns: int) -> Iterator[str]:
    """How it stands under each definition, and because of what."""
    for definition in audit.definitions:
        first, *rest = wrap(sentence(definition), columns - 4)
        yield from (f"  {first}", *(f"    {line}" for line in rest))


def _short_answers(audit: Audit, said: Said) -> Iterator[str]:
    """A row for each answer, with one reason, cut where it is longer than the row."""
    for one in (*audit.parts, *audit.freedoms):
        name, room = one.name.replace("-", " "), SCREEN - _OUTCOME - _NAME - 6
        reason = _limited(said.first(name, one.reason, one.limited_by), one)
        mark = f" ({KNOWN})" if KNOWN in one.reason else ""
        reason = shorten(reason, room) if KNOWN in shorten(reason, room) else shorten(reason, room - len(mark)) + mark
        yield from row((one.answer, name, reason), (_OUTCOME, _NAME, room))


def _short_remarks(audit: Audit) -> Iterator[str]:
    """A line for each thing that must not be missed, where there is any."""
    told = {**view.reminders(audit), "beware": _alarms(audit), "more": _MORE}
    for name, words in told.items():
        if words:
            yield f"  {name:{_OUTCOME}}  {shorten(words, SCREEN - _OUTCOME - 4)}"


def _alarms(audit: Audit) -> str:
    """How many things a reader must not miss, and what the findings among them are called."""
    serious = [one.id for one in audit.findings if one.severity is not Severity.NOTE]
    return ": ".join(filter(None, (view.alarms(audit), ", ".join(map(plain, dict.fromkeys(serious))))))


def _answers(answers: Sequence[Answer], said: Said) -> Iterator[str]:
    for one in answers:
        name = one.name.replace("-", " ")
        reason = _limited(said.once(name, one.reason, one.limited_by), one)
        yield from row((one.answer, name, reason), (_OUTCOME, _NAME + 1, COLUMNS - _OUTCOME - _NAME - 7))


def _limited(reason: str, of: Answer | Verdict) -> str:
    """The reason, with the ancestor that it is about where it does not name it."""
    told = not of.limited_by or short(of.limited_by) in reason
    return plain(reason) if told else f"{plain(reason)} (limited by {plain(short(of.limited_by))})"


def _definition(definition: Definition, claims: Sequence[Claim], said: Said) -> Iterator[str]:
    yield from wrap(f"{definition.title}: {view.standing(definition)}", COLUMNS)
    for verdict in definition.verdicts:
        yield from _verdict(verdict, said)
    if definition.next:
        yield f"  {view.next_heading(definition)}"
        fresh = said.new(definition.next)
        before = len(definition.next) - len(fresh)
        yield from _list([*fresh, *([f"{before} of those above"] if before else [])], 4)
    for note in said.new(tuple(_own_notes(definition, claims))):
        yield from _indented(f"note: {note}")


def _own_notes(definition: Definition, claims: Sequence[Claim]) -> Iterator[str]:
    """The notes that repeat neither a verdict nor a claim, which have rows of their own."""
    verdicts = {f"{one.title}: {one.reason}" for one in definition.verdicts}
    quoted = [one.text[:_QUOTED] for one in claims if one.text]
    return (one for one in definition.notes if one not in verdicts and not any(text in one for text in quoted))


def _verdict(verdict: Verdict, said: Said) -> Iterator[str]:
    title = f"{plain(verdict.title)} *" if verdict.reading else verdict.title
    reason = _limited(said.once(f"“{plain(verdict.title)}”", verdict.reason, verdict.limited_by), verdict)
    return row((verdict.outcome, title, reason), (_OUTCOME, 34, COLUMNS - _OUTCOME - 40))


def _duties(audit: Audit) -> Iterator[str]:
    """The duties by the moment at which they hold, each once, with all whose licence asks it."""
    seen: set[str] = set()
    for heading, duties in view.duties(audit):
        asking: dict[str, dict[str, None]] = {}
        for one in duties:
            asking.setdefault(plain(one.text), {})[f"{plain(one.licence)}, of {plain(one.origin)}"] = None
        fresh = {words: by for words, by in asking.items() if words not in seen}
        seen |= set(asking)
        before = len(asking) - len(fresh)
        yield from _indented(f"{heading}:")
        yield from _list([f"{words} ({'; '.join(by)})" for words, by in fresh.items()], 4)
        yield from _list([f"{before} of those above"] if before else [], 4)


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


def _conflicts(audit: Audit, said: Said) -> Iterator[str]:
    for one in audit.conflicts:
        between = " against ".join(map(plain, one.between))
        words = said.once("the conflict above", plain(one.text))
        yield from _list([f"{words} ({between}){_places(one.evidence)}"], 2)


def _findings(findings: Sequence[Finding], said: Said) -> Iterator[str]:
    for severity in Severity:
        for one in (one for one in findings if one.severity is severity):
            words = f"{said.once(one.id, plain(one.text))}{_places(one.evidence)}"
            yield from row((severity, one.id, words), (_OUTCOME, 22, COLUMNS - _OUTCOME - 28))


def _places(evidence: Sequence[Evidence]) -> str:
    if not evidence:
        return ""
    more = f" and {len(evidence) - 1} more" if len(evidence) > 1 else ""
    return f" [{plain(view.place(evidence[0]), 120)}{more}]"


def _claims(audit: Audit, said: Said) -> Iterator[str]:
    for one in audit.claims:
        words = f"“{plain(one.text)}” {said.once('the claim above', plain(one.reason))}"
        yield from row((view.outcome_word(one.outcome), one.topic, words), (13, 13, COLUMNS - 32))


def _policy(audit: Audit, said: Said) -> Iterator[str]:
    for one in audit.policy:
        reason = said.once(f"“{plain(one.text)}”", plain(one.reason))
        yield from row((one.outcome, one.text, reason), (_OUTCOME, 34, COLUMNS - _OUTCOME - 40))


def _indented(words: str) -> Iterator[str]:
    return (f"  {line}" for line in wrap(words, COLUMNS - 2))


def _list(items: Iterable[str], indent: int) -> Iterator[str]:
    for item in items:
        first, *rest = wrap(item, COLUMNS - indent - 2)
        yield f"{' ' * indent}- {first}"
        yield from (f"{' ' * (indent + 2)}{line}" for line in rest)
