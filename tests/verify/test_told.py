"""What somebody signs of a check of parts is held against the release, and against the nonce that is said to draw."""

from dataclasses import replace
from pathlib import Path

import pytest

from regrow.release import Release
from regrow.release.looked import LookedAt
from regrow.verifying.chain import records_of
from regrow.verifying.draw import drawn
from regrow.verifying.told import misfit

NONCE = "a word"


@pytest.fixture(scope="module")
def release(made: Path) -> Release:
    return Release.open(made / "release")


@pytest.fixture(scope="module")
def run(release: Release) -> LookedAt:
    """A check of three segments as it has to be with this nonce."""
    said = release.statement("pretrain")
    assert said is not None
    found = records_of(release, said)
    whole = len(found.segments)
    chosen = drawn(found.root, NONCE, whole, 3)
    return LookedAt("pretrain", True, whole, 3, tuple(number + 1 for number in chosen), found.root)


def test_a_check_as_it_was_fits(release: Release, run: LookedAt) -> None:
    assert misfit(release, NONCE, [run]) == ""
    everything = tuple(range(1, run.whole + 1))
    assert misfit(release, NONCE, [replace(run, checked=everything)]) == ""  # some were run on the way
    assert misfit(release, "any", [replace(run, drawn=run.whole, checked=everything)]) == ""


def test_parts_of_a_stage_fit_if_the_release_has_them(release: Release, run: LookedAt) -> None:
    said = release.statement("clean")
    assert said is not None
    part = LookedAt("clean", False, len(said.files), len(said.files), tuple(range(1, len(said.files) + 1)), said.digest)
    assert misfit(release, NONCE, [run, part]) == ""
    assert "other parts" in misfit(release, NONCE, [run, replace(part, root="0" * 64)])
    assert "other parts" in misfit(release, NONCE, [run, replace(part, whole=99)])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"checked": (1,)}, "others of `pretrain` were run"),
        ({"checked": ()}, "others of `pretrain` were run"),
        ({"drawn": 6}, "others of `pretrain` were run"),  # more than were looked at
        ({"drawn": 1}, "others of `pretrain` were run"),
        ({"root": "0" * 64}, "another run"),
        ({"whole": 10**12}, "another run"),
        ({"stage": "tokenizer"}, "nothing of `pretrain`"),
        ({"trains": False}, "does not have in that way"),
    ],
)
def test_claims_that_the_release_gives_the_lie(
    release: Release, run: LookedAt, change: dict[str, object], why: str
) -> None:
    assert why in misfit(release, NONCE, [replace(run, **change)])  # type: ignore[arg-type]


def test_another_nonce_and_other_runs(release: Release, run: LookedAt) -> None:
    others = (word for word in map(str, range(99)) if {*drawn(run.root, word, run.whole, 3)} != {*run.checked})
    assert "than that nonce draws" in misfit(release, next(others), [run])
    assert "nothing of `pretrain`" in misfit(release, NONCE, [])
    assert "two things" in misfit(release, NONCE, [run, run])
    nowhere = replace(run, stage="nowhere")
    assert "does not have" in misfit(release, NONCE, [run, nowhere])
