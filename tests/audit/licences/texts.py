"""Licence texts for tests: those of packages that are installed anyway, and one of our own making."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parents[3]


def installed(package: str) -> str:
    """The licence text that an installed package carries."""
    for path in distribution(package).files or ():
        if path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")) and path.suffix != ".py":
            return path.read_text(encoding="utf-8")
    raise LookupError(f"{package} carries no licence text")


def apache() -> str:
    return (ROOT / "LICENSE").read_text(encoding="utf-8")


# A licence that nobody uses, with the kind of clauses that model licences have.
COMMUNITY = """
                     GREAT HERON COMMUNITY AGREEMENT
                            Version of 3 March 2021

1. Grant. Heron Works lets you run, study, change and pass on the Heron Materials, that is the weights, the programs
   that run them and their handbook, for as long as you keep every promise that you make in this agreement.

2. Name. Whoever passes on a model that was made out of the Heron Materials, or that learned from what they wrote,
   puts the word Heron in front of its name and shows the words "Hatched by Heron" on a page about it.

3. Scale. If on the first of March more than nine hundred thousand people a month used what you or your partners
   offer, you ask Heron Works for another agreement first, which Heron Works grants or refuses as it likes.

4. Conduct. You stay away from the deeds that the Heron handbook of conduct lists, and you see to it that everybody
   who gets the Heron Materials from you promises the same to you in writing before they lay hands on them.

5. End. This agreement ends on the day on which you break one of its promises, or on which you take Heron Works to
   court over the Heron Materials; you then delete every copy within a fortnight and say so in a letter.

6. No promise from us. The Heron Materials come as they hatched. Heron Works answers for no harm that comes of them.
"""
