"""A release of our own: what its recipe, lock, data manifest, provenance and checkpoint chain prove.

The lock is taken for what was built: it names every input by hash and every default, and a rebuild from it gives the
same bytes or fails. Whether it does is for `regrow verify` to say; an audit reads.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

from regrow import words
from regrow.auditing.collectors import card, gguf, legal, origins, release_data
from regrow.auditing.collectors.folder import Folder, Statement, Text, UnreadableError, printable
from regrow.auditing.collectors.hazards import CHECKPOINT
from regrow.auditing.collectors.structured import mapping, strings, tables
from regrow.auditing.facts import (
    Aspect,
    Availability,
    Basis,
    Component,
    ComponentFact,
    DataAspectFact,
    DatasetFact,
    Evidence,
    Finding,
    NameFact,
    OriginFact,
    ParentFact,
    Rebuild,
    RebuildFact,
    Role,
    Scope,
    Severity,
    State,
    TrainingFact,
)
from regrow.auditing.findings import FindingId
from regrow.evidence import Evidence as Found
from regrow.model.architecture import Architecture
from regrow.recipe.pin import is_sha256, listed_in_short, read_brief
from regrow.recipe.roles import EVALUATION as BENCHMARK
from regrow.recipe.roles import TRAINING, role_of
from regrow.release import Release
from regrow.release.files import MOST_BYTES, DamagedError
from regrow.release.layout import (
    CHAIN,
    EVALUATION,
    EXCLUDED,
    LOCK,
    MANIFEST,
    PAPER,
    RECIPE,
    REPORT,
    SAMPLES,
    SUMS,
    evidence_path,
    is_covered,
)
from regrow.release.lineage import records
from regrow.release.statements import Statement as Made
from regrow.release.statements import brought_in
from regrow.sources import is_local
from regrow.train.section import Train, steps, training_flops

NAME = "release"
OWN_LICENCE = "Apache-2.0"  # of regrow, which is the code that runs a recipe
_SMALL = 16 << 20  # larger files are not hashed: that is `regrow verify`
_PREPARING = ("documents", "split", "tokenizer", "tokens")
"""Types of artifacts that text becomes on its way to a training run."""

BROKEN = ("release-incomplete", "release-changed", "release-unreadable")
"""Findings after which the release is not the one that its digest names."""

DAMAGE = (*BROKEN, "release-added")
"""Findings after which a statement about the release's digest says nothing about what is there."""


@dataclass(frozen=True)
class _Files:
    """What a lock tells of the files of a source.

    Attributes:
        count: how many there are; 0 if that is told elsewhere.
        size: bytes of all of them, as far as it is told.
        sha256: of the only one; empty if there are several.
        pinned: whether all are pinned by their sha256, or by that of their list.
        withheld: whether they are only committed to: the list has a secret in it, and who has it can see what they are.
    """

    count: int = 0
    size: int = 0
    sha256: str = ""
    pinned: bool = False
    withheld: bool = False

    @staticmethod
    def named(rows: Sequence[Mapping[str, Any]]) -> _Files:
        """Of files that the lock names one by one."""
        sums = [str(row.get("sha256", "")) for row in rows]
        size = sum(size for row in rows if type(size := row.get("size")) is int)
        return _Files(len(rows), size, sums[0] if len(sums) == 1 else "", bool(sums) and all(map(is_sha256, sums)))

    @staticmethod
    def committed(said: Any) -> _Files | None:
        """Of files that may not be shared; None if nothing is said of such."""
        try:
            found = read_brief(said)
        except ValueError:
            return _Files(withheld=True)
        return found if found is None else _Files(found.number, found.size, pinned=True, withheld=True)


