"""The training data of a model as Croissant 1.1: files with their sha256, what a record is, and where it came from.

The release of a model carries the list of its training documents, not their text. So the record set is that list: one
record per document, with its source, licence, availability, place and hash. Sources are what the data set is based on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from regrow.auditing.facts import Aspect, DataAspectFact
from regrow.auditing.outputs import view
from regrow.auditing.outputs.safe import plain, whole
from regrow.auditing.result import Audit
from regrow.data import toml
from regrow.errors import RecipeError
from regrow.recipe.pin import list_path, listed_in_short
from regrow.release.layout import MANIFEST
from regrow.report import ReportData, load
from regrow.report.data import File
from regrow.report.render import link


def croissant(audit: Audit, release: Path | None = None) -> dict[str, Any]:
    """The description of the training data.

    Args:
        audit: what is known of it.
        release: the audited release, which has to be one of ours.

    Raises:
        RecipeError: if it is none, or its list of documents is not there: of data that nobody has seen the format has
            nothing to say.
        DamagedError: if the release cannot be read.
    """
    data = load(release) if release and audit.kind == "release" else None
    files = [file for file in data.files if file.path.startswith("data/")] if data else []
    if data is None or not any(file.path == MANIFEST for file in files):
        raise RecipeError(
            "there is no training data here that Croissant could describe",
            why=f"that takes the folder of one of our releases, with {MANIFEST}; {plain(audit.name)} is none",
            hint="every other format takes any model; --format eu-summary tells what is known of its data",
        )
    fixed = _fixed()
    document: dict[str, Any] = {
        "@context": {**fixed["context"], **{term: f"cr:{term}" for term in fixed["terms"]}},
        "@type": "sc:Dataset",
        "conformsTo": list(fixed["conforms"]),
        "name": f"Training data of {plain(audit.name, 150) or 'a model'}",
        "description": _description(audit, data),
        "version": plain(audit.version) or "unknown",
        "isLiveDataset": False,
        "license": list(dict.fromkeys(_licence(one.licence) for one in data.sources if one.licence.strip())),
        "isBasedOn": list(_bases(data)),
        "distribution": [_file(file) for file in files],
        "recordSet": [_records()],
        **_responsible(audit, data),
    }
    return {name: value for name, value in document.items() if value != []}


def _fixed() -> Mapping[str, Any]:
    """What every document says."""
    return toml("auditing.outputs", "croissant")


def _description(audit: Audit, data: ReportData) -> str:
    documents = sum(source.documents + source.validation_documents for source in data.sources)
    return f"{documents:,} documents that {plain(audit.name)} was made from, each by source, place, licence and hash."


def _licence(name: str) -> str:
    """A licence by its address where SPDX lists it, else as it is written."""
    expression = view.spdx_expression(name)
    if expression and " " not in expression:
        return f"https://spdx.org/licenses/{expression}.html"
    return expression or plain(name)


def _bases(data: ReportData) -> Iterator[dict[str, Any]]:
    """The sources, with the sha256 of each file that was fetched, or of the list of them."""
    pins = {stage.parameters.get("fetch"): stage.parameters.get("pins", ()) for stage in data.stages}
    for source in data.sources:
        fetched = pins.get(source.fetch, ())
        told = {
            "@type": "sc:CreativeWork",
            "name": plain(source.name) or "unnamed",
            "url": link(source.fetch),
            "description": f"fetched from {plain(source.fetch)}" if source.fetch and not link(source.fetch) else "",
            "license": _licence(source.licence) if source.licence.strip() else "",
            "identifier": list(_pinned(source.name, fetched)),
        }
        yield {key: value for key, value in told.items() if value}


def _pinned(source: str, pins: Any) -> Iterator[str]:
    """The files of a source by their sha256; of many, their list."""
    if sums := listed_in_short(pins):
        yield f"sha256:{sums} {plain(list_path(source, sums))}"
    else:
        yield from (f"sha256:{plain(str(pin['sha256']))} {plain(str(pin['file']))}" for pin in pins)


def _file(file: File) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": whole(file.path),
        "name": whole(file.path),
        "contentUrl": whole(file.path),
        "contentSize": f"{file.size} B",
        "encodingFormat": "application/x-parquet" if file.path.endswith(".parquet") else "application/octet-stream",
        "sha256": file.sha256,
    }


def _records() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "documents",
        "name": "documents",
        "description": "Every training and validation document, without its text.",
        "key": {"@id": "documents/id"},
        "field": [_field(name, *words) for name, words in _fixed()["columns"].items()],
    }


def _field(name: str, kind: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"documents/{name}",
        "name": name,
        "description": description,
        "dataType": kind,
        "source": {"fileObject": {"@id": MANIFEST}, "extract": {"column": name}},
    }


def _responsible(audit: Audit, data: ReportData) -> dict[str, Any]:
    """The fields of the RAI extension that the facts answer; the rest stays out, for nobody has told."""
    fields = _fixed()["responsible"]
    told: dict[str, list[str]] = {}
    for fact in view.subject(audit).of(DataAspectFact):
        told.setdefault(fields.get(fact.aspect, ""), []).append(plain(fact.text))
    for exclusion in data.exclusions:
        told.setdefault(fields[Aspect.FILTERING], []).append(
            f"{plain(exclusion.stage)} left out {exclusion.documents:,} documents: {plain(exclusion.reason)}"
        )
    one = {"rai:dataCollection"}
    told.pop("", None)
    return {key: " ".join(words) if key in one else list(dict.fromkeys(words)) for key, words in told.items()}
