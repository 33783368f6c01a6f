"""python -m pytest tests/release/test_assemble.py"""

import errno
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from toy_model import RECIPE, contents

from regrow.building import assemble as module
from regrow.building.assemble import assemble, licence_text, named_licence, paper_text
from regrow.errors import DifferentError, RecipeError, StageError
from regrow.licences import identify
from regrow.report import load

_COVERED = """.gitattributes LICENSE
README.md config.json data/documents.parquet data/excluded.parquet data/tokens.parquet
evaluation.json generation_config.json model.safetensors provenance/evaluate.intoto.json
provenance/fetch-play.intoto.json provenance/fetch-song.intoto.json provenance/pretrain.intoto.json
provenance/split.intoto.json provenance/tokenize.intoto.json provenance/tokenizer.intoto.json regrow.lock regrow.toml
samples.json special_tokens_map.json tokenizer.json tokenizer_config.json training/chain.jsonl
training/losses.jsonl"""
BESIDE = ("SHA256SUMS", "report.html", "buildinfo/build.json", "buildinfo/comparison.json")
COVERED = _COVERED.split()
GOLDEN = "8646a5068e5f425615cf341a3a3f82ce2fcf0deb6995b97e6fc77ec6728c6348"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    assemble(contents(tmp_path / "store"), tmp_path / "out" / "toy")
    return tmp_path / "out" / "toy"


def files(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_release_holds_what_is_promised_and_its_digest_covers_it(release: Path) -> None:
    listed = [line.split("  ")[1] for line in (release / "SHA256SUMS").read_text().splitlines()]
    assert listed == COVERED
    assert set(files(release)) == {*COVERED, *BESIDE}


def test_a_stranger_checks_it_with_sha256sum_alone(release: Path, tmp_path: Path) -> None:
    digest = assemble(contents(tmp_path / "store"), release)
    done = subprocess.run(
        "sha256sum -c SHA256SUMS && sha256sum SHA256SUMS", shell=True, cwd=release, capture_output=True
    )
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[-1] == f"{digest}  SHA256SUMS"


def test_digest_is_golden(tmp_path: Path) -> None:
    """If this fails, what a release holds has changed: a reason to say so in the changelog."""
    assert assemble(contents(tmp_path / "store"), tmp_path / "toy") == GOLDEN


def test_bytes_depend_on_nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = assemble(contents(tmp_path / "store"), tmp_path / "one")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o077)
    try:
        other = assemble(
            contents(tmp_path / "elsewhere", buildinfo={"buildinfo/build.json": '{"started": "now"}'}),
            Path("a/b/other name"),
        )
    finally:
        os.umask(before)
    assert one == other
    different = {"buildinfo/build.json", "report.html"}
    first, second = files(tmp_path / "one"), files(tmp_path / "a/b/other name")
    assert {name for name in first if first[name] != second[name]} == different


@pytest.mark.parametrize("change", [{"seed": 2}, {"lock": "arithmetic = 2\n"}, {"licence": b"MIT"}, {"recipe": b"x=1"}])
def test_everything_covered_changes_the_digest(release: Path, tmp_path: Path, change: dict[str, object]) -> None:
    before = hashlib.sha256((release / "SHA256SUMS").read_bytes()).hexdigest()
    assert assemble(contents(tmp_path / "store", **change), tmp_path / "other") != before  # type: ignore[arg-type]


def test_an_old_release_is_replaced_whole(release: Path, tmp_path: Path) -> None:
    (release / "provenance" / "pretrain.intoto.json").unlink()
    (release / "model.safetensors").write_bytes(b"damaged")
    assemble(contents(tmp_path / "store", seed=3), release)
    assert load(release).facts["parameters"] == 6
    assert [p.name for p in release.parent.iterdir()] == ["toy"]


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assemble(contents(tmp_path / "store"), tmp_path / "out")
    assert (tmp_path / "out" / "SHA256SUMS").is_file()


def test_a_directory_that_is_no_release_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "home" / "deep").mkdir(parents=True)
    (tmp_path / "home" / "deep" / "thesis.txt").write_text("years")
    with pytest.raises(RecipeError, match=r"deep/thesis.txt") as caught:
        assemble(contents(tmp_path / "store"), tmp_path / "home")
    assert caught.value.exit_code == 2
    assert "--output" in caught.value.hint
    assert files(tmp_path / "home") == {"deep/thesis.txt": b"years"}


