from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from regrow.errors import InputError, RecipeError
from regrow.recipe.pin import Pin
from regrow.sources import check, package_url, resolve, retrieve
from regrow.sources.archives import Member, Refused, is_archive, members
from regrow.sources.deb import Archive, configured
from regrow.sources.select import Choice

from .conftest import Server

COPYRIGHT = "Format: x\n\nFiles: *\nLicense: public-domain\n\nFiles: debian/*\nLicense: GPL-2+\n The text.\n"
FILES = {
    "./usr/share/doc/poems/one.txt": b"roses are red",
    "./usr/share/doc/poems/copyright": COPYRIGHT.encode(),
}
PLACE = "pool/main/p/poems/poems_1.0-2+b1_all.deb"


def zstd(data: bytes) -> bytes:
    import pyarrow as pa

    return bytes(pa.compress(data, codec="zstd", asbytes=True))


PACKERS: dict[str, Callable[[bytes], bytes]] = {".xz": lzma.compress, ".gz": gzip.compress, ".zst": zstd, "": bytes}


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        link = tarfile.TarInfo("./usr/share/doc/poems/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


def ar(*parts: tuple[str, bytes]) -> bytes:
    out = b"!<arch>\n"
    for name, data in parts:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def deb(end: str = ".xz", files: dict[str, bytes] = FILES) -> bytes:
    control = ("control.tar.gz", gzip.compress(tar({"./postinst": b"exit 1"}), mtime=0))
    return ar(("debian-binary", b"2.0\n"), control, (f"data.tar{end}", PACKERS[end](tar(files))))


def paragraph(data: bytes, **changes: str) -> str:
    told = {"Package": "poems", "Version": "1.0-2+b1", "Architecture": "all", "Filename": PLACE}
    told |= {"Size": str(len(data)), "SHA256": hashlib.sha256(data).hexdigest(), **changes}
    return "".join(f"{key}: {value}\n" for key, value in told.items() if value) + "Description: poems\n of roses\n"


def archive(server: Server, *paragraphs: str, end: str = ".xz", head: str = "", arch: str = "amd64") -> None:
    """Serve a suite with an index of packages."""
    index = PACKERS[end]("\n".join(paragraphs).encode())
    name = f"main/binary-{arch}/Packages{end}"
    sums = f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index):8d} {name}\n"
    server.file("/dists/good/InRelease", f"Suite: good\n{head}\n{sums}".encode())
    server.file(f"/dists/good/{name}", index)
    server.file(f"/dists/good/main/binary-{arch}/by-hash/SHA256/{hashlib.sha256(index).hexdigest()}", index)


@pytest.fixture
def debian(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("REGROW_DEB_ARCHIVE", f"{server.url}/ good main")
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "cache"))
    monkeypatch.setattr("regrow.sources.deb._usual", lambda: Archive(f"{server.url}/usual"))
    archive(server, paragraph(deb(), Version="0.9"), paragraph(deb()), paragraph(b"x", Package="poems-doc"))
    server.file(f"/{PLACE}", deb())
    return server


def test_a_package_is_pinned_and_got_again(debian: Server, tmp_path: Path) -> None:
    data = deb()
    pins = resolve("deb:poems=1.0-2+b1", tmp_path)
    assert pins == (Pin(PLACE, hashlib.sha256(data).hexdigest(), len(data), ("GPL-2+", "public-domain")),)
    retrieve("deb:poems=1.0-2+b1", pins, tmp_path, tmp_path / "out", offline=True)
    assert (tmp_path / "out" / PLACE).read_bytes() == data
    assert package_url("deb:poems=1:1.0-2+b1#arm64") == "pkg:deb/debian/poems@1%3A1.0-2%2Bb1?arch=arm64"


def test_prose_about_licences_is_no_list_of_them(debian: Server, tmp_path: Path) -> None:
    data = deb(files={"./usr/share/doc/poems/copyright": b"License: do as you like.\n"})
    archive(debian, paragraph(data))
    debian.file(f"/{PLACE}", data)
    assert resolve("deb:poems=1.0-2+b1", tmp_path)[0].licences_found == ()


@pytest.mark.parametrize("end", PACKERS)
def test_what_it_installs_is_what_is_in_it(tmp_path: Path, end: str) -> None:
    (tmp_path / "a.deb").write_bytes(deb(end))
    for name in ("a.deb", "a"):  # the bytes tell it too
        assert is_archive(name, deb(end)[:100])
        assert list(members(tmp_path / "a.deb", name, lambda name: name.endswith(".txt"))) == [
            Member("usr/share/doc/poems/one.txt", b"roses are red"),
            Refused("usr/share/doc/poems/link.txt", "a symbolic link"),
        ]
    assert Choice(("usr/share/doc/**/*.txt",)).wants(f"{PLACE}!/usr/share/doc/poems/one.txt")


