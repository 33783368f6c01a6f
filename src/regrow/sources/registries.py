"""Where packages of several kinds are: what everybody uses, and the hashes that indexes list."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from pathlib import Path

_STRENGTHS = ("sha512", "sha384", "sha256", "sha1")
_CHUNK = 1 << 20


def usual_registry(purl: str, behind: str) -> str:
    """The address at which everybody has packages of a kind, as the library of package URLs knows it.

    Args:
        purl: the package URL of a package that need not exist.
        behind: what stands in its address behind that of the registry.
    """
    from packageurl.contrib.purl2url import get_download_url

    return str(get_download_url(purl)).removesuffix(behind).rstrip("/")


def integrity(said: str) -> tuple[str, bytes] | None:
    """The strongest hash in what the Subresource Integrity specification calls so: its name and its bytes.

    ``sha512-BASE64``, several of which may stand there; None if none can be read.
    """
    found = dict[str, bytes]()
    for word in said.split():
        name, _, value = word.partition("?")[0].partition("-")
        try:
            digest = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            continue
        if name in _STRENGTHS and len(digest) == hashlib.new(name).digest_size:
            found.setdefault(name, digest)
    return next(((name, found[name]) for name in _STRENGTHS if name in found), None)


def has_digest(path: Path, name: str, digest: bytes) -> bool:
    """Whether a file has a digest of some kind."""
    with path.open("rb") as file:
        return hmac.compare_digest(hashlib.file_digest(file, name).digest(), digest)
