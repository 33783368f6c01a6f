"""python -m pytest tests/store/test_places.py"""

import os
import pwd
import stat
import tempfile
from pathlib import Path

import pytest

from regrow.store import Store, caches, default_root
from regrow.store.places import home


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for temporary files, and no word of where other things are."""
    for name in ("REGROW_STORE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp" / f"regrow-{os.getuid()}"


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No entry among the users, and no right to write where one has not been given."""

    def unknown(_: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != "/" and real(path, mode))


def test_the_usual_place_is_among_the_users_caches(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "caches"))
    assert default_root() == caches() == tmp_path / "home" / "caches" / "regrow"  # all of which can be made


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("name", [None, "/", "/nonexistent", "/dev/null"])
def test_without_a_home_things_lie_among_the_temporary_files_for_nobody_else(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    if name is not None:
        monkeypatch.setenv("HOME", name)
    assert caches() == temporary
    assert not temporary.exists()
    with Store(default_root()) as store:
        assert store.root == temporary
        assert f"the store is {temporary}; set REGROW_STORE" in store.notes[0]
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o700


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("taken", ["by a link", "by everybody", "by a file"])
def test_a_temporary_folder_that_others_may_write_to_is_not_used(temporary: Path, taken: str) -> None:
    if taken == "by a link":
        (temporary.parent / "theirs").mkdir()
        temporary.symlink_to("theirs")
    elif taken == "by everybody":
        temporary.mkdir()
        temporary.chmod(0o777)
    else:
        temporary.touch()
    assert caches() == Path("/.cache/regrow")


@pytest.mark.usefixtures("nobody")
def test_where_nothing_can_be_written_a_place_is_still_named(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert caches() == Path("/.cache/regrow")


@pytest.mark.usefixtures("nobody", "temporary")
def test_who_has_no_home_is_at_home_in_the_root() -> None:
    assert home() == Path("/")


def test_a_place_that_is_there_is_used_though_it_can_only_be_read(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "regrow").mkdir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and real(path, mode))
    assert caches() == tmp_path / "regrow"
