"""What is looked for in texts that ought not to be there, as tags and people call it."""

from __future__ import annotations

EMAIL, IP, PHONE, KEY = "email", "ip", "phone", "key"
"""The tags."""

SORTS = (EMAIL, IP, PHONE, KEY)
"""What is looked for, as tags call it."""

WORDS = {EMAIL: "e-mail addresses", IP: "public IP addresses", PHONE: "telephone numbers", KEY: "keys and tokens"}
"""The same for people."""

_ONE = {EMAIL: "e-mail address", IP: "public IP address", PHONE: "telephone number", KEY: "key or token"}


def in_words(number: int, sort: str) -> str:
    """How many of a sort: ``2 e-mail addresses``."""
    return f"{number:,} {_ONE[sort] if number == 1 else WORDS[sort]}"
