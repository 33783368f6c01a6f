"""The walk over a stranger's folder. python -m pytest tests/audit/collectors/test_folder.py"""

import io
import os
import pickle
import socket
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from regrow.auditing.audit import Options, audit
from regrow.auditing.facts import Component, ComponentFact, LicenceFact, State
from regrow.errors import InputError, RecipeError

from .making import findings, of, read, small_gguf, sound, write

POINTER = f"version https://example.org/spec/v1\noid sha256:{'0' * 64}\nsize 123456\n"


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "elsewhere", {"LICENSE": "secret"})
    root = write(tmp_path / "model", {"config.json": '{"model_type": "llama"}'})
    (root / "LICENSE").symlink_to(secret / "LICENSE")
    (root / "folder").symlink_to(secret)
    (root / "again").symlink_to(root / "config.json")
    (root / "circle").symlink_to(root / "circle")
    found = read(root)
    assert [finding.text.split()[0] for finding in found.findings if finding.id == "link-outside"] == [
        "LICENSE",
        "folder",
    ]
    assert {entry.path: entry.kind for entry in found.files} == {
        "LICENSE": "link",
        "again": "link",
        "circle": "link",
        "config.json": "config",
        "folder": "link",
    }


def test_pickles_are_named_and_never_opened(tmp_path: Path) -> None:
    names = ["pytorch_model.bin", "a.pt", "b.pth", "c.pkl", "d.ckpt", "e.h5", "f.joblib"]
    write(tmp_path, dict.fromkeys(names, b"cposix\nsystem\n(S'touch opened'\ntR."))
    np.save(tmp_path / "g.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "fine.npy", np.zeros(3))
    found = read(tmp_path)
    unsafe = sorted(finding.text.split()[0] for finding in found.findings if finding.id == "unsafe-file")
    assert unsafe == sorted([*names, "g.npy"])
    assert not (tmp_path / "opened").exists()


def test_what_is_neither_file_nor_folder_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, {"model.safetensors": sound(8)})
    os.mkfifo(tmp_path / "README.md")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "s"))
        assert "not-a-file" in findings(read(tmp_path))


def test_odd_names_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"config.json": "{}", "a\n\x1b[31mb": "", "c\\d": ""})
    found = read(tmp_path)
    assert sum(finding.id == "odd-name" for finding in found.findings) == 2
    assert all(finding.text.isprintable() for finding in found.findings)


def test_ten_thousand_files_are_no_trouble(tmp_path: Path) -> None:
    for folder in range(100):
        place = tmp_path / f"f{folder}"
        place.mkdir()
        for number in range(100):
            (place / f"{number}.txt").touch()
    write(tmp_path, {"config.json": "{}"})
    started = time.process_time()
    assert len(read(tmp_path).files) == 10_001
    assert time.process_time() - started < 5


def test_pointers_are_no_weights(tmp_path: Path) -> None:
    found = read(write(tmp_path, {"model.safetensors": POINTER, "config.json": '{"model_type": "llama"}'}))
    assert "pointer-file" in findings(found)
    assert [fact.state for fact in of(found, ComponentFact) if fact.component is Component.PARAMETERS] == [
        State.PROMISED
    ]


def test_what_is_not_there_is_said_to_be_absent(tmp_path: Path) -> None:
    found = read(write(tmp_path, {"config.json": '{"model_type": "llama"}'}))
    absent = {fact.component for fact in of(found, ComponentFact) if fact.state is State.ABSENT}
    assert absent == {Component.PARAMETERS, Component.MODEL_CARD}


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("onnx/model.onnx", State.PRESENT),
        ("flax_model.msgpack", State.PRESENT),
        ("tf_model.h5", State.PRESENT),
        ("consolidated.00.pth", State.PRESENT),
        ("rwkv-7.pth", None),
        ("training_args.bin", State.ABSENT),
        ("tokenizer.json", State.ABSENT),
    ],
)
def test_weights_that_are_not_opened_are_not_lacking(tmp_path: Path, name: str, state: State | None) -> None:
    found = of(read(write(tmp_path, {name: b"x" * 100, "config.json": "{}"})), ComponentFact)
    expected = [state] if state else []
    assert [fact.state for fact in found if fact.component is Component.PARAMETERS] == expected


