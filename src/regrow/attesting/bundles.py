"""Files that somebody signed as OpenSSF's model signing has it: those of a release, and a check of anybody's.

What counts is what the statement says that was signed, and no option: which paths were left out, and whether links are
followed. What the format lets through is caught here: whatever nobody signed is named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from regrow.attesting.keyless import Account, require_signed
from regrow.errors import DifferentError, InputError, RecipeError
from regrow.formats import dsse, keys, model_signing
from regrow.formats.dsse import Envelope, Signature
from regrow.formats.model_signing import USUALLY_IGNORED, Bundle, Manifest, Piece
from regrow.printable import escaped
from regrow.release import Release
from regrow.release.files import HUBS_OWN, MOST_BYTES, Directory, read_bytes
from regrow.release.layout import SUMS, UNCOVERED
from regrow.release.sums import parse
from regrow.words import counted

_CHUNK = 1 << 20
_NAMED = 20


def bundle_of(release: Release, key: keys.PrivateKey) -> bytes:
    """Sign the files of a release, which were compared with their list before. The same release is the same bytes.

    Programs of others look for no file that is called as Git's are. If a release has one, its list signs for it.

    Raises:
        RecipeError: if the key is of a kind that model signing does not know.
    """
    hint = keys.pem_id(key.public_key())
    if not keys.is_elliptic(key.public_key()):
        raise RecipeError(
            "model signing has no such keys",
            why="it knows those on the curves P-256, P-384 and P-521, and this is one of Ed25519",
            hint="`regrow key new FILE --kind p256` makes one",
        )
    digests = {**release.listed, SUMS: release.digest}
    manifest = Manifest(
        release.path.resolve().name,
        {path: (Piece(0, None, digest),) for path, digest in digests.items() if not _is_below(path, USUALLY_IGNORED)},
        ignored=tuple(sorted({*UNCOVERED, *USUALLY_IGNORED} - {SUMS})),
    )
    payload = json.dumps(model_signing.statement(manifest), sort_keys=True, separators=(",", ":")).encode()
    unsigned = Envelope(dsse.IN_TOTO, payload, ())
    envelope = Envelope(dsse.IN_TOTO, payload, (Signature("", keys.sign(key, unsigned.signed)),))
    return model_signing.write(envelope, hint)


@dataclass(frozen=True)
class SignedFiles:
    """What became of the files that somebody signed.

    Attributes:
        manifest: what was signed.
        wrong: path -> what is wrong with a file that was signed.
        missing: files that were signed and are not there.
        added: path -> why it should not be there, of what is there and nobody signed.
        renamed: paths of files that are missing -> where the same bytes are now.
        left_out: paths that are there and that whoever signed left out by name.
    """

    manifest: Manifest
    wrong: Mapping[str, str]
    missing: tuple[str, ...]
    added: Mapping[str, str]
    renamed: Mapping[str, str]
    left_out: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether the files are those that were signed, and no others."""
        return not (self.wrong or self.missing or self.added)

    @property
    def exit_code(self) -> int:
        """3 if they are not."""
        return 0 if self.same else 3

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.same:
            yield f"Signed: {counted(len(self.manifest.files), 'file')}, and each is as it was signed"
        else:
            yield "Not what was signed:"
            yield from _some(f"`{escaped(path)}` {why}" for path, why in self.wrong.items())
            yield from _some(f"`{escaped(path)}` is missing{self._now_called(path)}" for path in self.missing)
            yield from _some(f"`{escaped(path)}` {why}" for path, why in self.added.items())
        if self.left_out:
            yield "  Not signed, since these names were left out, so anybody can have put them there:"
            yield from _some(f"`{escaped(path)}`" for path in self.left_out)
        if self.manifest.shard:
            yield "  It was signed in shards: whether an empty file was taken away cannot be seen."
        yield "  It says who vouches for these files, and nothing about what they were made from."

    def _now_called(self, path: str) -> str:
        return f"; its bytes are called `{escaped(self.renamed[path])}` now" if path in self.renamed else ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "same": self.same,
            "name": self.manifest.name,
            "signed": sorted(self.manifest.files),
            "wrong": dict(self.wrong),
            "missing": list(self.missing),
            "added": dict(self.added),
            "renamed": dict(self.renamed),
            "left_out": list(self.left_out),
        }


