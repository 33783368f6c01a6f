import hashlib
import os
import random
import shutil
import subprocess
import tempfile
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.errors import StageError
from regrow.store import canonical_json, sha256_bytes, sha256_file, sums, tree_digest
from regrow.store.digest import files

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\", exclude_categories=["Cc"]), min_size=1, max_size=8
)
TREES = st.dictionaries(
    st.lists(NAMES.filter(lambda name: name not in (".", "..", "-")), min_size=1, max_size=3).map("/".join),
    st.binary(max_size=20),
    max_size=6,
).filter(lambda tree: not any(f"{path}/" in f"{other}/" for path in tree for other in tree if path != other))


def grow(root: Path, tree: dict[str, bytes]) -> Path:
    for path, data in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def test_the_digest_of_a_tree_is_golden(tmp_path):
    grow(tmp_path, {"b/c": b"three", "b.txt": b"two", "a": b"", "B": b"one", "é ü.txt": b"four"})
    assert sums(tmp_path) == (
        "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed  B\n"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n"
        "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3  b.txt\n"
        "8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f  b/c\n"
        "04efaf080f5a3e74e1c29d1ca6a48569382cbbcd324e8d59d2b83ef21c039f00  é ü.txt\n"
    )
    assert tree_digest(tmp_path) == "f7850f45426b1b8ab758408656584624a745830ae86ca6cde9ff93695939720f"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils")
@settings(max_examples=25, deadline=None)
@given(TREES)
def test_sums_are_what_sha256sum_prints_and_accepts(tree):
    with tempfile.TemporaryDirectory() as name:
        root = grow(Path(name), tree)
        paths = sorted(tree, key=str.encode)
        run = subprocess.run(
            ["sha256sum", "--", *paths] if paths else ["true"], cwd=root, capture_output=True, check=True
        )
        assert run.stdout.decode() == sums(root)
        if paths:
            subprocess.run(["sha256sum", "--strict", "--quiet", "-c"], input=run.stdout, cwd=root, check=True)
        assert tree_digest(root) == hashlib.sha256(run.stdout).hexdigest()


@settings(max_examples=40, deadline=None)
@given(TREES, st.randoms(use_true_random=False))
def test_only_names_and_contents_count(tree, chance: random.Random):
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        shuffled = chance.sample(sorted(tree.items()), len(tree))
        grow(Path(one), tree)
        for path in grow(Path(two), dict(shuffled)).rglob("*"):
            path.chmod(0o700)
            os.utime(path, (chance.randrange(10**9), 0))
        assert tree_digest(Path(one)) == tree_digest(Path(two))


@settings(max_examples=40, deadline=None)
@given(TREES.filter(bool), st.data())
def test_every_bit_and_every_name_counts(tree, data):
    path = data.draw(st.sampled_from(sorted(tree)))
    change = data.draw(st.sampled_from(["flip", "longer", "rename", "remove"]))
    other = {name: content for name, content in tree.items() if name != path}
    if change == "flip" and tree[path]:
        other[path] = bytes([tree[path][0] ^ 1]) + tree[path][1:]
    elif change in ("flip", "longer"):
        other[path] = tree[path] + b"\0"
    elif change == "rename":
        other[path + "~~~~~~~~~"] = tree[path]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        assert tree_digest(grow(Path(one), tree)) != tree_digest(grow(Path(two), other))


def test_moving_bytes_between_files_counts(tmp_path):
    one = grow(tmp_path / "one", {"a": b"xy", "b": b"z"})
    two = grow(tmp_path / "two", {"a": b"x", "b": b"yz"})
    assert tree_digest(one) != tree_digest(two)


def test_exclude_leaves_out_files_and_folders(tmp_path):
    grow(
        tmp_path, {"a": b"", "SHA256SUMS": b"", "notes/x": b"", "notes/y/z": b"", "notes.txt": b"", "b/SHA256SUMS": b""}
    )
    assert files(tmp_path, {"SHA256SUMS", "notes"}) == ["a", "b/SHA256SUMS", "notes.txt"]


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "a\rb", "a\x7fb", "-", os.fsdecode(b"a\xff")])
def test_names_that_a_list_cannot_hold_are_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(StageError, match="has a name that checksum lists cannot hold") as error:
        sums(tmp_path)
    str(error.value).encode()  # can be shown on any terminal


def test_a_dash_is_refused_only_where_sha256sum_means_standard_input(tmp_path):
    grow(tmp_path, {"a/-": b""})
    assert sums(tmp_path).endswith("  a/-\n")


def test_what_is_not_a_plain_file_is_refused(tmp_path):
    for number, (make, words) in enumerate(
        [
            (lambda path: path.symlink_to("/"), "is a symbolic link"),
            (lambda path: path.symlink_to("nowhere"), "is a symbolic link"),
            (os.mkfifo, "is neither a file nor a folder"),
            (Path.mkdir, "is an empty folder"),
        ]
    ):
        folder = grow(tmp_path / str(number), {"fine": b""})
        make(folder / "odd")
        with pytest.raises(StageError, match=f"`odd` {words}"):
            tree_digest(folder)


def test_file_and_bytes_agree(tmp_path):
    data = random.Random(1).randbytes(3_000_001)
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == sha256_bytes(data) == hashlib.sha256(data).hexdigest()


def test_canonical_json_is_golden():
    value = {"b": [1, 2.5, True, None, 1e-5], "a": {"é": '\u2028"\\', "Z": {}, "": []}, "10": -0.0}
    assert canonical_json(value) == (
        '{"10":-0.0,"a":{"":[],"Z":{},"é":"\u2028\\"\\\\"},"b":[1,2.5,true,null,1e-05]}'.encode()
    )


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(PLAIN, st.randoms(use_true_random=False))
def test_canonical_json_ignores_the_order_of_keys(value, chance):
    def shuffled(value):
        if isinstance(value, dict):
            return {key: shuffled(item) for key, item in chance.sample(list(value.items()), len(value))}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    assert canonical_json(shuffled(value)) == canonical_json(value)


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        (1,),
        {1: 2},
        {"a": {2}},
        b"x",
        np.float64(1),
        np.int64(1),
        Colour.RED,
        "\ud800",
        [Path()],
    ],
    ids=repr,
)
def test_what_is_not_plain_json_is_refused(value):
    with pytest.raises(ValueError, match=r".+"):
        canonical_json({"x": [value]})
