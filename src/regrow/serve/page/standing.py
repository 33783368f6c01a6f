"""What was seen on this machine of whether a release is what its recipe gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from regrow.attesting.statements import envelopes, recipe_of
from regrow.attesting.trust import NOBODY, Believed, Word, consent
from regrow.building import rebuilds
from regrow.printable import one_line
from regrow.release import Release
from regrow.release.layout import ATTESTATIONS
from regrow.verifying.told import misfit
from regrow.words import counted


@dataclass(frozen=True)
class Standing:
    """What speaks for a release, as far as it was seen here. What was not seen is not said to be so.

    Attributes:
        rebuilt: when and how this machine built it again and got the same; empty if it did not.
        attested: who of those that are trusted signed that they did, and what they say of it.
        differ: who of them signed that the recipe gave them something else.
        strangers: how many signed statements there are by nobody who is trusted.
        release: whether it is one at all.
    """

    rebuilt: str = ""
    attested: tuple[tuple[str, str], ...] = ()
    differ: tuple[str, ...] = ()
    strangers: int = 0
    release: bool = True

    @staticmethod
    def of(release: Release | None, digest: str, trust: Believed = NOBODY) -> Standing:
        """That of a release.

        Args:
            release: whose files were compared with its list; None of a model that is none.
            digest: of the files that are served.
            trust: whose word counts.
        """
        if release is None:
            return Standing(release=False)
        record, folder = rebuilds.read(digest), release.path / ATTESTATIONS
        found = list(envelopes(folder)) if folder.is_dir() else []
        agreed = consent(digest, recipe_of(release), found, trust, 0, partial(misfit, release))
        words = {word.rebuilder: word.why.partition(": ")[2] for word in agreed.words if word.counts}
        return Standing(
            one_line(f"{str(record.get('when', ''))[:10]}, by `{record.get('how', '')}`") if record else "",
            tuple(sorted(words.items())),
            agreed.differ,
            len({word.file for word in agreed.words if _is_strangers(word)}),
        )

    @property
    def shown(self) -> bool:
        """Whether anything speaks for it, and nothing against."""
        return bool(self.rebuilt or self.attested) and not self.differ

    @property
    def words(self) -> str:
        """In a few words."""
        if not self.release:
            return "Not a release"
        if self.differ:
            return "Disputed"
        if self.rebuilt:
            return "Rebuilt here"
        if self.attested:
            return f"Attested by {' and '.join(name for name, _ in self.attested)}"
        return "Not verified here"

    @property
    def lines(self) -> tuple[str, ...]:
        """In sentences."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[str]:
        if not self.release:
            yield "Nothing is known of what it was made from, or how, and nobody can build it again to compare."
            return
        if self.rebuilt:
            yield f"This machine built it again from its recipe and got the same digest: {self.rebuilt}."
        for name, what in self.attested:
            yield f"{one_line(name)} signed: {one_line(what)}."
        for name in self.differ:
            yield f"{one_line(name)} signed that this recipe gave another digest."
        if self.strangers:
            said = counted(self.strangers, "signed statement")
            yield f"{said} by nobody who is trusted here: `regrow serve --trust FILE` says whom to believe."
        if not (self.rebuilt or self.attested):
            yield "Nothing on this machine says that somebody built it again. `regrow verify` does so, and compares."


def _is_strangers(word: Word) -> bool:
    return word.said is not None and not word.rebuilder