@dataclass(frozen=True)
class Locked:
    """A lock, as far as it makes sense.

    Attributes:
        text: the file.
        value: what it says.
        lists: name of a source -> its files, from the list that the lock names instead of them.
        models: the names of sources that are models.
    """

    text: Text
    value: Mapping[str, Any]
    lists: Mapping[str, _Files]
    models: Collection[str] = ()

    @cached_property
    def stages(self) -> Sequence[Mapping[str, Any]]:
        """The stages, each after its inputs."""
        return tables(self.value.get("stage"))

    @cached_property
    def sources(self) -> Sequence[Mapping[str, Any]]:
        """The sources of what the model is trained on."""
        return [one for one in self.of_role(TRAINING) if str(one.get("name")) not in self.left_out]

    @cached_property
    def left_out(self) -> frozenset[str]:
        """The names of sources of which nothing is learnt."""
        found = (one["sources"] for one in self.saying("sources", "documents", "near_duplicates"))
        return frozenset(str(name) for names in found if isinstance(names, list) for name in names)

    def of_role(self, role: str) -> list[Mapping[str, Any]]:
        """The sources of texts that are for one thing."""
        found = (one for one in tables(self.value.get("source")) if one.get("name") not in self.models)
        return [one for one in found if role_of(one) == role]

    def files(self, source: Mapping[str, Any]) -> _Files:
        """The files of a source."""
        listed = self.lists.get(str(source.get("name"))) or _Files.committed(source.get("withheld"))
        return listed or _Files.named(tables(source.get("file")))

    def saying(self, *names: str) -> list[Mapping[str, Any]]:
        """The parameters of all stages that have certain ones."""
        found = (mapping(stage.get("parameters")) for stage in self.stages)
        return [one for one in found if set(names) <= set(one)]

    def at(self, table: str, name: Any) -> Evidence:
        """The line on which a table with a name begins."""
        line = self._lines.get((f"[[{table}]]", f'name = "{name}"'))
        return self.text.line(line) if line else self.text.at()

    @cached_property
    def _lines(self) -> Mapping[tuple[str, str], int]:
        """The line of each table, by it and the one after it: where a lock gives the name."""
        rows = self.text.text.split("\n")
        return {(row, rows[number]): number for number, row in enumerate(rows[:-1], 1) if row.startswith("[[")}

    @cached_property
    def documents(self) -> Mapping[str, Mapping[str, Any]]:
        """The parameters of the stage that takes the documents out of a source, by the source's name."""
        return {str(one.get("source")): one for one in reversed(self.saying("source", "availability"))}


def is_one(folder: Folder) -> bool:
    """Whether the folder is laid out like a release."""
    return folder.has(SUMS) and folder.has(LOCK)


@dataclass(frozen=True)
class _Audited:
    """The files of an audited folder as those of a release: with the audit's own rules about links."""

    folder: Folder

    @property
    def root(self) -> Path:
        return self.folder.root

    def paths(self) -> Iterator[str]:
        return (entry.path for entry in self.folder.entries)

    def has(self, path: str) -> bool:
        return self.folder.has(path)

    def size(self, path: str) -> int:
        return self.folder.size(path)

    def open(self, path: str) -> BinaryIO:
        try:
            return self.folder.open(path, NAME)
        except UnreadableError as error:
            raise OSError(str(error)) from error


def opened(folder: Folder) -> Release:
    """The release that an audited folder is."""
    return Release(_Audited(folder))


def name(folder: Folder) -> str:
    """What the model is called; else the folder's name."""
    return printable(opened(folder).name or folder.name, 100)


def digest(folder: Folder) -> str:
    """The release digest, which is that of the list of checksums; empty if the list cannot be read."""
    return _sha256(folder, SUMS)


def collect(folder: Folder) -> Iterator[Statement]:
    """What the release proves, and where it is not whole."""
    release = opened(folder)
    checked = list(folder.texts([SUMS], NAME, lambda text: _check(text, folder, release), MOST_BYTES))
    yield from checked
    broken = any(isinstance(one, Finding) and one.id in BROKEN for one in checked)
    made, damage = _statements(release, folder)
    yield from damage
    yield from origins.collect(folder, made, followed(release, made))
    yield from _of_lock(folder, release, made, broken)
    for stage in (one.stage for one in made if one.artifact == "evidence"):
        yield from folder.texts([evidence_path(stage)], NAME, partial(_of_check, folder))


