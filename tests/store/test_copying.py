"""python -m pytest tests/store/test_copying.py"""

import hashlib
from pathlib import Path

import pytest

from regrow.store import copying
from regrow.store.copying import copy, copy_hashed

DATA = b"a text" * 300_000


@pytest.fixture(params=["shared where it can be", "written"])
def original(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "written":
        monkeypatch.setattr(copying, "_shared", lambda *_: False)
    (tmp_path / "original").write_bytes(DATA)
    return tmp_path / "original"


def test_a_copy_is_what_its_original_was_and_nobody_elses(original: Path) -> None:
    target = original.with_name("copy")
    assert copy_hashed(original, target) == hashlib.sha256(DATA).hexdigest()
    copy(original, original.with_name("another"))
    with original.open("r+b") as file:  # in place, as some editors and all data bases do
        file.write(b"other words")
    assert target.read_bytes() == original.with_name("another").read_bytes() == DATA
    target.chmod(0o444)
    assert original.stat().st_mode & 0o200


def test_a_file_that_is_there_is_not_written_to(original: Path) -> None:
    for how in (copy, copy_hashed):
        with pytest.raises(FileExistsError):
            how(original, original)
    assert original.read_bytes() == DATA
