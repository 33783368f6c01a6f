"""Whether a file was quantised from a parent: by us, by another program, and not at all."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from regrow.cli.root import cli
from regrow.exporting.gguf import prepared
from regrow.formats.gguf_blocks import ENCODED, encode
from regrow.formats.gguf_steps import KNOWN, steps
from regrow.formats.gguf_writer import Tensor, gguf_bytes
from regrow.model import gguf
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.gguf_writing import FILE_TYPES, laid, written
from regrow.model.weights import Ends, save
from regrow.recipe.facts import Facts
from regrow.verifying.quantised import FAR, NEAR, SAME, Parentage, compare_with_parent
from tests.models import model

CONFIG = DecoderConfig(vocabulary=64, layers=1, width=64, heads=2, kv_heads=1, hidden=96, context=64)
MATRIX = "blk.0.ffn_up.weight"


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parent")
    save(folder, CONFIG, initialise(CONFIG, 3), Ends(0, 0))
    return folder


def file(path: Path, type: str, change: dict[str, Tensor] | None = None, seed: int = 3) -> Path:
    """A file of the parent, some of whose tensors are others."""
    made = written(CONFIG, initialise(CONFIG, seed), type)
    path.write_bytes(gguf_bytes(made.metadata, [(change or {}).get(one.name, one) for one in made.tensors]))
    return path


def numbers(type: str, name: str = MATRIX, config: DecoderConfig = CONFIG) -> tuple[Tensor, np.ndarray]:
    """A tensor of the file, and the numbers that it is made of."""
    found = laid(config, initialise(config, 3), {})
    return found.tensor(name, type), found.tensors[name].contiguous().numpy()


def verdicts(found: Parentage) -> dict[str, str]:
    return {one.name: one.verdict for one in found.tensors if one.verdict != SAME}


@pytest.mark.parametrize("type", FILE_TYPES)
def test_ours_is_the_same_once_more(type: str, parent: Path, tmp_path: Path) -> None:
    found = compare_with_parent(file(tmp_path / "m.gguf", type), parent)
    assert (found.same, found.exit_code, verdicts(found)) == (True, 0, {})
    again = compare_with_parent(tmp_path / "m.gguf", file(tmp_path / "f32.gguf", "F32"))
    assert again.same, "the parent may be a file itself"


def another_programs(x: np.ndarray, type: str) -> bytes:
    """Scales that are larger by a percent or two, and the nearest values."""
    blocks = x.reshape(-1, 32)
    if type == "Q8_0":
        scale = (np.abs(blocks).max(1, keepdims=True) * 1.01 / 127).astype("<f2")
        codes = np.rint(blocks / scale.astype("<f4")).astype(np.int8)
        return np.concatenate([scale.view(np.uint8), codes.view(np.uint8)], 1).tobytes()
    wider = blocks.copy()
    wider[np.arange(len(wider)), np.abs(wider).argmax(1)] *= 1.02
    return encode(wider.reshape(x.shape), type)


@pytest.mark.parametrize("type", ["Q8_0", "Q4_0", "Q5_0", "Q4_1", "Q5_1"])
def test_scales_of_another_program_are_seen_to_be_near(type: str, parent: Path, tmp_path: Path) -> None:
    """It took other scales by a percent, and then the nearest values."""
    tensor, x = numbers(type)
    own = another_programs(x, type)
    found = compare_with_parent(file(tmp_path / "m.gguf", type, {MATRIX: replace(tensor, data=lambda: own)}), parent)
    assert verdicts(found) == {MATRIX: NEAR}
    assert (found.same, found.near, found.exit_code) == (False, True, 0)
    assert "under the file's own scales: 1 tensor" in "\n".join(found.lines())


@pytest.mark.parametrize("type", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])
def test_a_tensor_that_was_changed_is_named(type: str, parent: Path, tmp_path: Path) -> None:
    tensor, x = numbers(type)
    changed = x.copy()
    changed[1] += 0.3 * np.abs(x[1]).max()
    other = replace(tensor, data=lambda: encode(changed, type))
    found = compare_with_parent(file(tmp_path / "m.gguf", type, {MATRIX: other}), parent)
    assert verdicts(found) == {MATRIX: FAR}
    assert found.exit_code == 3
    (far,) = (one for one in found.tensors if one.verdict == FAR)
    assert 0 < far.beyond < 0.05
    assert f"`{MATRIX}`" in "\n".join(found.lines())


@pytest.mark.parametrize("type", ["Q8_0", "Q4_0", "Q4_1"])
def test_scales_so_coarse_that_anything_would_be_near(type: str, parent: Path, tmp_path: Path) -> None:
    tensor, x = numbers(type)
    coarse = np.zeros_like(x).reshape(-1, 32)
    coarse[:, 0] = 1e4
    raw = np.frombuffer(encode(coarse, type), np.uint8).reshape(len(coarse), -1).copy()
    raw[:, 2 if type != "Q4_1" else 4 :] = np.frombuffer(encode(np.zeros_like(coarse), type), np.uint8).reshape(
        len(coarse), -1
    )[:, 2 if type != "Q4_1" else 4 :]
    if type == "Q4_0":
        raw[:, 2:] = 0x88
    found = compare_with_parent(file(tmp_path / "m.gguf", type, {MATRIX: replace(tensor, data=raw.tobytes)}), parent)
    assert verdicts(found) == {MATRIX: FAR}
    assert "coarse" in "\n".join(found.lines())


@pytest.mark.parametrize("type", ["Q8_0", "Q4_1"])
@pytest.mark.parametrize("scale", [b"\0\0", b"\0\x7c", b"\0\x7e"])
def test_scales_of_nothing_infinity_and_no_number(type: str, scale: bytes, parent: Path, tmp_path: Path) -> None:
    tensor, _ = numbers(type)
    raw = bytearray(laid(CONFIG, initialise(CONFIG, 3), {}).encoded(MATRIX, type))
    raw[:2] = scale
    other = replace(tensor, data=lambda: bytes(raw))
    found = compare_with_parent(file(tmp_path / "m.gguf", type, {MATRIX: other}), parent)
    assert verdicts(found) == {MATRIX: FAR}


def test_another_model_is_not_the_parent(parent: Path, tmp_path: Path) -> None:
    found = compare_with_parent(file(tmp_path / "m.gguf", "Q4_0", seed=4), parent)
    assert set(verdicts(found).values()) == {FAR}


def test_what_is_missing_and_what_was_added(parent: Path, tmp_path: Path) -> None:
    made = written(CONFIG, initialise(CONFIG, 3), "Q8_0")
    kept = [one for one in made.tensors if one.name != MATRIX]
    more = Tensor("blk.9.evil.weight", "F32", (4,), np.zeros(4, "<f4").tobytes)
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(made.metadata, [*kept, more]))
    found = compare_with_parent(tmp_path / "m.gguf", parent)
    assert (found.missing, found.added, found.exit_code) == ((MATRIX,), ("blk.9.evil.weight",), 3)


def k_quants(x: np.ndarray, type: str) -> bytes:
    """Blocks of 256 as llama.cpp lays them out: scales that are whole numbers, then the nearest values."""
    if type == "Q6_K":
        groups = x.reshape(-1, 16, 16).astype(np.float64)
        need = np.abs(groups).max(2) / 31
        scale = (need.max(1, keepdims=True) / 120).astype("<f2")
        own = np.rint(need / scale.astype(float)).astype(np.int8)
        step = (scale.astype(float) * own)[:, :, None]
        codes = (np.rint(groups / np.where(step, step, 1)).clip(-32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
        low = (codes & 15)[:, :, :2] | (codes & 15)[:, :, 2:] << 4
        high = sum((codes >> 4)[:, :, i] << (2 * i) for i in range(4))
        six = low.reshape(len(own), -1), np.asarray(high, np.uint8).reshape(len(own), -1), own, scale
        return np.concatenate([np.ascontiguousarray(part).view(np.uint8) for part in six], 1).tobytes()
    groups = x.reshape(-1, 8, 32).astype(np.float64)
    lowest = np.minimum(groups.min(2), 0)
    need = (groups.max(2) - lowest) / 15
    scale, offset = ((one.max(1, keepdims=True) / 63).astype("<f2") for one in (need, -lowest))
    sc, mn = (np.rint(a / b.astype(float)).clip(0, 63).astype(np.uint8) for a, b in ((need, scale), (-lowest, offset)))
    step, start = (scale.astype(float) * sc)[:, :, None], -(offset.astype(float) * mn)[:, :, None]
    codes = np.rint((groups - start) / np.where(step, step, 1)).clip(0, 15).astype(np.uint8).reshape(-1, 4, 2, 32)
    packed = (
        sc[:, :4] | (sc[:, 4:] >> 4) << 6, mn[:, :4] | (mn[:, 4:] >> 4) << 6, (sc[:, 4:] & 15) | (mn[:, 4:] & 15) << 4
    )  # fmt: skip
    parts = scale, offset, *packed, (codes[:, :, 0] | codes[:, :, 1] << 4).reshape(len(sc), -1)
    return np.concatenate([np.ascontiguousarray(part).view(np.uint8) for part in parts], 1).tobytes()


@pytest.mark.parametrize("type", ["Q4_K", "Q6_K"])
def test_types_that_only_others_write(type: str, tmp_path: Path) -> None:
    wide = replace(CONFIG, hidden=256)
    (tmp_path / "parent").mkdir()
    save(tmp_path / "parent", wide, initialise(wide, 3), Ends(0, 0))
    made = written(wide, initialise(wide, 3), "Q8_0")
    plain, x = numbers("F32", "blk.0.ffn_down.weight", wide)

    def judged(x: np.ndarray) -> Parentage:
        theirs = Tensor(plain.name, type, plain.shape, lambda: k_quants(x, type))
        tensors = [theirs if one.name == plain.name else one for one in made.tensors]
        (tmp_path / "m.gguf").write_bytes(gguf_bytes(made.metadata, tensors))
        return compare_with_parent(tmp_path / "m.gguf", tmp_path / "parent")

    assert verdicts(judged(x)) == {plain.name: NEAR}
    assert verdicts(judged(np.where(np.arange(256) == 7, x + np.abs(x).max() / 3, x))) == {plain.name: FAR}


@pytest.mark.parametrize("type", KNOWN)
def test_values_lie_where_the_steps_say(type: str) -> None:
    """Against the library that turns blocks into numbers."""
    import gguf as library

    kind = library.GGMLQuantizationType[type]
    random = np.random.default_rng(5)
    raw = random.integers(0, 256, (40, library.GGML_QUANT_SIZES[kind][1]), np.uint8)
    for place in {"Q6_K": (209,), "Q4_K": (1, 3), "Q4_1": (1, 3), "Q5_1": (1, 3)}.get(type, (1,)):
        raw[:, place] &= 0x3F  # finite
    block = steps(raw.reshape(-1), type)
    values = library.quants.dequantize(raw, kind).reshape(-1, block.size).astype(np.float64)
    slack = 1e-6 * (np.abs(block.highest) + np.abs(block.lowest))
    assert (values >= block.lowest - slack - (block.step if type == "Q8_0" else 0)).all(), "-128 is nobody's"
    assert (values <= block.highest + slack).all()
    nearest = block.lowest + block.step * np.rint((values - block.lowest) / np.where(block.step, block.step, 1))
    assert (np.abs(nearest - values) <= slack).all()
    assert set(KNOWN) <= set(gguf.STORED)
    assert set(KNOWN) - set(ENCODED) == {"Q4_K", "Q6_K"}


def test_the_way_of_a_user(parent: Path, tmp_path: Path) -> None:
    arguments = ["verify", str(file(tmp_path / "m.gguf", "Q8_0")), "--parent", str(parent)]
    found = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert found.exit_code == 0
    assert found.output.startswith("Quantised from this parent: ")
    assert "A model can be prepared" in found.output
    wrong = CliRunner().invoke(cli, [*arguments[:1], str(file(tmp_path / "o.gguf", "Q8_0", seed=5)), *arguments[2:]])
    assert wrong.exit_code == 3


@pytest.mark.parametrize(("number", "own"), [(2, "Q4_0"), (7, "Q8_0"), (8, "Q5_0"), (15, "Q4_K"), (18, "Q6_K")])
def test_files_of_llama_cpp_are_near(number: int, own: str, tmp_path: Path) -> None:
    """Its program searches for scales as it likes, and writes types that we do not."""
    pytest.importorskip("llama_cpp")
    wide = replace(CONFIG, vocabulary=300, width=256, hidden=256)
    parent = model(tmp_path / "parent", wide)
    with (tmp_path / "f32.gguf").open("xb") as plain:
        prepared(parent, parent, "F32", Facts()).write(plain)
    subprocess.run([sys.executable, "-c", _QUANTIZE, tmp_path / "f32.gguf", tmp_path / "m.gguf", str(number)],
        check=True, capture_output=True)  # fmt: skip
    found = compare_with_parent(tmp_path / "m.gguf", parent)
    assert found.near, list(found.lines())
    assert own in {one.type for one in found.tensors}


_QUANTIZE = """
import ctypes, sys, llama_cpp
options = llama_cpp.llama_model_quantize_default_params()
options.ftype, options.nthread = int(sys.argv[3]), 1
sys.exit(llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(options)))
"""
