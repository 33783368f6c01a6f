"""`regrow export`, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import gguf as library
import pytest
from click.testing import CliRunner, Result

from regrow.cli.root import cli

from ..exporting.models import folder
from ..exporting.test_adapter import adapter
from .conftest import Shell


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, ["export", *map(str, args)])


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody's, in the current one."""
    monkeypatch.chdir(tmp_path)
    return folder(tmp_path / "model")


def test_a_release_gives_a_file_that_names_it(copy: Shell) -> None:
    done = copy.run("export", "build/small", "--to", "gguf", "--type", "Q8_0")
    assert (done.returncode, done.stdout) == (0, "small-Q8_0.gguf\n"), done.stderr
    said = library.GGUFReader(copy.folder / "small-Q8_0.gguf").fields
    digest = copy.json("inspect", "build/small")["digest"]
    assert said["regrow.release_sha256"].contents() == digest
    assert said["general.name"].contents() == "small"
    assert said["general.license"].contents() == "Apache-2.0"
    assert said["general.dataset.count"].contents() >= 1
    weights = copy.folder / "build" / "small" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    again = copy.run("export", "build/small", "--to", "hf")
    assert again.returncode == 6
    assert "this is not the file that was released" in again.stderr
    assert not (copy.folder / "small-hf").exists()


def test_the_same_bytes_wherever_and_whatever_it_is_called(model: Path, tmp_path: Path) -> None:
    other = folder(tmp_path / "elsewhere" / "other")
    for place, output in ((model, "a.gguf"), (other, "b.gguf")):
        assert run(place, "--to", "gguf", "--type", "Q4_1", "-o", output).exit_code == 0
    assert Path("a.gguf").read_bytes() == Path("b.gguf").read_bytes()


def test_what_is_asked_for_is_written_where_it_is_said(model: Path) -> None:
    done = run(model, "--to", "gguf", "--json")
    assert json.loads(done.stdout)["path"] == "model-F16.gguf"
    assert library.GGUFReader("model-F16.gguf").fields["general.file_type"].contents() == 1
    few = run(model, "--to", "gguf", "--type", "Q4_0")
    assert "`token_embd.weight` is written as Q8_0" in few.stderr
    assert run(model, "--to", "hf", "--dtype", "bfloat16", "--shard-size", "60KB", "-o", "half").exit_code == 0
    assert len(list(Path("half").glob("*.safetensors"))) > 2


def test_adapters(model: Path, tmp_path: Path) -> None:
    other = adapter(tmp_path / "adapter", model)
    assert run(other, "--to", "peft", "--base", "org/name", "-o", "copy").exit_code == 0
    assert json.loads(Path("copy/adapter_config.json").read_text())["base_model_name_or_path"] == "org/name"
    assert run(other, "--to", "gguf", "--base", model).stdout == "adapter-adapter.gguf\n"
    assert library.GGUFReader("adapter-adapter.gguf").fields["general.type"].contents() == "adapter"
    other.rename(model / "adapter")
    assert run(model, "--to", "gguf", "--adapter", "-o", "inside.gguf").exit_code == 0
    assert Path("inside.gguf").read_bytes() == Path("adapter-adapter.gguf").read_bytes()
    assert run(model, "--to", "peft").stdout == "model-peft\n"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["model", "--to", "gguf", "--type", "Q3_K"], 2, "'Q3_K' is not one of"),
        (["model"], 2, "--to"),
        (["model", "--to", "onnx"], 2, "'onnx' is not one of"),
        (["model", "--to", "hf", "--type", "F16"], 2, "`--type` says nothing to `--to hf`"),
        (["model", "--to", "peft", "--dtype", "bfloat16"], 2, "`--dtype` says nothing to `--to peft`"),
        (["model", "--to", "gguf", "--base", "x"], 2, "`--base` says something of an adapter only"),
        (["model", "--to", "gguf", "--adapter", "--type", "F16"], 2, "`--type` says nothing to an adapter"),
        (["model", "--to", "hf", "--shard-size", "many"], 2, "`many` is no size"),
        (["model", "--to", "peft"], 6, "there is no adapter"),
        (["model", "--to", "gguf", "-o", "taken"], 2, "there is something already"),
        (["model", "--to", "hf", "-o", "taken"], 2, "there is something already"),
        (["model", "--to", "gguf", "-o", "taken/out.gguf"], 2, "the output cannot be written"),
        (["empty", "--to", "gguf"], 6, "there is no release here"),
        (["nothing", "--to", "gguf"], 6, "there is no such folder"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(args: list[str], code: int, said: str, model: Path) -> None:
    Path("empty").mkdir()
    Path("taken").write_text("mine")
    before = sorted(Path().rglob("*"))
    done = run(*args)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert sorted(Path().rglob("*")) == before
    assert Path("taken").read_text() == "mine"


def test_numbers_that_do_not_fit_leave_nothing_half_written(model: Path) -> None:
    from regrow.model import weights

    config, parameters = weights.load(model)
    parameters["layers.001.mlp.down"][0, 0] = 1e38
    weights.save(model, config, parameters, weights.Ends(0, 0))
    before = sorted(Path().rglob("*"))
    done = run(model, "--to", "gguf", "--type", "F16")
    assert done.exit_code == 6
    assert "the numbers of `blk.1.ffn_down.weight` cannot be written as F16" in done.stderr
    assert sorted(Path().rglob("*")) == before
