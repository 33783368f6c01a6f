"""Files that nobody touched are not read at each look. python -m pytest tests/sources/test_looked.py"""

import os
from pathlib import Path

import pytest

from regrow.recipe.pin import Pins
from regrow.sources import file as module
from regrow.sources import looked, resolve
from regrow.store import sha256_bytes


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REGROW_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(looked, "_SETTLED", -(10**12))  # so that files of this moment are remembered too
    (tmp_path / "toy" / "texts" / "deep").mkdir(parents=True)
    for name in ("a.txt", "deep/b.txt"):
        (tmp_path / "toy" / "texts" / name).write_text(f"SPDX-License-Identifier: MIT\n{name}")
    return tmp_path / "toy"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    real = module.sha256_file
    monkeypatch.setattr(module, "sha256_file", lambda path: found.append(path.name) or real(path))  # type: ignore[func-returns-value]
    return found


def test_what_was_read_is_remembered_with_all_that_was_found(base: Path, reads: list[str]) -> None:
    first = resolve("file:texts", base)
    assert (reads, resolve("file:texts", base)) == (["a.txt", "b.txt"], first)
    assert reads == ["a.txt", "b.txt"]
    assert first[0].licences_found == ("MIT",)


@pytest.mark.parametrize("change", ["bytes", "bytes behind the date", "another inode"])
def test_what_changed_is_read_again(base: Path, reads: list[str], change: str) -> None:
    resolve("file:texts", base)
    path = base / "texts" / "a.txt"
    before, text = path.stat(), path.read_text()
    changed = text.replace("a.txt", "c.txt")
    if change == "another inode":
        (base / "new").write_text(changed)
        (base / "new").replace(path)
    else:
        path.write_text(changed)
    if change != "bytes":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert resolve("file:texts", base)[0].sha256 == sha256_bytes(changed.encode())
    assert reads == ["a.txt", "b.txt", "a.txt"]


def test_a_file_of_this_moment_is_not_remembered(base: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looked, "_SETTLED", 2 * 10**9)
    resolve("file:texts", base)
    resolve("file:texts", base)
    assert reads == ["a.txt", "b.txt"] * 2


@pytest.mark.parametrize("spoiled", [b"", b"nonsense", b"\xff", b"regrow/looked/2\na.txt\0 x\nno line\n\0\0\n"])
def test_notes_that_make_no_sense_are_read_past(base: Path, reads: list[str], spoiled: bytes) -> None:
    first = resolve("file:texts", base)
    (note,) = (base.parent / "store" / "looked").iterdir()
    note.write_bytes(spoiled)
    assert resolve("file:texts", base) == first
    assert len(reads) == 4


def test_a_place_that_cannot_be_written_to_only_costs_time(base: Path, reads: list[str]) -> None:
    (base.parent / "store").write_text("a file")
    assert resolve("file:texts", base) == resolve("file:texts", base)
    assert len(reads) == 4


def test_files_that_are_as_they_were_are_not_gone_over_again(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the list of them gets it back as it is, without a pin made anew; a change of any one is seen."""
    for name in ("a.txt", "deep/b.txt"):
        (base / "texts" / name).write_text(name)
    known = Pins(resolve("file:texts", base))
    assert resolve("file:texts", base, known=known) is known
    others = Pins(resolve("file:texts", base)[:1])
    assert resolve("file:texts", base, known=others) == known
    (base / "texts" / "c.txt").write_text("more")
    assert [pin.file for pin in resolve("file:texts", base, known=known)] == ["a.txt", "c.txt", "deep/b.txt"]
    (base / "texts" / "c.txt").unlink()
    (base / "texts" / "a.txt").write_text("b.txt")
    assert resolve("file:texts", base, known=known)[0].sha256 == sha256_bytes(b"b.txt")


def test_each_file_is_asked_for_once(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.txt", "deep/b.txt"):
        (base / "texts" / name).write_text(name)
    known, asked, real = Pins(resolve("file:texts", base)), list[str](), os.stat

    def stat(path: str | Path, **how: bool) -> os.stat_result:
        asked.append(Path(path).name)
        return real(path, **how)

    monkeypatch.setattr(os, "stat", stat)
    assert resolve("file:texts", base, known=known) is known
    assert sorted(name for name in asked if name.endswith(".txt")) == ["a.txt", "b.txt"]


def test_what_files_say_of_their_licences_is_not_forgotten(base: Path) -> None:
    """It stands in no list, so that a list is not taken for all that is known of the files."""
    known = Pins(resolve("file:texts", base)).bare
    assert resolve("file:texts", base, known=known)[0].licences_found == ("MIT",)
