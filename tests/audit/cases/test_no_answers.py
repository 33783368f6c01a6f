"""What stands where an answer would stand and is none: names, defaults, and sentences of templates."""

import json
from pathlib import Path
from typing import Any

import pytest

from regrow.auditing.audit import Options, audit
from regrow.auditing.facts import ArchitectureFact, Component, ComponentFact, UsageFact
from regrow.auditing.result import Audit, Outcome, Verdict
from tests.audit.collectors.making import TODAY, gguf, of, pair, read, safetensors, sound, tensor, tensors, write

SHAPED = json.dumps({"model_type": "llama", "hidden_size": 64, "vocab_size": 512})


def verdict(found: Audit, rule: str) -> Verdict:
    return next(one for whole in found.definitions for one in whole.verdicts if one.rule == rule)


def judged(root: Path, **files: Any) -> Audit:
    named = {name.replace("_json", ".json").replace("_md", ".md"): text for name, text in files.items()}
    return audit(str(write(root, {"model.safetensors": sound(16), **named})), Options(TODAY))


@pytest.mark.parametrize(
    ("config", "outcome"),
    [
        ("", Outcome.NOT_SHOWN),
        ('{"model_type": "llama"}', Outcome.NOT_SHOWN),
        ('{"architectures": ["LlamaForCausalLM"], "transformers_version": "4.40.0"}', Outcome.NOT_SHOWN),
        (SHAPED, Outcome.MET),
    ],
)
def test_a_name_is_no_configuration(tmp_path: Path, config: str, outcome: Outcome) -> None:
    found = judged(tmp_path, **({"config_json": config} if config else {}))
    for rule in ("osaid-1.0/parameters/configuration", "osaid-1.0/code/architecture"):
        assert verdict(found, rule).outcome is outcome


def test_a_name_of_an_adapters_kind_is_none_either(tmp_path: Path) -> None:
    found = judged(tmp_path, adapter_config_json='{"peft_type": "LORA"}')
    assert verdict(found, "osaid-1.0/parameters/configuration").outcome is Outcome.NOT_SHOWN


@pytest.mark.parametrize(
    ("config", "modalities"),
    [
        ({"model_type": "vit", "image_size": 224}, ()),
        ({"model_type": "llama", "vocab_size": 512}, ("text",)),
        ({"model_type": "llava", "vision_config": {}, "text_config": {"vocab_size": 512}}, ("image", "text")),
    ],
)
def test_a_model_is_not_one_of_text_because_nobody_says_what_it_is(
    tmp_path: Path, config: dict[str, Any], modalities: tuple[str, ...]
) -> None:
    [fact] = of(read(write(tmp_path, {"config.json": json.dumps(config)})), ArchitectureFact)
    assert fact.modalities == modalities


def test_where_a_configuration_was_loaded_from_is_not_what_the_weights_were_made_from(tmp_path: Path) -> None:
    config = json.dumps({**json.loads(SHAPED), "_name_or_path": "somebody/something"})
    found = judged(tmp_path, config_json=config)
    assert [edge.relation for edge in found.lineage.edges] == ["unknown"]
    origin = verdict(found, "osaid-1.0/origin")
    assert origin.outcome is Outcome.NOT_SHOWN
    assert origin.reason == "not told whether and how it was made from somebody/something"


TEMPLATE = """---
library_name: transformers
---
# Model Card for Model ID

## Model Details

### Model Description

Here is the model card of a model. The card has been automatically generated.

- **Developed by:** [More Information Needed]
- **License:** [More Information Needed]

## Uses

More information needed

## Bias, Risks, and Limitations

Everyone (both direct and downstream) should know its risks. More information needed for recommendations.

## How to Get Started with the Model

Take the code below to get started.

[More Information Needed]

## Training Data

- More information needed
"""


