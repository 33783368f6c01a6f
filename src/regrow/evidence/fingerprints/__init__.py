"""Works by the hashes of their runs of words: what is looked for in a corpus without its text being known."""

from __future__ import annotations

from regrow.evidence.fingerprints.lists import SUFFIX, FingerprintError, Fingerprints, Work
from regrow.evidence.fingerprints.making import fingerprint

__all__ = ["SUFFIX", "FingerprintError", "Fingerprints", "Work", "fingerprint"]