def test_a_release_somebody_added_to_is_never_removed(release: Path, tmp_path: Path) -> None:
    (release / "notes.txt").write_text("mine")
    with pytest.raises(RecipeError, match=r"notes\.txt"):
        assemble(contents(tmp_path / "store"), release)
    assert (release / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("added", ["folder", "data/folder", "link"])
def test_an_empty_folder_and_a_link_to_a_folder_are_somebodys(release: Path, tmp_path: Path, added: str) -> None:
    (release / added).symlink_to(release / "data") if added == "link" else (release / added).mkdir()
    with pytest.raises(RecipeError, match=f"holds `{added}`"):
        assemble(contents(tmp_path / "store"), release)
    assert (release / added).is_dir()


def test_the_release_of_another_model_is_never_removed(release: Path, tmp_path: Path) -> None:
    before = files(release)
    other = contents(tmp_path / "store", recipe=RECIPE.replace(b'name = "toy"', b'name = "other"'))
    with pytest.raises(RecipeError, match="release of another model") as caught:
        assemble(other, release)
    assert caught.value.why == "it holds `toy`, and this recipe makes `other`"
    assert files(release) == before


def test_a_damaged_release_says_by_its_lock_whose_it_is_and_else_may_be_replaced(release: Path, tmp_path: Path) -> None:
    (release / "regrow.toml").write_bytes(b"\xff")
    (release / "regrow.lock").write_text('[model]\nname = "other"\n')
    with pytest.raises(RecipeError, match="release of another model"):
        assemble(contents(tmp_path / "store"), release)
    (release / "regrow.lock").write_text("[model\n")
    assemble(contents(tmp_path / "store"), release)
    assert (release / "regrow.toml").read_bytes() == RECIPE


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_or_a_link_is_never_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out"
    target.write_text("x") if kind == "file" else target.symlink_to(tmp_path)
    with pytest.raises(RecipeError, match="not a directory"):
        assemble(contents(tmp_path / "store"), target)
    assert target.is_symlink() or target.read_text() == "x"


@pytest.mark.parametrize(
    ("number", "error", "code", "words"),
    [
        (errno.ENOSPC, StageError, 1, "disk is full"),
        (errno.EROFS, RecipeError, 2, "cannot be written"),
        (errno.EACCES, RecipeError, 2, "cannot be written"),
    ],
)
def test_trouble_with_the_disk_leaves_the_old_release(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type, code: int, words: str
) -> None:
    before = files(release)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), "x")

    monkeypatch.setattr(module, "copy", fail)
    with pytest.raises(error, match=words) as caught:
        assemble(contents(tmp_path / "store", seed=2), release)
    assert caught.value.exit_code == code
    assert files(release) == before
    assert [p.name for p in release.parent.iterdir()] == ["toy"]


