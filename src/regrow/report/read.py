"""Reading what a report says from a release directory.

A release may come from a stranger: nothing here trusts that a file is there or has the fields it should, and
whatever is missing is left out of the report, never guessed.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.errors import InputError, RecipeError
from regrow.formats import safetensors
from regrow.report.data import Example, Exclusion, File, Loss, Measure, ReportData, Sample, Source, StageRow
from regrow.store.digest import sha256_file

if TYPE_CHECKING:
    import pyarrow

_EXAMPLES = 5
_DEEPEST = 50  # lists and tables in each other, where a release of ours has five
_LARGEST = 1e12  # of steps and losses; no drawing has room for more


def load(release: Path) -> ReportData:
    """Read a release directory.

    Raises:
        RecipeError: if it is not one, or is damaged beyond reading.
    """
    if not (release / "SHA256SUMS").is_file():
        raise RecipeError(
            "not a release", where=str(release), why="it has no SHA256SUMS", hint="`regrow build` makes releases"
        )
    return contents(release)


def contents(release: Path) -> ReportData:
    """Read what lies in a directory laid out like a release; before it has a SHA256SUMS, the digest is empty."""
    try:
        return _contents(release)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, OSError) as error:
        raise RecipeError(
            "the release cannot be read",
            where=str(release),
            why=f"{type(error).__name__}: {error}",
            hint="`regrow verify` names the files that are damaged",
        ) from error


def _contents(release: Path) -> ReportData:
    sums = release / "SHA256SUMS"
    recipe = tomllib.loads(_text(release / "regrow.toml"))
    model = recipe.get("model", {})
    buildinfo = release / "buildinfo"
    evaluation = _json(release / "evaluation.json")
    return ReportData(
        name=str(model.get("name", release.name)),
        digest=sha256_file(sums) if sums.is_file() else "",
        licence=str(model.get("licence", "")),
        description=str(model.get("description") or ""),
        facts=_facts(release),
        samples=tuple(_samples(release / "samples.json")),
        losses=_losses(release / "training/losses.jsonl"),
        validation_loss=_number(evaluation.get("validation", {}).get("loss")),
        measures=tuple(
            sorted(_measures(evaluation, _json(buildinfo / "comparison.json")), key=lambda one: one.bits_per_byte)
        ),
        sources=tuple(_sources(release / "data/documents.parquet", recipe.get("source", []))),
        exclusions=tuple(_exclusions(release / "data/excluded.parquet")),
        stages=_stages(release / "provenance", _json(buildinfo / "timings.json")),
        files=tuple(_files(release, sums)),
        machine=_json(buildinfo / "environment.json"),
        build=_json(buildinfo / "build.json"),
    )


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


def _value(text: str) -> Any:
    """The value of a JSON text, if it is flat enough for whatever has to walk through it."""
    value = json.loads(text)
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for one in level for inner in _inside(one)]
    if level:
        raise ValueError("lists and tables are nested too deeply")
    return value


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _json(path: Path) -> dict[str, Any]:
    value = _value(_text(path) or "{}")
    return value if isinstance(value, dict) else {}


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _text(path).splitlines() if line.strip()]


def _losses(path: Path) -> tuple[Loss, ...]:
    """The losses that can be drawn: one for each step, in the order of the steps."""
    rows = ((int(row["step"]), _number(float(row["loss"]))) for row in _lines(path))
    found = {step: loss for step, loss in rows if loss is not None and abs(step) <= _LARGEST}
    return tuple(Loss(step, found[step]) for step in sorted(found))


def _number(value: Any) -> float | None:
    """A number that is one: not infinite, and no larger than anything that is measured here."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and abs(value) <= _LARGEST else None


def _facts(release: Path) -> dict[str, Any]:
    config = _json(release / "config.json")
    facts = {
        "layers": config.get("num_hidden_layers"),
        "width": config.get("hidden_size"),
        "heads": config.get("num_attention_heads"),
        "context": config.get("max_position_embeddings"),
        "vocabulary": config.get("vocab_size"),
        "parameters": _parameters(release / "model.safetensors"),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _parameters(weights: Path) -> int | None:
    """How many numbers a safetensors file holds, from its header alone."""
    if not weights.is_file():
        return None
    try:
        with weights.open("rb") as file:
            entries = safetensors.read_entries(file, weights.stat().st_size).values()
    except InputError as error:
        raise ValueError(f"{weights.name}: {error.why}") from error
    counts = (math.prod(float(size) for size in entry["shape"]) for entry in entries)
    total = sum(counts)  # exact up to 2**53, and never long
    return int(total) if 0 <= total < 2**53 else None


def _samples(path: Path) -> Iterable[Sample]:
    value = _value(_text(path) or "[]")
    rows = value.get("samples", []) if isinstance(value, dict) else value
    for row in rows:
        yield Sample(str(row.get("prompt", "")), str(row.get("text", "")))


def _measures(evaluation: Mapping[str, Any], comparison: Mapping[str, Any]) -> Iterable[Measure]:
    told = (
        (evaluation, "validation", "this model", "on text it has never seen", True),
        (comparison, "float32", "the same in plain float32", "torch, same data order", False),
        (comparison, "xz", "xz", "a compressor, primed with training text", False),
        (evaluation, "unigram", "unigram", "how often each token occurs", False),
    )
    for table, key, name, note, own in told:
        if (number := _number(table.get(key, {}).get("bits_per_byte"))) is not None:
            yield Measure(name, number, note, own)


def _table(path: Path, columns: list[str]) -> pyarrow.Table | None:
    """Some columns of a Parquet file, or None if there is no such file."""
    if not path.is_file():
        return None
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path, columns=columns)
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path.name}: {error}") from error


