"""One statement per stage about what went in and what came out: in-toto, with SLSA's provenance as predicate.

A statement is covered by the release digest, so it holds nothing that two machines could disagree about while their
outputs agree: no times, no versions of libraries, no key. Those lie in ``buildinfo/``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from regrow.engine import Evaluation
from regrow.exact.version import ARITHMETIC, INFERENCE
from regrow.recipe.graph import Stage
from regrow.recipe.pin import MOST_NAMED, Pinned, Pins, list_path, withheld_path
from regrow.sources import package_url
from regrow.store import seals

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILDER = "urn:regrow:builder"


def build_type(kind: str, version: int) -> str:
    """The URI of what a kind of stage does, in one version."""
    return f"urn:regrow:stage:{kind}:{version}"


def statement(stage: Stage, evaluation: Evaluation, shown: Collection[str] | None = None) -> dict[str, Any]:
    """The statement about one stage.

    The first subject is the artifact as a whole: its sha256 is that of the list of checksums of its files. The files
    follow, each with its own; if they are very many, the first of them. So it is with the files that a source has, of
    which the release then has the whole list.

    Args:
        stage: the stage.
        evaluation: has what it gave.
        shown: sha256 of the files that may be named, where texts that may not be shared are in others: a hash of those
            could be tried out. The artifact has a hash in any case, which covers secrets. By default all may be.
    """
    result = evaluation.results[stage.name]
    made = (one for one in seals.rows(result.path, result.digest) if shown is None or one[1] in shown)
    outputs = [_resource(f"{stage.name}/{path}", sha256) for path, sha256 in islice(made, MOST_NAMED)]
    parameters = stage.parameters.model_dump(mode="json")
    internal: dict[str, Any] = {"kind": stage.kind.name, "version": stage.kind.version}
    if stage.kind.origin:
        internal["origin"] = stage.kind.origin
    if stage.kind.on_documents:
        internal["documents"] = stage.kind.on_documents
    if stage.kind.exact:
        internal["arithmetic"] = ARITHMETIC
    if stage.kind.infers:
        internal["inference"] = INFERENCE
    return {
        "_type": STATEMENT,
        "subject": [_resource(stage.name, result.digest, {"artifact": stage.kind.output}), *outputs],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": build_type(stage.kind.name, stage.kind.version),
                "externalParameters": parameters,
                "internalParameters": internal,
                "resolvedDependencies": [*_inputs(stage, evaluation), *_pins(stage)],
            },
            "runDetails": {"builder": {"id": BUILDER, "version": {"arithmetic": str(ARITHMETIC)}}},
        },
    }


def to_json(statement: Mapping[str, Any]) -> str:
    """A statement as text: one way to write it, and readable."""
    return json.dumps(statement, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _inputs(stage: Stage, evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for slot, names in stage.inputs.items():
        for name in names:
            yield _resource(name, evaluation.results[name].digest, {"slot": slot, "stage": name})


def _pins(stage: Stage) -> Iterator[dict[str, Any]]:
    """The files a stage brings in from outside."""
    parameters = stage.parameters
    if isinstance(parameters, Pinned):
        uri, pins = package_url(parameters.fetch), Pins.of(parameters.pins)
        if pins.withheld:
            yield _resource(withheld_path(stage.name.removeprefix(f"{stage.kind.name}-"), pins.sums), pins.sums)
            return
        if pins.many:
            yield _resource(list_path(stage.name.removeprefix(f"{stage.kind.name}-"), pins.sums), pins.sums)
        for pin in pins[:MOST_NAMED]:
            yield {**_resource(pin.file, pin.sha256), **({"uri": uri} if uri else {})}


def _resource(name: str, sha256: str, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    resource: dict[str, Any] = {"name": name, "digest": {"sha256": sha256}}
    return {**resource, "annotations": dict(annotations)} if annotations else resource
