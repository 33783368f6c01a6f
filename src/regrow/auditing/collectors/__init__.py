"""Collectors read a model and judge nothing: each gives facts and findings about one kind of thing.

A target is one of our own releases, a folder as model hubs lay them out, ``hf:org/name@revision``, a GGUF or
safetensors file, a folder of source code, or a file of the Model Openness Tool::

    collected = collect("build/bard", today="2026-11-21", network=False)

Nothing that is read is run, unpickled or followed out of its folder, and what cannot be read becomes a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from regrow.auditing import names
from regrow.auditing.collectors import (
    attestations,
    card,
    code,
    configs,
    datasets,
    gguf,
    hazards,
    hub,
    hub_cache,
    legal,
    mot,
    origins,
    rebuilds,
    release,
    safetensors,
    targets,
)
from regrow.auditing.collectors.folder import Folder, Statement, UnreadableError
from regrow.auditing.collectors.structured import read_yaml
from regrow.auditing.facts import Collected, Component, ComponentFact, Fact, Finding, State
from regrow.errors import InputError, RecipeError
from regrow.nearby import meant
from regrow.release import Release

__all__ = ["collect", "recorded"]

_COLLECTORS: tuple[Callable[[Folder], Iterator[Statement]], ...] = (
    hazards.collect,
    card.collect,
    configs.collect,
    safetensors.collect,
    gguf.collect,
    legal.collect,
    code.collect,
)
_UNREAD = frozenset(("card-unreadable", "file-too-large", "file-unreadable", "link-outside", "too-many-files"))
_HUB_FILES = ("config.json", "adapter_config.json", "model_index.json", "mergekit_config.yml", "params.json")


def collect(target: str, *, today: str, network: bool) -> Collected:
    """Read everything that can be read of a model.

    Args:
        target: a path, ``hf:org/name@revision``, or the address of a model on the hub.
        today: the date for evidence, ``2026-11-21``.
        network: whether what the local cache has not of a model of the hub may be fetched.

    Raises:
        InputError: if there is nothing, or it cannot be reached.
        RecipeError: if it is not a model.
    """
    target = targets.target(target)
    if target.startswith("hf:"):
        with hub.open_model(target, today, network) as fetched:
            return _of_hub(fetched)
    path = Path(target)
    try:
        if not path.exists():
            raise _nothing(target)
        if path.is_dir():
            return _of_folder(path, today)
        return _of_file(path, today)
    except OSError as error:
        raise InputError(f"`{target}` cannot be read", why=error.strerror or str(error)) from error


def recorded(target: str, today: str) -> dict[str, Collected]:
    """The parents that a release on this machine has records of, and theirs, by the names that facts have for them."""
    folder = Folder(Path(target), name=Path(target).name, date=today)
    if not folder.root.is_dir() or not release.is_one(folder):
        return {}
    return {origins.named(parent): _of_records(parent, facts, today) for parent, facts in release.recorded(folder)}


def _of_records(parent: Release, facts: list[Statement], today: str) -> Collected:
    folder = Folder(parent.path, name=parent.path.name, date=today)
    told = [*facts, *rebuilds.collect(parent.digest, today)]
    name = origins.named(parent)
    return replace(_collected(folder, told, name, "release", name, parent.digest), complete=False)


def _nothing(target: str) -> InputError:
    if near := meant(Path(target), Path.exists):
        hint = f"did you mean `{near}`?"
    elif target.count("/") == 1 and not Path(target).parent.is_dir():
        hint = f"a model of the hub is written hf:{target}"
    else:
        hint = "look at the spelling"
    return InputError(f"there is no `{target}`", hint=hint)


def _of_hub(fetched: hub_cache.Fetched) -> Collected:
    own, name = release.is_one(fetched.folder), fetched.folder.name
    statements = [*fetched.statements, *_statements(fetched.folder)]
    return _collected(fetched.folder, statements, fetched.id, "release" if own else "huggingface", name, fetched.commit)


def _of_folder(path: Path, today: str) -> Collected:
    if hub_cache.snapshot(path) is not None:
        return _of_hub(hub_cache.cached(path, today))
    folder = Folder(path, name=path.resolve().name, date=today)
    kind = _kind(folder)
    if kind is None:
        raise RecipeError(
            "nothing here is a model",
            where=str(path),
            why="there are no weights, no model card, no configuration and no source code",
            hint="give the folder that holds them",
        )
    statements = [one for one in _statements(folder) if kind != "code" or _is_of_code(one)]
    if kind == "release":
        return _collected(folder, statements, _local(folder), kind, release.name(folder), release.digest(folder))
    return _collected(folder, statements, _local(folder), kind, folder.name, "")


def _local(folder: Folder) -> str:
    """What a folder or file is called, as an id: never one of the hub."""
    return f"path:{folder.name}" if names.is_of_hub(folder.name) else folder.name


def _is_of_code(statement: Statement) -> bool:
    """A repository of code has a README that is no model card, and nobody looks for weights in it."""
    return not isinstance(statement, ComponentFact) or (
        statement.component is not Component.MODEL_CARD and statement.state is not State.ABSENT
    )


def _of_file(path: Path, today: str) -> Collected:
    folder = Folder(path, name=path.name, date=today)
    readers = {".gguf": ("gguf", gguf.collect), ".safetensors": ("safetensors", safetensors.collect)}
    if (ending := folder.ending(path.name)) in readers:
        kind, reader = readers[ending]
        return _collected(folder, list(reader(folder)), _local(folder), kind, path.stem, "")
    if path.suffix in (".yml", ".yaml"):
        try:
            text = folder.text(path.name, mot.NAME)
        except UnreadableError as error:
            raise RecipeError(error.finding.text, where=str(path)) from None
        data = read_yaml(text.text)
        if mot.is_one(data):
            name = mot.name(data) or path.stem
            return _collected(folder, list(mot.read(text)), _local(folder), "mot", name, "")
    raise RecipeError(
        f"`{path.name}` is not a model",
        where=str(path),
        why="files that can be audited are .gguf, .safetensors and the Model Openness Tool's .yml",
        hint="give the folder it is in",
    )


def _kind(folder: Folder) -> str | None:
    if release.is_one(folder):
        return "release"
    weights = folder.find("weights")
    if any(folder.has(name) for name in _HUB_FILES) or any(folder.ending(one.path) != ".gguf" for one in weights):
        return "huggingface"
    if weights:
        return "gguf"
    if folder.find("code"):
        return "code"
    return "huggingface" if folder.find("card") else None


def _statements(folder: Folder) -> Iterator[Statement]:
    own = release.is_one(folder)
    for reader in _COLLECTORS:
        yield from (one for one in reader(folder) if not (own and release.is_boilerplate(one)))
    if own:
        told = list(release.collect(folder))
        yield from told
        digest = release.digest(folder)
        damage = {one.id for one in told if isinstance(one, Finding)}.intersection(release.DAMAGE)
        if not damage.intersection(release.BROKEN):
            yield from attestations.collect(folder, digest)
        if not damage:
            yield from rebuilds.collect(digest, folder.date)
    else:
        yield from datasets.collect(folder)  # what a release has under data/ names texts and holds none


def _complete(folder: Folder, findings: Iterable[Finding]) -> bool:
    """Whether all of the model was read; of a lone file nobody knows what it lay beside."""
    return folder.complete and folder.root.is_dir() and not any(finding.id in _UNREAD for finding in findings)


def _collected(
    folder: Folder, statements: Iterable[Statement], id: str, kind: str, name: str, version: str
) -> Collected:
    given = tuple(dict.fromkeys(statements))
    findings = (*folder.findings, *(one for one in given if isinstance(one, Finding)))
    return Collected(
        id=id,
        kind=kind,
        name=name,
        version=version or folder.version(),
        facts=tuple(one for one in given if isinstance(one, Fact)),
        findings=findings,
        files=folder.entries,
        complete=_complete(folder, findings),
    )
