"""GGUF files with all that is known of a model: the same from a stage as afterwards, and the same everywhere."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import gguf as library
import pytest

import regrow
from regrow.exporting.gguf import prepared
from regrow.formats.gguf_writer import gguf_bytes
from regrow.model import gguf, weights
from regrow.model.gguf_writing import written
from regrow.recipe.facts import Brought, Facts
from regrow.release import Release
from regrow.release.facts import facts
from regrow.stages import KINDS
from regrow.store import tree_digest

from ..stages.conftest import Bench
from .models import FAMILIES, TEXTS, config, folder, numbers

FACTS = Facts(
    name="small",
    licence="MIT",
    description="A small one.",
    models=(Brought(name="base", fetch="pypi:a-model==0.1.2", licence="Apache-2.0", sha256="1" * 64),),
    texts=(
        Brought(name="logs", fetch="file:logs", licence="CC0-1.0"),
        Brought(name="web", fetch="https://example.org/texts/a.txt?token=1", licence="MIT"),
    ),
)
RECIPE = """\
recipe = 1

[model]
name = "small"
licence = "MIT"
description = "A small one."

[base]
fetch = "file:base"
licence = "Apache-2.0"

[[source]]
name = "texts"
fetch = "file:texts"
licence = "CC0-1.0"
availability = "open"

[corpus]
near_duplicates = 0

[finetune]
tokens = 128
context = 16
parameters = ["norm"]
micro_batch = 4
micro_batches_per_step = 1

[convert]
dtype = "bfloat16"

[gguf]
types = ["F16", "Q8_0"]

[evaluate]
prompts = ["one"]
sample_tokens = 4
"""
GOLDEN = {
    "F32": "8dba25b7258eae7d3c6aa4b17b3eae335d7faa6f481206912329a3666aa03629",
    "Q8_0": "f3eeb302d1e80f6fc3beacdac64ac7a99f4f6666cd8e30783840f72df5c4e2e7",
    "Q4_0": "74affc06b705a70fc2ff51d5ac46e0a08c709509dac980d58cbdd38076207d1d",
    "Q5_1": "c1099064d6c8a07c38c1b2b8323f019a5ad1b1722f6c4720a040b8de0e746962",
}


def bytes_of(model: Path, type: str, facts: Facts, release: str = "") -> bytes:
    file = io.BytesIO()
    prepared(model, model, type, facts, release).write(file)
    return file.getvalue()


def header(path: Path) -> dict[str, Any]:
    return {key: field.contents() for key, field in library.GGUFReader(path).fields.items()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, what lies beside it, and `release`."""
    root = tmp_path_factory.mktemp("gguf")
    folder(root / "recipe" / "base", "qwen3", tied_embeddings=True)
    (root / "recipe" / "texts").mkdir()
    for number, text in enumerate(TEXTS):
        (root / "recipe" / "texts" / f"{number}.txt").write_text(text)
    (root / "recipe" / "regrow.toml").write_text(RECIPE)
    regrow.build(root / "recipe", root / "release", store=root / "store")
    return root


@pytest.mark.parametrize("type", GOLDEN)
def test_the_tensors_are_what_they_were(type: str) -> None:
    """If one of these fails, bump the version of `gguf`, and name the rounding anew if it is another."""
    made = config("llama")
    said = written(made, numbers(made), type)
    assert hashlib.sha256(gguf_bytes(said.metadata, said.tensors)).hexdigest() == GOLDEN[type]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_says_what_is_known(family: str, tmp_path: Path) -> None:
    model = folder(tmp_path / "model", family)
    (tmp_path / "model.gguf").write_bytes(bytes_of(model, "F32", FACTS, "2" * 64))
    said = header(tmp_path / "model.gguf")
    weights_sha256 = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    wanted = {
        "general.type": "model", "general.name": "small", "general.license": "MIT",
        "general.description": "A small one.", "general.base_model.count": 1,
        "general.base_model.0.name": "a-model", "general.base_model.0.version": "0.1.2",
        "general.base_model.0.url": "pkg:pypi/a-model@0.1.2", "regrow.base_model.0.license": "Apache-2.0",
        "regrow.base_model.0.sha256": "1" * 64, "regrow.base_model.0.fetch": "pypi:a-model==0.1.2",
        "general.dataset.count": 2, "general.dataset.0.name": "logs", "regrow.dataset.0.fetch": "file:logs",
        "general.dataset.1.name": "a.txt", "general.dataset.1.url": "https://example.org/texts/a.txt",
        "regrow.release_sha256": "2" * 64, "regrow.weights_sha256": weights_sha256,
    }  # fmt: skip
    assert {key: said.get(key) for key in wanted} == wanted
    assert "token=1" not in str(said)
    config, parameters = weights.load(model)
    found = gguf.load(tmp_path / "model.gguf")
    assert all((found.parameters[name] == x).all() for name, x in parameters.items())
    assert found.config.tied_embeddings == config.tied_embeddings


