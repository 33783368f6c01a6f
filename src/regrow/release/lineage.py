"""Where every weight of a release came from: the models that it was made from, and these from others, with the steps.

What is said rests on the statements about stages, and on the records that a release keeps of those of its parents that
are releases themselves. These are believed only if the weights that were taken are the ones that they speak of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from regrow.recipe.kind import ADAPTER
from regrow.release.files import Below, DamagedError, read_bytes, read_json
from regrow.release.layout import FORK, LINEAGE, LOCK, RECIPE, SUMS
from regrow.release.release import Release
from regrow.release.statements import Statement, brought_in, done_to, line_of_weights
from regrow.sources import is_local
from regrow.store import sha256_bytes
from regrow.words import listed

DEEPEST = 32
"""Releases in each other whose records are followed."""

_WEIGHTS = ".safetensors"
_SHORT = 12  # digits of a digest


class Standing(StrEnum):
    """What anybody could do about a model."""

    REBUILT = "rebuilt here"
    REBUILDABLE = "can be rebuilt"
    PINNED = "pinned only"
    UNKNOWN = "unknown"


_MADE = {
    "random": "trained from scratch",
    "imported": "taken over from another model",
    "continued": "trained further",
    "adapter": "given an adapter",
}
"""Origins of weights in words; any other is a word already, such as `quantised`."""


def made(origin: str) -> str:
    """How weights came about, in words."""
    return _MADE.get(origin, origin)


@dataclass(frozen=True)
class Step:
    """A stage that gave weights on the way, or an adapter for them.

    Attributes:
        stage: its name.
        tool: what did it, kind and version, and the version of the arithmetic if that was used.
        origin: how the weights were made; empty if it gave none.
        digest: of what it gave.
        parameters: all of them, but for the files that it pins.
    """

    stage: str
    tool: str
    origin: str
    digest: str
    parameters: dict[str, object]

    @property
    def said(self) -> str:
        """What it did and with which tool."""
        return f"{made(self.origin)} by stage {self.stage} ({self.tool})".removeprefix(" by ")


@dataclass(frozen=True)
class Model:
    """A model of the lineage.

    Attributes:
        name: what it is called, or where it was got.
        digest: of the release, or of its pinned files; empty if nobody says it.
        fetch: where it was got; empty for the model that was asked about.
        licence: of its weights, as declared.
        standing: what anybody could do about it.
        why: what that rests on.
        steps: the stages through which its weights went, from its parents' or from random numbers to its own.
        parents: the models that it was made from.
        taken: the stage that took it into the child.
        relation: how the child was made of it: the origins of the child's steps behind it.
        forked: the release that its recipe was forked from, as its build says, and how much is still the same.
    """

    name: str
    digest: str
    fetch: str = ""
    licence: str = ""
    standing: Standing = Standing.UNKNOWN
    why: str = ""
    steps: tuple[Step, ...] = ()
    parents: tuple[Model, ...] = ()
    taken: str = ""
    relation: tuple[str, ...] = ()
    forked: str = ""

    def all(self) -> Iterator[Model]:
        """It and all its ancestors, each child before its parents."""
        yield self
        for parent in self.parents:
            yield from parent.all()


def lineage(release: Release, rebuilt: Callable[[str], bool] = lambda digest: False) -> Model:
    """The lineage of a release.

    Args:
        release: it.
        rebuilt: whether the release of a digest was built again on this machine; by default nobody knows.

    Raises:
        DamagedError: if its statements cannot be read. Of damaged records of parents nothing is believed.
    """
    return _of_release(release, rebuilt, DEEPEST)


def _of_release(release: Release, rebuilt: Callable[[str], bool], deep: int) -> Model:
    made = release.statements
    parents = tuple(_parent(release, one, made, rebuilt, deep) for one in brought_in(made))
    standing, why = _standing(release, made, parents, rebuilt)
    return Model(
        name=release.name or release.path.name,
        digest=release.digest,
        licence=str(release.model.get("licence", "")),
        standing=standing,
        why=why,
        steps=tuple(map(_step, _steps(made))),
        parents=parents,
        forked=_forked(release, made),
    )


def _forked(release: Release, made: tuple[Statement, ...]) -> str:
    """What a release was forked from. That its build says so is no proof; that stages give the same bytes is one."""
    told = read_json(release.files, FORK)
    if not isinstance(told, dict) or not isinstance(told.get("outputs"), dict):
        return ""
    digest = str(told.get("digest", ""))
    if digest and digest == release.digest:
        return f"{told.get('name')} {digest[:_SHORT]}, and came out the same"
    same = sum(told["outputs"].get(one.stage) == one.digest for one in made)
    return f"{told.get('name')} {digest[:_SHORT]}; {same} of {len(made)} stages give the same bytes as there"


def _steps(made: tuple[Statement, ...]) -> Iterator[Statement]:
    """The stages that gave weights on the way, and those that gave adapters for them."""
    line = line_of_weights(made)
    used = {name for one in line for _, name in one.inputs}
    yield from (one for one in made if one in line or (one.artifact == ADAPTER and one.stage in used))


def _standing(
    release: Release, made: tuple[Statement, ...], parents: tuple[Model, ...], rebuilt: Callable[[str], bool]
) -> tuple[Standing, str]:
    if release.digest and rebuilt(release.digest):
        return Standing.REBUILT, "this machine built it again and got the same"
    if lacking := [path for path in (RECIPE, LOCK) if not release.files.has(path)]:
        return Standing.PINNED, f"{listed(lacking)} is not there"
    if not made:
        return Standing.PINNED, "there are no statements about its stages"
    fetching = [one for one in made if one.fetch]
    if unpinned := [one.stage for one in fetching if not one.pinned]:
        return Standing.PINNED, f"nobody says which files {listed(unpinned)} took"
    made_again = {one.taken for one in parents if one.standing in (Standing.REBUILT, Standing.REBUILDABLE)}
    if local := [one.entry for one in fetching if is_local(one.fetch) and one.stage not in made_again]:
        return Standing.PINNED, f"the files of {listed(local)} lie beside its recipe, and have no public address"
    return Standing.REBUILDABLE, "recipe and lock are there, and all that goes in is pinned and can be had"


def _parent(
    release: Release, taken: Statement, made: tuple[Statement, ...], rebuilt: Callable[[str], bool], deep: int
) -> Model:
    """A model that was brought in from outside, followed if it is a release."""
    relation = done_to(taken, made)
    licence = str(taken.parameters.get("licence", ""))
    found, doubt = records(release, taken) if deep else (None, "")
    if found is not None:
        model = _of_release(found, rebuilt, deep - 1)
        return replace(model, fetch=taken.fetch, licence=licence or model.licence, taken=taken.stage, relation=relation)
    standing = Standing.PINNED if taken.pinned else Standing.UNKNOWN
    count = taken.pinned
    why = f"{count} {'file' if count == 1 else 'files'} pinned by sha256; how it was made is not known"
    return Model(
        name=taken.fetch,
        digest=taken.digest,
        fetch=taken.fetch,
        licence=licence,
        standing=standing,
        why=doubt or (why if taken.pinned else "nobody says which files were taken"),
        taken=taken.stage,
        relation=relation,
    )


def records(release: Release, taken: Statement) -> tuple[Release | None, str]:
    """What a release keeps of a parent that is a release, or why it is not believed."""
    prefix = f"{LINEAGE}/{taken.stage}/"
    lists = [path for path in release.files.paths() if path.startswith(prefix) and path.endswith(f"/{SUMS}")]
    if not lists:
        return None, ""
    folder = min(lists, key=lambda path: (path.count("/"), path)).removesuffix(f"/{SUMS}")
    found = Release(Below(release.files, folder))
    try:
        fault = _fault(found, {*(pin.sha256 for pin in release.pins(taken)), *(sha256 for _, sha256 in taken.files)})
        found.statements, found.model  # noqa: B018 - read now, so that what is damaged is found out here
    except DamagedError as error:
        fault = f"{error.path}: {error.cause}"
    return (None, f"pinned by sha256, and what lies beside it is no record of it: {fault}") if fault else (found, "")


def _fault(found: Release, taken: set[str]) -> str:
    """Why records are not those of the files that were taken, if they are not."""
    if not found.sums.canonical:
        return f"{SUMS} is not a list as regrow writes it"
    if found.digest not in taken:
        return f"{SUMS} is not the one that was taken"
    weights = [path for path in found.listed if path.endswith(_WEIGHTS)]
    if not weights or any(found.listed[path] not in taken for path in weights):
        return f"{SUMS} lists other weights than those that were taken"
    kept = [path for path in found.files.paths() if path != SUMS]
    other = [path for path in kept if sha256_bytes(read_bytes(found.files, path)) != found.listed.get(path)]
    return f"{min(other)} is not the file that was released" if other else ""


def _step(one: Statement) -> Step:
    arithmetic = f", arithmetic {one.arithmetic}" if one.arithmetic else ""
    parameters = {name: value for name, value in one.parameters.items() if name != "pins"}
    return Step(one.stage, f"{one.kind} {one.version}{arithmetic}", one.origin or "", one.digest, parameters)


def relation_on_hubs(relation: tuple[str, ...]) -> str:
    """What model hubs call the way from a parent to a child: the last thing done to it. Their fourth word, `adapter`,
    is for what cannot be loaded without its base; in a release an adapter is merged.
    """
    names = {"merged": "merge", "quantised": "quantized"}
    return names.get(relation[-1], "finetune") if relation else "finetune"
