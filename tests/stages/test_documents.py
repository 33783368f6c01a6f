from __future__ import annotations

import io
import json
import tarfile

import pyarrow
import pytest
from pydantic import ValidationError

from regrow.corpus.documents import (
    DOCUMENTS,
    EXCLUDED,
    LeftOut,
    Tally,
    identify,
    read_documents,
    read_exclusions,
)
from regrow.errors import InputError, Interrupted, StageError
from regrow.stages.documents import DocumentsParameters, tally_words

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
    out = bench.documents({"p.tar.gz": data, "note.txt": "not deep enough"}, select=["*/*.txt"], max_unreadable=1)
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
    with pytest.raises(InputError) as caught:
        bench.documents({"a.txt": b"\xff", "b.txt": b"\xfe"}, max_unreadable=1.0)
    assert caught.value.what == "no text can be read from 2 of 2 files of source `s`"
    assert caught.value.why == "not utf-8 (2), first a.txt: byte 0 is 0xff"
    assert caught.value.hint == "see whether `format`, `field` and `encoding` fit the files"


def test_a_field_that_no_row_has_is_one_line_that_names_those_there_are(bench: Bench) -> None:
    rows = "".join(f'{{"text": "row {n}", "id": {n}}}\n' for n in range(300))
    with pytest.raises(InputError) as caught:
        bench.documents({"a.jsonl": rows, "b.txt": "text", "c.txt": "text"}, field="body")
    assert caught.value.what == "no text can be read from 300 of 300 rows of source `s`"
    assert caught.value.why == ("no text (300), first a.jsonl:0-26: there is no field `body`, but `text`, `id`")
    assert "`field`" in caught.value.hint
    assert "with `max_unreadable = 1.0` they may be missing" in caught.value.hint


def mixed(good: int, bad: int) -> dict[str, bytes | str]:
    return {"a.jsonl": '{"k": 1, "text": "a"}\n' * good + '{"text": "b"},\n' * bad, "b.txt": "text"}


def test_how_much_may_be_missing_is_for_the_recipe_to_say(bench: Bench) -> None:
    with pytest.raises(InputError, match="190 of 200 rows of source `s`") as caught:
        bench.documents(mixed(10, 190), group_by=["k"])
    assert "`max_unreadable = 0.95`" in caught.value.hint
    for share in (0.95, 1.0):
        bench.documents(mixed(10, 190), group_by=["k"], max_unreadable=share)
    with pytest.raises(InputError, match="1 of 2 files of source `s`"):
        bench.documents({"a.txt": "a", "b.txt": b"\xff"}, max_unreadable=0.4)
    bench.documents({"a.txt": "a", "b.txt": b"\xff"})


def test_what_was_left_out_is_counted_and_kept(bench: Bench) -> None:
    files = {**mixed(10, 3), "c.png": b"\x89PNG\r\n\x1a\n", "d.yaml": "a: 1"}
    out = bench.documents(files, group_by=["k"], max_characters=3)
    tally = Tally.open(out)
    assert tally == Tally(
        "s", 11, 4, 13,
        (LeftOut("not text", 1, "c.png", "it is a PNG image"),
         LeftOut("structured text", 1, "d.yaml", 'format = "text" would take it as it is, keys and all')),
        (LeftOut("not JSON", 3, "a.jsonl:220-234", '"," follows the object'),),
    )  # fmt: skip
    assert tally.words() == (
        "2 of 4 files of s: not text (1), first c.png: it is a PNG image; structured text (1), first d.yaml: "
        'format = "text" would take it as it is, keys and all; and 3 of 13 rows of s: not JSON (3), '
        'first a.jsonl:220-234: "," follows the object'
    )


def test_a_source_that_is_read_whole_has_nothing_to_tell(bench: Bench) -> None:
    out = bench.documents(mixed(2, 0))
    assert Tally.open(out) is None
    assert sorted(path.name for path in out.iterdir()) == [DOCUMENTS, EXCLUDED]


def test_a_pointer_of_git_says_how_to_get_what_it_points_to(bench: Bench) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"
    with pytest.raises(InputError) as caught:
        bench.documents({"a.jsonl": pointer})
    assert caught.value.why.startswith("a Git LFS pointer (1), first a.jsonl")
    assert "git lfs pull" in caught.value.hint


def test_the_parts_of_a_row_have_places_and_ids_of_their_own(bench: Bench) -> None:
    same = "again and again\n\n"
    long, short = json.dumps({"text": same * 3}), json.dumps({"text": "short"})
    out = bench.documents({"a.json": f"[{long},{short}]"}, max_characters=18)
    found = read_documents(out / DOCUMENTS)
    end = 1 + len(long)
    assert [(one.locator, one.text) for one in found] == [
        (f"a.json:{end + 1}-{end + 1 + len(short)}", "short"),
        *((f"a.json!/1-{end}:{n * 17}-{n * 17 + 17}", same) for n in range(3)),
    ]
    assert len({one.id for one in found}) == 4


def test_a_stop_is_heard(bench: Bench) -> None:
    with pytest.raises(Interrupted):
        bench.run("documents", SOURCE, files=TINY, stopped=True)


def test_parameters_are_checked_and_canonical() -> None:
    with pytest.raises(ValidationError, match="not an encoding regrow reads"):
        DocumentsParameters(**SOURCE, encoding="utf-7")
    one, other = (DocumentsParameters(**SOURCE, encoding=name) for name in ("UTF8", "utf-8"))
    assert one == other
    with pytest.raises(ValidationError, match="means nothing for the format `html`"):
        DocumentsParameters(**SOURCE, format="html", field="body")
    assert DocumentsParameters(**SOURCE, format="csv", field="body").field == "body"
    assert "attribution" not in DocumentsParameters(**SOURCE, attribution="A. Uthor").model_dump()


def test_what_cannot_be_grouped_says_in_which_file(bench: Bench) -> None:
    files: dict[str, bytes | str] = {"a.jsonl": '{"text": "a", "k": 1}\n', "b/c.csv": "text\nx\n"}
    with pytest.raises(StageError, match="no column `k`") as caught:
        bench.documents(files, group_by=["k"])
    assert caught.value.where == "b/c.csv"


def test_a_file_without_a_text_is_none_that_documents_are_from() -> None:
    tally = Tally("s", 2, files=3, rows=0, files_left_out=(LeftOut("not text", 1, "a.bin", ""),))
    assert tally_words(tally) == "s: 2 documents from 2 files; left out 1 of 3 files of s: not text (1), first a.bin"


def test_a_table_with_other_delimiters_is_not_taken_for_one_without_the_column(bench: Bench) -> None:
    with pytest.raises(InputError, match="no text can be read") as caught:
        bench.documents({"a.csv": "id;text\n1;x\n"})
    assert caught.value.why == "not CSV (1), first a.csv: the first row has semicolons between its columns"
    assert "commas in CSV" in caught.value.hint
