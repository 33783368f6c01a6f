"""What others read beside the weights. python -m pytest tests/release/test_engines.py"""

import json
import shutil
from pathlib import Path

import pytest
import torch

from regrow.building.engines import equip, unequipped
from regrow.corpus import tokenizer as tokenizers
from regrow.model.config import DecoderConfig
from regrow.model.decoder import initialise
from regrow.model.weights import Ends, save
from regrow.release import Release
from regrow.serve.generate import Generator
from regrow.store import sha256_bytes

TEXT = "To be, or not to be: that is the question. " * 20
SHAPE = {"vocabulary": 280, "layers": 2, "width": 32, "heads": 2, "kv_heads": 2, "hidden": 48, "context": 24}
FAMILIES = {
    "llama": {},
    "gpt2": {
        "positions": "learned", "norm": "layer", "gated": False,
        "qkv_bias": True, "out_bias": True, "mlp_bias": True, "activation": "gelu_tanh",
    },
    "gpt_neox": {
        "norm": "layer", "gated": False, "mlp_bias": True, "qkv_bias": True, "out_bias": True, "activation": "gelu",
    },
    "olmo2": {"head_norm": "whole", "norm_place": "after"},
    "qwen3": {"head_norm": "head"},
}  # fmt: skip


@pytest.fixture(scope="module", params=FAMILIES)
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    config = DecoderConfig(**SHAPE, **FAMILIES[request.param], family=request.param)  # type: ignore[arg-type]
    step = folder / "checkpoints" / "step-000000001"
    step.mkdir(parents=True)
    tokenizers.write(tokenizers.learn([TEXT], SHAPE["vocabulary"]), folder)
    parameters = {name: 4 * x for name, x in initialise(config, 3).items()}
    for place in (folder, step):
        save(place, config, parameters, Ends.both(0))
    equip(folder)
    return folder


def test_transformers_writes_what_we_write(release: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = "".join(Generator.load(release).generate("To be", max_tokens=12, temperature=0))
    for folder in (release, release / "checkpoints" / "step-000000001"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        said = model.generation_config
        assert (said.do_sample, said.temperature, said.top_k) == (True, 0.8, 0)  # from all tokens, as here
        prompts = tokenizer(["To be", "To be, or not"], padding=True, return_tensors="pt")
        with torch.no_grad():
            theirs = model.generate(**prompts, max_new_tokens=12, do_sample=False)
        assert tokenizer.decode(theirs[0], skip_special_tokens=True) == "To be" + ours


def test_long_texts_are_cut_to_the_context(release: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(release)
    assert len(tokenizer(TEXT, truncation=True).input_ids) == tokenizer.model_max_length == SHAPE["context"]


def test_training_is_told_nothing_of_the_first_token(release: Path) -> None:
    """The letters of a document are what they were, and a prompt has the token once."""
    tokenizer = tokenizers.Tokenizer.open(release)
    assert tokenizer.prompt("To be").count(0) == 1
    assert 0 not in tokenizer.documents(["To be"])[0]


def test_the_size_of_each_family_is_told(release: Path) -> None:
    facts = Release.at(release).facts
    assert {name: facts[name] for name in ("layers", "width", "heads", "context", "vocabulary")} == {
        name: SHAPE[name] for name in ("layers", "width", "heads", "context", "vocabulary")
    }


def test_a_tokenizer_of_a_kind_that_is_not_known_stays_as_it_is(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release, tmp_path / "r")
    (tmp_path / "r" / "tokenizer.json").write_text("{}")
    equip(tmp_path / "r")
    assert json.loads((tmp_path / "r" / "tokenizer.json").read_text()) == {}


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ({"do_sample": True, "temperature": 0.6}, {"top_k": 0}),
        ({"do_sample": True, "top_k": 20, "pad_token_id": 2}, {}),
        ({"do_sample": True, "pad_token_id": 2}, {"top_k": 0}),
        ({"do_sample": False}, {}),
        ({"stop_strings": ["."]}, {}),  # transformers takes the likeliest token, and will not have more said
    ],
)
def test_what_a_base_does_not_say_of_sampling_is_said(
    release: Path, tmp_path: Path, said: dict[str, object], more: dict[str, object]
) -> None:
    folder = Path(shutil.copytree(release, tmp_path / "r"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    before = (json.dumps(said, indent=2, sort_keys=True) + "\n").encode()
    (folder / "generation_config.json").write_bytes(before)
    kept = (folder / "tokenizer.json").read_bytes()
    equip(folder)
    after = (folder / "generation_config.json").read_bytes()
    assert json.loads(after) == {**said, **more} and (after == before) is not bool(more)
    assert (folder / "tokenizer.json").read_bytes() == kept
    assert not more or unequipped("generation_config.json", after, sha256_bytes(before)) == before
    transformers = pytest.importorskip("transformers")
    transformers.GenerationConfig.from_pretrained(folder).validate(strict=True)