def _of_check(folder: Folder, text: Text) -> Iterator[Statement]:
    """What a check of the training text found, as the release says it; `regrow scan` looks again."""
    try:
        found = Found.read(text.text)
    except (ValueError, RecursionError):
        yield _unreadable(text.path, "is no evidence as regrow writes it", folder)
        return
    said = printable(f"{found.question} {found.answer}", 400)
    yield Finding("data-evidence", Severity.NOTE, said, (text.at("key answer"),))
    for number, notice in enumerate(found.notices):
        yield Finding("data-evidence", Severity.WARNING, printable(notice, 400), (text.at(f"key notices.{number}"),))


def _of_lock(
    folder: Folder, release: Release, made: tuple[Made, ...], broken: bool, whole: bool = True
) -> Iterator[Statement]:
    """What the lock proves; ``whole`` is False for the records of a parent, of which the tables were not kept."""
    return folder.texts([LOCK], NAME, lambda text: _locked(text, folder, release, made, broken, whole), MOST_BYTES)


def followed(release: Release, made: tuple[Made, ...]) -> dict[str, Release]:
    """The parents of which the release has records that are theirs, by the stage that took them."""
    found = {one.stage: records(release, one)[0] for one in brought_in(made)}
    return {stage: parent for stage, parent in found.items() if parent is not None}


def recorded(folder: Folder) -> Iterator[tuple[Release, list[Statement]]]:
    """The parents that a release has records of, theirs too, each with what its records prove."""
    release = opened(folder)
    made, _ = _statements(release, folder)
    for parent in followed(release, made).values():
        below = Folder(parent.path, name=parent.path.name, date=folder.date)
        theirs, damage = _statements(parent, below)
        found = [*damage, *origins.collect(below, theirs, followed(parent, theirs))]
        found += _of_lock(below, parent, theirs, broken=False, whole=False)
        yield parent, found
        yield from recorded(below)


def is_boilerplate(statement: Statement) -> bool:
    """Whether our own card, or the header of a file that a stage made, says it, of something for which the statements
    about the stages are the evidence.
    """
    if not isinstance(statement, OriginFact | TrainingFact | DataAspectFact | NameFact | ParentFact | DatasetFact):
        return False
    said = statement.evidence.collector
    if isinstance(statement, NameFact | ParentFact | DatasetFact):
        return said == gguf.NAME and statement.evidence.file.startswith(f"{gguf.NAME}/")
    return statement.basis is Basis.DECLARED and said == card.NAME


def _statements(release: Release, folder: Folder) -> tuple[tuple[Made, ...], list[Finding]]:
    """The statements about the stages, and what is wrong with them: if one is damaged, none is believed."""
    try:
        return release.statements, []
    except DamagedError as error:
        return (), [_unreadable(error.path, f"cannot be read: {printable(error.cause)}", folder)]


def _unreadable(path: str, why: str, folder: Folder) -> Finding:
    said = f"{printable(path)} {why}"
    return Finding("release-unreadable", Severity.WARNING, said, (folder.evidence(path, NAME),))


def _check(text: Text, folder: Folder, release: Release) -> Iterator[Statement]:
    """Compare the small files with the list of checksums."""
    if not release.sums.canonical:
        why = "is not a list of checksums as regrow writes it; get the release again from where it came"
        yield _unreadable(SUMS, why, folder)
    listed = release.listed
    there = {entry.path for entry in folder.entries if is_covered(entry.path)}
    if missing := sorted(set(listed) - there):
        yield _damage("release-incomplete", "is listed and not there", missing, text)
    if added := sorted(there - set(listed)):
        yield _damage("release-added", "is not in the list of checksums, so nothing vouches for it", added, text)
    small = {path for path in (*there & set(listed), REPORT) if folder.has(path) and folder.size(path) <= _SMALL}
    folder.hashes |= {path: _sha256(folder, path) for path in small}
    if changed := [path for path in sorted(small & there) if folder.hashes[path] != listed[path]]:
        yield _damage("release-changed", "is not what the list of checksums says", changed, text)
    if large := sorted((there & set(listed)) - small):
        said = f"{large[0]} is large and was not compared with {SUMS}; `sha256sum -c {SUMS}` does"
        yield Finding("not-hashed", Severity.NOTE, said, (text.at(),))


