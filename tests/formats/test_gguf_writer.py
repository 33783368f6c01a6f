"""What we write as GGUF, byte by byte and by two readers. python -m pytest tests/formats/test_gguf_writer.py"""

import io
import math
import random
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gguf import GGML_QUANT_SIZES, GGUFReader, GGUFValueType
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.formats import gguf_writer
from regrow.formats.gguf import METADATA_LIMIT, TYPES, Header, Kind, read_header
from regrow.formats.gguf_writer import Array, Data, Tensor, Value, gguf_bytes, gguf_pieces, write_gguf

METADATA: Mapping[str, Value | Array] = {
    "llama.block_count": Value(Kind.UINT32, 1),
    "general.quantization_version": Value(Kind.UINT32, 2),
    "general.architecture": Value(Kind.STRING, "llama"),
}
TINY = Tensor("w", "F32", (1,), b"\0\0\x80\x3f")


def read(content: bytes) -> Header:
    return read_header(io.BytesIO(content), len(content))


# Exact bytes


def test_a_file_has_exactly_these_bytes() -> None:
    content = gguf_bytes(
        {
            "a.words": Array(Kind.STRING, ("x", "é")),
            "a.rate": Value(Kind.FLOAT32, -0.0),
            "general.architecture": Value(Kind.STRING, "a"),
            "a.yes": Value(Kind.BOOL, True),
        },
        [
            Tensor("b", "F32", (2,), bytes.fromhex("0000803f 0000c07f")),
            Tensor("a", "F16", (1, 3), bytes.fromhex("003c 0040 0042")),
        ],
    )
    number = "0{}000000 00000000"
    header = (
        # magic, version, tensors, keys
        "47475546 03000000" + number.format(2) + number.format(4)
        # general.architecture, string, a
        + "1400000000000000 67656e6572616c2e617263686974656374757265 08000000" + number.format(1) + "61"
        # a.rate, float32, 0
        + number.format(6) + "612e72617465 06000000 00000000"
        # a.words, array of strings, 2, x, é
        + number.format(7) + "612e776f726473 09000000 08000000" + number.format(2)
        + number.format(1) + "78" + number.format(2) + "c3a9"
        # a.yes, bool, 1
        + number.format(5) + "612e796573 07000000 01"
        # a, 2 dimensions, 3 and 1, F16, at 0
        + number.format(1) + "61 02000000" + number.format(3) + number.format(1) + "01000000" + number.format(0)
        # b, 1 dimension, 2, F32, at 32
        + number.format(1) + "62 01000000" + number.format(2) + "00000000" + "2000000000000000"
    )  # fmt: skip
    raw = bytes.fromhex(header)
    assert len(raw) == 229
    expected = raw + bytes(27) + bytes.fromhex("003c00400042") + bytes(26)
    expected += bytes.fromhex("0000803f0000c07f") + bytes(24)
    assert content == expected


def test_the_alignment_is_written_only_if_it_is_another() -> None:
    assert b"general.alignment" not in gguf_bytes(METADATA, [TINY], 32)
    tensors = [TINY, replace(TINY, name="v")]
    content = gguf_bytes(METADATA, tensors, 64)
    found = read(content)
    assert not found.problems.found
    assert found.values["general.alignment"] == 64
    assert list(found.values) == ["general.architecture", *sorted(found.values.keys() - {"general.architecture"})]
    assert [tensor.begin for tensor in found.tensors] == [0, 64]
    assert len(content) % 64 == 0


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.ARRAY, Kind.STRING)])
def test_numbers_fill_their_kind(kind: Kind) -> None:
    formats = dict(zip(Kind, ("B", "b", "H", "h", "I", "i", "f", "?", "", "", "Q", "q", "d"), strict=True))
    value = {Kind.BOOL: True, Kind.FLOAT32: 1.5, Kind.FLOAT64: 0.1}.get(kind, 1)
    raw = struct.pack("<I" + formats[kind], kind, value)
    assert b"a.key" + raw in gguf_bytes({**METADATA, "a.key": Value(kind, value)}, [TINY])
    assert b"a.key" + struct.pack("<IIQ", 9, kind, 0) in gguf_bytes({**METADATA, "a.key": Array(kind, ())}, [TINY])