def signed_in(bundle: Path, signer: Path | Account) -> Manifest:
    """What somebody signed.

    Args:
        bundle: the file with the signature.
        signer: whose signature it has to be: a public key, or an account.

    Raises:
        InputError: if the bundle is not there, or makes no sense.
        DifferentError: if it was signed with another key, or by another account, or changed since.
        RecipeError: if the key cannot be used.
    """
    read = _read(bundle)
    if isinstance(signer, Account):
        # What was signed is what the library gives back, and not what another reader finds in the file.
        if require_signed(bundle.read_bytes(), bundle, signer) != read.envelope.payload:
            raise _senseless(bundle, ("two readers find two statements in it",))
    else:
        _require_signed(read, bundle, keys.public_key(signer))
    if read.manifest is None:
        raise _senseless(bundle, read.faults)
    return read.manifest


def check_bundle(place: Path, bundle: Path, signer: Path | Account) -> SignedFiles:
    """Compare files with what somebody signed.

    Args:
        place: a folder, or the one file that was signed.
        bundle: the file with the signature, which may lie in the folder.
        signer: whose signature it has to be: a public key, or an account.

    Raises:
        InputError: if a file is not there, or the bundle makes no sense.
        DifferentError: if it was signed with another key, or changed since.
        RecipeError: if the key cannot be used.
    """
    manifest = signed_in(bundle, signer)
    _require_hash(manifest.hash)
    if not place.exists():
        raise InputError("there is no such file or folder", where=str(place))
    files = Directory(place) if place.is_dir() else _Single(place.parent, place.name)
    return _compared(files, manifest, _inside(place, bundle))


@dataclass(frozen=True)
class _Single(Directory):
    """One file, as a folder that has no other."""

    name: str

    def paths(self) -> Iterator[str]:
        yield self.name


def _read(path: Path) -> Bundle:
    try:
        with path.open("rb") as file:
            read = model_signing.read(file.read(dsse.LARGEST + 1))
    except OSError as error:
        raise InputError("the bundle cannot be read", where=str(path), why=error.strerror or str(error)) from error
    if not read.envelope.signatures:
        raise _senseless(path, read.faults or ("it has no signature",))
    return read


def _require_signed(bundle: Bundle, path: Path, key: keys.PublicKey) -> None:
    signed = bundle.envelope.signed
    other = bundle.hint and bundle.hint != keys.pem_id(key)
    if not other and any(keys.signed_by(key, one.value, signed) for one in bundle.envelope.signatures):
        return
    raise DifferentError(
        "this was not signed with this key",
        where=str(path),
        why=f"its key has the hash {escaped(bundle.hint)}, and this one {keys.pem_id(key)}" if other else
        "no signature in it is one of this key over these bytes: it is of another, or something was changed",
        hint="get key and bundle again, from two places",
    )  # fmt: skip


def _senseless(path: Path, faults: tuple[str, ...]) -> InputError:
    return InputError(
        "this is no bundle of model signing",
        where=str(path),
        why=escaped(faults[0]),
        hint="known are those of OpenSSF's model signing 1.0, signed with a key",
    )


def _inside(place: Path, bundle: Path) -> str:
    """The path of the bundle in the folder, empty if it lies elsewhere."""
    top, path = place.resolve(), bundle.resolve()
    return path.relative_to(top).as_posix() if path.is_relative_to(top) and path != top else ""


def _compared(files: Directory, manifest: Manifest, own: str) -> SignedFiles:
    there = sorted(path for path in files.paths() if path != own)
    wrong = {path: why for path in there if path in manifest.files if (why := _trouble(files, path, manifest))}
    vouched = _vouched(files) if SUMS in manifest.files and SUMS not in wrong else {}
    unsigned = {
        path: _why_added(files, path, manifest)
        for path in there
        if path not in manifest.files and not (path in vouched and _is(files, path, vouched[path]))
    }
    added = {path: why for path, why in unsigned.items() if why}
    missing = tuple(sorted({*manifest.files, *vouched} - set(there)))
    renamed = dict(_renamed(files, manifest, missing, tuple(added)))
    left_out = tuple(path for path, why in unsigned.items() if not why)
    return SignedFiles(manifest, wrong, missing, added, renamed, left_out)


