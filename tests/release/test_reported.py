"""A page is made when something that it shows changed. python -m pytest tests/release/test_reported.py"""

from collections.abc import Callable
from pathlib import Path

import pytest

from regrow import report as maker
from regrow.building import reported
from regrow.release.layout import BUILDINFO, REPORT, SUMS


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """One entry for each page that was made."""
    found: list[str] = []
    monkeypatch.setenv("REGROW_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(maker, "contents", lambda release: release)
    monkeypatch.setattr(maker, "render", lambda _: found.append("page") or f"page {len(found)}")  # type: ignore[func-returns-value]
    return found


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    (folder / BUILDINFO).mkdir(parents=True)
    (folder / SUMS).write_text(f"{'0' * 64}  README.md\n")
    (folder / BUILDINFO / "build.json").write_text("{}")
    return folder


def again(release: Path) -> bytes:
    """Make the page, as a build does it, and put it where it belongs."""
    aside = (release / REPORT).read_bytes() if (release / REPORT).exists() else None
    old = release.with_name("old")
    old.mkdir(exist_ok=True)
    if aside is not None:
        (old / REPORT).write_bytes(aside)
        (release / REPORT).unlink()
    page = reported.report(release, old)
    (release / REPORT).write_bytes(page)
    return page


def test_a_page_of_the_same_is_taken_over(release: Path, made: list[str]) -> None:
    assert [again(release) for _ in range(3)] == [b"page 1"] * 3
    assert len(made) == 1


def _sums(release: Path) -> None:
    (release / SUMS).write_text(f"{'1' * 64}  README.md\n")


def _dates(release: Path) -> None:
    (release / BUILDINFO / "build.json").write_text("[]")


def _more(release: Path) -> None:
    (release / "states").write_text("something that no digest covers")


def _page(release: Path) -> None:
    (release / REPORT).write_text("page 7")


def _lost(release: Path) -> None:
    (release / REPORT).unlink()
    (release.with_name("old") / REPORT).unlink()


@pytest.mark.parametrize("change", [_sums, _dates, _more, _page, _lost], ids=lambda one: one.__name__.strip("_"))
def test_a_page_is_made_anew(release: Path, made: list[str], change: Callable[[Path], None]) -> None:
    again(release)
    (release.with_name("old") / REPORT).write_bytes(b"page 1")
    change(release)
    assert (again(release), again(release)) == (b"page 2", b"page 2")
    assert len(made) == 2


def test_a_page_is_made_anew_by_another_program(
    release: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    again(release)
    monkeypatch.setattr(reported, "_program", lambda: "another")
    assert again(release) == b"page 2"
    assert len(made) == 2


def test_a_store_that_cannot_be_written_to_only_costs_time(release: Path, made: list[str], tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    assert (again(release), again(release)) == (b"page 1", b"page 2")
    assert len(made) == 2