# Data as a stream


@pytest.mark.parametrize("data", [b"12345678", lambda: b"12345678", lambda: iter([b"123", b"", b"45678"])])
def test_data_may_come_in_any_way(data: Data) -> None:
    tensor = Tensor("w", "F32", (2,), data)
    assert gguf_bytes(METADATA, [tensor]) == gguf_bytes(METADATA, [replace(tensor, data=b"12345678")])


def test_data_is_asked_for_when_its_turn_comes() -> None:
    asked: list[str] = []

    def data(name: str) -> Callable[[], bytes]:
        return lambda: asked.append(name) or b"1234"  # type: ignore[func-returns-value]

    pieces = gguf_pieces(METADATA, [Tensor(name, "F32", (1,), data(name)) for name in "ba"])
    next(pieces)
    assert asked == []
    assert next(pieces) == b"1234"
    assert asked == ["a"]
    next(pieces)
    assert next(pieces) == b"1234"
    assert asked == ["a", "b"]


def test_no_more_than_a_tensor_holds_is_taken() -> None:
    taken = []

    def long() -> Iterator[bytes]:
        for _ in range(99):
            taken.append(1)
            yield b"1234"

    file = io.BytesIO()
    with pytest.raises(ValueError, match=r"`w` has at least 12 bytes; F32 of 1 x 2 asks for 8"):
        write_gguf(file, METADATA, [Tensor("w", "F32", (1, 2), long)])
    assert len(taken) == 3
    assert file.getvalue().endswith(b"12341234")


def test_too_little_data_is_an_error() -> None:
    with pytest.raises(ValueError, match="`w` has 7 bytes; F32 of 2 asks for 8"):
        gguf_bytes(METADATA, [Tensor("w", "F32", (2,), lambda: [b"123", b"4567"])])


# What is refused


