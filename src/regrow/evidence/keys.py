"""Keys and tokens that open something: those of known forms, found by detect-secrets and a few expressions beside it.

Its detectors that go by the form of a key are asked for what they find in a text, and never to verify it, which would
ask the service that the key opens. Those that go by a name before it or by entropy alone are left out: they are wrong
more often than right in prose. A detector is slow, so it sees only the surroundings of long words in which stands what
all keys of its sort have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from regrow.evidence.block import Block, Span, such
from regrow.evidence.personal import host_end
from regrow.evidence.sorts import KEY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BEGINNINGS = {
    "artifactory.ArtifactoryDetector": rb"AKC",
    "aws.AWSKeyDetector": rb"A3T|ABIA|ACCA|AKIA|ASIA|(?<=['\"])(?=[A-Za-z0-9/+]{40}['\"])",
    "azure_storage_key.AzureStorageKeyDetector": rb"(?<=AccountKey=)",
    "discord.DiscordBotTokenDetector": rb"[MNO][\w-]{23,25}\.[\w-]{6}\.",
    "github_token.GitHubTokenDetector": rb"gh[oprsu]_",
    "gitlab_token.GitLabTokenDetector": rb"gl\w{2,4}-|GR1348941",
    "jwt.JwtTokenDetector": rb"eyJ",
    "mailchimp.MailchimpDetector": rb"[0-9a-z]{32}-us\d",
    "npm.NpmDetector": rb"npm_|(?<=_authToken=)",
    "openai.OpenAIDetector": rb"sk-",
    "pypi_token.PypiTokenDetector": rb"pypi-AgE",
    "sendgrid.SendGridDetector": rb"(?<=SG\.)",
    "slack.SlackDetector": rb"xox[abposr]-|(?<=/)(?=\w{24}\b)",
    "square_oauth.SquareOAuthDetector": rb"sq0csp-",
    "stripe.StripeDetector": rb"[rs]k_live_",
    "telegram_token.TelegramBotTokenDetector": rb"(?<=\d{8}:)[\w-]{35}(?![\w-])",
    "twilio.TwilioKeyDetector": rb"(?:AC|SK)[a-z0-9]{32}(?![\w-])",
}
"""Detectors of detect-secrets, and how the long word begins that is in each key of theirs."""

_OTHERS = {
    "anthropic": r"sk-ant-[A-Za-z0-9_-]{60,}",
    "github": r"github_pat_[A-Za-z0-9_]{60,}",
    "google": r"AIza[A-Za-z0-9_-]{35}",
    "hugging-face": r"hf_[A-Za-z]{34}",
    "npm": r"npm_[A-Za-z0-9]{36}",
}
_SHORTEST = 20  # letters, digits, `_` and `-` in a row that every key of these sorts has
_BEFORE, _BEHIND = 96, 256
_REST = re.compile(rb"[\w+/=.-]*[\w+/=-]", re.ASCII)
_INSIDE = re.compile(rb"[A-Za-z0-9]\Z")
_PRIVATE = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:(?!-----)[A-Za-z0-9+/=,:.\s\\-]){64,32768}+-----END [A-Z0-9 ]{0,40}KEY(?: BLOCK)?-----"
)
_LOGIN = re.compile(rb"://[A-Za-z0-9._~%+-]{1,64}:([^\s\0/?#@:<>{}$*\[\]\"'|\\]{1,96})(?=@[A-Za-z0-9])")
_PLACEHOLDER = re.compile(
    rb"(?:(?:my|your|the|some)?[_-]?(?:pass(?:word|wd|phrase)?|pwd|pw|secret|token|key)\d{0,3}|x+|\.+)\Z|"
    rb".*?(?:example|(.)\1{7}|01234567|123456789|abcdefgh)",
    re.IGNORECASE | re.DOTALL,
)
"""What stands for a key in a manual."""


@dataclass(frozen=True)
class Detector:
    """Finds keys of a sort.

    Attributes:
        sort: what they open.
        beginning: of the long word that is in each of them.
        found: the keys in a text.
    """

    sort: str
    beginning: re.Pattern[bytes]
    found: Callable[[str], Iterable[str]]


@cache
def detectors() -> tuple[Detector, ...]:
    """Those of detect-secrets that go by form, and our own."""
    found = []
    for path, beginning in _BEGINNINGS.items():
        module, name = path.split(".")
        plugin = getattr(import_module(f"detect_secrets.plugins.{module}"), name)()
        sort = module.removesuffix("_token").removesuffix("_storage_key").replace("_", "-")
        found.append(Detector(sort, re.compile(beginning), plugin.analyze_string))
    for sort, pattern in _OTHERS.items():
        beginning = re.escape(pattern.partition("[")[0].encode())
        found.append(Detector(sort, re.compile(beginning), re.compile(pattern).findall))
    return tuple(found)


def keys(block: Block) -> Iterator[Span]:
    """Keys and tokens in some texts, in no order; what stands for one in a manual is passed over."""
    yield from _private(block)
    yield from _logins(block)
    for start, end in _long_words(block):
        yield from _in_word(block, start, end)


def _private(block: Block) -> Iterator[Span]:
    for found in _PRIVATE.finditer(block.data):
        yield Span(found.start(), found.end(), KEY, "private-key")


def _logins(block: Block) -> Iterator[Span]:
    """Passwords in addresses of the public net, as in ``https://user:password@host.org``."""
    for found in _LOGIN.finditer(block.data):
        if host_end(block, found.end()) and not _PLACEHOLDER.match(found[1]):
            yield Span(found.start(1), found.end(1), KEY, "login")


def _long_words(block: Block) -> Iterator[tuple[int, int]]:
    import numpy as np

    breaks = np.flatnonzero(~_of_words()[block.units])
    for number in np.flatnonzero(np.diff(breaks) > _SHORTEST).tolist():
        yield int(breaks[number]) + 1, int(breaks[number + 1])


def _in_word(block: Block, start: int, end: int) -> Iterator[Span]:
    """The keys that a long word is part of."""
    if not _any_beginning().match(block.data, start):
        return
    around, at = block.around(start, _BEFORE, min(end - start, _BEHIND) + _BEHIND)
    text = around.decode("ascii", "replace")  # a character for each byte
    for detector in detectors():
        for told in detector.found(text) if detector.beginning.match(around, at) else ():
            secret = told.strip('"=: \t\r\n')
            first = text.find(secret)
            if not at - _BEFORE < first <= at + _SHORTEST or first + len(secret) < at or _INSIDE.search(around[:first]):
                continue
            rest = _REST.match(around, min(first, at))
            last = max(first + len(secret), rest.end() if rest else 0)
            if not _PLACEHOLDER.match(around[first:last]):
                yield Span(start - at + first, start - at + last, KEY, detector.sort)


@cache
def _any_beginning() -> re.Pattern[bytes]:
    return re.compile(b"|".join(b"(?:%s)" % one.beginning.pattern for one in detectors()))


@cache
def _of_words() -> NDArray[np.bool_]:
    return such(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
