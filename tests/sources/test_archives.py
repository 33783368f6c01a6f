from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.errors import InputError
from regrow.sources.archives import Limits, Member, Refused, is_archive, members

EVIL = {
    "../up.txt": "a path that leaves the archive",
    "a/../../up.txt": "a path that leaves the archive",
    "..\\up.txt": "a path that leaves the archive",
    "/etc/passwd.txt": "an absolute path",
    "C:/windows.txt": "an absolute path",
    "\\\\host\\share.txt": "an absolute path",
    "new\nline.txt": "an unusable name",
    "a\\b.txt": "an unusable name",
}


def tar(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, data in entries:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def everything(path: Path, limits: Limits | None = None) -> list[Member | Refused]:
    return list(members(path, path.name, lambda name: True, limits))


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz"), ("a.tar.bz2", "w:bz2"), ("a.txz", "w:xz")],
)
def test_tar_files_of_all_sorts(tmp_path: Path, name: str, mode: str) -> None:
    path = tar(tmp_path / name, [(tarfile.TarInfo("b/two.txt"), b"two"), (tarfile.TarInfo("one.txt"), b"")], mode)
    assert is_archive(name)
    assert everything(path) == [Member("b/two.txt", b"two"), Member("one.txt", b"")]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_files_of_all_sorts(tmp_path: Path, compression: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w", compression) as archive:
        archive.writestr("b/", b"")
        archive.writestr("b/two.txt", b"two" * 1000)
    assert everything(tmp_path / "a.whl") == [Member("b/two.txt", b"two" * 1000)]


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_single_compressed_files(tmp_path: Path, suffix: str, pack) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / f"book.txt.{suffix}"
    path.write_bytes(pack(b"hello"))
    assert everything(path) == [Member("book.txt", b"hello")]


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_only_what_is_wanted_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "A")
            archive.writestr("b.md", "B")
    else:
        tar(path, [(tarfile.TarInfo("a.txt"), b"A"), (tarfile.TarInfo("b.md"), b"B")])
    assert list(members(path, path.name, lambda name: name.endswith(".md"))) == [Member("b.md", b"B")]


@pytest.mark.parametrize("name", EVIL)
def test_evil_paths_are_refused(tmp_path: Path, name: str) -> None:
    assert everything(tar(tmp_path / "a.tar.gz", [(tarfile.TarInfo(name), b"x")])) == [Refused(name, EVIL[name])]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, "x")
    (found,) = everything(tmp_path / "a.zip")
    assert isinstance(found, Refused)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "a.zip"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, kind: bytes, reason: str) -> None:
    info = tarfile.TarInfo("passwords.txt")
    info.type, info.linkname = kind, "/etc/passwd"
    assert everything(tar(tmp_path / "a.tar", [(info, b"")], "w")) == [Refused("passwords.txt", reason)]


def test_a_symbolic_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("passwords.txt")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert everything(tmp_path / "a.zip") == [Refused("passwords.txt", "a symbolic link")]


def test_a_second_entry_of_a_name_is_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", [(tarfile.TarInfo("a.txt"), b"1"), (tarfile.TarInfo("a.txt"), b"2")], "w")
    assert everything(path) == [Member("a.txt", b"1"), Refused("a.txt", "a second entry of that name")]


@pytest.mark.parametrize(
    "limits",
    [Limits(member=999), Limits(total=1500), Limits(members=1), Limits(names=9)],
    ids=["member", "total", "members", "names"],
)
@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_bombs_are_not_unpacked(tmp_path: Path, kind: str, limits: Limits) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ("a.txt", "b.txt"):
                archive.writestr(name, bytes(1000))
    else:
        tar(path, [(tarfile.TarInfo(name), bytes(1000)) for name in ("a.txt", "b.txt")])
    with pytest.raises(InputError, match="holds more than an archive may"):
        everything(path, limits)


def test_a_single_file_that_is_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(bytes(10_000_000)))
    with pytest.raises(InputError, match="more than 1000000 bytes"):
        everything(path, Limits(member=1_000_000))


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "a.txt.xz", "a.tar"])
def test_a_damaged_archive_is_an_input_error(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"hello" * 1000)
    tar(tmp_path / "a.tar.gz", [(tarfile.TarInfo("a.txt"), bytes(range(256)) * 40)])
    tar(tmp_path / "a.tar", [(tarfile.TarInfo("a.txt"), bytes(5000))], "w")
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(b"hello" * 1000))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: min(len(whole) // 2, 4000)])
    with pytest.raises(InputError, match="cannot be read") as caught:
        everything(tmp_path / name)
    assert caught.value.exit_code == 6


@given(st.binary(max_size=300), st.sampled_from(["a.tar", "a.tar.gz", "a.zip", "a.txt.gz", "a.txt.bz2"]))
def test_noise_is_an_input_error_or_nothing(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str) -> None:
    path = tmp_path_factory.mktemp("noise") / name
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        everything(path)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", [(tarfile.TarInfo("caf\udce9.txt"), b"x")], "w")
    assert everything(path) == [Refused("caf\udce9.txt", "an unusable name")]


def test_names_do_not_depend_on_the_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive:
        archive.addfile(tarfile.TarInfo("caf\u00e9.txt"))
    monkeypatch.setattr(tarfile.TarFile, "encoding", "iso8859-1")
    assert everything(tmp_path / "a.tar") == [Member("caf\u00e9.txt", b"")]


def test_a_zip_with_two_names_for_a_file_is_read_by_the_one_every_python_knows(tmp_path: Path) -> None:
    info, other = zipfile.ZipInfo("plain.txt"), b"other.txt"
    info.extra = struct.pack("<HHBL", 0x7075, 5 + len(other), 1, zlib.crc32(b"plain.txt")) + other
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "x")
        archive.writestr("cut_short.txt", "y")
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes().replace(b"cut_", b"cut\0"))
    assert everything(tmp_path / "a.zip") == [
        Member("plain.txt", b"x"),
        Refused("cut\0short.txt", "an unusable name"),
    ]