def _sha256(folder: Folder, path: str) -> str:
    try:
        return folder.hash(path, NAME)
    except UnreadableError:
        return ""


def _damage(id: FindingId, what: str, paths: list[str], text: Text) -> Finding:
    more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
    severity = Severity.WARNING if id == "release-added" else Severity.CONFLICT
    return Finding(id, severity, f"{printable(paths[0])}{more} {what}", (text.at(),))


def _locked(
    text: Text, folder: Folder, release: Release, made: tuple[Made, ...], broken: bool, whole: bool
) -> Iterator[Statement]:
    try:
        value = release.lock_data
    except DamagedError as error:
        yield _unreadable(LOCK, f"cannot be read: {printable(error.cause)}", folder)
        return
    lists, damage = _lists(release, folder, tables(value.get("source")), whole)
    yield from damage
    lock = Locked(text, value, lists, {one.entry for one in brought_in(made)})
    used, found = release_data.manifest(folder, release) if whole and lock.sources else ({}, [])
    yield from found
    yield from _licence(lock)
    yield from _sources(lock, used)
    yield from _training(lock)
    yield from _aspects(lock, used, folder, made)
    yield from _components(lock, folder, release, made)
    yield _rebuild(lock, folder, broken)


def _lists(
    release: Release, folder: Folder, sources: Sequence[Mapping[str, Any]], whole: bool
) -> tuple[dict[str, _Files], list[Finding]]:
    """The files of sources that have many, and what is wrong with their lists. Of a parent they were not kept."""
    found, damage = dict[str, _Files](), list[Finding]()
    for source in sources:
        name, sums = str(source.get("name", "")), listed_in_short(source)
        if not sums:
            continue
        found[name] = _Files(pinned=not whole)
        if whole:
            try:
                pins = release.listed_pins(name, sums)
                found[name] = _Files(len(pins), pins.size, pinned=True)
            except DamagedError as error:
                damage.append(_unreadable(error.path, f"cannot be read: {printable(error.cause)}", folder))
    return found, damage


def _licence(lock: Locked) -> Iterator[Statement]:
    for expression in strings(mapping(lock.value.get("model")).get("licence")):
        yield legal.declared(expression, Scope.WEIGHTS, lock.text.at("key model.licence"))


def _sources(lock: Locked, used: Mapping[str, release_data.Used]) -> Iterator[Statement]:
    """A fact for each source, for its part that was held out to judge the model, and for each benchmark."""
    for source in lock.sources:
        there = used.get(str(source.get("name", "")))
        yield _dataset(lock, source, Role.TRAINING, there.training if there else lock.files(source).size)
        if there and there.evaluation:
            yield _dataset(lock, source, Role.EVALUATION, there.evaluation)
    for source in lock.of_role(BENCHMARK):
        yield _dataset(lock, source, Role.EVALUATION, lock.files(source).size)


def _dataset(lock: Locked, source: Mapping[str, Any], role: Role, size: int) -> DatasetFact:
    """A source, or a part of one, of some bytes."""
    name = str(source.get("name", ""))
    availability = str(lock.documents.get(name, {}).get("availability", ""))
    known = Availability(availability) if availability in list(Availability) else Availability.UNKNOWN
    return DatasetFact(
        Basis.FOUND,
        lock.at("source", name),
        printable(name),
        role,
        known,
        printable(str(source.get("licence", ""))),
        size,
        lock.files(source).sha256,
        printable(str(source.get("fetch", ""))),
    )


