"""What holds for every audit that a test makes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from regrow.auditing import collectors, rules
from regrow.auditing.collectors.folder import Folder
from regrow.auditing.facts import Collected
from regrow.auditing.licences import Terms
from regrow.auditing.lineage import Lineage
from regrow.auditing.result import Claim
from regrow.auditing.rules import Judgement

from .evidence import Witness


@pytest.fixture(autouse=True)
def a_yes_was_seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each fact was read where it says, and each yes rests on such facts, or says that it is known."""
    witness = Witness()
    collect: Callable[..., Collected] = collectors._collected
    judge = rules.judge

    def watched_collect(folder: Folder, *rest: Any) -> Collected:
        result = collect(folder, *rest)
        witness.collected(folder, result.facts)
        return result

    def watched_judge(lineage: Lineage, terms: Terms, claims: Iterable[Claim] = ()) -> Judgement:
        claims = tuple(claims)
        judgement = judge(lineage, terms, claims)
        witness.judged(lineage, judgement, claims)
        return judgement

    monkeypatch.setattr(collectors, "_collected", watched_collect)
    monkeypatch.setattr(rules, "judge", watched_judge)
    yield
