"""Model cards. python -m pytest tests/audit/collectors/test_card.py"""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.auditing.collectors import card
from regrow.auditing.collectors.folder import Text
from regrow.auditing.facts import (
    AccessFact,
    Aspect,
    ClaimFact,
    Component,
    ComponentFact,
    DataAspectFact,
    DatasetFact,
    Fact,
    Finding,
    LicenceFact,
    OriginFact,
    ParentFact,
    Relation,
    Role,
    State,
    TrainingFact,
    UsageFact,
)

from .making import TODAY, findings, of, read, write

CARD = """\
---
license: apache-2.0
base_model:
- cats/kitten
tags:
- base_model:quantized:cats/kitten
- arxiv:2401.00001
datasets: [cats/meows]
extra_gated_fields: {Name: text}
pipeline_tag: text-generation
---
# Kitten

We release all training data and the training scripts at [our place](https://example.org/kitten).
We do not release the logs.

## Training data

The text was collected from Common Crawl. Documents in Latin were filtered out, and the rest was deduplicated.
[More Information Needed]

## Training

It saw 1.4T tokens with a context of 8192 tokens. It took 220,000 GPU hours on 384 H100 GPUs.

## Limitations

It knows only cats, and of those it prefers the grey ones.

## Evaluation

| test | score |
|---|---|
| purring | 43.2 |
"""


def statements(text: str) -> list[Fact | Finding]:
    return list(card.read(Text("README.md", text, "", "card", TODAY)))


def test_a_card_is_read(tmp_path: Path) -> None:
    found = read(write(tmp_path, {"README.md": CARD}))
    assert [(fact.raw, fact.evidence.locator) for fact in of(found, LicenceFact)] == [("apache-2.0", "line 2")]
    assert [(fact.parent, fact.relation) for fact in of(found, ParentFact)] == [("hf:cats/kitten", Relation.QUANTISED)]
    assert [(fact.name, fact.role) for fact in of(found, DatasetFact)] == [("cats/meows", Role.FINETUNING)]
    assert [fact.access for fact in of(found, AccessFact)] == ["gated"]
    assert {fact.aspect for fact in of(found, DataAspectFact)} == {
        Aspect.PROVENANCE,
        Aspect.PROCESSING,
        Aspect.FILTERING,
    }
    told = of(found, TrainingFact)
    assert [(fact.tokens, fact.accelerator_hours, fact.hardware) for fact in told] == [
        (1_400_000_000_000, None, ""),
        (None, 220_000, "384 H100 GPUs"),
    ]
    assert {fact.topic for fact in of(found, UsageFact)} >= {"limitations", "modalities"}
    claims = of(found, ClaimFact)
    assert {claim.topic for claim in claims} == {"data", "training-code"}
    assert claims[0].links == ("https://example.org/kitten",)
    assert claims[0].evidence.locator == "lines 14-15"
    states = {(fact.component, fact.state) for fact in of(found, ComponentFact)}
    assert states >= {
        (Component.MODEL_CARD, State.PRESENT),
        (Component.EVALUATION_RESULTS, State.PRESENT),
        (Component.RESEARCH_PAPER, State.PROMISED),
        (Component.DATASETS, State.PROMISED),
        (Component.TRAINING_CODE, State.PROMISED),
    }


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ("It was trained on 1.4 trillion tokens.", 1_400_000_000_000),
        ("The model was pretrained on 300B tokens of text.", 300_000_000_000),
        ("Training used 299,892,736,000 tokens.", 299_892_736_000),
        ("It was trained with batches of 4M tokens.", None),
        ("The vocabulary has 32,000 tokens.", None),
    ],
)
def test_training_tokens(said: str, tokens: int | None) -> None:
    found = [one.tokens for one in statements(f"# A model\n\n{said}\n") if isinstance(one, TrainingFact)]
    assert found == ([tokens] if tokens else [])


@pytest.mark.parametrize(
    ("said", "so"),
    [
        ("The model was trained from scratch.", True),
        ("All weights were pre-trained from scratch.", True),
        ("It was trained from scratch on 5 billion tokens.", True),
        ("We trained a new tokenizer from scratch.", False),
        ("The model uses a tokenizer that was trained from scratch.", False),
        ("The text was annotated by people trained from scratch.", False),
        ("Unlike models trained from scratch, it is small.", False),
        ("It was not trained from scratch.", False),
    ],
)
def test_from_scratch(said: str, so: bool) -> None:
    assert any(isinstance(one, OriginFact) for one in statements(f"# A model\n\n{said}\n")) is so


@pytest.mark.parametrize(
    "said",
    [
        "The sources of the data are not disclosed for reasons of competition.",
        "How documents were selected and filtered is confidential.",
        "The composition of the mixture and its 500 billion tokens are trade secrets.",
        "We do not publicly reveal which pages were collected from the web.",
    ],
)
def test_what_is_kept_secret_is_not_told(said: str) -> None:
    assert not [one for one in statements(f"# Training data\n\n{said}\n") if isinstance(one, DataAspectFact)]


@pytest.mark.parametrize(
    ("said", "parents"),
    [
        ("The answers were written by native speakers and/or translators.", []),
        ("Conversations were generated from train/test splits.", []),
        ("The student was distilled from cats/lion.", ["hf:cats/lion"]),
        ("Conversations were generated with cats/Lion.", ["hf:cats/Lion"]),
        ("Conversations were generated with cats/lion2.", ["hf:cats/lion2"]),
        ("Conversations were generated with [cats/lion](https://huggingface.co/cats/lion).", ["hf:cats/lion"]),
    ],
)
def test_a_teacher_is_named_like_a_model(said: str, parents: list[str]) -> None:
    found = statements(f"# A model\n\n{said}\n")
    assert [one.parent for one in found if isinstance(one, ParentFact)] == parents