def _training(lock: Locked) -> Iterator[Statement]:
    vocabulary = next((one["vocabulary"] for one in lock.saying("vocabulary") if type(one["vocabulary"]) is int), 0)
    for stage in lock.stages:
        parameters = mapping(stage.get("parameters"))
        if not {"architecture", "train"} <= set(parameters):
            continue
        try:
            architecture = Architecture.model_validate(parameters["architecture"])
            train = Train.model_validate(parameters["train"])
            flops = float(training_flops(architecture, train, vocabulary))
            batch = train.micro_batch * train.micro_batches_per_step * architecture.context
            tokens = steps(architecture, train) * batch
        except (ValueError, OverflowError):  # pydantic's errors are ValueErrors
            said = f"stage {printable(str(stage.get('name')))} of {LOCK} has settings that make no sense"
            yield Finding("release-unreadable", Severity.WARNING, said, (lock.text.at(),))
            continue
        yield TrainingFact(Basis.FOUND, lock.at("stage", stage.get("name")), tokens, flops)


def _aspects(
    lock: Locked, used: Mapping[str, release_data.Used], folder: Folder, made: tuple[Made, ...]
) -> Iterator[Statement]:
    """What the lock and the manifest tell of the data: every stage that touches it, with all of its parameters."""

    def told(aspect: Aspect, at: Evidence, text: str) -> DataAspectFact:
        return DataAspectFact(Basis.FOUND, at, aspect, printable(text, 400))

    if not lock.sources:
        return
    for how, withheld in (("pinned by sha256 and size", False), ("committed to by a keyed hash of their list", True)):
        if there := [source for source in lock.sources if lock.files(source).withheld is withheld]:
            origins = ", ".join(f"{source.get('name')} from {source.get('fetch')}" for source in there)
            count = sum(lock.files(source).count for source in there)
            yield told(Aspect.PROVENANCE, lock.text.at(), f"{count or 'all'} files {how}: {origins}")
    for stage in lock.stages:
        parameters = mapping(stage.get("parameters"))
        if {"source", "select"} <= set(parameters):
            text = f"{parameters['source']}: files that fit {words.listed(strings(parameters['select']))}"
            excluded = strings(parameters.get("exclude"))
            at = lock.at("stage", stage.get("name"))
            yield told(Aspect.SELECTION, at, f"{text}, without {words.listed(excluded)}" if excluded else text)
            break
    if used:
        manifest = folder.evidence(MANIFEST, NAME)
        documents = sum(one.documents for one in used.values())
        size = sum(one.bytes for one in used.values())
        text = f"{documents:,} documents with {size:,} bytes, each named by source, file, place, licence and hash"
        yield told(Aspect.SCOPE, manifest, text)
        shares = ", ".join(
            f"{name}: {one.documents:,} documents, {one.bytes:,} bytes, {one.licences}"
            for name, one in sorted(used.items())
        )
        yield told(Aspect.CHARACTERISTICS, manifest, shares)
    yield from _steps(lock, made, told)
    if folder.has(EXCLUDED):
        at = folder.evidence(EXCLUDED, NAME)
        yield told(Aspect.FILTERING, at, "every document that was read and not used is named with the reason")


def _steps(lock: Locked, made: tuple[Made, ...], told: Any) -> Iterator[Statement]:
    """What stages did with the documents, as the statements about them say; and that none labels any, if all speak."""
    prepared: set[str] = set()
    for one in made:
        at, said = lock.at("stage", one.stage), f"{one.kind}: {_settings(one.parameters)}"
        if one.documents == "filter":
            yield told(Aspect.FILTERING, at, said)
        elif one.documents == "label":
            yield told(Aspect.LABELLING, at, said)
        elif one.artifact in _PREPARING and one.kind not in prepared:
            prepared.add(one.kind)
            yield told(Aspect.PROCESSING, at, said)
    all_speak = {str(one.get("name")) for one in lock.stages} <= {one.stage for one in made}
    if made and all_speak and not any(one.documents == "label" for one in made):
        yield told(Aspect.LABELLING, lock.text.at(), "none: the text is used as it is, and no stage labels it")


