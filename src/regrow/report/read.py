"""What a report says of a release: whatever is missing is left out of it, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import RecipeError
from regrow.evidence import Evidence
from regrow.formats.parquet import repeated
from regrow.release import Release, asked, tables
from regrow.release.files import DamagedError, read_json, read_text
from regrow.release.layout import EFFECTS, EXCLUDED, MANIFEST, SUMS, TEMPLATE, WHOLE, evidence_path
from regrow.release.lineage import lineage
from regrow.release.release import number
from regrow.release.statements import Statement, brought_in, line_of_weights
from regrow.release.sums import leaves
from regrow.report.data import (
    NAMED,
    Base,
    Effect,
    Example,
    Exclusion,
    File,
    Found,
    Measure,
    ReportData,
    Source,
    StageRow,
)
from regrow.report.doubts import doubts
from regrow.report.render import size

if TYPE_CHECKING:
    import pyarrow

_EXAMPLES = 5


def load(path: Path) -> ReportData:
    """What the report of a release in a folder says.

    Raises:
        RecipeError: if it is not one, or is damaged.
    """
    release = Release.at(path)
    if not release.files.has(SUMS):
        raise RecipeError(
            "not a release", where=str(path), why=f"it has no {SUMS}", hint="`regrow build` makes releases"
        )
    return contents(release)


def contents(release: Release) -> ReportData:
    """What a report says of a release, or of one in the making, which has no digest yet.

    Raises:
        RecipeError: if a part of it is damaged.
    """
    return ReportData(
        name=release.name or release.path.name,
        digest=release.digest,
        licence=str(release.model.get("licence", "")),
        description=str(release.model.get("description") or ""),
        facts=release.facts,
        family=release.family,
        answers=release.files.has(TEMPLATE),
        line=_line(release),
        bases=tuple(_bases(release)),
        lineage=lineage(release) if _is_changed(release) else None,
        effects=effects(release),
        samples=release.samples,
        losses=release.losses,
        validation_loss=release.measured("validation", "loss"),
        measures=measures(release),
        scores=asked.scores(release),
        doubts=doubts(release),
        sources=tuple(_sources(release)),
        exclusions=tuple(_exclusions(release)),
        evidence=evidence(release),
        stages=tuple(_stage(statement, release.timings.get(statement.stage, {})) for statement in release.statements),
        files=tuple(_files(release)),
        machine=release.environment,
        build=release.dates,
    )


def effects(release: Release) -> tuple[Effect, ...]:
    """What each change did, in the order in which they were made."""
    names = [one.stage for one in release.statements]
    found = ((name, read_json(release.files, f"{EFFECTS}/{name}.json")) for name in names)
    return tuple(_effect(release, name, told) for name, told in found if isinstance(told, dict))


def _effect(release: Release, stage: str, told: Mapping[str, Any]) -> Effect:
    try:
        function, weights, answer, held_out = (told[key] for key in ("function", "weights", "answer", "held_out"))
        ranks = list(weights["ranks"].values())
        matrices = weights["zeros"]["after"]
        return Effect(
            stage=stage,
            function=str(function["kept"]),
            difference=number(function["largest_difference"]),
            changed=weights["changed"] / max(1, weights["compared"]),
            rank=max(ranks, default=0) if all(type(one) is int for one in ranks) else None,
            rank_bound=int(weights["rank_bound"]),
            zeros=matrices["numbers"] / max(1, matrices["size"]),
            bits=(number((held_out or {}).get("before")), number((held_out or {}).get("after"))),
            size=(int(weights["bytes"]["before"]), int(weights["bytes"]["after"])),
            prompt=str(answer["prompt"]),
            answers=(str(answer["before"]), str(answer["after"])),
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DamagedError(release.path, f"{EFFECTS}/{stage}.json", "it is no effect as regrow writes it") from error


def evidence(release: Release) -> tuple[Found, ...]:
    """What checks of the text found, in their order."""
    names = (one.stage for one in release.statements if one.artifact == "evidence")
    return tuple(_found(release, name) for name in names if release.files.has(evidence_path(name)))


def _found(release: Release, stage: str) -> Found:
    path = evidence_path(stage)
    try:
        return Found(stage, Evidence.read(read_text(release.files, path)))
    except (ValueError, RecursionError) as error:
        raise DamagedError(release.path, path, f"it is no evidence as regrow writes it: {error}") from error


def measures(release: Release) -> tuple[Measure, ...]:
    """What was measured of the model, and what to compare it with, the best first."""
    return tuple(sorted(_measures(release), key=lambda one: one.bits_per_byte))


def _measures(release: Release) -> Iterable[Measure]:
    told = (
        (release.evaluation, "validation", "this model", _unseen(release.evaluation.get("validation")), True),
        (release.comparison, "float32", "the same in plain float32", "torch, same data order", False),
        (release.comparison, WHOLE, "the model with everything", _cost(release), False),
        (release.comparison, "xz", "xz", _packed(release.comparison.get("xz")), False),
        (release.evaluation, "unigram", "unigram", "how often each token occurs in training text", False),
    )
    for table, key, name, note, own in told:
        found = table.get(key)
        bits = number(found.get("bits_per_byte")) if isinstance(found, dict) else None
        if bits is not None:
            yield Measure(name, bits, note, own, key)


def _unseen(found: Any) -> str:
    """What the model was measured on."""
    told = found.get("sequences") if isinstance(found, dict) else None
    counts = [number(told.get(name)) for name in ("measured", "held_out")] if isinstance(told, dict) else [None]
    if None in counts:
        return "on text it has never seen"
    return "on {:,.0f} of {:,.0f} sequences of text it has never seen".format(*counts)


def _cost(release: Release) -> str:
    """What it has cost to leave something out."""
    whole = release.comparison.get(WHOLE)
    before = number(whole.get("bits_per_byte")) if isinstance(whole, dict) else None
    now = release.measured("validation", "bits_per_byte")
    if before is None or now is None:
        return ""
    return f"what was left out cost {now - before:+.4f} bits per byte on the held-out text that both have"


def _packed(found: Any) -> str:
    """How the compressor was used."""
    primed = number(found.get("primed_with")) if isinstance(found, dict) else None
    return f"a compressor, primed with {size(int(primed))} of training text" if primed else "a compressor"


def _sources(release: Release) -> Iterable[Source]:
    keys = ["source", "split", "file"]
    table = tables.summed(release.groups(MANIFEST, keys, ["bytes"]), keys, "bytes")
    sizes, counts = (tables.summed([table], keys[:2], value).to_pylist() for value in ("sum", "count"))
    at, sides = 0, {}
    for one, of in zip(sizes, counts, strict=True):  # in the order of the table
        sides[one["source"], one["split"]] = _Side(of["sum"], one["sum"], at, one["count"])
        at += one["count"]
    for source in release.sources:
        train, held_out = (
            sides.get((str(source.get("name", "")), split), _Side()) for split in ("train", "validation")
        )
        named = table.slice(train.begin, min(train.files, NAMED)).to_pylist()
        yield Source(
            **{key: str(source.get(key) or "") for key in ("name", "fetch", "licence", "availability", "attribution")},
            documents=train.documents,
            bytes=train.bytes,
            validation_documents=held_out.documents,
            validation_bytes=held_out.bytes,
            files=tuple((row["file"], row["count"], row["sum"]) for row in named),
            more_files=max(0, train.files - NAMED),
        )


@dataclass(frozen=True)
class _Side:
    """Documents of a source on one side of the split; ``files`` rows of a table from ``begin`` on have its files."""

    documents: int = 0
    bytes: int = 0
    begin: int = 0
    files: int = 0


def _exclusions(release: Release) -> Iterable[Exclusion]:
    texts, keys = ["stage", "reason", "source", "locator"], ["stage", "reason"]
    examples: dict[tuple[str, str], list[Example]] = {}

    def seen() -> Iterator[pyarrow.Table]:
        """The rows, while some of them are kept for examples."""
        for table in release.groups(EXCLUDED, texts, ["characters"], optional=["detail"]):
            for one in tables.summed([table], keys, "characters").to_pylist():
                held = examples.setdefault((one["stage"], one["reason"]), [])
                held[:] = sorted([*held, *_first(table, one["stage"], one["reason"])], key=_place)[:_EXAMPLES]
            yield table

    rows = tables.summed(seen(), keys, "characters").to_pylist()
    for row in sorted(rows, key=lambda row: -row["count"]):
        stage, reason = row["stage"], row["reason"]
        yield Exclusion(stage, reason, row["count"], row["sum"], tuple(examples[stage, reason]))


def _first(table: pyarrow.Table, stage: str, reason: str) -> list[Example]:
    """The first documents that a stage left out for a reason, of some rows."""
    import pyarrow.compute as pc

    here, because = (repeated(value, len(table)) for value in (stage, reason))
    rows = table.filter(pc.and_(pc.equal(table["stage"], here), pc.equal(table["reason"], because)))
    first = tables.ordered(rows, ("source", "locator")).slice(0, _EXAMPLES)
    return [Example(row["source"], row["locator"], row["detail"] or "") for row in first.to_pylist()]


def _place(example: Example) -> tuple[str, str]:
    return example.source, example.locator


def _line(release: Release) -> tuple[tuple[str, str], ...]:
    line = line_of_weights(release.statements)
    told = tuple((one.stage, one.origin) for one in line if one.origin is not None)
    return told if len(told) == len(line) else ()


def _is_changed(release: Release) -> bool:
    """Whether more was done to the weights than to train them from random numbers."""
    return bool(brought_in(release.statements)) or len(line_of_weights(release.statements)) > 1


def _bases(release: Release) -> Iterator[Base]:
    yield from (Base(one.fetch, str(one.parameters.get("licence", ""))) for one in brought_in(release.statements))


def _stage(statement: Statement, timing: Mapping[str, Any]) -> StageRow:
    return StageRow(
        name=statement.stage,
        kind=statement.kind,
        version=statement.version,
        digest=statement.digest,
        parameters=statement.parameters,
        inputs=statement.inputs,
        files=tuple((f"{statement.stage}/{path}", sha256) for path, sha256 in statement.files),
        artifact=statement.artifact,
        origin=statement.origin,
        documents=statement.documents,
        key=str(timing.get("key", "")),
        seconds=number(timing.get("seconds")),
        cached=timing.get("cached"),
    )


def _files(release: Release) -> Iterable[File]:
    for path, sha256 in release.listed.items():
        if not leaves(path) and release.files.has(path):
            yield File(path, sha256, release.files.size(path))
