"""`regrow export`, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import gguf as library
import pytest
from click.testing import CliRunner, Result

from regrow.cli.root import cli
from regrow.compression.rounding import Grid, nearest
from regrow.corpus.tokenizer import Tokenizer
from regrow.model import weights
from regrow.model.decoder import Decoder
from regrow.model.sampling import Sampling, generate

from ..exporting.ask_llama import ask
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


@pytest.mark.slow
def test_llama_cpp_knows_a_model_that_was_trained_here(copy: Shell) -> None:
    """Which others' converter refuses for its tokenizer: the same ids, and the same text."""
    pytest.importorskip("llama_cpp")
    release, file = copy.folder / "build" / "small", copy.folder / "small-F32.gguf"
    assert copy.run("export", "build/small", "--to", "gguf", "--type", "F32").returncode == 0
    (config, parameters), own = weights.load(release), Tokenizer.open(release)
    texts = ["Hello world, it's 1234 of\n\n  the   best!", "<|endoftext|> café 😀 naïve", "  x", " don't"]
    prompts = [own.prompt(text) for text in ("One day", "The  1234")]
    found = ask(file, copy.folder, prompts, texts, 16)
    assert found["texts"] == [[*own.start, *ids] for ids in own.documents(texts)]
    for prompt, row in zip(prompts, found["rows"], strict=True):
        assert list(generate(Decoder(config), parameters, prompt, 16, Sampling(0.0))) == row["said"]


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


def test_one_length_of_a_model_whose_base_grows_with_it(model: Path) -> None:
    folder(Path("longer"), rope_scaling="dynamic", rope_factor=4.0, rope_original_context=24)
    assert run("longer", "--to", "gguf", "--context", "80").exit_code == 0
    said = library.GGUFReader("longer-F16.gguf").fields
    assert said["llama.context_length"].contents() == 80
    assert said["llama.rope.freq_base"].contents() > 10_000
    assert said["regrow.rope.rope_type"].contents() == "dynamic"


def test_integers_stay_integers(model: Path) -> None:
    """Of a quantised model nothing is rounded once more, unless a type without room for it is asked for."""
    config, parameters = weights.load(model)
    matrices = {name: x for name, x in parameters.items() if name.startswith("layers.") and x.dim() > 1}
    codes = {name: nearest(x, Grid(4, 32)) for name, x in matrices.items()}
    weights.save(model, config, parameters, weights.Ends(0, 0), codes)
    assert run(model, "--to", "hf", "--dtype", "bfloat16", "--shard-size", "30KB", "-o", "half").exit_code == 0
    kept = weights.load_codes(Path("half"))
    assert kept.keys() == codes.keys()
    assert all((kept[name].integers == one.integers).all() for name, one in codes.items())
    assert all((kept[name].scales == one.scales).all() for name, one in codes.items())
    assert run(model, "--to", "gguf", "--type", "Q4_0").stderr == "`token_embd.weight` is written as Q8_0\n"
    assert "rounded once more, to `Q4_1`" in run(model, "--to", "gguf", "--type", "Q4_1").stderr


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
        (["model", "--to", "gguf", "--context", "32"], 6, "its positions are the same for sequences of every length"),
        (["model", "--to", "hf", "--context", "32"], 2, "`--context` says nothing to `--to hf`"),
        (["longer", "--to", "gguf"], 6, "choose the length for which they are right with `context`"),
        (["longer", "--to", "gguf", "--context", "97"], 6, "its longest sequence has 96 tokens"),
        (["skipping", "--to", "gguf"], 6, "a model of the kind `regrow` cannot be written as GGUF"),
        (["skipping", "--to", "hf"], 6, "transformers has no class for models of the kind `regrow`"),
        (["skipping", "--to", "gguf", "--adapter"], 6, "there is no adapter"),
        (["model", "--to", "gguf", "-o", "taken"], 2, "there is something already"),
        (["model", "--to", "hf", "-o", "taken"], 2, "there is something already"),
        (["model", "--to", "gguf", "-o", "taken/out.gguf"], 2, "the output cannot be written"),
        (["empty", "--to", "gguf"], 6, "there is no release here"),
        (["nothing", "--to", "gguf"], 6, "there is no such folder"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(args: list[str], code: int, said: str, model: Path) -> None:
    folder(Path("longer"), rope_scaling="dynamic", rope_factor=4.0, rope_original_context=24)
    folder(Path("skipping"), "regrow", skips=((0, 1),))
    Path("empty").mkdir()
    Path("taken").write_text("mine")
    before = sorted(Path().rglob("*"))
    done = run(*args)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert sorted(Path().rglob("*")) == before
    assert Path("taken").read_text() == "mine"


def test_numbers_that_do_not_fit_leave_nothing_half_written(model: Path) -> None:
    config, parameters = weights.load(model)
    parameters["layers.001.mlp.down"][0, 0] = 1e38
    weights.save(model, config, parameters, weights.Ends(0, 0))
    before = sorted(Path().rglob("*"))
    done = run(model, "--to", "gguf", "--type", "F16")
    assert done.exit_code == 6
    assert "the numbers of `blk.1.ffn_down.weight` cannot be written as F16" in done.stderr
    assert sorted(Path().rglob("*")) == before
