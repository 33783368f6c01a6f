"""Scores in the form in which model hubs read them: ``.eval_results/*.yaml`` and the ``model-index`` of a card.

Only a task that says which data set of the hub it is can stand in ``.eval_results``: leaderboards are lists of those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from regrow.evaluating.scores import Score, Scores


def eval_results(scores: Scores, release: str = "") -> str:
    """What stands in a file of ``.eval_results``; empty if no task is a data set of the hub.

    Args:
        scores: what was reached.
        release: the digest of the release; empty in the release itself, which cannot name it.
    """
    told = [_entry(one, scores, release) for one in scores.scores if one.hub]
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=2**16) if told else ""


def _entry(score: Score, scores: Scores, release: str) -> dict[str, Any]:
    hub, (first, *_) = score.hub, score.measures
    assert hub is not None
    dataset = {"id": hub.dataset, "task_id": hub.task, **({"revision": hub.revision} if hub.revision else {})}
    notes = [f"{first.name}; {len(score.said)} items; score digest {score.digest}"]
    notes += [f"release {release}"] if release else []
    notes += [f"regrow, inference arithmetic {scores.inference}", *([score.by] if score.by else [])]
    return {"dataset": dataset, "value": first.value, "notes": "; ".join(notes)}


def model_index(name: str, documents: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a card's front matter about scores, from their documents.

    Args:
        name: of the model.
        documents: as :meth:`regrow.evaluating.scores.Scores.document` has them.
    """
    results = [
        {
            "task": {"type": "text-generation"},
            "dataset": {"name": one["task"], "type": one["task"]},
            "metrics": [{"type": metric, "value": found["value"]} for metric, found in one["measures"].items()],
        }
        for document in documents
        for one in document["scores"]
    ]
    yield from yaml.safe_dump([{"name": name, "results": results}], sort_keys=False, allow_unicode=True).splitlines()
