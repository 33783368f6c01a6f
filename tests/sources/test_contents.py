"""What is read of the files of a source: packed files, archives and those in them, and what only looks like text."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow
import pytest

from regrow.errors import InputError
from regrow.sources.archives import Limits, Refused, is_archive, members
from regrow.sources.contents import contents
from regrow.sources.select import Choice


def zstd(data: bytes) -> bytes:
    return bytes(pyarrow.Codec("zstd").compress(data, asbytes=True))


def zipped(**files: str | bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def found(
    folder: Path,
    name: str,
    data: str | bytes,
    select: Sequence[str] = ("**/*",),
    exclude: Sequence[str] = (),
    limits: Limits | None = None,
) -> dict[str, str]:
    """Name -> text, or in brackets why there is none."""
    path = folder / "file"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    got = contents(path, name, Choice(tuple(select), tuple(exclude)), lambda _: None, limits)
    return {name: f"[{text.reason}]" if isinstance(text, Refused) else text.decode() for name, text in got}


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
}


@pytest.mark.parametrize("suffix", PACKINGS)
def test_packed_files_are_told_by_their_bytes(tmp_path: Path, suffix: str) -> None:
    pack = PACKINGS[suffix]
    assert found(tmp_path, f"texts/a.jsonl.{suffix}", pack(b"A")) == {f"texts/a.jsonl.{suffix}!/a.jsonl": "A"}
    assert found(tmp_path, "texts/a", pack(b"A")) == {"texts/a!/a": "A"}
    assert found(tmp_path, "a.txt", pack(b"A") + pack(b"B"), ["*.txt"]) == {"a.txt!/a.txt": "AB"}
    assert found(tmp_path, "a.gz", pack(tarred(("x.txt", b"X")))) == {"a.gz!/x.txt": "X"}
    assert found(tmp_path, f"a.tar.{suffix}", pack(tarred(("x.txt", b"X"), ("y.txt", b"Y" * 1024)))) == {
        f"a.tar.{suffix}!/x.txt": "X",
        f"a.tar.{suffix}!/y.txt": "Y" * 1024,
    }


@pytest.mark.parametrize("suffix", PACKINGS)
def test_packed_files_that_are_cut_short_or_go_on_are_damaged(tmp_path: Path, suffix: str) -> None:
    whole = PACKINGS[suffix](bytes(range(256)) * 50)
    for data in (whole[: len(whole) // 2], whole[:-1], whole + b"more", whole + whole[:-1]):
        with pytest.raises(InputError, match="cannot be read"):
            found(tmp_path, f"a.txt.{suffix}", data)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_zeros_between_streams_do_not_hide_those_that_follow(tmp_path: Path, suffix: str) -> None:
    pack = PACKINGS[suffix]
    data = pack(b"A" * 3000) + bytes(8) + pack(b"B") + pack(b"") + pack(b"C") + bytes(512)
    assert found(tmp_path, f"a.txt.{suffix}", data) == {f"a.txt.{suffix}!/a.txt": "A" * 3000 + "BC"}
    several = b"".join(pack(part) + bytes(4) for part in (tarred(("x.txt", b"X" * 9000))[:700], b"", bytes(9)))
    with pytest.raises(InputError, match="cannot be read"):
        found(tmp_path, "a.tar", several)


def test_zstandard_of_several_frames_some_to_be_skipped(tmp_path: Path) -> None:
    skipped = b"\x50\x2a\x4d\x18\x04\0\0\0skip"
    assert found(tmp_path, "a.txt.zst", skipped + zstd(b"A") + skipped + zstd(b"B")) == {"a.txt.zst!/a.txt": "AB"}


def test_zstandard_with_a_window_too_large_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="zstd --long") as caught:
        found(tmp_path, "a.txt.zst", b"\x28\xb5\x2f\xfd\x00\xa8" + (1 << 3 | 1).to_bytes(3, "little") + b"A")
    assert caught.value.hint == "unpack it yourself"


def test_a_large_tar_file_in_zstandard_is_read_on_and_on(tmp_path: Path) -> None:
    files = [(f"{n}.txt", bytes([65 + n]) * size) for n, size in enumerate((512, 3 << 20, 1, 0, 1 << 20))]
    assert list(found(tmp_path, "a.tzst", zstd(tarred(*files))).values()) == [data.decode() for _, data in files]


@pytest.mark.parametrize("head", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x01\x00", b"\x04\x22\x4d\x18", b"\x1f\x9d\x90"])
def test_other_packings_are_called_by_their_names(tmp_path: Path, head: bytes) -> None:
    (said,) = found(tmp_path, "texts", head + bytes(20)).values()
    assert any(name in said for name in ("7-Zip", "RAR", "LZ4", "compress"))
    assert "unpack it yourself" in said


def test_what_nothing_marks_goes_by_its_name(tmp_path: Path) -> None:
    assert "Brotli" in found(tmp_path, "a.txt.br", b"\x0b\x02\x80A\x03")["a.txt.br"]
    assert found(tmp_path, "barzaz.br", "ur barzhoneg") == {"barzaz.br": "ur barzhoneg"}


def test_names_in_an_archive_have_no_dots_before_them(tmp_path: Path) -> None:
    data = gzip.compress(tarred(("./pkg/a.txt", b"A"), ("./pkg//./b.md", b"B")))
    for pattern in ("pkg/*.txt", "./pkg/*.txt", "a.tar.gz!/pkg/*.txt", "**/a.txt"):
        assert found(tmp_path, "a.tar.gz", data, [pattern]) == {"a.tar.gz!/pkg/a.txt": "A"}
    assert found(tmp_path, "a.tar.gz", data, ["**/*.md"]) == {"a.tar.gz!/pkg/b.md": "B"}


WHOLE = {"texts/backup.zip!/a.txt": "A", "texts/backup.zip!/old/b.txt": "B"}


@pytest.mark.parametrize("pattern", ["texts/backup.zip", "**/*.zip", "texts/backup.zip!/**", "**/backup.zip/**"])
def test_an_archive_is_chosen_and_left_out_by_its_own_name(tmp_path: Path, pattern: str) -> None:
    data = zipped(**{"a.txt": "A", "old/b.txt": "B"})
    assert found(tmp_path, "texts/backup.zip", data, [pattern]) == WHOLE
    assert found(tmp_path, "texts/backup.zip", data, ["**/*.txt"]) == WHOLE
    assert found(tmp_path, "texts/backup.zip", data, ["**/*.txt"], [pattern]) == {}
    assert found(tmp_path, "texts/other.zip", data, ["**/*.txt"], [pattern]).keys() == (
        set() if "*.zip" in pattern else {"texts/other.zip!/a.txt", "texts/other.zip!/old/b.txt"}
    )


def test_a_file_in_an_archive_is_chosen_and_left_out(tmp_path: Path) -> None:
    data = zipped(**{"a.txt": "A", "b.txt": "B"})
    assert found(tmp_path, "x.zip", data, ["x.zip!/a.txt"]) == {"x.zip!/a.txt": "A"}
    assert found(tmp_path, "x.zip", data, ["**/*"], ["x.zip!/a.txt"]) == {"x.zip!/b.txt": "B"}
    assert found(tmp_path, "x.zip", data, ["y.zip!/a.txt"]) == {}


def test_hidden_things_in_archives_are_passed_over_unless_spelled_out(tmp_path: Path) -> None:
    data = zipped(
        **{".git/config": "G", "__MACOSX/._a.txt": "M", "a.txt~": "old", "a.txt": "A", ".x.zip": zipped(b="B")}
    )
    assert found(tmp_path, "x.zip", data) == {"x.zip!/a.txt": "A"}
    assert found(tmp_path, "x.zip", data, ["x.zip"]) == {"x.zip!/a.txt": "A"}
    assert found(tmp_path, "x.zip", data, [".git/**"]) == {"x.zip!/.git/config": "G"}
    assert found(tmp_path, "x.zip", data, ["x.zip!/.*.zip"]) == {"x.zip!/.x.zip!/b": "B"}


def test_archives_in_archives(tmp_path: Path) -> None:
    inner = zipped(**{"a.txt": "A", "b.jsonl.gz": gzip.compress(b"B")})
    data = tarred(("deep/inner.zip", inner), ("c.txt.zst", zstd(b"C")))
    whole = {"x.tar!/deep/inner.zip!/a.txt": "A", "x.tar!/deep/inner.zip!/b.jsonl.gz!/b.jsonl": "B"}
    assert found(tmp_path, "x.tar", data) == {**whole, "x.tar!/c.txt.zst!/c.txt": "C"}
    assert found(tmp_path, "x.tar", data, ["**/*.txt"], ["**/c.txt"]) == {"x.tar!/deep/inner.zip!/a.txt": "A"}
    assert found(tmp_path, "x.tar", data, ["**/*"], ["**/inner.zip", "**/*.zst"]) == {}
    assert found(tmp_path, "x.tar", data, ["x.tar!/deep/inner.zip!/a.txt"]) == {"x.tar!/deep/inner.zip!/a.txt": "A"}
    assert found(tmp_path, "x.tar", data, ["**/inner.zip"]) == whole


def test_archives_are_not_opened_for_ever(tmp_path: Path) -> None:
    data = zipped(a="A")
    for _ in range(5):
        data = zipped(**{"x.zip": data})
    assert list(found(tmp_path, "x.zip", data).values()) == ["[an archive in 3 others]"]


def test_limits_are_for_all_archives_together(tmp_path: Path) -> None:
    data = zipped(**{f"{n}.zip": zipped(**{"a.txt": bytes(600)}) for n in range(3)})
    with pytest.raises(InputError, match=r"`x.zip` holds more than an archive may"):
        found(tmp_path, "x.zip", data, limits=Limits(total=2000))


def test_a_file_that_is_too_large_says_so_and_what_to_do(tmp_path: Path) -> None:
    for name, data in {"a.txt.gz": gzip.compress(bytes(9999)), "a.zip": zipped(**{"a.txt": bytes(9999)})}.items():
        with pytest.raises(InputError, match=r"`a\.txt` has more than 5000 bytes") as caught:
            found(tmp_path, name, data, limits=Limits(member=5000))
        assert "unpack it yourself" in caught.value.hint
        assert "damaged" not in str(caught.value)
    assert found(
        tmp_path, "a.zip", zipped(**{"a.bin": bytes(9999), "a.txt": "A"}), ["*.txt"], limits=Limits(member=5000)
    )


def test_what_one_machine_can_read_and_another_cannot_is_never_just_left_out(tmp_path: Path) -> None:
    data = zipped(**{"a.txt": bytes(9999), "b.txt": "B"})
    with pytest.raises(InputError, match="more than 5000 bytes"):
        found(tmp_path, "other.zip", data, ["**/*.txt"], limits=Limits(member=5000))


def test_a_large_archive_in_another_does_not_keep_texts_from_being_read(tmp_path: Path) -> None:
    data = zipped(**{"photos.zip": bytes(9999), "b.txt": "B"})
    assert found(tmp_path, "x.zip", data, ["**/*.txt"], limits=Limits(nested=5000)) == {
        "x.zip!/b.txt": "B",
        "x.zip!/photos.zip": "[an archive too large to look into]",
    }


def test_an_archive_that_nobody_asked_for_may_be_broken(tmp_path: Path) -> None:
    assert found(tmp_path, "junk.zip", b"no zip at all", ["**/*.txt"]) == {"junk.zip": "[`junk.zip` cannot be read]"}
    for select in (["**/*"], ["junk.zip"], ["*.zip!/*.txt"]):
        with pytest.raises(InputError, match=r"`junk\.zip` cannot be read"):
            found(tmp_path, "junk.zip", b"no zip at all", select)
    half = gzip.compress(tarred(("a.txt", b"A" * 5000), ("b.txt", bytes(range(256)) * 99)), 0)[:12000]
    with pytest.raises(InputError, match="cannot be read"):
        found(tmp_path, "texts.tar.gz", half, ["**/*.txt"])
    assert found(tmp_path, "junk.zip", b"no zip at all", ["**/*"], ["junk.zip"]) == {}


def test_a_zip_is_known_without_its_suffix_and_documents_are_none(tmp_path: Path) -> None:
    data = zipped(**{"a.txt": "A"})
    assert found(tmp_path, "texts", data) == {"texts!/a.txt": "A"}
    assert not is_archive("letter.docx", data)


def test_only_metadata_is_read_of_packages(tmp_path: Path) -> None:
    """What reads packages looks into one archive and none in it."""
    (tmp_path / "a.zip").write_bytes(zipped(**{"b.zip": b"broken", "PKG-INFO": "License: MIT"}))
    (member,) = members(tmp_path / "a.zip", "a.zip", lambda name: name == "PKG-INFO")
    assert member.path == "PKG-INFO"