def test_a_zip_whose_index_has_lost_a_name_is_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", b"x")
        archive.infolist()[0].filename = ""
    with pytest.raises(InputError, match="cannot be read"):
        everything(tmp_path / "a.zip")


def blocks(kind: bytes, data: bytes, size: int | None = None) -> bytes:
    """An entry of a tar file as it lies there, which may lie about its size."""
    info = tarfile.TarInfo("a.txt")
    info.type, info.size = kind, len(data) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def pax(**records: str) -> bytes:
    rows = (f" {key}={value}\n".encode() for key, value in records.items())
    return b"".join(next(b"%d" % n + row for n in range(9999999) if n == len(b"%d" % n + row)) for row in rows)


SPARSE = bytearray(blocks(tarfile.GNUTYPE_SPARSE, b""))
SPARSE[482] = 1  # the list of its parts goes on in the next block
SPARSE[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(SPARSE))[0]
LONG = "n" * 3000
BOMBS = {
    "a long name": blocks(tarfile.GNUTYPE_LONGNAME, LONG.encode()),
    "a long link": blocks(tarfile.GNUTYPE_LONGLINK, LONG.encode()),
    "an extended header": blocks(tarfile.XHDTYPE, pax(comment=LONG)),
    "a header of Solaris": blocks(tarfile.SOLARIS_XHDTYPE, pax(comment=LONG)),
    "a global header": blocks(tarfile.XGLTYPE, pax(comment=LONG)),
    "many headers": blocks(tarfile.XHDTYPE, pax(comment="n")) * 3,
    "less than nothing": blocks(tarfile.GNUTYPE_LONGNAME, b"n" * 3000, -1024),
    "a sparse file": bytes(SPARSE) + (bytes(504) + b"\1" + bytes(7)) * 5,
    "a newer sparse file": blocks(tarfile.XHDTYPE, pax(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}))
    + blocks(tarfile.REGTYPE, b"1000000\n" + b"1\n" * 3000),
    "global headers that add up": b"".join(
        blocks(tarfile.XGLTYPE, pax(**{f"k{n}": "n" * 800})) + blocks(tarfile.REGTYPE, b"") for n in range(4)
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_describes_files_is_no_bomb_either(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "a.tar").write_bytes(BOMBS[bomb] + blocks(tarfile.REGTYPE, b"x") + bytes(1024))
    with pytest.raises(InputError, match=r"OverflowError: what it says of (a file is too long|all its files has)"):
        everything(tmp_path / "a.tar", Limits(header=2048))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("damage", ["a flipped byte", "a byte too many", "cut in a header"])
def test_entries_after_a_damaged_header_are_not_just_left_out(tmp_path: Path, damage: str, pack) -> None:  # type: ignore[no-untyped-def]
    entry, end = blocks(tarfile.REGTYPE, b"x" * 700), bytes(1024)
    data = {
        "a flipped byte": entry + b"\xff" + entry[1:] + end,
        "a byte too many": entry + b"\n" + entry + end,
        "cut in a header": entry + entry[:200],
    }[damage]
    (tmp_path / "a.tar").write_bytes(pack(data))
    with pytest.raises(InputError, match="neither another nor the end"):
        everything(tmp_path / "a.tar")


@pytest.mark.parametrize("end", [0, 512, 1024, 10240])
def test_a_tar_file_may_end_as_it_likes(tmp_path: Path, end: int) -> None:
    (tmp_path / "a.tar").write_bytes(blocks(tarfile.REGTYPE, b"x" * 700) + bytes(end))
    assert everything(tmp_path / "a.tar") == [Member("a.txt", b"x" * 700)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
@pytest.mark.parametrize("between", [512, 1024, 10240])
def test_an_archive_behind_the_end_of_another_is_not_just_left_out(tmp_path: Path, pack, between: int) -> None:  # type: ignore[no-untyped-def]
    entry = blocks(tarfile.REGTYPE, b"x" * 700)
    (tmp_path / "a.tar").write_bytes(pack(entry + bytes(between) + entry + bytes(1024)))
    with pytest.raises(InputError, match="another archive follows its end"):
        everything(tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes(pack(entry + bytes(between) + b"left in memory" * 99))
    assert everything(tmp_path / "a.tar") == [Member("a.txt", b"x" * 700)]


def test_each_file_has_its_own_share_of_headers(tmp_path: Path) -> None:
    entry = blocks(tarfile.XHDTYPE, pax(comment="n" * 400)) + blocks(tarfile.REGTYPE, b"x" * 5000)
    (tmp_path / "a.tar").write_bytes(entry * 9 + bytes(1024))
    first, *others = everything(tmp_path / "a.tar", Limits(header=2048))
    assert first == Member("a.txt", b"x" * 5000)
    assert others == [Refused("a.txt", "a second entry of that name")] * 8
