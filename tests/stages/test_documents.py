from __future__ import annotations

import io
import tarfile

import pyarrow
import pytest
from pydantic import ValidationError

from regrow.corpus.documents import DOCUMENTS, EXCLUDED, identify, read_documents, read_exclusions
from regrow.errors import InputError, Interrupted
from regrow.stages.documents import DocumentsParameters

from .conftest import SOURCE, TINY, Bench, Quiet


def archive(*entries: tuple[str, bytes, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data, kind in entries:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), kind
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_every_format_by_its_name(bench: Bench) -> None:
    files: dict[str, bytes | str] = {
        "a.txt": "text",
        "deep/b.md": "---\nx: 1\n---\nmark",
        "c.html": "<p>page<script>no</script>",
        "d.jsonl": '{"text": "line"}\n',
    }
    found = read_documents(bench.documents(files) / DOCUMENTS)
    assert [(row.file, row.start, row.end, row.text) for row in found] == [
        ("a.txt", 0, 4, "text"),
        ("c.html", 0, 26, "page"),
        ("d.jsonl", 0, 16, "line"),
        ("deep/b.md", 13, 17, "mark"),
    ]
    assert {(row.source, row.licence, row.availability) for row in found} == {("s", "CC0-1.0", "open")}
    assert found[0].id == identify("s", "a.txt:0-4", "text")


def test_archives_are_looked_into(bench: Bench) -> None:
    data = archive(
        ("p-1/a.txt", b"one", b"0"), ("p-1/b.md", b"two", b"0"), ("p-1/c.txt", b"", b"2"), ("../d.txt", b"x", b"0")
    )
    out = bench.documents({"p.tar.gz": data, "note.txt": "not deep enough"}, select=["*/*.txt"])
    assert [(row.file, row.text) for row in read_documents(out / DOCUMENTS)] == [("p.tar.gz!/p-1/a.txt", "one")]
    refused = {row.locator: (row.reason, row.detail) for row in read_exclusions(out / EXCLUDED)}
    assert refused == {
        "p.tar.gz!/p-1/c.txt:0-0": ("not read", "a symbolic link"),
        "p.tar.gz!/../d.txt:0-0": ("not read", "a path that leaves the archive"),
    }


def test_what_is_in_archives_is_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, object]] = []
    monkeypatch.setattr(Quiet, "emit", lambda _, event, **fields: said.append({"event": event, **fields}))
    names = ("p/a.txt", "p/b.md", "p/.git/config", "p/c.txt~")
    bench.documents({"p.tar.gz": archive(*((name, b"x", b"0") for name in names)), "d.txt": "d"}, select=["**/*.txt"])
    (survey,) = (event for event in said if event["event"] == "selected")
    assert survey == {
        "event": "selected",
        "source": "archives of s",
        "selected": 1,
        "of": 2,
        "not_selected": {".md": 1},
        "left_out": {"backups": 1, "hidden": 1},
    }


def test_an_archive_that_nobody_asked_for_is_recorded_if_it_is_broken(bench: Bench) -> None:
    out = bench.documents({"a.txt": "fine", "junk.zip": "no zip"}, select=["**/*.txt"])
    assert [row.text for row in read_documents(out / DOCUMENTS)] == ["fine"]
    (row,) = read_exclusions(out / EXCLUDED)
    assert (row.locator, row.reason, row.detail) == ("junk.zip:0-0", "not read", "`junk.zip` cannot be read")


def test_a_packed_file_is_read_as_the_name_inside_says(bench: Bench) -> None:
    packed = pyarrow.Codec("zstd").compress(b'{"text": "line"}\n', asbytes=True)
    out = bench.documents({"a.jsonl.zst": packed})
    assert [(row.file, row.text) for row in read_documents(out / DOCUMENTS)] == [("a.jsonl.zst!/a.jsonl", "line")]


def test_exclude_wins(bench: Bench) -> None:
    out = bench.documents({"a.txt": "a", "b.txt": "b"}, exclude=["b*"])
    assert [row.file for row in read_documents(out / DOCUMENTS)] == ["a.txt"]


def test_a_file_that_is_not_utf_8_is_recorded_and_harms_no_other(bench: Bench) -> None:
    out = bench.documents({"a.txt": "fine", "b.txt": "caf\u00e9".encode("latin-1")})
    assert [row.text for row in read_documents(out / DOCUMENTS)] == ["fine"]
    (row,) = read_exclusions(out / EXCLUDED)
    assert (row.source, row.locator, row.stage, row.reason) == ("s", "b.txt:0-4", "documents", "not utf-8")


def test_the_encoding_of_the_recipe_is_used(bench: Bench) -> None:
    out = bench.documents({"b.txt": "caf\u00e9".encode("latin-1")}, encoding="latin-1")
    assert [row.text for row in read_documents(out / DOCUMENTS)] == ["caf\u00e9"]


def test_nothing_selected(bench: Bench) -> None:
    with pytest.raises(InputError) as caught:
        bench.documents({f"{n}.txt": "" for n in range(9)}, select=["*.md"], source="plays")
    assert "no file of source `plays` fits `*.md`" in str(caught.value)
    assert "0.txt, 1.txt, 2.txt, 3.txt, 4.txt ..." in str(caught.value)
    assert caught.value.hint


def test_a_source_that_is_not_text_is_a_mistake(bench: Bench) -> None:
    with pytest.raises(InputError, match="no text of source `s` can be read") as caught:
        bench.documents({"a.txt": b"\xff", "b.txt": b"\xfe"})
    assert caught.value.why == "of 2 places the first is `a.txt:0-1`: not utf-8 (byte 0 is 0xff)"


def test_a_source_without_any_text_is_a_mistake(bench: Bench) -> None:
    with pytest.raises(InputError) as caught:
        bench.documents({"a.jsonl": '{"text": "one"}\n{"text": "two"}\n'}, field="txt")
    assert caught.value.what == "no text of source `s` can be read"
    assert caught.value.why == "of 2 places the first is `a.jsonl:0-15`: no text (field `txt` is missing)"


def test_a_stop_is_heard(bench: Bench) -> None:
    with pytest.raises(Interrupted):
        bench.run("documents", SOURCE, files=TINY, stopped=True)


def test_parameters_are_checked_and_canonical() -> None:
    with pytest.raises(ValidationError, match="not an encoding regrow reads"):
        DocumentsParameters(**SOURCE, encoding="utf-7")
    one, other = (DocumentsParameters(**SOURCE, encoding=name) for name in ("UTF8", "utf-8"))
    assert one == other
    assert "attribution" not in DocumentsParameters(**SOURCE, attribution="A. Uthor").model_dump()
