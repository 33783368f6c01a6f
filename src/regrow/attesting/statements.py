"""What somebody signs who rebuilt a release, or parts of it, and how it is read from strangers.

The statement is in-toto's; its predicate has the shape of SLSA's provenance, with a build type of our own: what was
done, by which program, on which kind of machine, and how long it took. A check of parts says which, and which nonce
drew them, and never calls itself a rebuild. The same record gives the same bytes, and the same bytes the same
signature.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from regrow.building import rebuilds
from regrow.errors import InputError
from regrow.formats import dsse, keys
from regrow.formats.dsse import Envelope, Signature
from regrow.recipe.pin import is_sha256
from regrow.release import Release, asked
from regrow.release.files import DamagedError
from regrow.release.layout import RECIPE
from regrow.release.looked import LookedAt
from regrow.store.digest import canonical_json, sha256_bytes
from regrow.version import __version__

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
EVALUATION = "https://in-toto.io/attestation/eval-result/v0.1"
BUILD_TYPE = "urn:regrow:rebuild:1"
Method = Literal["full rebuild", "segments"]
FULL: Method = "full rebuild"
IN_PART: Method = "segments"

Form = Literal["provenance", "eval-result"]

if TYPE_CHECKING:
    from regrow.evaluating.scores import Scores


@dataclass(frozen=True)
class Said:
    """What a statement says, as far as it makes sense.

    Attributes:
        digest: of the release that it is about.
        recipe: the sha256 of the recipe that was built.
        method: what was done: ``full rebuild``, ``segments``, or whatever a stranger calls it.
        looked: what was looked at, of each stage of which parts were; nothing if that is not told.
        nonce: what drew them; empty if it was not made up for the check, or nothing was drawn.
        when: the day, ``2026-11-30``; empty if it does not say.
        machine: the processor and the system.
    """

    digest: str
    recipe: str
    method: str
    looked: tuple[LookedAt, ...] = ()
    nonce: str = ""
    when: str = ""
    machine: str = ""

    @property
    def segments(self) -> int:
        """The fewest that were drawn of a training run, or parts of a stage; 0 if that is not told."""
        return min((one.drawn for one in self.looked), default=0)

    @property
    def whole(self) -> bool:
        """Whether they were all of each."""
        return bool(self.looked) and all(one.drawn == one.whole for one in self.looked)


def most_done(release: Release) -> Method:
    """The most that this machine did of checking a release, and a full rebuild if it did nothing."""
    checked = rebuilds.read(release.digest, rebuilds.IN_PART) and not rebuilds.read(release.digest)
    return IN_PART if checked else FULL


def statement(release: Release, form: Form = "provenance", method: Method = FULL) -> dict[str, Any]:
    """The statement that this machine rebuilt a release, or parts of it, by the record that it kept of that.

    Args:
        release: the release.
        form: which predicate.
        method: what is to be signed.

    Raises:
        InputError: if this machine did not do that.
    """
    record = rebuilds.read(release.digest, rebuilds.IN_PART if method == IN_PART else rebuilds.SCHEMA)
    if record is None:
        how = " --segments N" if method == IN_PART else ""
        raise InputError(
            f"this machine has not {'checked parts of' if method == IN_PART else 'rebuilt'} this release",
            where=str(release.path),
            why="only what was seen here can be signed",
            hint=f"`regrow verify {release.path}{how}` does that, and notes that it came out the same; what is "
            "believed because it is in --store is not seen",
        )
    subject = [{"name": release.name or release.path.name, "digest": {"sha256": release.digest}}]
    predicate = _provenance(release, record) if form == "provenance" else _evaluation(release, record)
    kind = PROVENANCE if form == "provenance" else EVALUATION
    return {"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": predicate}


def _provenance(release: Release, record: Mapping[str, Any]) -> dict[str, Any]:
    recipe = {"sha256": sha256_bytes(release.recipe_text.encode())}
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"recipe": recipe, "command": record["how"], **_done(record)},
            "internalParameters": {"environment": record.get("environment", {})},
            "resolvedDependencies": [{"name": RECIPE, "digest": recipe}],
        },
        "runDetails": {
            "builder": {"id": "urn:regrow:rebuilder", "version": {"regrow": str(record["regrow"])}},
            "metadata": {"finishedOn": str(record["when"]).replace("+00:00", "Z")},
            "byproducts": [{"name": "seconds", "annotations": {"seconds": record.get("seconds", 0)}}],
        },
    }


def _done(record: Mapping[str, Any]) -> dict[str, Any]:
    """What was done, no more and no less."""
    return {"method": FULL} if "looked" not in record else {"method": IN_PART, **record["looked"]}


def _evaluation(release: Release, record: Mapping[str, Any]) -> dict[str, Any]:
    """The same for those who look for evaluations: the digest came out again, and with it the scores that it covers; or
    each part that was drawn did, which reproduces no release.
    """
    looked = record.get("looked")
    drawn = [one["drawn"] for one in (*looked["runs"], *looked["parts"])] if looked else []
    what = "drawn segments and parts that are as committed" if looked else "release digest equals"
    count = sum(drawn) if looked else 1
    rows = [] if looked else [row for one in asked.scores(release).values() for row in one["scores"]]
    scores = [
        _claim(f"{row['task']} {name}", found["value"]) for row in rows for name, found in row["measures"].items()
    ]
    return {
        "suite": {"name": "regrow segments" if looked else "regrow rebuild", "version": __version__},
        "claims": [{"metric": what, "comparator": "==", "threshold": str(count), "passed": True}, *scores],
        "sampleSize": count + sum(row["items"] for row in rows),
        "commitments": {
            "model": {"sha256": release.digest},
            "dataset": {"sha256": sha256_bytes(release.recipe_text.encode())},
        },
        "assuranceLevel": "third_party" if looked else "reproduced",
        "producedOn": str(record["when"]).replace("+00:00", "Z"),
    }


def scored(release: Release, scores: Scores) -> dict[str, Any]:
    """The statement that a release reached scores, by whoever has just seen it.

    It is ``reproduced`` where the release itself carries the same, and these came out again; else it is one's own word.
    """
    subject = [{"name": release.name or release.path.name, "digest": {"sha256": release.digest}}]
    kept = carried(release)
    again = bool(kept) and all((one.task, one.digest) in kept for one in scores.scores)
    items = canonical_json([[one.task, one.asked] for one in scores.scores])
    predicate = {
        "suite": {"name": "regrow eval", "version": __version__},
        "claims": [_claim(f"{score.task} {one.name}", one.value) for score in scores.scores for one in score.measures],
        "sampleSize": sum(len(one.said) for one in scores.scores),
        "commitments": {
            "model": {"sha256": release.digest},
            "dataset": {"sha256": sha256_bytes(items)},
            "scores": {"sha256": scores.digest},
        },
        "assuranceLevel": "reproduced" if again else "self_attested",
        "producedOn": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    return {"_type": STATEMENT, "subject": subject, "predicateType": EVALUATION, "predicate": predicate}


def _claim(metric: str, value: float) -> dict[str, Any]:
    return {"metric": metric, "comparator": "==", "threshold": repr(value), "passed": True}


def carried(release: Release) -> frozenset[tuple[str, str]]:
    """Tasks that a release carries scores of, each with its digest."""
    return frozenset((row["task"], row["digest"]) for one in asked.scores(release).values() for row in one["scores"])


def signed(statement: Mapping[str, Any], key: keys.PrivateKey) -> Envelope:
    """An envelope with one signature."""
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    envelope = Envelope(dsse.IN_TOTO, payload, ())
    signature = Signature(keys.key_id(key.public_key()), keys.sign(key, envelope.signed))
    return Envelope(dsse.IN_TOTO, payload, (signature,))


def said(envelope: Envelope) -> Said | None:
    """What an envelope says of a rebuild; None if it says nothing of one."""
    if envelope.faults or envelope.payload_type != dsse.IN_TOTO:
        return None
    try:
        told = json.loads(envelope.payload)
        (subject,) = told["subject"]
        definition = told["predicate"]["buildDefinition"]
        if told["_type"] != STATEMENT or definition["buildType"] != BUILD_TYPE:
            return None
        external = definition["externalParameters"]
        run = told["predicate"].get("runDetails", {}).get("metadata", {})
        there = definition.get("internalParameters", {}).get("environment", {})
        found = Said(
            str(subject["digest"]["sha256"]),
            str(external["recipe"]["sha256"]),
            str(external["method"]),
            *_drawn(external),
            str(run.get("finishedOn", ""))[:10],
            ", ".join(str(there[name]) for name in ("processor", "system") if there.get(name)),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return found if is_sha256(found.digest) and is_sha256(found.recipe) else None


def _drawn(external: Mapping[str, Any]) -> tuple[tuple[LookedAt, ...], str]:
    """What a check of parts looked at, and the nonce; nothing if what is told makes no sense."""
    if external["method"] != IN_PART:
        return (), ""
    told = [_looked(one, "segments") for one in external["runs"]]
    told += [_looked(one, "parts") for one in external["parts"]]
    nonce = str(external["nonce"]) if external["nonce_drawn_here"] is True else ""
    return (tuple(one for one in told if one), nonce) if told and all(told) else ((), "")


def _looked(row: Mapping[str, Any], sort: Literal["segments", "parts"]) -> LookedAt | None:
    """What is told of one stage; None if it makes no sense."""
    drawn, whole, checked = row["drawn"], row[sort], row["checked"]
    if not all(type(number) is int for number in (drawn, whole, *checked)) or not 0 < drawn <= whole:
        return None
    return LookedAt(str(row["stage"]), sort == "segments", whole, drawn, tuple(checked), str(row["root"]))


def envelopes(*places: Path) -> Iterator[tuple[Path, Envelope]]:
    """The envelopes in some folders and files.

    Raises:
        InputError: if one of the places is not there.
    """
    for place in places:
        if not place.exists():
            raise InputError("there is no such file", where=str(place))
        paths = sorted(path for path in place.glob("*.json") if path.is_file()) if place.is_dir() else [place]
        for path in paths:
            with path.open("rb") as file:
                yield path, dsse.read(file.read(dsse.LARGEST + 1))


def recipe_of(release: Release) -> str:
    """The sha256 of the recipe; empty if it cannot be read."""
    try:
        return sha256_bytes(release.recipe_text.encode())
    except DamagedError:
        return ""
