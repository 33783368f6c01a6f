"""Headers of safetensors files. python -m pytest tests/audit/collectors/test_safetensors.py"""

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.auditing.facts import ArchitectureFact, Component, ComponentFact, State
from regrow.formats.safetensors import read_header

from .making import findings, of, read, safetensors, sound, tensors, write

ONE = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}


def rules(data: bytes) -> set[str]:
    return set(read_header(io.BytesIO(data), len(data)).problems.found)


def test_a_sound_file_has_no_problems() -> None:
    header = {"__metadata__": {"format": "pt"}, **tensors(8, 16)}
    data = safetensors(header, bytes(24))
    found = read_header(io.BytesIO(data), len(data))
    assert not found.problems.found
    assert [(one.name, one.count) for one in found.tensors] == [("t0", 8), ("t1", 16)]
    assert found.metadata == {"format": "pt"}
    assert found.end == len(data) - 24


@pytest.mark.parametrize(
    ("rule", "data"),
    {
        "header-truncated": b"\x08\0\0\0\0\0\0\0{}",
        "header-too-large": (1 << 26).to_bytes(8, "little") + bytes(100),
        "header-padding": safetensors(b" " + json.dumps({"a": ONE}).encode(), bytes(4)),
        "header-broken": safetensors(b'{"a": NaN}'),
        "header-duplicate-key": safetensors(b'{"a": %s, "a": %s}' % ((json.dumps(ONE).encode(),) * 2), bytes(4)),
        "header-metadata": safetensors({"__metadata__": {"a": 1}, "a": ONE}, bytes(4)),
        "header-unknown-field": safetensors({"a": {**ONE, "note": ""}}, bytes(4)),
        "header-unknown-type": safetensors({"a": {**ONE, "dtype": "Q4"}}, bytes(4)),
        "header-name": safetensors({"../../a": ONE}, bytes(4)),
        "header-shape": safetensors({"a": {**ONE, "shape": [5]}}, bytes(4)),
        "header-overlap": safetensors({"a": ONE, "b": {**ONE, "data_offsets": [2, 6]}}, bytes(6)),
        "header-hole": safetensors({"a": ONE, "b": {**ONE, "data_offsets": [5, 9]}}, bytes(9)),
        "header-trailing": safetensors({"a": ONE}, bytes(5)),
        "header-past-end": safetensors({"a": ONE}, bytes(3)),
        "header-empty": safetensors({}),
        "header-alignment": safetensors({"a": ONE}, bytes(4), pad=False),
    }.items(),
)
def test_what_is_wrong_is_named(rule: str, data: bytes) -> None:
    if rule == "header-too-large":
        assert rule in read_header(io.BytesIO(data), 1 << 27).problems.found
    else:
        assert rule in rules(data)


@pytest.mark.parametrize("value", [-1, 1.0, True, "4", None, 2**64, [1]])
def test_sizes_are_whole_numbers(value: Any) -> None:
    assert "header-shape" in rules(safetensors({"a": {**ONE, "shape": [value]}}, bytes(4)))
    assert "header-shape" in rules(safetensors({"a": {**ONE, "data_offsets": [0, value]}}, bytes(4)))


@pytest.mark.parametrize("dtype", ["U8", "Q4"])
def test_a_shape_larger_than_any_file_counts_no_parameters(dtype: str) -> None:
    data = safetensors({"a": {**ONE, "dtype": dtype, "shape": [2**62] * 64}}, bytes(4))
    found = read_header(io.BytesIO(data), len(data))
    assert "header-shape" in found.problems.found and not found.tensors


def test_deep_nesting_is_a_problem_and_no_crash() -> None:
    assert "header-broken" in rules(safetensors(b'{"a":' + b"[" * 200_000))


@given(st.binary(max_size=400))
def test_any_bytes_give_a_header(data: bytes) -> None:
    found = read_header(io.BytesIO(data), len(data))
    assert found.problems.found or found.tensors


@given(st.data())
@settings(max_examples=200)
def test_a_changed_file_gives_a_header(data: st.DataObject) -> None:
    raw = bytearray(sound(8, 16))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    read_header(io.BytesIO(raw[:cut]), cut)


def test_an_index_is_compared_with_the_files(tmp_path: Path) -> None:
    index = {"weight_map": {"t0": "model-1.safetensors", "x": "../model-2.safetensors", "y": "model-3.safetensors"}}
    write(
        tmp_path,
        {"model-1.safetensors": sound(8, 8), "model.safetensors.index.json": json.dumps(index), "config.json": "{}"},
    )
    assert findings(read(tmp_path)) >= {"index-outside", "shard-missing", "index-differs"}


def test_a_model_of_70_billion_parameters_is_read_in_seconds(tmp_path: Path) -> None:
    layers, width, shards = 80, 8192, 15
    weight_map = {}
    for shard in range(shards):
        entries, begin = {}, 0
        for layer in range(layers * shard // shards, layers * (shard + 1) // shards):
            for part in range(9):
                size = 2 * width * width * 3 // 2
                name = f"model.layers.{layer}.part{part}.weight"
                shape = [width, width * 3 // 2]
                entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, begin + size]}
                begin += size
                weight_map[name] = f"model-{shard}.safetensors"
        head = safetensors(entries)
        with (tmp_path / f"model-{shard}.safetensors").open("wb") as file:
            file.write(head)
            file.truncate(len(head) + begin)
    write(tmp_path, {"model.safetensors.index.json": json.dumps({"weight_map": weight_map}), "config.json": "{}"})
    started = time.process_time()
    found = read(tmp_path)
    assert time.process_time() - started < 5
    assert not found.findings
    assert [fact.parameters for fact in of(found, ArchitectureFact)] == [layers * 9 * width * width * 3 // 2]
    assert [fact.state for fact in of(found, ComponentFact) if fact.component is Component.PARAMETERS] == [
        State.PRESENT
    ]


def test_the_weights_are_read_in_the_file_that_is_named(tmp_path: Path) -> None:
    found = read(write(tmp_path, {"model.safetensors": sound(4), "checkpoints/a/model.safetensors": sound(4, 4)}))
    [there] = [one for one in of(found, ComponentFact) if one.component is Component.PARAMETERS]
    assert (there.where, there.evidence.file) == ("model.safetensors", "model.safetensors")