def test_what_nobody_says_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(bytes_of(folder(tmp_path / "model"), "F32", Facts()))
    said = header(tmp_path / "model.gguf")
    assert not [key for key in said if key.startswith(("general.base", "general.data", "general.lic", "general.name"))]
    assert [key for key in said if key.startswith("regrow.")] == ["regrow.weights_sha256"]


def test_where_an_answer_ends_is_said_and_read_again(tmp_path: Path) -> None:
    model = folder(tmp_path / "model")
    weights.save(model, *weights.load(model), weights.Ends(0, 0, (5, 7)))
    (tmp_path / "model.gguf").write_bytes(bytes_of(model, "F32", Facts()))
    said = header(tmp_path / "model.gguf")
    assert (said["tokenizer.ggml.eos_token_id"], said["tokenizer.ggml.eot_token_id"]) == (0, 5)
    assert gguf.ends(gguf.metadata(tmp_path / "model.gguf")).stops == (0, 5)


def test_a_release_holds_the_files_and_an_export_adds_its_digest_alone(built: Path) -> None:
    release = Release.open(built / "release")
    names = [path for path in release.listed if path.startswith("gguf/")]
    assert names == ["gguf/small-F16.gguf", "gguf/small-Q8_0.gguf"]
    assert "*.gguf filter=lfs" in (built / "release" / ".gitattributes").read_text()
    told = facts(release)
    assert [one.name for one in told.models] == ["base"]
    assert [(one.name, one.licence) for one in told.texts] == [("texts", "CC0-1.0")]
    for type in ("F16", "Q8_0"):
        inside = built / "release" / "gguf" / f"small-{type}.gguf"
        assert bytes_of(built / "release", type, told) == inside.read_bytes()
        outside = built / f"{type}.gguf"
        outside.write_bytes(bytes_of(built / "release", type, told, release.digest))
        more = header(outside).keys() - header(inside).keys()
        assert more == {"regrow.release_sha256"}


def test_the_base_is_named_with_its_digest(built: Path) -> None:
    said = header(built / "release" / "gguf" / "small-Q8_0.gguf")
    assert (said["general.base_model.0.name"], said["regrow.base_model.0.license"]) == ("base", "Apache-2.0")
    assert len(said["regrow.base_model.0.sha256"]) == 64
    assert said["regrow.rounding"] == "regrow-blocks-1"


def test_weights_are_bfloat16_where_that_was_asked_for(built: Path) -> None:
    import torch
    from safetensors.torch import load_file

    tensors = load_file(built / "release" / "model.safetensors")
    assert {x.dtype for x in tensors.values()} == {torch.bfloat16}
    said = json.loads((built / "release" / "config.json").read_text())
    assert said["dtype"] == said["torch_dtype"] == "bfloat16"
    base = load_file(built / "recipe" / "base" / "model.safetensors")
    kept = [name for name in base if name != "model.norm.weight"]
    assert all(torch.equal(tensors[name], base[name].to(torch.bfloat16)) for name in kept)


def test_an_audit_goes_by_the_stages_and_not_by_what_headers_repeat(built: Path) -> None:
    audit = regrow.audit(built / "release")
    assert [(edge.parent, edge.relation) for edge in audit.lineage.edges] == [("file:base", "finetune")]


def test_it_is_built_again_to_the_same_bits(built: Path, tmp_path: Path) -> None:
    report = regrow.verify(built / "release", sources=built / "recipe", store=tmp_path / "store")
    assert report.verdict.value == "same", report


def test_another_licence_is_another_file(built: Path, tmp_path: Path) -> None:
    """What a header says is an ingredient."""
    import shutil

    shutil.copytree(built / "recipe", tmp_path / "recipe")
    path = tmp_path / "recipe" / "regrow.toml"
    path.write_text(path.read_text().replace('licence = "MIT"', 'licence = "Apache-2.0"'))
    regrow.build(tmp_path / "recipe", tmp_path / "release", store=built / "store")
    assert header(tmp_path / "release" / "gguf" / "small-F16.gguf")["general.license"] == "Apache-2.0"


def test_facts_are_not_for_a_recipe_to_say(built: Path, tmp_path: Path) -> None:
    said = RECIPE.replace("[gguf]", '[gguf]\nfacts = {name = "other"}')
    (tmp_path / "regrow.toml").write_text(said)
    with pytest.raises(regrow.errors.RegrowError, match="unknown key"):
        regrow.build(tmp_path, tmp_path / "release", store=tmp_path / "store")


def test_a_type_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="F16 is there twice"):
        KINDS["gguf"].parameters(types=("F16", "F16"))


def test_stages_give_what_they_gave(tmp_path: Path) -> None:
    """If one of these fails, bump the version of the kind."""
    model = folder(tmp_path / "model", "mistral")
    bench = Bench(tmp_path)
    half = bench.run("convert", {"dtype": "bfloat16"}, weights=model)
    assert tree_digest(half) == "0b48a0d1132bda42405761eb74a2373f5eb2834a4df193efeba97e23bcad7b8e"
    files = bench.run("gguf", {"types": ("Q8_0",)}, weights=half, tokenizer=model)
    assert tree_digest(files) == "6d45ff0d6194fed35c378e149fe30e54114692ca81a97d8f99aab6bcbdfb3ba0"
