"""From Python a release is checked wherever it lies, as a whole, in part, or by what others signed."""

import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

import regrow
from regrow.attesting.statements import signed, statement
from regrow.building import rebuilds
from regrow.formats import dsse, keys
from regrow.release import Release
from regrow.train import loop
from regrow.train.state import State


@pytest.fixture
def packed(made: Path, tmp_path: Path) -> Path:
    """The release in an archive."""
    with tarfile.open(tmp_path / "part.tar.gz", "w:gz") as archive:
        archive.add(made / "release", "part")
    return tmp_path / "part.tar.gz"


def test_a_whole_release_in_an_archive(made: Path, packed: Path) -> None:
    report = regrow.verify(packed, sources=made / "part", store=made / "store")
    assert (report.exit_code, report.release) == (0, str(packed))


def test_parts_of_it(made: Path, packed: Path) -> None:
    report = regrow.verify(packed, segments=2, nonce="a word", sources=made / "part", store=made / "store")
    assert (report.exit_code, report.nonce, report.drawn_here) == (0, "a word", False)
    (run,) = report.looked
    assert run.drawn == 2


def test_training_may_spare_memory_and_is_the_same(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[bool] = []
    train = loop.train

    def seen(*args: Any, **how: Any) -> State:
        trained.append(how["recompute"])
        return train(*args, **how)

    monkeypatch.setattr(loop, "train", seen)
    built = regrow.build(made / "part", tmp_path / "release", store=tmp_path / "store", recompute=True)
    assert built.digest == Release.open(made / "release").digest
    assert regrow.verify(made / "release", sources=made / "part", recompute=True).exit_code == 0
    assert regrow.verify(made / "release", segments=1, sources=made / "part", recompute=True).exit_code == 0
    assert len(trained) >= 3 and all(trained)


def test_what_others_signed(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_STORE", str(tmp_path / "store"))
    release = Release.open(made / "release")
    rebuilds.note(release.digest, "regrow verify", 1.0)
    keys.new(tmp_path / "a", "ed25519")
    (tmp_path / "a.json").write_bytes(dsse.write(signed(statement(release), keys.private_key(tmp_path / "a"))))
    (tmp_path / "trust.toml").write_text('[[rebuilder]]\nname = "alice"\nkey = [{file = "a.pub"}]\n')
    where = shutil.copytree(made / "release", tmp_path / "release")
    trust, said = tmp_path / "trust.toml", [tmp_path / "a.json"]
    assert regrow.verify(where, require=1, trust=trust, attestations=said).agree == ("alice",)
    assert regrow.verify(where, require=2, trust=trust, attestations=said).exit_code == 5


@pytest.mark.parametrize("more", [{"require": 1}, {"nonce": "x"}, {"segments": 2, "require": 1, "trust": "t"}])
def test_arguments_that_do_not_go_together(made: Path, more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="belong"):
        regrow.verify(made / "release", **more)
