"""What stands beside a text about its rights is kept with it, whatever the file; and nothing else is."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regrow.corpus.beside import said
from regrow.corpus.documents import DOCUMENTS, stream
from regrow.corpus.formats import read
from regrow.corpus.reading import Piece, Reading
from tests.corpus.test_web_archives import page
from tests.stages.conftest import Bench, bench

__all__ = ["bench"]

HEAD = (
    '<meta name="robots" content="noai, noimageai"><meta name="TDM-Reservation" content="1">'
    '<link rel="license" href="https://example.org/terms">'
)


def beside(data: bytes, format: str, reading: Reading = Reading()) -> list[str]:  # noqa: B008
    return [one.rights for one in read(data, format, reading) if isinstance(one, Piece)]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("license", "CC-BY-NC-4.0", "License: CC-BY-NC-4.0"),
        ("Licence", " MIT\n", "License: MIT"),
        ("licenseUrl", "https://example.org/l", '<link rel="license" href="https://example.org/l">'),
        ("max_stars_repo_licenses", ["MIT", None, "ISC"], "License: MIT\nLicense: ISC"),
        ("metadata", {"license": "ISC", "metadata": {"license": "deeper"}}, "License: ISC"),
        ("dc.rights", "All rights reserved", "All rights reserved"),
        ("X-Robots-Tag", "noai", "robots: noai"),
        ("robots_txt", "User-agent: GPTBot\nDisallow: /", "User-agent: GPTBot\nDisallow: /"),
        ("tdm_reservation", 1, "tdm-reservation: 1"),
        ("tdm", "reserved", "tdm-reservation: 1"),
        ("noai", True, "robots: noai"),
        ("license", "half \ud800 a character", "License: half a character"),
        ("license", b"MIT \xff", "License: MIT"),
        # and what says nothing of rights
        ("robots", "index, follow", ""),
        ("tdm_reservation", 0, ""),
        ("license", 3, ""),
        ("license", "", ""),
        ("license", {"id": "MIT"}, ""),
        ("license", "x" * 2001, ""),
        ("licensee", "Ann", ""),
        ("x" * 100 + "_license", "MIT", ""),
        ("text", "All rights reserved", ""),
        ("copyrighted", "no", ""),
    ],
)
def test_a_field(name: str, value: Any, line: str) -> None:
    assert said([(name, value)]) == line


def test_rows_of_each_format() -> None:
    rows = [
        {"text": "one", "license": "MIT", "tdm": "1", "n": "3"},
        {"text": "two", "license": "", "tdm": "", "n": "4"},
    ]
    table = [[*rows[0]], *([*row.values()] for row in rows)]
    files = {
        "jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "json": json.dumps(rows),
        "csv": "".join(",".join(row) + "\n" for row in table),
        "tsv": "".join("\t".join(row) + "\n" for row in table),
    }
    for format, text in files.items():
        assert beside(text.encode(), format) == ["License: MIT\ntdm-reservation: 1", ""], format
    talk = {"prompt": "Hi", "completion": "Ho", "license": "MIT"}
    assert beside(json.dumps(talk).encode(), "conversations", Reading(conversations=True)) == ["License: MIT"]


def test_the_field_that_is_read_is_not_beside_itself() -> None:
    assert beside(b'{"license": "All rights reserved"}', "jsonl", Reading(field="license")) == [""]


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def test_columns_of_parquet() -> None:
    data = parquet(
        text=["a", "b", "c"],
        license=["MIT", None, "ISC"],
        other_licenses=[["BSD-3-Clause", "Zlib"], [], None],
        tdm_reservation=pa.array([1, 0, None], pa.int8()),
        metadata=pa.array([{"license": "cc0-1.0", "n": 1}, None, {"license": None, "n": 2}]),
        rights=pa.array(["x", "All rights reserved", "x"]).dictionary_encode(),
        license_vector=[[0.5], [0.25], []],
        score=[1.0, 2.0, 3.0],
    )
    assert beside(data, "parquet") == [
        "License: MIT\nLicense: BSD-3-Clause\nLicense: Zlib\ntdm-reservation: 1\nx\nLicense: cc0-1.0",
        "All rights reserved",
        "License: ISC\nx",
    ]
    assert beside(data, "parquet", Reading(group_by=("score", "license")))[0].startswith("License: MIT\nLicense: BSD")


def test_a_small_file_of_a_long_value_a_hundred_thousand_times_is_read_in_little_memory() -> None:
    long, count = "x" * 1_000_000, 20_000
    index = pa.array([0] * count, pa.int32())
    values = pa.DictionaryArray.from_arrays(index, pa.array([long]))
    lists = pa.ListArray.from_arrays(pa.array(range(count + 1), pa.int32()), values)
    data = parquet(text=pa.DictionaryArray.from_arrays(index, pa.array(["a"])), license=values, licenses=lists)
    before = pa.total_allocated_bytes()
    assert {*beside(data, "parquet")} == {""}
    assert pa.default_memory_pool().max_memory() - before < 400_000_000


def test_the_head_of_a_page_and_what_the_server_said() -> None:
    html = f"<html><head>{HEAD}</head><body><p>Text <a rel='external license' href='/l'>l</a></p></body></html>"
    link = '<link rel="license" href="https://example.org/terms">'
    told = f"robots: noai, noimageai\ntdm-reservation: 1\n{link}\nLicense: /l"
    assert beside(html.encode(), "html") == [told]
    assert beside(b"<html><head><meta name='robots' content='noindex'></head><body>Text</body></html>", "html") == [""]
    archive = page(html, X_Robots_Tag="noai") + page("plain", type="text/plain", TDM_Reservation="1")
    assert beside(archive, "warc") == [f"robots: noai\n{told}", "tdm-reservation: 1"]


def test_rows_that_make_one_document_and_one_that_is_cut() -> None:
    rows = "".join(json.dumps({"text": "line", "k": 1, "license": one}) + "\n" for one in ("MIT", "MIT", "ISC"))
    assert beside(rows.encode(), "jsonl", Reading(group_by=("k",))) == ["License: MIT\nLicense: ISC"]
    row = json.dumps({"text": "a paragraph\n\n" * 9, "license": "MIT"})
    assert {*beside(row.encode(), "jsonl", Reading(max_characters=20))} == {"License: MIT"}


def test_documents_have_a_column_for_it_only_where_there_is_something(bench: Bench, tmp_path: Path) -> None:
    plain = bench.documents({"a.jsonl": '{"text": "a", "title": "b"}\n'})
    assert "rights" not in pq.read_schema(plain / DOCUMENTS).names
    told = bench.documents({"a.jsonl": '{"text": "first text", "license": "MIT"}\n{"text": "second text"}\n'})
    clean = bench.run("clean", {"minimum_characters": 0}, documents=told)
    for artifact in (told, clean, bench.run("deduplicate", {}, documents=clean)):
        assert [one.rights for one in stream(artifact)] == ["License: MIT", ""]
