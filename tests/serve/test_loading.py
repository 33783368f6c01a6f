"""Whatever can be loaded writes together as alone: folders of all families, small integers, GGUF files, adapters."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from regrow.compression.rounding import Grid, nearest
from regrow.errors import InputError, RecipeError
from regrow.exporting.gguf import prepared
from regrow.model import gguf, weights
from regrow.model.adapters import files
from regrow.model.adapters.files import Settings
from regrow.model.adapters.low_rank import beside, fitted, tensors_of, unmerged
from regrow.model.config import DecoderConfig
from regrow.model.decoder import Decoder, Weights
from regrow.model.sampling import Sampling, generate
from regrow.recipe.facts import Facts
from regrow.serve.engine import Ended, Engine, Event, Limits, Model, Request, Written
from regrow.serve.generate import Generator
from tests.exporting.models import FAMILIES, folder

PROMPTS = [[5 * i % 300 for i in range(17)], [5 * i % 300 for i in range(12)], [9], [5 * i % 300 for i in range(17)]]
SAMPLING = Sampling(temperature=1.2, top=0, seed=4)


def require_same(generator: Generator, config: DecoderConfig, parameters: Weights, adapter: str = "") -> None:
    """Requests that begin alike, together and twice, against each one's own run with what was loaded otherwise."""
    engine = Engine(generator.decoder, generator.parameters, Limits(1 << 26, block=4), generator.adapters)
    expected = [list(generate(Decoder(config), parameters, prompt, 9, SAMPLING)) for prompt in PROMPTS]
    for _ in range(2):
        heard = [queue.SimpleQueue[Event]() for _ in PROMPTS]
        for prompt, events in zip(PROMPTS, heard, strict=True):
            engine.submit(Request(prompt, 9, SAMPLING, adapter=adapter), events.put)
        assert [written(events) for events in heard] == expected
    engine.close()
    assert engine.figures.found > 40


def written(events: queue.SimpleQueue[Event]) -> list[int]:
    tokens = list[int]()
    while not isinstance(event := events.get(timeout=60), Ended):
        tokens += [event.token] if isinstance(event, Written) else []
    assert event.error is None
    return tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(tmp_path: Path, family: str) -> None:
    folder(tmp_path, family)
    require_same(Generator.load(tmp_path), *weights.load(tmp_path))


@pytest.mark.parametrize("bits", [4, 8])
def test_small_integers(tmp_path: Path, bits: int) -> None:
    config, parameters = weights.load(folder(tmp_path / "base"))
    (tmp_path / "packed").mkdir()
    codes = {n: nearest(x, Grid(bits, 32)) for n, x in parameters.items() if n.startswith("layers.") and x.dim() == 2}
    rest = {n: x for n, x in parameters.items() if n not in codes}
    weights.save(tmp_path / "packed", config, rest, weights.Ends.both(0), codes)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "packed" / name).write_bytes((tmp_path / "base" / name).read_bytes())
    require_same(Generator.load(tmp_path / "packed"), *weights.load_weights(tmp_path / "packed"))


@pytest.mark.parametrize("kind", ["F16", "Q8_0", "Q4_0"])
def test_a_gguf_file_and_a_folder_with_nothing_else(tmp_path: Path, kind: Any) -> None:
    base, place = folder(tmp_path / "base"), tmp_path / "files" / f"model.{kind}.gguf"
    place.parent.mkdir()
    with place.open("xb") as file:
        prepared(base, base, kind, Facts(), context=None).write(file)
    for given in (place, place.parent):
        generator = Generator.load(given)
        require_same(generator, *gguf.load_weights(place))
        assert generator.tokenizer.prompt("one two") == Generator.load(base).tokenizer.prompt("one two")
        assert 0 in generator.stops


def adapter(place: Path, base: Path, settings: Settings, seed: int, recorded: str = "") -> Path:
    """Random numbers beside a base's matrices; with DoRA, lengths of rows too."""
    config, parameters = weights.load(base)
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, x in tensors_of(config, parameters).items():
        module = name.removesuffix(".weight")
        if x.dim() == 2 and settings.chooses(module):
            tensors[f"{module}.lora_A.weight"] = torch.randn((settings.rank, x.shape[1]), generator=random) * 0.1
            tensors[f"{module}.lora_B.weight"] = torch.randn((x.shape[0], settings.rank), generator=random)
            if settings.dora:
                tensors[f"{module}.lora_magnitude_vector"] = x.norm(dim=1) * 1.5
        if module.rpartition(".")[2] in settings.saved:
            tensors[name] = x + torch.randn(x.shape, generator=random) * 0.3
    place.mkdir(parents=True)
    files.write(place, settings, tensors, recorded or weights.digest(base))
    return place