def test_a_card_that_nobody_filled_in_is_none(tmp_path: Path) -> None:
    collected = read(write(tmp_path, {"README.md": TEMPLATE, "model.safetensors": sound(16)}))
    assert [fact.text for fact in of(collected, UsageFact)] == ["loads with transformers"]
    assert Component.MODEL_CARD not in {fact.component for fact in of(collected, ComponentFact)}
    filled = TEMPLATE.replace("## Uses\n\nMore information needed", "## Uses\n\nIt sorts letters by who wrote them.")
    collected = read(write(tmp_path, {"README.md": filled}))
    assert {fact.topic for fact in of(collected, UsageFact)} == {"integration", "use"}
    assert Component.MODEL_CARD not in {fact.component for fact in of(collected, ComponentFact)}  # forty letters
    longer = filled.replace("who wrote them", "who wrote them, and by when they came")
    collected = read(write(tmp_path, {"README.md": longer}))
    assert Component.MODEL_CARD in {fact.component for fact in of(collected, ComponentFact)}


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"


def index(*shards: str) -> str:
    return json.dumps({"weight_map": {f"t{number}": shard for number, shard in enumerate(shards)}})


FIRST, SECOND = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
ONE, TWO = "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"
TENSOR = [tensor("w", [8], 0)]


@pytest.mark.parametrize(
    "files",
    [
        {FIRST: sound(16), "model.safetensors.index.json": index(FIRST, SECOND)},
        {FIRST: sound(16)},
        {FIRST: sound(16), SECOND: POINTER, "model.safetensors.index.json": index(FIRST, SECOND)},
        {FIRST: sound(16), SECOND: POINTER},
        {"model.safetensors": safetensors(tensors(16), bytes(3))},
        {ONE: b"not opened", TWO: POINTER},
        {ONE: b"not opened"},
        {ONE: b"not opened", TWO: b""},
        {"m.gguf": gguf([pair("general.architecture", "llama")], TENSOR, 3)},
        {"m-00001-of-00002.gguf": gguf([pair("general.architecture", "llama")], TENSOR, 32)},
    ],
    ids=lambda files: ", ".join(files),
)
def test_a_part_of_the_weights_is_not_the_weights(tmp_path: Path, files: dict[str, Any]) -> None:
    found = audit(str(write(tmp_path, {"README.md": "---\nlicense: mit\n---\n", **files})), Options(TODAY))
    assert verdict(found, "osaid-1.0/parameters/weights").outcome is Outcome.NOT_SHOWN
    assert next(one.answer for one in found.parts if one.name == "weights") == "not shown"


@pytest.mark.parametrize(
    "files",
    [
        {FIRST: sound(16), SECOND: sound(16)},
        {ONE: b"not opened", TWO: b"nor this"},
        {"model.safetensors": sound(16), "old/model.safetensors": safetensors(tensors(16), bytes(3))},
        {"m.gguf": gguf([pair("general.architecture", "llama")], TENSOR, 32)},
    ],
    ids=lambda files: ", ".join(files),
)
def test_all_parts_are(tmp_path: Path, files: dict[str, Any]) -> None:
    found = audit(str(write(tmp_path, files)), Options(TODAY))
    assert verdict(found, "osaid-1.0/parameters/weights").outcome is Outcome.MET


@pytest.mark.parametrize(("content", "there"), [("", False), (POINTER, False), ('{"text": "once"}\n', True)])
def test_what_stands_for_data_is_no_data(tmp_path: Path, content: str, there: bool) -> None:
    collected = read(write(tmp_path, {"model.safetensors": sound(16), "data/train.jsonl": content}))
    assert (Component.DATASETS in {fact.component for fact in of(collected, ComponentFact)}) is there


RUN = "  - task: {type: text-generation}\n    metrics:\n    - {type: loss, value: VALUE}\n"


@pytest.mark.parametrize(
    ("results", "there"),
    [
        ("- name: m\n  results: []\n", False),
        ("- name: m\n", False),
        ("- m\n", False),
        (f"- name: m\n  results:\n{RUN.replace('VALUE', '')}", False),
        (f"- name: m\n  results:\n{RUN.replace('VALUE', '1.25')}", True),
    ],
)
def test_a_place_for_results_holds_none(tmp_path: Path, results: str, there: bool) -> None:
    collected = read(write(tmp_path, {"README.md": f"---\nmodel-index:\n{results}---\n# M\n"}))
    assert (Component.EVALUATION_RESULTS in {fact.component for fact in of(collected, ComponentFact)}) is there
