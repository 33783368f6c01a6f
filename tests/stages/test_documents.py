from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from functools import partial
from itertools import pairwise
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from regrow.corpus import content
from regrow.corpus import documents as corpus_documents
from regrow.corpus.documents import (
    DOCUMENTS,
    EXCLUDED,
    LeftOut,
    Tally,
    identify,
    read_documents,
    read_exclusions,
    stream,
    stream_exclusions,
)
from regrow.errors import InputError, Interrupted, StageError
from regrow.formats import parts
from regrow.sources import archives
from regrow.stages import documents
from regrow.stages.documents import DocumentsParameters, grouped, tally_words

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
    assert '`format = "conversations"`' in caught.value.hint  # which have no field of texts
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


NAMES = st.lists(st.text("ab!/0.-\U0001f600", min_size=1, max_size=4), unique=True, max_size=12)


@given(NAMES, st.lists(st.text("ab!/0-", max_size=4), min_size=1, max_size=3), st.integers(1, 5))
def test_what_is_in_the_files_of_a_group_comes_before_what_is_in_those_of_the_next(
    names: list[str], inner: list[str], least: int
) -> None:
    sizes = {name: len(name) for name in names}
    found = grouped(sizes, least)
    assert [name for group in found for name in group] == sorted(names)
    assert len(found) == 1 or all(sum(map(sizes.__getitem__, group)) >= least for group in found)
    given = [[one for name in group for one in (name, *(f"{name}!/{path}" for path in inner))] for group in found]
    assert all(max(one) < min(other) for one, other in pairwise(given))


def files_of_all_sorts() -> dict[str, bytes | str]:
    rows = "".join(json.dumps({"text": f"row {n}\n\n" * (n % 9)}) + "\n" for n in range(200))
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name in ("z.txt", "a.txt", "deep/m.jsonl"):
            archive.writestr(name, rows)
    return {
        "a.jsonl": rows + "no row\n",
        "a.jsonl!.txt": "after its rows",
        "a.jsonl .txt": "before its pieces",
        "b.zip": buffer.getvalue(),
        "b/c.txt": "in a folder\n\n" * 20,
        "d.jsonl.gz": gzip.compress(rows.encode()),
        "e.png": b"\x89PNG\r\n\x1a\n",
        "f.md": "last",
    }


def test_the_parts_of_a_source_are_what_it_is_in_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, object]] = []
    monkeypatch.setattr(Quiet, "emit", lambda _, event, **fields: said.append({"event": event, **fields}))
    parameters = {"max_characters": 30, "max_unreadable": 1.0}
    whole = bench.documents(files_of_all_sorts(), **parameters)
    assert len(parts.folders(whole)) == 1
    (told,) = (event for event in said if event["event"] == "tally")
    for size in (1, 100, 1000, 3000):
        said.clear()
        monkeypatch.setattr(documents, "PART", size)
        out = bench.documents(files_of_all_sorts(), **parameters)
        assert len(parts.folders(out)) > 1
        assert [row for folder in parts.folders(out) for row in read_documents(folder / DOCUMENTS)] == [*stream(whole)]
        assert list(stream_exclusions(out)) == list(stream_exclusions(whole))
        assert Tally.open(out) == Tally.open(whole) is not None
        assert [event for event in said if event["event"] == "tally"] == [told]


def test_nothing_in_any_part_is_one_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "PART", 1)
    with pytest.raises(InputError, match=r"no file of source `s` fits `\*.md`") as caught:
        bench.documents({"a.txt": "a", "b.txt": "b"}, select=["*.md"])
    assert "a.txt" in caught.value.why
    with pytest.raises(InputError, match="no text can be read from 2 of 3 files of source `s`"):
        bench.documents({"a.txt": b"\xff", "b.txt": b"\xff", "c.txt": "c"})