def _settings(parameters: Mapping[str, Any]) -> str:
    """Parameters as a lock has them: the files of a source are told elsewhere."""
    own = ((name, value) for name, value in parameters.items() if name != "pins")
    return ", ".join(f"{name} = {json.dumps(value, default=str)}" for name, value in own) or "without settings"


def _components(lock: Locked, folder: Folder, release: Release, made: tuple[Made, ...]) -> Iterator[Statement]:
    regrow = f"regrow {_regrow(release)}".strip()
    runs = f"{RECIPE} and {LOCK}, run by {regrow}"
    chat = f"`regrow chat`, {regrow}" if regrow != "regrow" else "`regrow chat`"

    def there(component: Component, at: Evidence, where: str, licence: str | None = None) -> ComponentFact:
        return ComponentFact(Basis.FOUND, at, component, State.PRESENT, where, licence)

    given = {one.artifact for one in made}
    at = lock.text.at()
    if folder.has(RECIPE):
        yield there(Component.TRAINING_CODE, at, runs, OWN_LICENCE)
        yield there(Component.PREPROCESSING_CODE, at, runs, OWN_LICENCE)
        yield there(Component.INFERENCE_CODE, at, chat, OWN_LICENCE)
        yield there(Component.LIBRARIES, at, regrow, OWN_LICENCE)
        if "evaluation" in given:
            yield there(Component.EVALUATION_CODE, at, runs, OWN_LICENCE)
    if lock.sources:
        yield _datasets(lock, Component.DATASETS)
    if lock.sources and {"evaluation", "split"} <= given:
        yield _datasets(lock, Component.EVALUATION_DATA)
    if not any(CHECKPOINT.search(entry.path) for entry in folder.find("weights")):
        at_chain = folder.evidence(CHAIN, NAME) if folder.has(CHAIN) else at
        where = "only their hashes are here; `regrow build` makes them again"
        yield ComponentFact(Basis.FOUND, at_chain, Component.INTERMEDIATE_PARAMETERS, State.ABSENT, where)
    files = (
        (Component.EVALUATION_RESULTS, EVALUATION),
        (Component.SAMPLE_OUTPUTS, SAMPLES),
        (Component.DATA_CARD, MANIFEST),
        (Component.TECHNICAL_REPORT, REPORT),
        (Component.RESEARCH_PAPER, PAPER),
        (Component.METADATA, CHAIN),
    )
    for component, path in files:
        if folder.has(path) and folder.size(path) > 2:
            yield there(component, folder.evidence(path, NAME), path)


def _datasets(lock: Locked, component: Component) -> ComponentFact:
    """Data is there if each source has a public address and the build pinned by hash what it answered with, and shows
    which.
    """
    where = [str(source.get("fetch", "")) for source in lock.sources]
    pinned = all((it := lock.files(source)).pinned and not it.withheld for source in lock.sources)
    public = pinned and not any(is_local(one or "file:") for one in where)
    state = State.PRESENT if where and public else State.PROMISED
    return ComponentFact(Basis.FOUND, lock.text.at(), component, state, printable(", ".join(where)))


def _regrow(release: Release) -> str:
    """The version that built it, which lies outside of what the digest covers."""
    try:
        found = strings(release.environment.get("regrow"))
    except DamagedError:
        return ""
    return printable(found[0], 20) if found else ""


def _rebuild(lock: Locked, folder: Folder, broken: bool) -> RebuildFact:
    """What a lock promises; of a broken release no more than that somebody says so."""
    files = [lock.files(source) for source in tables(lock.value.get("source"))]
    pinned = any(one.pinned for one in files) and all(one.pinned for one in files if one != _Files())
    whole = pinned and bool(mapping(lock.value.get("outputs")))
    level = Rebuild.PINNED if whole and not broken else Rebuild.DECLARED
    at = lock.text.at("key outputs" if "outputs" in lock.value else "")
    return RebuildFact(Basis.FOUND, at, level, "", digest(folder))