def _sources(manifest: Path, declared: Iterable[Mapping[str, Any]]) -> Iterable[Source]:
    table = _table(manifest, ["source", "split", "file", "bytes"])
    counts: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    if table is not None:
        grouped = table.group_by(["source", "split", "file"]).aggregate([("bytes", "sum"), ("bytes", "count")])
        for row in grouped.sort_by([("source", "ascending"), ("file", "ascending")]).to_pylist():
            here = counts.setdefault((row["source"], row["split"]), {})
            here[row["file"]] = (row["bytes_count"], int(row["bytes_sum"]))
    for source in declared:
        train = counts.get((source.get("name", ""), "train"), {})
        held_out = counts.get((source.get("name", ""), "validation"), {})
        yield Source(
            **{key: str(source.get(key) or "") for key in ("name", "fetch", "licence", "availability", "attribution")},
            documents=sum(documents for documents, _ in train.values()),
            bytes=sum(size for _, size in train.values()),
            validation_documents=sum(documents for documents, _ in held_out.values()),
            validation_bytes=sum(size for _, size in held_out.values()),
            files=tuple((file, documents, size) for file, (documents, size) in train.items()),
        )


def _exclusions(path: Path) -> Iterable[Exclusion]:
    table = _table(path, ["stage", "reason", "source", "locator", "detail", "characters"])
    if table is None:
        return
    grouped = table.group_by(["stage", "reason"]).aggregate([("characters", "sum"), ("characters", "count")])
    order = [("characters_count", "descending"), ("stage", "ascending"), ("reason", "ascending")]
    for row in grouped.sort_by(order).to_pylist():
        yield Exclusion(
            stage=str(row["stage"]),
            reason=str(row["reason"]),
            documents=row["characters_count"],
            characters=int(row["characters_sum"] or 0),
            examples=_examples(table, row["stage"], row["reason"]),
        )


def _examples(table: pyarrow.Table, stage: str, reason: str) -> tuple[Example, ...]:
    import pyarrow.compute as pc

    rows = table.filter((pc.field("stage") == stage) & (pc.field("reason") == reason))
    first = rows.sort_by([("source", "ascending"), ("locator", "ascending")]).slice(0, _EXAMPLES)
    return tuple(Example(row["source"], row["locator"], row["detail"] or "") for row in first.to_pylist())


def _stages(provenance: Path, timings: Mapping[str, Any]) -> tuple[StageRow, ...]:
    """The stages, each after those it takes its inputs from."""
    statements = [_json(path) for path in sorted(provenance.glob("*.intoto.json"))]
    rows = {row.name: row for row in (_stage(statement, timings) for statement in statements)}
    try:
        order = TopologicalSorter({name: [stage for _, stage in row.inputs] for name, row in rows.items()})
        return tuple(rows[name] for name in order.static_order() if name in rows)
    except CycleError:
        return tuple(rows.values())


def _stage(statement: Mapping[str, Any], timings: Mapping[str, Any]) -> StageRow:
    definition = statement["predicate"]["buildDefinition"]
    artifact, *files = statement["subject"]
    name = str(artifact["name"])
    dependencies = (entry.get("annotations", {}) for entry in definition.get("resolvedDependencies", []))
    timing = timings.get("stages", {}).get(name, {})
    return StageRow(
        name=name,
        kind=str(definition["internalParameters"]["kind"]),
        version=int(definition["internalParameters"]["version"]),
        digest=str(artifact["digest"]["sha256"]),
        parameters=definition.get("externalParameters", {}),
        inputs=tuple((str(note["slot"]), str(note["stage"])) for note in dependencies if "stage" in note),
        files=tuple((str(file["name"]), str(file["digest"]["sha256"])) for file in files),
        key=str(timing.get("key", "")),
        seconds=_number(timing.get("seconds")),
        cached=timing.get("cached"),
    )


def _files(release: Path, sums: Path) -> Iterable[File]:
    for line in _text(sums).splitlines():
        sha256, _, path = line.partition("  ")
        if not Path(path).is_absolute() and ".." not in Path(path).parts and (release / path).is_file():
            yield File(path, sha256, (release / path).stat().st_size)