def test_a_really_full_disk(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", mounted], capture_output=True).returncode:
        pytest.skip("may not mount here")
    try:
        with pytest.raises(StageError, match="disk is full"):
            assemble(contents(tmp_path / "store"), mounted / "toy")
        assert list(mounted.iterdir()) == []
    finally:
        subprocess.run(["umount", mounted], check=True)


def test_an_unexpected_digest_leaves_the_old_release_and_names_what_changed(release: Path, tmp_path: Path) -> None:
    before = files(release)
    expected = load(release).digest
    assert assemble(contents(tmp_path / "store"), release, expected) == expected
    with pytest.raises(DifferentError, match="LICENSE: the release digest is") as caught:
        assemble(contents(tmp_path / "store", licence=b"MIT"), release, expected)
    assert caught.value.exit_code == 3
    assert set(files(release)) == set(before)
    assert (release / "LICENSE").read_bytes() == before["LICENSE"]


def test_a_comparison_is_kept_as_long_as_the_weights_are(release: Path, tmp_path: Path) -> None:
    (release / "buildinfo" / "comparison.json").write_text('{"float32": {"bits_per_byte": 2.49}}')
    assemble(contents(tmp_path / "store"), release)
    assert "plain float32" in (release / "report.html").read_text()
    assemble(contents(tmp_path / "store", seed=2), release)
    assert set(json.loads((release / "buildinfo" / "comparison.json").read_text())) == {"xz"}


def test_licence_text(tmp_path: Path) -> None:
    assert licence_text(tmp_path, "LicenseRef-Mine") == b"SPDX-License-Identifier: LicenseRef-Mine\n"
    (tmp_path / "LICENSE.md").write_bytes(b"Do what you like.")
    assert licence_text(tmp_path, "MIT") == b"Do what you like."


@pytest.mark.parametrize("name", ["Apache-2.0", "MIT", "CC-BY-4.0", "CC0-1.0", "BSD-3-Clause", "apache-2.0"])
def test_a_release_holds_the_full_text_of_its_licence(tmp_path: Path, name: str) -> None:
    match = identify(licence_text(tmp_path, name).decode())
    assert match is not None and match.id == name.lower() and match.score > 0.99


def test_all_texts_of_an_expression_or_none(tmp_path: Path) -> None:
    both = licence_text(tmp_path, "(MIT OR Apache-2.0)").decode()
    assert both.startswith("SPDX-License-Identifier: (MIT OR Apache-2.0)\n")
    assert "Permission is hereby granted" in both and "TERMS AND CONDITIONS" in both
    for expression in ("MIT AND LicenseRef-Mine", "Apache-2.0 WITH LLVM-exception", ""):
        assert licence_text(tmp_path, expression) == named_licence(expression)


def test_manifest_names_every_document_without_its_text(release: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(release / "data" / "documents.parquet")
    assert table.column_names == [
        *("id", "source", "licence", "availability", "file", "start", "end", "sha256", "characters", "bytes", "split")
    ]
    assert table.select(["file", "start", "characters", "bytes", "split"]).to_pylist() == [
        {"file": "play.txt", "start": 0, "characters": 19, "bytes": 19, "split": "train"},
        {"file": "play.txt", "start": 10, "characters": 23, "bytes": 23, "split": "train"},
        {"file": "play.txt", "start": 20, "characters": 19, "bytes": 20, "split": "validation"},
        {"file": "song.txt", "start": 0, "characters": 16, "bytes": 16, "split": "train"},
    ]


def test_a_graph_without_weights_makes_no_release(tmp_path: Path) -> None:
    from dataclasses import replace

    made = contents(tmp_path / "store")
    short = replace(made.graph, stages=made.graph.stages[:4])
    with pytest.raises(RecipeError, match="no stage gives weights"):
        assemble(replace(made, graph=short), tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def test_report_beside_a_release_can_be_made_again(release: Path) -> None:
    from regrow.report import render

    assert (release / "report.html").read_text() == render(load(release))


def test_samples_keep_their_text(release: Path) -> None:
    shutil.copy(release / "samples.json", release / "copy")
    assert json.loads((release / "copy").read_text())[0]["text"] == " or </script> not"
    assert "</script>" not in (release / "report.html").read_text()


@pytest.mark.parametrize("name", ["LICENSE", "LICENCE.md", "paper.md"])
@pytest.mark.parametrize("target", ["/etc/hostname", "../secret", "/dev/stdin", "nothing"])
def test_a_release_publishes_no_file_from_elsewhere(tmp_path: Path, name: str, target: str) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder := tmp_path / "recipe").mkdir()
    (folder / name).symlink_to(target)
    with pytest.raises(RecipeError, match="link leads") as caught:
        licence_text(folder, "MIT"), paper_text(folder)
    assert caught.value.where == str(folder / name)


def test_links_within_the_folder_of_the_recipe_are_followed(tmp_path: Path) -> None:
    (tmp_path / "LICENSES").mkdir()
    (tmp_path / "LICENSES" / "MIT.txt").write_text("Permission is granted")
    (tmp_path / "LICENSE").symlink_to("LICENSES/MIT.txt")
    assert licence_text(tmp_path, "MIT") == b"Permission is granted"


@pytest.mark.parametrize("name", ["LICENSE", "paper.md"])
def test_a_pipe_beside_a_recipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(RecipeError, match="neither a file nor a folder"):
        licence_text(tmp_path, "MIT"), paper_text(tmp_path)
