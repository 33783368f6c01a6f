"""Whom one trusts, and whether enough of them say the same of a release.

A file names rebuilders with their keys. Several keys of one rebuilder count as one, so that nobody can be two; a key
that expired or was revoked counts for nothing; and whoever got something else from the same recipe is named. A check of
parts counts only if the file says so, and how many parts it takes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from regrow.attesting.statements import FULL, IN_PART, Said, said
from regrow.errors import RecipeError
from regrow.formats import keys
from regrow.formats.dsse import Envelope
from regrow.printable import one_line
from regrow.release.looked import LookedAt
from regrow.sections import Section, first_fault


class Key(Section):
    """A public key.

    Attributes:
        file: its PEM, beside the file that names it.
        expires: the first day on which it does not count any more.
        revoked: the day from which on it does not count, also for what was signed before: nobody knows who signed.
    """

    file: str = Field(min_length=1)
    expires: date | None = None
    revoked: date | None = None


class Rebuilder(Section):
    """Somebody who rebuilds releases, independent of the others."""

    name: str = Field(min_length=1)
    key: tuple[Key, ...] = Field(min_length=1, strict=False)


class Policy(Section):
    """What counts besides full rebuilds.

    Attributes:
        segments: checks of parts count that drew at least so many segments of each training run and parts of each stage
            of the corpus, or all there are, by a nonce of their own; None if none does.
    """

    segments: int | None = Field(default=None, ge=1)


class _Trust(Section):
    policy: Policy = Policy()
    rebuilder: tuple[Rebuilder, ...] = Field(min_length=1, strict=False)


@dataclass(frozen=True)
class Believed:
    """Whom one trusts, and for what.

    Attributes:
        keys: of those.
        policy: what counts.
    """

    keys: tuple[Trusted, ...] = ()
    policy: Policy = field(default_factory=Policy)


NOBODY = Believed()
"""Is trusted where nobody says whom to trust."""


@dataclass(frozen=True)
class Trusted:
    """A key of somebody who is trusted.

    Attributes:
        rebuilder: whose.
        id: of the key.
        key: the key.
        why_not: why it does not count; empty if it does.
    """

    rebuilder: str
    id: str
    key: keys.PublicKey
    why_not: str


@dataclass(frozen=True)
class Word:
    """What one envelope is worth.

    Attributes:
        file: where it is.
        rebuilder: who signed; empty if nobody who is trusted did.
        counts: whether it speaks for the release.
        why: in words.
        said: what it says, if anything.
    """

    file: str
    rebuilder: str
    counts: bool
    why: str
    said: Said | None = None


@dataclass(frozen=True)
class Consent:
    """Whether enough rebuilders agree.

    Attributes:
        digest: of the release.
        required: how many were asked for.
        agree: who rebuilt it and got the same, or checked as much of it as counts.
        in_part: those of them who only checked parts.
        differ: who got something else from the same recipe.
        words: every envelope, and what it is worth; one for each rebuilder who signed it.
    """

    digest: str
    required: int
    agree: tuple[str, ...]
    in_part: tuple[str, ...]
    differ: tuple[str, ...]
    words: tuple[Word, ...]

    @property
    def enough(self) -> bool:
        """Whether as many as were asked for agree. Who does not is named, and does not outvote those who do."""
        return len(self.agree) >= self.required

    @property
    def exit_code(self) -> int:
        """5 if the policy is not met."""
        return 0 if self.enough else 5

    def lines(self) -> Iterator[str]:
        """For people."""
        count = len(self.agree)
        who = f": {', '.join(self.agree)}" if self.agree else ""
        yield f"{'Enough' if self.enough else 'Not enough'}: {count} of the {self.required} required rebuilders{who}"
        if self.in_part:
            yield f"  Of these, checked only parts, as the policy lets them: {', '.join(self.in_part)}"
        if self.differ:
            yield f"  Somebody got another digest from this recipe: {', '.join(self.differ)}"
        for word in self.words:
            yield f"  {one_line(word.file)}: {one_line(word.why)}"
        yield "  Nothing was rebuilt here: this is their word, signed, and the files are those that they speak of."
        yield self.digest


def trusted(path: Path, today: date) -> Believed:
    """Whom a file of trust names, and what counts for it.

    Raises:
        RecipeError: if it, or a key that it names, cannot be read, or two rebuilders have one key.
    """
    try:
        told = _Trust.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _unreadable(path, str(error)) from error
    except ValidationError as error:
        raise _unreadable(path, first_fault(error)) from error
    found = _lost_as_one([_trusted(path, one, key, today) for one in told.rebuilder for key in one.key])
    owners: dict[str, str] = {}
    for one in found:
        if owners.setdefault(one.id, one.rebuilder) != one.rebuilder:
            raise _unreadable(path, f"{owners[one.id]} and {one.rebuilder} have the same key, so they are one")
    return Believed(tuple(found), told.policy)


def _lost_as_one(found: Sequence[Trusted]) -> list[Trusted]:
    """A key that is named twice, and does not count in one place, counts in none."""
    lost = {one.id: one.why_not for one in found if one.why_not}
    return [replace(one, why_not=lost.get(one.id, "")) for one in found]


def _trusted(path: Path, rebuilder: Rebuilder, key: Key, today: date) -> Trusted:
    public = keys.public_key(path.parent / key.file)
    why = ""
    if key.revoked is not None and key.revoked <= today:
        why = f"the key was revoked on {key.revoked}"
    elif key.expires is not None and key.expires <= today:
        why = f"the key expired on {key.expires}"
    return Trusted(rebuilder.name, keys.key_id(public), public, why)


def _unreadable(path: Path, why: str) -> RecipeError:
    return RecipeError(
        "this is no list of whom to trust",
        where=str(path),
        why=why,
        hint='write [[rebuilder]] with a name, and for each key [[rebuilder.key]] with file = "alice.pub"',
    )


Misfit = Callable[[str, Sequence[LookedAt]], str]
"""The nonce and what was looked at -> why that cannot have been a check of the release; empty if it can."""


def consent(
    digest: str,
    recipe: str,
    found: Sequence[tuple[Path, Envelope]],
    trust: Believed,
    required: int,
    misfit: Misfit = lambda _nonce, _looked: "",
) -> Consent:
    """Count those who are trusted and rebuilt a release.

    Args:
        digest: of the release, whose files were compared with their list.
        recipe: the sha256 of its recipe.
        found: envelopes, with the files they come from.
        trust: whom to believe.
        required: how many.
        misfit: compares a check of parts with the release; by default it is taken as it is told.
    """
    told = (_words(str(path), envelope, digest, recipe, trust, misfit) for path, envelope in found)
    words = _drawn_alone([word for some in told for word in some])
    agree = {word.rebuilder for word in words if word.counts}
    wholly = {word.rebuilder for word in words if word.counts and word.said and word.said.method == FULL}
    differ = {word.rebuilder for word in words if _differs(word, digest, recipe)}
    agreed, in_part, others = (tuple(sorted(who)) for who in (agree, agree - wholly, differ))
    return Consent(digest, required, agreed, in_part, others, words)


def _differs(word: Word, digest: str, recipe: str) -> bool:
    there = word.said
    return bool(word.rebuilder) and there is not None and there.recipe == recipe and there.digest != digest


def _drawn_alone(words: Sequence[Word]) -> tuple[Word, ...]:
    """The same, where no check of parts counts whose nonce somebody else has, too: one of them made up none."""
    whose: dict[str, set[str]] = {}
    for word in words:
        if word.counts and word.said and word.said.nonce:
            whose.setdefault(word.said.nonce, set()).add(word.rebuilder)
    return tuple(_unless_shared(word, whose) for word in words)


def _unless_shared(word: Word, whose: Mapping[str, set[str]]) -> Word:
    nonce = word.said.nonce if word.counts and word.said else ""
    others = sorted(whose.get(nonce, set()) - {word.rebuilder})
    why = f"{word.why}, which is the nonce of {' and '.join(others)}, too, so that one of them drew none"
    return replace(word, counts=False, why=why) if others else word


def _words(path: str, envelope: Envelope, digest: str, recipe: str, trust: Believed, misfit: Misfit) -> Iterator[Word]:
    told = said(envelope)
    if told is None:
        yield Word(path, "", False, "no statement about a rebuild")
        return
    signers = [one for one in trust.keys if _signed_by(envelope, one.key)]
    able = [one for one in signers if not one.why_not]
    if not able:
        why = f"{signers[0].rebuilder}: {signers[0].why_not}" if signers else "by nobody who is trusted"
        yield Word(path, "", False, why, told)
    for who in dict.fromkeys(one.rebuilder for one in able):
        yield _word(path, told, digest, recipe, who, trust.policy, misfit)


def _word(path: str, told: Said, digest: str, recipe: str, who: str, policy: Policy, misfit: Misfit) -> Word:
    if told.digest != digest:
        what = "this recipe" if told.recipe == recipe else "something else"
        return Word(path, who, False, f"{who}: about {what}, with the digest {told.digest}", told)
    if why_not := _too_little(told, policy):
        return Word(path, who, False, f"{who}: {why_not}", told)
    if told.method == IN_PART and (why_not := misfit(told.nonce, told.looked)):
        return Word(path, who, False, f"{who}: {_what(told)}, {why_not}", told)
    details = ", ".join(part for part in (told.when, told.machine) if part)
    return Word(path, who, True, f"{who}: {_what(told)}" + (f" ({details})" if details else ""), told)


def _what(told: Said) -> str:
    """What somebody did, in words."""
    if told.method != IN_PART:
        return told.method
    many = "all segments and parts" if told.whole else f"{told.segments:,} segments or parts of each stage, or more"
    return f"a check of {many}, nonce {told.nonce or 'of somebody else'}"


def _too_little(told: Said, policy: Policy) -> str:
    """Why what somebody did does not count; empty if it does."""
    if told.method == FULL:
        return ""
    if told.method != IN_PART or policy.segments is None:
        return f"{_what(told)}, which is no full rebuild"
    if not told.nonce:
        return f"{_what(told)}, so that the author could know which"
    enough = told.whole or told.segments >= policy.segments
    return "" if enough else f"{_what(told)}, and the policy asks for {policy.segments:,}"


def _signed_by(envelope: Envelope, key: Any) -> bool:
    return any(keys.signed_by(key, one.value, envelope.signed) for one in envelope.signatures)