def archive(*names: str) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as made:
        for name in names:
            made.writestr(name, "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("weights", sound(16), "weights"),
        ("model.safetensors-00001-of-00002", sound(16), "weights"),
        ("harbour-8b", small_gguf(), "weights"),
        ("pytorch_model", archive("archive/data.pkl", "archive/data/0"), "weights"),
        ("pytorch_model-00001-of-00002", archive("anything"), "weights"),
        ("harbour", archive("harbour/data.pkl"), "pickled"),
        ("model", pickle.dumps({"a": [1.0]}, protocol=2), "weights"),
        ("model", b"\x89HDF\r\n\x1a\n" + bytes(8), "weights"),
        ("pictures", archive("a.png"), "other"),
        ("notes", b"Nothing to see.", "other"),
        ("empty", b"", "other"),
    ],
)
def test_what_has_no_suffix_is_known_by_its_content(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    found = read(write(tmp_path, {name: content, "config.json": '{"model_type": "llama"}'}))
    assert [entry.kind for entry in found.files if entry.path == name] == [kind]
    states = [fact.state for fact in of(found, ComponentFact) if fact.component is Component.PARAMETERS]
    assert states == {"weights": [State.PRESENT], "pickled": [], "other": [State.ABSENT]}[kind]
    unsafe = content[:2] in (b"PK", b"\x80\x02", b"\x89H") and kind != "other"
    assert ("unsafe-file" in findings(found)) is unsafe


def test_the_header_of_a_file_without_a_suffix_is_read(tmp_path: Path) -> None:
    found = read(write(tmp_path, {"model": small_gguf(**{"general.license": "cc-by-nc-4.0"})}))
    assert found.kind == "gguf"
    assert [fact.raw for fact in of(found, LicenceFact)] == ["cc-by-nc-4.0"]


@pytest.mark.parametrize("name", ["model.bin.part", "model.gguf.part-02", "model.safetensors.incomplete"])
def test_a_part_of_a_file_is_neither_weights_nor_their_absence(tmp_path: Path, name: str) -> None:
    found = read(write(tmp_path, {name: b"x" * 100, "config.json": "{}"}))
    states = [fact.state for fact in of(found, ComponentFact) if fact.component is Component.PARAMETERS]
    assert states == [State.PROMISED]
    assert "part-of-file" in findings(found)


def test_the_version_is_of_the_content(tmp_path: Path) -> None:
    write(tmp_path, {"config.json": '{"model_type": "llama"}'})
    before = read(tmp_path)
    assert read(tmp_path) == before
    write(tmp_path, {"config.json": '{"model_type": "gemma"}'})
    assert read(tmp_path).version != before.version


@pytest.mark.parametrize(("target", "error"), [("nowhere", InputError), ("org/name", InputError), ("hf:", RecipeError)])
def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, error: type[Exception]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        read(Path(target))


def test_what_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="nothing here is a model"):
        read(write(tmp_path / "folder", {"a.mp3": b""}))
    with pytest.raises(RecipeError, match="is not a model"):
        read(write(tmp_path, {"a.mp3": b""}) / "a.mp3")


def test_a_file_that_is_too_large_is_said_to_be_and_nothing_in_it_is_said_to_be_nowhere(tmp_path: Path) -> None:
    text = "# model\n\n## Training data\n\nTrained on Wikipedia.\n" + "word " * 900_000
    write(tmp_path, {"README.md": text, "model.safetensors": sound(16), "config.json": '{"model_type": "llama"}'})
    audited = audit(str(tmp_path), Options("2026-11-21"))
    (large,) = (one for one in audited.findings if one.id == "file-too-large")
    assert large.text == f"README.md is too large to be read: {len(text):,} bytes, and up to 4,194,304 are"
    assert not audited.lineage.nodes[0].collected.complete
    (named,) = (one for one in audited.parts if one.name == "data")
    assert "as far as was read: README.md is too large to be read" in named.reason
