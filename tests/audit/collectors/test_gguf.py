"""Headers of GGUF files. python -m pytest tests/audit/collectors/test_gguf.py"""

import io
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.auditing.facts import ArchitectureFact, DatasetFact, LicenceFact, ParentFact, Relation
from regrow.formats.gguf import read_header

from .making import findings, gguf, of, pair, read, small_gguf, tensor, text, write


def rules(data: bytes) -> set[str]:
    return set(read_header(io.BytesIO(data), len(data)).problems.found)


def test_a_sound_file_has_no_problems() -> None:
    data = small_gguf(**{"llama.context_length": 2048, "tokenizer.ggml.tokens": ["a", "b"]})
    found = read_header(io.BytesIO(data), len(data))
    assert not found.problems.found
    assert found.values["tokenizer.ggml.tokens"] == 2
    assert [(one.name, one.dtype, one.count) for one in found.tensors] == [("a", "F32", 8), ("b", "Q4_0", 32)]


HUGE = struct.pack("<Q", 2**62)


@pytest.mark.parametrize(
    ("rule", "data"),
    {
        "header-broken": b"GGUX" + bytes(40),
        "header-version": gguf([], [], 0, version=1),
        "header-too-large": b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0),
        "header-past-end": gguf([HUGE], [], 64),
        "header-duplicate-key": gguf([pair("a", 1), pair("a", 2)], [tensor("t", [8], 0)], 32),
        "header-overlap": gguf([], [tensor("a", [8], 0), tensor("b", [8], 0)], 32),
        "header-hole": gguf([], [tensor("a", [8], 0), tensor("b", [8], 64)], 96),
        "header-trailing": gguf([], [tensor("a", [8], 0)], 64),
        "header-name": gguf([], [tensor("../a", [8], 0)], 32),
        "header-shape": gguf([], [tensor("a", [2**40, 2**40], 0)], 32),
        "header-unknown-type": gguf([], [tensor("a", [8], 0, type=99)], 32),
        "header-alignment": gguf([], [tensor("a", [8], 8)], 40),
        "header-empty": gguf([], [], 0),
    }.items(),
)
def test_what_is_wrong_is_named(rule: str, data: bytes) -> None:
    assert rule in rules(data)


@pytest.mark.parametrize("bad", [struct.pack("<IIQ", 9, 4, 2**61), struct.pack("<IIQ", 9, 8, 2**61), b"\x63\0\0\0"])
def test_false_lengths_end_at_once(bad: bytes) -> None:
    started = time.process_time()
    assert rules(gguf([text("key") + bad], [], 64)) & {"header-past-end", "header-too-large", "header-broken"}
    assert time.process_time() - started < 1


@given(st.binary(max_size=300))
def test_any_bytes_give_a_header(data: bytes) -> None:
    assert rules(b"GGUF" + data)


@given(st.data())
@settings(max_examples=200)
def test_a_changed_file_gives_a_header(data: st.DataObject) -> None:
    raw = bytearray(small_gguf(**{"general.name": "x", "general.tags": ["a", "b"]}))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    read_header(io.BytesIO(raw[:cut]), cut)


def test_what_a_file_says_of_where_it_comes_from(tmp_path: Path) -> None:
    data = small_gguf(
        **{
            "general.name": "Kitten 1B Chat",
            "general.finetune": "Chat",
            "general.license": "apache-2.0",
            "general.source.repo_url": "https://huggingface.co/cats/kitten-1b-chat",
            "general.base_model.count": 1,
            "general.base_model.0.name": "Kitten 1B",
            "general.base_model.0.repo_url": "https://huggingface.co/cats/kitten-1b",
            "general.dataset.0.name": "Meows",
            "general.dataset.0.repo_url": "https://huggingface.co/datasets/cats/meows",
            "llama.context_length": 2048,
        }
    )
    found = read(write(tmp_path, {"kitten.gguf": data}) / "kitten.gguf")
    assert found.kind == "gguf"
    assert [(fact.parent, fact.relation) for fact in of(found, ParentFact)] == [
        ("hf:cats/kitten-1b-chat", Relation.QUANTISED),
        ("hf:cats/kitten-1b", Relation.FINETUNE),
    ]
    assert [fact.name for fact in of(found, DatasetFact)] == ["Meows"]
    assert [fact.id for fact in of(found, LicenceFact)] == ["apache-2.0"]
    assert [(fact.family, fact.context, fact.parameters) for fact in of(found, ArchitectureFact)] == [
        ("llama", 2048, 40)
    ]
    assert findings(found) == {"quantised"}