def _vouched(files: Directory) -> Mapping[str, str]:
    """Path -> sha256, as a list of checksums says that was signed itself: so was what it says."""
    if not files.has(SUMS) or files.size(SUMS) > MOST_BYTES:
        return {}
    sums = parse(read_bytes(files, SUMS))
    return sums.listed if sums.canonical else {}


def _is(files: Directory, path: str, sha256: str) -> bool:
    return files.has(path) and _pieces(files, path, Manifest("", {})) == (Piece(0, None, sha256),)


def _trouble(files: Directory, path: str, manifest: Manifest) -> str:
    """What is wrong with a file that was signed, if anything."""
    place = files.root / path
    if not files.has(path):
        return "is no file, or a link that leads out of the folder"
    if place.is_symlink() and not (manifest.links or files.is_cache):
        return "is a link, and it was signed that there are none"
    try:
        return "" if _pieces(files, path, manifest) == manifest.files[path] else "has other bytes"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _why_added(files: Directory, path: str, manifest: Manifest) -> str:
    """Why something that nobody signed should not be there; empty if whoever signed left it out by name, and if the
    hub in whose cache it is put it there.
    """
    if files.is_cache and path == HUBS_OWN:
        return ""
    if _is_below(path, USUALLY_IGNORED):
        return "was not signed: programs leave that name out, so anybody can have put it there"
    if _is_below(path, manifest.ignored):
        return ""
    if manifest.shard and files.has(path) and not files.size(path):
        return "is empty, and no signature in shards covers such a file: it can have been added"
    return "was not signed"


def _is_below(path: str, names: tuple[str, ...]) -> bool:
    return any(path == name or path.startswith(f"{name}/") for name in names)


def _renamed(
    files: Directory, manifest: Manifest, missing: tuple[str, ...], added: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Files whose bytes are there under another name."""
    if not missing:
        return
    found: dict[tuple[Piece, ...], str] = {}
    for path in added:
        if files.has(path):
            with suppress(OSError):
                found[_pieces(files, path, manifest)] = path
    for path in missing:
        if (now := found.get(manifest.files.get(path, ()))) is not None:
            yield path, now


def _pieces(files: Directory, path: str, manifest: Manifest) -> tuple[Piece, ...]:
    """The pieces of a file as it is."""
    with files.open(path) as file:
        if not manifest.shard:
            return (Piece(0, None, _digest(file.read, manifest.hash)[1]),)
        found: list[Piece] = []
        begin = 0
        while True:
            size, digest = _digest(file.read, manifest.hash, manifest.shard)
            if not size:
                return tuple(found)
            found.append(Piece(begin, begin + size, digest))
            begin += size


def _digest(read: Callable[[int], bytes], name: str, most: int | None = None) -> tuple[int, str]:
    """How many bytes come, at most so many, and their hash."""
    hasher, size = _hasher(name), 0
    while data := read(_CHUNK if most is None else min(_CHUNK, most - size)):
        hasher.update(data)
        size += len(data)
    return size, str(hasher.hexdigest())


def _hasher(name: str) -> Any:
    return import_module("blake3").blake3() if name == "blake3" else hashlib.new(name)


def _require_hash(name: str) -> None:
    try:
        _hasher(name)
    except ImportError as error:
        raise InputError(f"hashes of the kind {name} cannot be made", hint=f"pip install {name}") from error


def _some(lines: Iterator[str]) -> Iterator[str]:
    """The first lines, and how many more there are."""
    all_of = list(lines)
    yield from (f"  {line}" for line in all_of[:_NAMED])
    if len(all_of) > _NAMED:
        yield f"  and {len(all_of) - _NAMED:,} more"
