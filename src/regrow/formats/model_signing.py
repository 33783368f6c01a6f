"""OpenSSF model signing 1.0: which files somebody signed, as it is read from strangers and as it is written.

A bundle is JSON in the form of Sigstore's, around an envelope of DSSE with a statement of in-toto: each file, or each
shard of a file, with its hash. The format is that of ``spec/v1.0.md`` in github.com/ossf/model-signing-spec. Nothing
here reads the files, or knows whose keys are trusted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from regrow.formats import dsse
from regrow.formats.dsse import Envelope
from regrow.sections import first_fault

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
SUFFIX = ".sig"
"""What bundles are called."""

USUALLY_IGNORED = (".git", ".gitattributes", ".github", ".gitignore")
"""What programs of others leave out, whether the statement says so or not."""

HASHES: Mapping[str, int] = {"sha256": 64, "blake2b": 128, "blake3": 64}
"""The hashes there are -> hex digits of each."""


@dataclass(frozen=True, order=True)
class Piece:
    """Some bytes of a file, from ``begin`` to before ``end``, or to the end of the file, with their hash in hex."""

    begin: int
    end: int | None
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What was signed.

    Attributes:
        name: of the model, as whoever signed calls its folder.
        files: path -> the pieces that are the file.
        hash: one of :data:`HASHES`.
        shard: bytes of a piece, or 0 if a file is one.
        links: whether links count as the files they lead to.
        ignored: paths that were left out, with whatever is in them.
    """

    name: str
    files: Mapping[str, tuple[Piece, ...]]
    hash: str = "sha256"
    shard: int = 0
    links: bool = False
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """A bundle, as far as it makes sense.

    Attributes:
        envelope: with the signatures.
        hint: the sha256 of the public key in PEM, empty if it is not told.
        manifest: what was signed; None if that makes no sense.
        faults: what is wrong with it, one line each.
    """

    envelope: Envelope
    hint: str
    manifest: Manifest | None
    faults: tuple[str, ...] = ()


class _Told(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Resource(_Told):
    name: StrictStr
    digest: Annotated[str, Field(pattern="^([0-9a-f]{2})+$")]
    algorithm: StrictStr


class _Serialization(_Told):
    method: Literal["files", "shards"]
    hash_type: Literal["sha256", "blake2b", "blake3"]
    allow_symlinks: StrictBool
    shard_size: Annotated[int, Field(ge=1)] | None = None
    ignore_paths: tuple[StrictStr, ...] = ()


class _Predicate(_Told):
    resources: Annotated[tuple[_Resource, ...], Field(min_length=1)]
    serialization: _Serialization


class _Subject(_Told):
    name: str = ""
    digest: dict[str, str]


class _Statement(_Told):
    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: tuple[_Subject]
    predicate_type: Annotated[Literal["https://model_signing/signature/v1.0"], Field(alias="predicateType")]
    predicate: _Predicate


def read(data: bytes) -> Bundle:
    """Read a bundle from its file. Whatever the bytes are, this gives a bundle and what is wrong with it."""
    try:
        told = json.loads(data) if len(data) <= dsse.LARGEST else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.get("mediaType") != MEDIA_TYPE:
        why = f"it is not JSON of the type {MEDIA_TYPE}, of at most {dsse.LARGEST:,} bytes"
        return Bundle(Envelope("", b"", ()), "", None, (why,))
    material = told.get("verificationMaterial")
    key = material.get("publicKey") if isinstance(material, dict) else None
    hint = key.get("hint") if isinstance(key, dict) else None
    envelope = dsse.taken_apart(told.get("dsseEnvelope"))
    faults = list(envelope.faults)
    if envelope.payload_type != dsse.IN_TOTO:
        faults.append(f"its payload is not of the type {dsse.IN_TOTO}")
    try:
        manifest = None if faults else _manifest(_Statement.model_validate_json(envelope.payload))
    except ValidationError as error:
        manifest, faults = None, [f"the statement cannot be read: {first_fault(error)}"]
    except _SenselessError as error:
        manifest, faults = None, [str(error)]
    return Bundle(envelope, hint if isinstance(hint, str) else "", manifest, tuple(faults))


def statement(manifest: Manifest) -> dict[str, Any]:
    """The statement about files that are one piece each."""
    resources = [
        {"algorithm": manifest.hash, "digest": piece.digest, "name": path}
        for path, (piece,) in sorted(manifest.files.items())
    ]
    serialization = {
        "method": "files",
        "hash_type": manifest.hash,
        "allow_symlinks": manifest.links,
        "ignore_paths": list(manifest.ignored),
    }
    return {
        "_type": STATEMENT,
        "subject": [{"name": manifest.name, "digest": {"sha256": _root(one["digest"] for one in resources)}}],
        "predicateType": PREDICATE,
        "predicate": {"resources": resources, "serialization": serialization},
    }


def write(envelope: Envelope, hint: str) -> bytes:
    """Write a bundle, in the one way we write it: the same envelope is the same bytes."""
    material = {"publicKey": {"hint": hint}, "tlogEntries": []}
    document = {"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope.document}
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


class _SenselessError(Exception):
    """A statement contradicts itself."""


def _manifest(told: _Statement) -> Manifest:
    how = told.predicate.serialization
    if (how.method == "shards") is not (how.shard_size is not None):
        raise _SenselessError("it does not say how large its shards are, or has none and says so")
    shard = how.shard_size or 0
    names = {how.hash_type, f"{how.hash_type}-sharded-{shard}"}  # the program of the authors writes the second
    files: dict[str, list[Piece]] = {}
    for one in told.predicate.resources:
        if one.algorithm not in names or len(one.digest) != HASHES[how.hash_type]:
            raise _SenselessError(f"the hash of `{one.name}` is no {how.hash_type}")
        path, begin, end = _range(one.name) if shard else (one.name, 0, None)
        if any(part in ("", ".", "..") for part in path.split("/")):
            raise _SenselessError(f"`{path}` is not the path of a file in a folder")
        files.setdefault(path, []).append(Piece(begin, end, one.digest))
    for path, pieces in files.items():
        _require_whole(path, pieces, shard)
    if told.subject[0].digest.get("sha256") != _root(one.digest for one in told.predicate.resources):
        raise _SenselessError("the digest of its subject is not that of its files")
    signed = {path: tuple(sorted(pieces)) for path, pieces in files.items()}
    return Manifest(told.subject[0].name, signed, how.hash_type, shard, how.allow_symlinks, how.ignore_paths)


def _range(name: str) -> tuple[str, int, int]:
    """Path, begin and end of a shard; the path may have colons itself."""
    path, *numbers = name.rsplit(":", 2)
    if len(numbers) != 2 or not all(number.isascii() and number.isdigit() and len(number) < 20 for number in numbers):
        raise _SenselessError(f"`{name}` does not name a shard of a file")
    return path, int(numbers[0]), int(numbers[1])


def _require_whole(path: str, pieces: list[Piece], shard: int) -> None:
    """The pieces are the file from its beginning, without a gap, and each once."""
    if not shard:
        if len(pieces) > 1:
            raise _SenselessError(f"`{path}` is there twice")
        return
    ordered = sorted(pieces)
    sizes = [(one.end or 0) - one.begin for one in ordered]
    joined = ordered[0].begin == 0 and all(one.end == following.begin for one, following in pairwise(ordered))
    if not joined or any(size != shard for size in sizes[:-1]) or not 0 < sizes[-1] <= shard:
        raise _SenselessError(f"the shards of `{path}` are not the whole of it, each once")


def _root(digests: Iterator[str]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(one) for one in digests)).hexdigest()
