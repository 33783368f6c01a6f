"""An audit from beginning to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from regrow.auditing import claims, collectors, cost, licences, policy, rules, tracing
from regrow.auditing.homes import without_homes
from regrow.auditing.links import resolver
from regrow.auditing.result import Audit


@dataclass(frozen=True)
class Options:
    """What the user asks of an audit.

    Attributes:
        today: the day to write down as the day of reading, ``2026-11-21``.
        network: whether links and ancestors may be looked up.
        parents: folders or files in which ancestors lie, by the ids under which they are named.
        claims: a file with what the maker says elsewhere.
        policy: a file with what the user demands.
    """

    today: str
    network: bool = False
    parents: Mapping[str, Path] = field(default_factory=dict)
    claims: Path | None = None
    policy: Path | None = None


def audit(target: str, options: Options) -> Audit:
    """Read a model and judge it.

    Args:
        target: a folder, a file, ``hf:organisation/name@revision``, or the address of a model on the hub.
        options: what the user asks.

    Returns:
        What was found; the policy is checked and not enforced.

    Raises:
        InputError: if there is nothing to read.
        RecipeError: if it is no model, or the claims or the policy cannot be read.
    """
    claimed = claims.read(options.claims, options.today) if options.claims else ()
    demanded = policy.read(options.policy) if options.policy else None
    collected = collectors.collect(target, today=options.today, network=options.network)
    recorded = collectors.recorded(target, options.today)
    reach = tracing.reacher(options.parents, options.today, options.network, recorded)
    line, lineage_findings = tracing.trace(collected, reach=reach)
    terms = licences.judge(line)
    links = resolver() if options.network else _unasked
    checked = claims.check(line.nodes[0].collected, claimed, links)
    judgement = rules.judge(line, terms, checked)
    found = Audit(
        id=collected.id,
        kind=collected.kind,
        name=collected.name,
        version=collected.version,
        date=options.today,
        parts=judgement.parts,
        freedoms=judgement.freedoms,
        cost=cost.estimate(line),
        definitions=judgement.definitions,
        duties=terms.duties,
        conflicts=terms.conflicts,
        data=terms.data,
        lineage=line,
        claims=checked,
        findings=tuple(dict.fromkeys((*collected.findings, *lineage_findings, *terms.findings))),
        policy=(),
        osaid=judgement.osaid,
        mof_class=judgement.mof_class,
        mof_class_basis=judgement.mof_class_basis,
    )
    return without_homes(replace(found, policy=policy.check(found, demanded)) if demanded else found)


def _unasked(_: str) -> bool | None:
    """Without a network nobody can say whether a link leads anywhere."""
    return None
