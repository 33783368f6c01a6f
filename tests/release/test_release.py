"""Reading a release that may come from a stranger. python -m pytest tests/release/test_release.py"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from toy_model import RECIPE, contents

from regrow.building.assemble import assemble
from regrow.errors import InputError
from regrow.formats import parquet
from regrow.release import Release, files, is_release
from regrow.release.files import DamagedError
from regrow.release.release import Loss, Sample

PARTS: dict[str, tuple[str, Callable[[Release], Any]]] = {
    "recipe": ("regrow.toml", lambda release: release.recipe),
    "lock": ("regrow.lock", lambda release: release.lock_data),
    "statements": ("provenance/split.intoto.json", lambda release: release.statements),
    "evaluation": ("evaluation.json", lambda release: release.evaluation),
    "samples": ("samples.json", lambda release: release.samples),
    "losses": ("training/losses.jsonl", lambda release: release.losses),
    "chain": ("training/chain.jsonl", lambda release: release.chain),
    "facts": ("config.json", lambda release: release.facts),
    "documents": ("data/documents.parquet", lambda release: release.manifest(["id"], ["bytes"])),
    "excluded": ("data/excluded.parquet", lambda release: list(release.groups("data/excluded.parquet", ["id"], []))),
    "tokens": ("data/tokens.parquet", lambda release: release.token_rows(["id"], ["end"])),
    "dates": ("buildinfo/build.json", lambda release: release.dates),
    "comparison": ("buildinfo/comparison.json", lambda release: release.comparison),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assemble(contents(tmp_path / "store"), tmp_path / "toy")
    return tmp_path / "toy"


def test_everything_a_release_says(folder: Path) -> None:
    release = Release.open(folder)
    assert (release.name, release.model["licence"], release.licence_text) == ("toy", "Apache-2.0", "Apache\n")
    assert [source["name"] for source in release.sources] == ["play", "song"]
    assert release.lock_data == {"arithmetic": 1}
    assert release.sums.canonical and set(release.listed) >= {"model.safetensors", "regrow.lock"}
    assert release.samples == (Sample("To be", " or </script> not"),)
    assert release.losses[0] == Loss(1, 8.0)
    assert release.chain[-1]["chain"] == "bb"
    assert release.measured("validation", "bits_per_byte") == 2.5
    assert release.facts == {"layers": 1, "width": 3, "heads": 1, "context": 8, "vocabulary": 4, "parameters": 6}
    assert release.dates == {"started": "then"}
    assert "xz" in release.comparison
    found = release.manifest(["source", "split"], ["bytes"])
    assert found is not None and found.num_rows == 4


def test_statements_come_in_the_order_of_the_graph(folder: Path) -> None:
    found = Release.open(folder).statements
    assert [one.stage for one in found][-3:] == ["tokenize", "pretrain", "evaluate"]
    [training] = [one for one in found if one.kind == "pretrain"]
    assert (training.version, training.artifact, training.inputs) == (2, "weights", (("tokens", "tokenize"),))
    assert training.parameters == {"seed": 1, "learning_rate": 0.002}
    assert "model.safetensors" in dict(training.files)
    assert (training.origin, training.documents) == ("random", None)


def test_what_a_statement_says_of_origin_and_documents(folder: Path) -> None:
    path = folder / "provenance" / "pretrain.intoto.json"
    statement = json.loads(path.read_text())
    internal = statement["predicate"]["buildDefinition"]["internalParameters"]
    for value, read in (("random", "random"), ("", None), (7, None)):
        path.write_text(json.dumps(statement | {}))
        internal |= {"origin": value, "documents": value}
        path.write_text(json.dumps(statement))
        said = Release.open(folder).statement("pretrain")
        assert said is not None and (said.origin, said.documents) == (read, read)
    assert Release.open(folder).statement("nosuch") is None


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("damage", [b"\xff", b"[" * 9999, b"link", b"pipe"], ids=["no text", "deep", "link", "pipe"])
def test_damage_in_one_part_leaves_the_others(folder: Path, tmp_path: Path, part: str, damage: bytes) -> None:
    name, read = PARTS[part]
    (folder / name).unlink()
    if damage == b"pipe":
        os.mkfifo(folder / name)
    elif damage == b"link":
        (tmp_path / "secret").write_text("{}")
        (folder / name).symlink_to(tmp_path / "secret")
    else:
        (folder / name).write_bytes(damage)
    release = Release.open(folder)
    if damage in (b"pipe", b"link"):
        assert not release.files.has(name)  # as if it were not there
        read(release)
        with pytest.raises(InputError, match="no file of the release"):
            release.require(name)
    else:
        with pytest.raises(DamagedError) as caught:
            read(release)
        assert caught.value.why.startswith(name)
        assert "regrow verify" in caught.value.hint
    assert release.name == (None if part == "recipe" else "toy")
    for other, (_, look) in PARTS.items():
        if other != part:
            look(release)


def test_a_link_within_the_release_and_one_into_a_hubs_cache_are_files(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "models--x--toy" / "snapshots" / ("0" * 40)
    place.parent.mkdir(parents=True)
    folder.rename(place)
    (place.parents[1] / "blobs").mkdir()
    (place / "config.json").rename(place.parents[1] / "blobs" / "ab")
    (place / "config.json").symlink_to("../../blobs/ab")
    (place / "samples.json").rename(place / "told.json")
    (place / "samples.json").symlink_to("told.json")
    release = Release.open(place)
    assert release.facts["layers"] == 1
    assert release.samples


def test_no_file_is_read_without_a_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.read_bytes, "__defaults__", (100,))
    with pytest.raises(DamagedError, match="cannot be read") as caught:
        _ = Release.open(folder).recipe
    assert caught.value.cause == "it has more than 100 bytes"


def test_a_table_that_unpacks_to_too_much_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MOST_BYTES", 100)
    with pytest.raises(DamagedError) as caught:
        Release.open(folder).manifest(["id"], [])
    assert caught.value.cause == "the table unpacks to too many bytes: up to 100 are read"
    assert Release.open(folder).manifest([], ["bytes"]) is not None


@pytest.mark.parametrize(
    "columns", [{"id": pa.array([None], pa.string())}, {"id": pa.array([{"a": 1}])}, {"other": pa.array(["x"])}]
)
def test_a_table_of_something_else_is_damage(folder: Path, columns: dict[str, pa.Array]) -> None:
    pyarrow.parquet.write_table(pa.table(columns), folder / "data" / "documents.parquet")
    with pytest.raises(DamagedError):
        Release.open(folder).manifest(["id"], [])


def test_there_is_no_release(tmp_path: Path) -> None:
    for place, words in ((tmp_path, "there is no release here"), (tmp_path / "x", "there is no such folder")):
        with pytest.raises(InputError, match=words) as caught:
            Release.open(place)
        assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (RECIPE, "toy"),
        (b"", None),
        (b"model = 1", None),
        (b"[model]\nname = 1", None),
        (b"\xff", None),
        (b"a = " + b"[" * 9999, None),
    ],
)
def test_the_name_of_a_model(tmp_path: Path, text: bytes, name: str | None) -> None:
    (tmp_path / "regrow.toml").write_bytes(text)
    assert Release.at(tmp_path).name == name
    (tmp_path / "regrow.lock").write_text('[model]\nname = "locked"')
    assert Release.at(tmp_path).name == (name or "locked")


def test_a_lock_is_part_of_a_release_if_that_lists_it(folder: Path, tmp_path: Path) -> None:
    assert is_release(folder)
    assert not is_release(tmp_path)
    (folder / "SHA256SUMS").write_text("0" * 64 + "  regrow.lock.py\n")
    assert not is_release(folder)


def test_what_is_no_release_is_told_with_one_that_is(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "SHA256SUMS").write_text(f"{'0' * 64}  regrow.lock\n")
    (tmp_path / "small" / "regrow.lock").write_text("")
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "regrow.toml").write_text("")
    halved = tmp_path / "halved"
    (halved / "provenance").mkdir(parents=True)
    (halved / "regrow.toml").write_text("")
    for given, what, hint in (
        (tmp_path, "there is no release here", f"give the folder of one: `{tmp_path / 'small'}`"),
        (tmp_path / "small" / "regrow.lock", "this is not the folder of a release", f"in, `{tmp_path / 'small'}`"),
        (tmp_path / "nowhere", "there is no such folder", "`regrow build` makes releases"),
        (tmp_path / "smal", "there is no such folder", f"did you mean `{tmp_path / 'small'}`?"),
        (tmp_path / "recipes", "there is no such folder", "`regrow build` makes releases"),
        (recipe, "there is no release here", f"this is a recipe: `regrow build {recipe}` makes a release of it"),
        (halved, "this is a release without `SHA256SUMS`", "get the release again from where it came"),
    ):
        with pytest.raises(InputError, match=what) as caught:
            Release.open(given)
        assert hint in caught.value.hint


def test_a_list_of_checksums_that_leads_elsewhere_is_not_missing(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").symlink_to("/etc/hostname")
    with pytest.raises(DamagedError, match="cannot be read") as caught:
        Release.open(tmp_path)
    assert caught.value.path == "SHA256SUMS"


def test_an_empty_file_is_damage_and_a_missing_one_is_not(tmp_path: Path) -> None:
    assert Release.at(tmp_path).evaluation == {}
    (tmp_path / "evaluation.json").write_text("")
    with pytest.raises(DamagedError) as caught:
        _ = Release.at(tmp_path).evaluation
    assert caught.value.cause == "it is empty"
