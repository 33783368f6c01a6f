"""What a reader of statements gives."""

from __future__ import annotations

Said = tuple[str, int, int, str]
"""Sort, start and end in the passage, and what it says."""

TAG, LICENCE, TEXT = "licence-tag", "licence", "licence-text"
COPYRIGHT, RESERVED = "copyright", "rights-reserved"
RESTRICTION, OPT_OUT = "restriction", "opt-out"

PUBLIC_DOMAIN = "public-domain"

ELSEWHERE = "licence elsewhere"
"""Said of reserved rights where the text speaks of a licence beside it."""