def test_paths_that_lead_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.deb").write_bytes(deb(files={"./../../up.txt": b"gotcha"}))
    found = list(members(tmp_path / "a.deb", "a.deb", lambda name: "up" in name))
    assert found == [Refused("../../up.txt", "a path that leaves the archive")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"!<arch>\n",
        b"no package",
        deb()[:-3000],
        deb()[:90],
        ar(("debian-binary", b"2.0\n")),
        ar(("debian-binary", b"2.0\n"), ("data.tar.xz", b"x")),
        deb().replace(b"`\n", b"!!"),
    ],
    ids=range(8),
)
def test_a_damaged_package(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.deb").write_bytes(data)
    with pytest.raises(InputError, match=r"`a\.deb` cannot be read"):
        list(members(tmp_path / "a.deb", "a.deb", lambda name: True))


@pytest.mark.parametrize("said", ["poems", "poems=", "Poems=1", "poems/stable", "poems=stable", "poems==1.0", "a=1/2"])
def test_what_moves_is_no_version(said: str) -> None:
    with pytest.raises(RecipeError, match="does not name one version of a package"):
        check(f"deb:{said}")


def test_an_unknown_package_and_an_unknown_version(debian: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no archive has version 2\.0 of `poems`\n.*0\.9, 1\.0-2\+b1") as caught:
        resolve("deb:poems=2.0", tmp_path)
    assert "snapshot" in caught.value.hint
    with pytest.raises(InputError, match=r"no archive has version 1 of `prose`\n.*none of that name"):
        resolve("deb:prose=1", tmp_path)


def test_an_old_version_is_got_from_wherever_it_still_is(
    debian: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = resolve("deb:poems=1.0-2+b1", tmp_path)
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "another"))
    archive(debian, paragraph(deb(), Version="3.0"))
    debian.answers.pop(f"/{PLACE}")
    with pytest.raises(InputError, match=r"no archive has `pool/main/p/poems.* as it was pinned(.|\n)*snapshot"):
        retrieve("deb:poems=1.0-2+b1", pins, tmp_path, tmp_path / "out")
    debian.file(f"/snapshot/2020/{PLACE}", deb())
    monkeypatch.setenv("REGROW_DEB_ARCHIVE", f"{debian.url}; {debian.url}/snapshot/2020/")
    retrieve("deb:poems=1.0-2+b1", pins, tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / PLACE).read_bytes() == deb()


def test_the_hash_that_the_index_lists_is_checked(debian: Server, tmp_path: Path) -> None:
    debian.file(f"/{PLACE}", b"something else")
    with pytest.raises(InputError, match="is not what the package index lists") as caught:
        resolve("deb:poems=1.0-2+b1", tmp_path)
    assert "REGROW_DEB_ARCHIVE" in caught.value.hint


@pytest.mark.parametrize(
    "changes", [{"SHA256": "0" * 63}, {"Filename": "../../x.deb"}, {"Filename": "a"}, {"Size": "-"}]
)
def test_an_index_that_makes_no_sense(debian: Server, tmp_path: Path, changes: dict[str, str]) -> None:
    archive(debian, paragraph(deb(), **changes))
    with pytest.raises(InputError, match="lists no proper place, sha256 and size"):
        resolve("deb:poems=1.0-2+b1", tmp_path)


@pytest.mark.parametrize("end", [".xz", ".gz", ""])
def test_indexes_as_archives_have_them(debian: Server, tmp_path: Path, end: str) -> None:
    archive(debian, paragraph(deb()), end=end, head="Acquire-By-Hash: yes")
    assert resolve("deb:poems=1.0-2+b1", tmp_path)[0].file == PLACE
    archive(debian, paragraph(deb(), Architecture="arm64"), end=end, arch="arm64")
    assert resolve("deb:poems=1.0-2+b1#arm64", tmp_path)[0].file == PLACE


def test_an_archive_that_does_not_answer_hides_no_other(
    debian: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGROW_DEB_ARCHIVE", f"{debian.url}/nothing good main; {debian.url} good main")
    assert resolve("deb:poems=1.0-2+b1", tmp_path)[0].file == PLACE
    monkeypatch.setenv("REGROW_DEB_ARCHIVE", f"{debian.url}/nothing good")
    with pytest.raises(InputError, match="no archive of Debian with a suite `good`"):
        resolve("deb:poems=1.0-2+b1", tmp_path)


def test_the_archives_are_those_of_apt(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "# deb http://no.example a main\n"
        "deb [arch=amd64 signed-by=/x] http://one.example/debian/ old main contrib # x\n"
        "deb-src http://one.example/debian old main\ndeb cdrom:[x] old main\n"
    )
    (folder := tmp_path / "sources.list.d").mkdir()
    (folder / "two.sources").write_text(
        "# made by hand\nTypes: deb deb-src\nURIs: https://two.example\n# in between\nSuites: a b\nComponents: main\n\n"
        "Types: deb\nURIs: http://off.example\nSuites: a\nComponents: main\nEnabled: no\n"
    )
    (folder / "notes.txt").write_text("deb http://no.example a main\n")
    assert [*configured(tmp_path)] == [
        Archive("https://one.example/debian", ("old",), ("main", "contrib")),
        Archive("https://two.example", ("a", "b"), ("main",)),
    ]
    assert [*configured(tmp_path / "nowhere")] == []


@pytest.mark.network
def test_a_real_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path))
    (pin,) = resolve("deb:dict-devil=1.0-13.1", tmp_path)
    assert pin.file == "pool/main/d/dict-devil/dict-devil_1.0-13.1_all.deb"