ADAPTERS = {
    "lora": Settings(4, 8.0, targets=("q_proj", "down_proj")),
    "dora": Settings(2, 2.0, dora=True, targets=("v_proj",)),
    "head": Settings(2, 2.0, targets=("k_proj",), saved=("lm_head",)),
}


def test_adapters_over_one_base_that_is_in_memory_once(tmp_path: Path) -> None:
    base = folder(tmp_path / "base")
    places = {
        name: adapter(tmp_path / name, base, settings, seed) for seed, (name, settings) in enumerate(ADAPTERS.items())
    }
    generator = Generator.load(base, places)
    config, parameters = weights.load(base)
    require_same(generator, config, parameters)
    for name, place in places.items():
        fit = fitted(config, files.read(place), tensors_of(config, parameters))
        require_same(generator, *unmerged(config, parameters, fit), adapter=name)
    own = {name: new_bytes(generator, model) for name, model in generator.adapters.items()}
    width, hidden, heads = 64, 96, 32
    assert own["lora"] == 4 * 2 * (4 * width + 4 * (width + 2 * heads) + 4 * hidden + 4 * width)
    assert own["head"] >= 4 * 300 * width > own["dora"]
    texts = {name: "".join(generator.generate("one two", 12, seed=3, adapter=name)) for name in ("", *places)}
    assert len({*texts.values()}) == 4


def new_bytes(generator: Generator, model: Model) -> int:
    """Of an adapter's parameters, what is not the base's own memory."""
    new = [x for name, x in model.parameters.items() if generator.parameters.get(name) is not x]
    return sum(x.numel() * x.element_size() for x in new if isinstance(x, Tensor))


def test_an_adapter_over_small_integers_leaves_them_such(tmp_path: Path) -> None:
    place, file = adapter(tmp_path / "lora", folder(tmp_path / "base"), ADAPTERS["lora"], 1), tmp_path / "base.gguf"
    with file.open("xb") as opened:
        prepared(tmp_path / "base", tmp_path / "base", "Q8_0", Facts(), context=None).write(opened)
    generator = Generator.load(file, {"lora": place})
    config, parameters = gguf.load_weights(file)
    require_same(generator, config, parameters)
    fit = fitted(config, files.read(place), tensors_of(config, gguf.load(file).parameters))
    require_same(generator, config, {**parameters, **beside(config, fit.pairs)}, adapter="lora")
    assert new_bytes(generator, generator.adapters["lora"]) < 40_000


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    base = folder(tmp_path / "base")
    place = adapter(tmp_path / "lora", base, ADAPTERS["lora"], 1, recorded="0" * 64)
    with pytest.raises(InputError, match="the adapter was made for another base") as caught:
        Generator.load(base, {"lora": place})
    assert caught.value.where == str(place)


def test_an_adapter_that_is_not_there_is_refused(tmp_path: Path) -> None:
    generator = Generator.load(folder(tmp_path))
    with pytest.raises(RecipeError, match="there is no adapter `mine`"):
        list(generator.generate("one", adapter="mine"))


def test_a_damaged_gguf_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + b"\x00" * 40)
    with pytest.raises(InputError) as caught:
        Generator.load(tmp_path / "model.gguf")
    assert str(tmp_path / "model.gguf") in caught.value.where


def test_a_generator_answers_the_same_again_from_what_it_has_read(tmp_path: Path) -> None:
    generator = Generator.load(folder(tmp_path))
    texts = ["".join(generator.generate("one two three four five six seven " * 9, 20)) for _ in range(2)]
    assert texts[0] == texts[1]
    assert generator.engine.figures.found >= 32


def test_who_stops_reading_stops_the_writing(tmp_path: Path) -> None:
    generator = Generator.load(folder(tmp_path))
    pieces = generator.generate("one two", 10**6)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    generator.engine.close()
    assert generator.engine.figures.written < 10**5
