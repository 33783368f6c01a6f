"""The ids of all findings, so that a policy can name one and whoever mistypes it is told."""

from __future__ import annotations

from typing import Literal

from regrow.formats.header import Fault

FindingId = Literal[
    "attestation-other",
    "attestation-unsigned",
    "base-differs",
    "base-undeclared",
    "cache-partial",
    "card-unreadable",
    "config-unreadable",
    "custom-code",
    "data-licence-unknown",
    "data-no-derivatives",
    "data-non-commercial",
    "data-share-alike",
    "duplicate-key",
    "file-unreadable",
    Fault,
    "index-differs",
    "index-outside",
    "index-unreadable",
    "licence-changed-by-publisher",
    "licence-differs",
    "licence-text-unidentified",
    "licence-unread",
    "licence-unresolved",
    "lineage-cycle",
    "lineage-too-large",
    "link-outside",
    "no-licence",
    "not-a-file",
    "not-hashed",
    "odd-name",
    "origin-differs",
    "pointer-file",
    "quantised",
    "release-added",
    "release-changed",
    "release-incomplete",
    "release-unreadable",
    "shard-missing",
    "share-alike-weights",
    "terms-can-change",
    "tokenizer-from",
    "too-many-files",
    "unsafe-file",
    "use-policy",
]