@pytest.mark.parametrize("how", ["gz", "tar.gz", "zip"])
def test_a_large_file_in_an_archive_is_read_as_a_stream(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(archives, "_HELD", 1000)
    monkeypatch.setattr(archives, "_CHUNK", 1 << 12)
    monkeypatch.setattr(archives, "Limits", partial(archives.Limits, member=20_000))  # of what is read as a whole
    rows = "".join(json.dumps({"text": f"row {n}"}) + "\n" for n in range(9000)).encode()
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("rows.jsonl", rows)
    packed = {"gz": gzip.compress(rows), "tar.gz": archive(("rows.jsonl", rows, b"0")), "zip": buffer.getvalue()}
    out = bench.documents({f"rows.jsonl.{how}": packed[how]})
    assert [row.text for row in read_documents(out / DOCUMENTS)] == [f"row {n}" for n in range(9000)]
    with pytest.raises(InputError, match=r"`rows\.jsonl` has more than 20000 bytes unpacked"):
        bench.documents({f"rows.jsonl.{how}": packed[how]}, format="text")
    half = packed[how][: len(packed[how]) // 2]
    if how != "zip":
        with pytest.raises(InputError, match=r"`rows\.jsonl\..*gz` cannot be read"):
            bench.documents({f"rows.jsonl.{how}": half})


def test_a_line_without_an_end_does_not_fill_memory(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (archives, content):
        monkeypatch.setattr(module, "_CHUNK", 1 << 12)
    monkeypatch.setattr(archives, "_HELD", 1000)
    monkeypatch.setattr(content, "_LONGEST_LINE", 1 << 16)
    with pytest.raises(StageError, match="a line is too long to be unpacked") as caught:
        bench.documents({"a.jsonl.gz": gzip.compress(bytes([65]) * 500_000)})
    assert caught.value.where == "a.jsonl.gz!/a.jsonl"
    assert "unpack the file yourself" in caught.value.hint


def test_a_stream_that_nobody_reads_to_its_end_is_still_checked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_HELD", 1000)
    monkeypatch.setattr(archives, "_CHUNK", 1 << 12)
    packed = gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 900, 1)
    out = bench.documents({"a.txt": "a", "b.gz": packed})
    assert [row.reason for row in read_exclusions(out / EXCLUDED)] == ["not text"]
    with pytest.raises(InputError, match="cannot be read"):
        bench.documents({"a.txt": "a", "b.gz": packed[:-9]})


def test_a_text_that_no_table_holds_is_left_out_with_the_reason(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_documents, "MOST_BYTES", 100)
    files: dict[str, bytes | str] = {
        "a.txt": "\xe4" * 51,
        "b.txt": "a" * 100,
        "c.jsonl": json.dumps({"text": "x" * 101}),
    }
    out = bench.documents(files, max_unreadable=1.0)
    assert [row.file for row in read_documents(out / DOCUMENTS)] == ["b.txt"]
    assert [(row.locator, row.reason) for row in read_exclusions(out / EXCLUDED)] == [
        ("a.txt:0-102", "too long"),
        ("c.jsonl:0-113", "too long"),
    ]


MEMORY = """
import sys
from pathlib import Path
from regrow.engine import phases
from regrow.recipe.kind import Call, Surroundings
from regrow.stages import KINDS

class Quiet:
    surroundings = Surroundings(Path())
    def emit(self, event, **fields): pass
    def stopping(self): return False

root = Path(sys.argv[1])
source = {"source": "s", "licence": "CC0-1.0", "availability": "open", **eval(sys.argv[2])}
for kind, slot, given, parameters in (
    ("documents", "files", "files", source),
    ("clean", "documents", "documents", {"minimum_characters": 1, "shards": 3}),
):
    (root / kind).mkdir()
    inputs = {slot: (root / given,)}
    call = Call(kind, KINDS[kind].parameters(**parameters), inputs, root / kind, root / f"{kind}-scratch", Quiet())
    phases.run(KINDS[kind], call)
status = Path("/proc/self/status").read_text()
print(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1000)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the kernel of Linux")
@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "csv", "parquet", "out of order", "txt"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, form: str) -> None:
    files = tmp_path / "files"
    files.mkdir()
    texts = [f"a text of a few words and a number, which is {n}" for n in range(600_000)]
    if form == "csv":
        (files / "a.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in texts))
    elif form == "parquet":
        pyarrow.parquet.write_table(pyarrow.table({"text": texts}), files / "a.parquet", compression="none")
    elif form == "txt":  # one document, which has to be normalised
        (files / "a.txt").write_text("\u2026 \n".join(texts[:700_000]))
    elif form == "out of order":  # the names of what is cut from rows are not in the order of their numbers
        rows = (json.dumps({"text": f"{text}\n\n{text}"}) for text in texts[:200_000])
        (files / "a.jsonl").write_text("\n".join(rows))
    else:
        data = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
        (files / f"a.{form}").write_bytes(gzip.compress(data, 1) if form.endswith("gz") else data)
    more = {"max_characters": 60} if form == "out of order" else {}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), repr(more)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 400