@pytest.mark.parametrize(
    ("name", "type", "shape", "data", "error"),
    [
        ("w" * 64, "F32", (1,), bytes(4), "64 bytes; up to 63"),
        ("é" * 32, "F32", (1,), bytes(4), "64 bytes; up to 63"),
        ("", "F32", (1,), bytes(4), "called ``"),
        ("../w", "F32", (1,), bytes(4), "not safe"),
        ("w\n", "F32", (1,), bytes(4), "not safe"),
        ("w\ud800", "F32", (1,), bytes(4), "not safe"),
        ("w", "F31", (1,), bytes(4), "unknown type `F31`"),
        ("w", "F32", (), bytes(4), "0 dimensions"),
        ("w", "F32", (1, 1, 1, 1, 1), bytes(4), "5 dimensions"),
        ("w", "F32", (1, 0), b"", "makes no sense"),
        ("w", "F32", (True,), bytes(4), "makes no sense"),
        ("w", "F32", (1 << 40, 1 << 40), bytes, "makes no sense"),
        ("w", "Q4_0", (32, 33), bytes(36), "has 33 numbers, no multiple of the 32 in a block of Q4_0"),
        ("w", "Q4_K", (32,), bytes(18), "no multiple of the 256"),
        ("w", "F32", (2,), bytes(4), "has 4 bytes; F32 of 2 asks for 8"),
        ("w", "Q8_0", (2, 32), bytes(64), "has 64 bytes; Q8_0 of 2 x 32 asks for 68"),
    ],
)
def test_a_tensor_that_nobody_reads_is_refused(
    name: str, type: str, shape: tuple[int, ...], data: Data, error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        Tensor(name, type, shape, data)


@pytest.mark.parametrize(
    ("kind", "value", "error"),
    [
        (Kind.UINT32, -1, "`-1` does not fit into UINT32"),
        (Kind.UINT32, 1 << 32, "does not fit"),
        (Kind.INT8, 128, "does not fit"),
        (Kind.INT64, 1 << 63, "does not fit"),
        (Kind.UINT64, 1 << 5000, "does not fit"),
        (Kind.UINT32, True, "`True` is no int"),
        (Kind.UINT32, 1.0, "`1.0` is no int"),
        (Kind.BOOL, 1, "is no bool"),
        (Kind.FLOAT32, 1, "`1` is no float"),
        (Kind.FLOAT32, 1e39, "does not fit into FLOAT32"),
        (Kind.FLOAT64, math.nan, "`nan` is no float"),
        (Kind.STRING, b"a", "is no str"),
        (Kind.STRING, "a\0", "NUL"),
        (Kind.STRING, "\ud800", "UTF-8"),
        (Kind.ARRAY, 1, "not the kind of a single value"),
        (4, 1, "not the kind of a single value"),
        ("UINT32", 1, "not the kind of a single value"),
    ],
)
def test_no_value_is_written_as_what_it_is_not(kind: Any, value: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Value(kind, value)
    with pytest.raises(ValueError, match=error):
        Array(kind, (value,))


def test_an_array_is_a_tuple() -> None:
    with pytest.raises(ValueError, match="are a str, not a tuple"):
        Array(Kind.STRING, "abc")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "key", ["", "A.b", "a..b", ".a", "a.", "a b", "a-b", "a\n", "é", "general.base_model.٣", "a" * 1025]
)
def test_keys_are_words_with_dots_between_them(key: str) -> None:
    with pytest.raises(ValueError, match="lower_snake_case"):
        gguf_bytes({**METADATA, key: Value(Kind.BOOL, True)}, [TINY])


@pytest.mark.parametrize(
    ("changes", "tensors", "alignment", "error"),
    [
        ({}, [], 32, "there are 0 tensors"),
        ({}, [TINY, replace(TINY, shape=(1, 1))], 32, "`w` is there twice"),
        ({"a": 1}, [TINY], 32, "`a` is of the type int, not a Value or an Array"),
        ({"general.architecture": None}, [TINY], 32, "a file needs the key `general.architecture`"),
        ({"general.architecture": Value(Kind.BOOL, True)}, [TINY], 32, "of the kind STRING"),
        ({"general.alignment": Value(Kind.UINT32, 32)}, [TINY], 32, "where the argument"),
        (
            {"general.quantization_version": None},
            [Tensor("q", "Q8_0", (32,), bytes(34))],
            32,
            "`q`, which is quantised",
        ),
        ({}, [TINY], 0, "the alignment is 0"),
        ({}, [TINY], 48, "the alignment is 48"),
        ({}, [TINY], 1 << 17, "the alignment is 131072"),
        ({"a": Value(Kind.STRING, "x" * METADATA_LIMIT)}, [TINY], 32, "larger than what is read"),
        ({}, [Tensor(name, "F32", (1 << 60,), bytes) for name in "ab"], 32, "larger than what is read"),
    ],
)
def test_a_file_that_nobody_reads_is_refused(
    changes: Mapping[str, Any], tensors: list[Tensor], alignment: int, error: str
) -> None:
    metadata = {key: value for key, value in {**METADATA, **changes}.items() if value is not None}
    file = io.BytesIO()
    with pytest.raises(ValueError, match=error):
        write_gguf(file, metadata, tensors, alignment)
    assert not file.getvalue()


@pytest.mark.parametrize(("limit", "error"), [("MOST_KEYS", "of 3 keys"), ("MOST_TENSORS", "there are 3 tensors")])
def test_no_more_is_written_than_is_read(limit: str, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = [replace(TINY, name=name) for name in "abc"]
    monkeypatch.setattr(gguf_writer, limit, 3)
    assert gguf_bytes(METADATA, tensors)
    monkeypatch.setattr(gguf_writer, limit, 2)
    with pytest.raises(ValueError, match=error):
        gguf_bytes(METADATA, tensors)


# By two readers


def values(kind: Kind) -> st.SearchStrategy[Any]:
    if kind == Kind.BOOL:
        return st.booleans()
    if kind == Kind.STRING:
        return st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
    if kind in (Kind.FLOAT32, Kind.FLOAT64):
        return st.floats(allow_nan=False, width=32 if kind == Kind.FLOAT32 else 64)
    bits = int(kind.name.lstrip("UINT"))
    return st.integers(0, 2**bits - 1) if kind.name[0] == "U" else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@st.composite
def entries(draw: st.DrawFn) -> Value | Array:
    kind = draw(st.sampled_from([kind for kind in Kind if kind != Kind.ARRAY]))
    if draw(st.booleans()):
        return Value(kind, draw(values(kind)))
    return Array(kind, tuple(draw(st.lists(values(kind), max_size=4))))


@st.composite
def tensors(draw: st.DrawFn, name: str) -> Tensor:
    type, block, size = draw(st.sampled_from(sorted(TYPES.values())))
    *rest, last = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    count = math.prod([*rest, last]) * size
    data = random.Random(draw(st.integers(0, 9))).randbytes(count)  # NaN and all
    return Tensor(name, type, (*rest, last * block), data)


SAFE = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=12).filter(
    lambda name: not name.startswith(("/", ".")) and ".." not in name
)
KEYS = st.from_regex(r"[a-z0-9_]{1,5}(\.[a-z0-9_]{1,5}){0,2}", fullmatch=True)


@st.composite
def files(draw: st.DrawFn) -> tuple[dict[str, Value | Array], list[Tensor], int]:
    metadata = {**draw(st.dictionaries(KEYS, entries(), max_size=6)), **METADATA}
    names = draw(st.lists(SAFE, min_size=1, max_size=5, unique=True))
    return metadata, [draw(tensors(name)) for name in names], draw(st.sampled_from((8, 32, 256)))


def check_by_our_reader(
    content: bytes, metadata: Mapping[str, Value | Array], tensors: list[Tensor], alignment: int
) -> None:
    found = read(content)
    assert not found.problems.found
    assert found.version == 3
    expected = {key: one.value if isinstance(one, Value) else len(one.values) for key, one in metadata.items()}
    assert {key: found.values[key] for key in metadata} == expected
    assert found.values.keys() - metadata.keys() == ({"general.alignment"} if alignment != 32 else set())
    data = -(-found.end // alignment) * alignment
    ordered = sorted(tensors, key=lambda tensor: tensor.name)
    for stored, tensor in zip(found.tensors, ordered, strict=True):
        assert (stored.name, stored.dtype, stored.count) == (tensor.name, tensor.type, math.prod(tensor.shape))
        assert stored.end is not None
        assert content[data + stored.begin : data + stored.end] == tensor.data


def check_by_the_package(
    content: bytes, metadata: Mapping[str, Value | Array], tensors: list[Tensor], alignment: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        path.write_bytes(content)
        found = GGUFReader(path)
        assert found.alignment == alignment
        for key, one in metadata.items():
            field = found.fields[key]
            if isinstance(one, Value):
                assert (field.types, field.contents()) == ([GGUFValueType(one.kind)], one.value)
            else:  # the package keeps no type of an array without values
                assert field.types == [GGUFValueType.ARRAY, *[GGUFValueType(one.kind)] * bool(one.values)]
                assert field.contents() == list(one.values)
        for stored, tensor in zip(found.tensors, sorted(tensors, key=lambda tensor: tensor.name), strict=True):
            assert (stored.name, stored.tensor_type.name) == (tensor.name, tensor.type)
            assert stored.shape.tolist() == list(reversed(tensor.shape))
            assert stored.data.tobytes() == tensor.data
        del found, stored


@given(files())
@settings(deadline=None)
def test_what_is_written_is_read(file: tuple[dict[str, Value | Array], list[Tensor], int]) -> None:
    content = gguf_bytes(*file)
    check_by_our_reader(content, *file)
    check_by_the_package(content, *file)


@given(files(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_another_order_gives_the_same_bytes(
    file: tuple[dict[str, Value | Array], list[Tensor], int], order: random.Random
) -> None:
    metadata, tensors, alignment = file
    pairs, others = list(metadata.items()), list(tensors)
    order.shuffle(pairs)
    order.shuffle(others)
    assert gguf_bytes(dict(pairs), others, alignment) == gguf_bytes(metadata, tensors, alignment)


def test_types_are_those_of_the_package() -> None:
    theirs = {type.value: (type.name, *sizes) for type, sizes in GGML_QUANT_SIZES.items()}
    assert TYPES.items() <= theirs.items()
    assert {kind.name: kind.value for kind in Kind} == {kind.name: kind.value for kind in GGUFValueType}


def test_writing_takes_no_torch() -> None:
    program = "import regrow.formats.gguf_writer, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