def test_a_tag_does_not_make_a_base_a_teacher() -> None:
    [found] = [
        one
        for one in statements("---\nbase_model: cats/lion\ntags: [distillation]\n---\n")
        if isinstance(one, ParentFact)
    ]
    assert (found.parent, found.relation) == ("hf:cats/lion", Relation.UNKNOWN)


def test_what_a_template_left_open_says_nothing() -> None:
    template = "# Card\n\n## Training Data\n\n[More Information Needed]\n\n## Limitations\n\n<!-- what fails -->\n"
    assert not [one for one in statements(template) if isinstance(one, DataAspectFact | UsageFact)]


@pytest.mark.parametrize(
    "front",
    [
        "license: [mit",
        "- a\n- b",
        "a: &a [x]\nb: [*a, *a]",
        "a: " + "[" * 5000,
        "a: !!python/object/apply:os.system ['touch opened']\n  - b",
        "? [a, b]\n: c",
        "x" * 300_000,
    ],
)
def test_front_matter_that_cannot_be_read_is_a_finding(front: str) -> None:
    started = time.perf_counter()
    found = statements(f"---\n{front}\n---\n# Card\n\nA text that is long enough to be one, at last.\n")
    assert [one.id for one in found if isinstance(one, Finding)] == ["card-unreadable"]
    assert time.perf_counter() - started < 2


def test_a_licence_given_twice_is_a_finding(tmp_path: Path) -> None:
    found = read(write(tmp_path, {"README.md": "---\nlicense: mit\nlicense: gpl-3.0\n---\n"}))
    assert "duplicate-key" in findings(found)


def test_another_licence_is_named() -> None:
    front = "---\nlicense: other\nlicense_name: meow-1\nlicense_link: LICENSE\n---\n"
    [fact] = [one for one in statements(front) if isinstance(one, LicenceFact)]
    assert (fact.id, fact.raw, fact.name, fact.link) == (None, "other", "meow-1", "LICENSE")


@pytest.mark.parametrize(
    "piece", ["[", "![](", "<", "a.", "| ", "```\n", "# x\n", "1 tokens trained ", "<!--", "open "]
)
def test_long_cards_take_no_long_time(piece: str) -> None:
    started = time.perf_counter()
    statements("# Training data\n\n" + piece * (400_000 // len(piece)))
    assert time.perf_counter() - started < 5


HOSTILE = {
    "a heading of spaces": "# {} x",
    "a heading of marks": "# {}# x",
    "digits": "It was trained on {}",
    "digits of hours": "It took {} x",
    "a number of spaces": "| 1 {}!",
}
REPEATED = [
    "1",
    "1,",
    "1.",
    "1 ",
    "a",
    "a-",
    "a ",
    "aaaa ",
    "# ",
    "\t",
    "x, ",
    "e.g. A ",
    "teacher-",
    "from-",
    "teacher a/",
    "distilled from ",
    "data generated by ",
    "trained ",
    "trained on 1 billion ",
    "[](a",
    "<a",
    "*",
    "_a",
    "H100 ",
    "1 x ",
    "we ",
    "data is ",
    "up to ",
    "https://",
    "from a/b",
    "n/a ",
    ". ",
    '[x](y "z" ',
]


@pytest.mark.parametrize("around", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("piece", [" ", *REPEATED])
def test_time_grows_with_the_length_of_a_card_and_not_faster(around: str, piece: str) -> None:
    def seconds(length: int) -> float:
        text = f"# Training data and results\n\n{around.format(piece * (length // len(piece)))}\n"
        started = time.process_time()
        statements(text)
        return time.process_time() - started

    assert seconds(6_000) < 8 * seconds(1_500) + 0.05


@given(st.text(max_size=300))
def test_any_text_is_a_card(text: str) -> None:
    statements(text)
    statements(f"---\n{text}\n---\n# Training data\n\n{text}")


@pytest.mark.parametrize(
    ("said", "topics"),
    [
        ("We release the weights and the training code.", {"weights", "training-code"}),
        ("The full pre-training corpus is publicly available here.", {"data"}),
        ("Kitten is a fully open model.", {"everything"}),
        ("We open-source Kitten, a small model.", {"weights"}),
        ("It outperforms many open source models.", set()),
        ("It was trained on data from publicly available sources.", set()),
        ("We do not release the training data.", set()),
        ("Model release date: July 2024.", set()),
        ("If you release a model trained with this data, name us.", set()),
    ],
)
def test_claims_are_what_the_maker_says_to_give(said: str, topics: set[str]) -> None:
    found = statements(f"# A model\n\n{said}\n")
    assert {one.topic for one in found if isinstance(one, ClaimFact)} == topics


def test_an_offer_of_evaluation_data_is_no_claim_about_training() -> None:
    found = statements("# A model\n\nWe release the data of our evals [here](https://example.org/evals).\n")
    assert not [one for one in found if isinstance(one, ClaimFact)]
    promised = [(one.component, one.where) for one in found if isinstance(one, ComponentFact)]
    assert (Component.EVALUATION_DATA, "https://example.org/evals") in promised


@pytest.mark.parametrize(("written", "told"), [("en", "en"), ("[en, no]", "en, no"), ("{a: b}", None), ("", None)])
def test_languages_of_the_front_matter(tmp_path: Path, written: str, told: str | None) -> None:
    write(tmp_path, {"README.md": f"---\nlanguage: {written}\n---\n# M\n", "config.json": "{}"})
    found = [fact.text for fact in of(read(tmp_path), UsageFact) if fact.topic == "languages"]
    assert found == ([told] if told else [])
