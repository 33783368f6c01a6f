"""python -m pytest tests/verify/test_files.py"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_model import contents

from regrow.building.assemble import assemble
from regrow.errors import InputError
from regrow.release import Release
from regrow.verifying.files import FileCheck, check_files


def checked(folder: Path) -> FileCheck:
    return check_files(Release.open(folder))


def assert_only_the_list_is_damaged(release: Path) -> None:
    check = checked(release)
    assert (check.damaged, check.missing, check.extra, check.listed) == (("SHA256SUMS",), (), (), {})
    assert check.digest == hashlib.sha256((release / "SHA256SUMS").read_bytes()).hexdigest()
    assert not check.whole


@pytest.fixture
def release(tmp_path: Path) -> Path:
    assemble(contents(tmp_path / "store"), tmp_path / "toy")
    return tmp_path / "toy"


def test_a_release_is_whole(release: Path) -> None:
    check = checked(release)
    assert check.whole
    assert "model.safetensors" in check.listed


def test_flipped_byte(release: Path) -> None:
    data = bytearray((release / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (release / "model.safetensors").write_bytes(data)
    assert checked(release).damaged == ("model.safetensors",)


def test_swapped_names(release: Path) -> None:
    one, other = release / "config.json", release / "tokenizer.json"
    one.rename(release / "x")
    other.rename(one)
    (release / "x").rename(other)
    assert checked(release).damaged == ("config.json", "tokenizer.json")


def test_renamed_file(release: Path) -> None:
    (release / "config.json").rename(release / "config2.json")
    check = checked(release)
    assert (check.missing, check.extra) == (("config.json",), ("config2.json",))


@pytest.mark.parametrize(
    "name", ["modeling_evil.py", ".git/hooks/x", "data/.gitattributes", "data/more", "SHA256SUMS.py"]
)
def test_added_file_wherever_it_hides(release: Path, name: str) -> None:
    (release / name).parent.mkdir(parents=True, exist_ok=True)
    (release / name).write_text("x")
    assert checked(release).extra == (name,)


def test_what_lies_beside_may_differ(release: Path) -> None:
    (release / "report.html").write_text("x")
    (release / "buildinfo" / "build.json").unlink()
    assert checked(release).whole


def test_links_to_files_are_read_and_links_to_folders_are_not_followed(release: Path, tmp_path: Path) -> None:
    cached = tmp_path / "models--toy" / "snapshots" / "main"
    shutil.copytree(release, cached)
    (tmp_path / "models--toy" / "blobs").mkdir()
    (cached / "config.json").rename(tmp_path / "models--toy" / "blobs" / "0123")
    (cached / "config.json").symlink_to("../../blobs/0123")
    assert checked(cached).whole
    (cached / "loop").symlink_to(cached)
    assert checked(cached).extra == ("loop",)


def test_a_link_that_leads_out_of_the_release_is_damage(release: Path, tmp_path: Path) -> None:
    """The bytes are as listed here; whoever gets the folder gets a link to nothing."""
    (release / "config.json").rename(tmp_path / "blob")
    (release / "config.json").symlink_to(tmp_path / "blob")
    assert checked(release).damaged == ("config.json",)


@pytest.mark.parametrize("target", ["/dev/zero", "nowhere", "data", "config.json"])
def test_a_link_to_what_is_no_file_is_damage(release: Path, target: str) -> None:
    (release / "config.json").unlink()
    (release / "config.json").symlink_to(target)
    assert checked(release).damaged == ("config.json",)


def test_a_pipe_is_damage_and_nobody_waits_for_it(release: Path) -> None:
    (release / "config.json").unlink()
    os.mkfifo(release / "config.json")
    assert checked(release).damaged == ("config.json",)


@pytest.mark.parametrize(
    "line",
    [
        "0" * 64 + "  SHA256SUMS.py\x85" + "0" * 64 + "  training/x",
        "0" * 64 + "  zz\r",
        "0" * 64 + "  ../../etc/passwd",
        "0" * 64 + "  /etc/passwd",
        "0" * 64 + " *config.json",
        "zz  config.json",
        "",
    ],
)
def test_a_list_that_regrow_did_not_write(release: Path, line: str) -> None:
    with (release / "SHA256SUMS").open("ab") as file:
        file.write(line.encode() + b"\n")
    assert_only_the_list_is_damaged(release)


def test_a_list_in_another_order(release: Path) -> None:
    lines = (release / "SHA256SUMS").read_text().splitlines(keepends=True)
    (release / "SHA256SUMS").write_text("".join(reversed(lines)))
    assert_only_the_list_is_damaged(release)


def test_a_path_listed_twice(release: Path) -> None:
    first, *others = (release / "SHA256SUMS").read_text().splitlines(keepends=True)
    (release / "SHA256SUMS").write_text("".join([first, first, *others]))
    assert_only_the_list_is_damaged(release)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(b"\n", b"\r\n"),
        lambda raw: raw.removesuffix(b"\n"),
        lambda raw: raw + b"\n",
        lambda raw: b"\xef\xbb\xbf" + raw,
        lambda raw: b"g" + raw[1:],
        lambda raw: b"\xff" + raw[1:],
        lambda raw: raw.replace(b"config.json", b"conf\xffg.json"),
        lambda raw: raw.replace(b"\n", b"\x0b", 1),
    ],
    ids=["CRLF", "no last newline", "a newline more", "byte order mark", "no hex", "no UTF-8", "in a name", "tab"],
)
def test_a_list_with_other_bytes_is_damaged_itself(release: Path, change: Callable[[bytes], bytes]) -> None:
    path = release / "SHA256SUMS"
    path.write_bytes(change(path.read_bytes()))
    assert_only_the_list_is_damaged(release)


def test_not_a_release(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="there is no release here") as caught:
        checked(tmp_path / "x")
    assert caught.value.exit_code == 6
