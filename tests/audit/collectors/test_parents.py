"""What a card's text says that a model was made from. python -m pytest tests/audit/collectors/test_parents.py"""

import pytest

from regrow.auditing import names
from regrow.auditing.collectors import card
from regrow.auditing.collectors.folder import Text
from regrow.auditing.facts import ParentFact

from .making import TODAY

LION = "[cats/Lion-7b](https://huggingface.co/cats/Lion-7b)"
FINETUNE, ADAPTER, MERGE, QUANTISED, CONVERTED, DISTILLED, UNKNOWN = (
    f"{relation} hf:cats/Lion-7b"
    for relation in ("finetune", "adapter", "merge", "quantised", "converted", "distilled", "unknown")
)


def edges(text: str) -> list[str]:
    found = card.read(Text("README.md", text, "", "card", TODAY))
    return [f"{one.relation} {one.parent}" for one in found if isinstance(one, ParentFact)]


@pytest.mark.parametrize(
    ("said", "edge"),
    [
        # What libraries write.
        (f"This model is a fine-tuned version of {LION} on the None dataset.", FINETUNE),
        (f"This model is a fine-tuned version of {LION} on an unknown dataset.\nIt reaches a loss of 2.", FINETUNE),
        (f"This model is a fine-tuned version of {LION}.\nIt has been trained with a library.", FINETUNE),
        ("- **Finetuned from model [optional]:** cats/Lion-7b", FINETUNE),
        ("- **Finetuned from model :** `cats/Lion-7b`", FINETUNE),
        (f"This model was converted to GGUF format from {LION} with a tool.", CONVERTED),
        ("This model was converted to MLX format from [`cats/Lion-7b`]().", CONVERTED),
        (f"This model was merged with the SLERP merge method using {LION} as a base.", MERGE),
        ("These are LoRA adaption weights for cats/Lion-7b. They were trained on photographs.", ADAPTER),
        ("These are controlnet weights trained on cats/Lion-7b with a new kind of sketch.", ADAPTER),
        ("This is a dreambooth model derived from cats/Lion-7b.", FINETUNE),
        (f"本模型基于{LION}微调得到。", FINETUNE),
        (f"このモデルは{LION}をファインチューニングしたものです。", FINETUNE),
        (f"이 모델은 {LION}을 한국어로 파인튜닝한 모델입니다.", FINETUNE),
        (f"Este modelo es una versión ajustada de {LION}.", FINETUNE),
        (f"Ce modèle est une version affinée de {LION}.", FINETUNE),
        (f"Dieses Modell ist eine feinabgestimmte Version von {LION}.", FINETUNE),
        # What people write.
        (f"Base model: {LION}", UNKNOWN),
        (f"Modelo base: {LION}", UNKNOWN),
        ("Original model: https://huggingface.co/cats/Lion-7b", UNKNOWN),
        (f"It uses {LION} as the embedding model.", UNKNOWN),
        (f"| Parameters | 7B |\n|---|---|\n| **Base model** | {LION} |", UNKNOWN),
        ("A LoRA adapter for cats/Lion-7b that writes limericks.", ADAPTER),
        (f"An adapter of {LION}.", ADAPTER),
        (f"This is a 4-bit quantized version of {LION}.", QUANTISED),
        (f"GGUF quants of {LION}", QUANTISED),
        (f"Quantized from: {LION}", QUANTISED),
        (f"It was distilled from {LION} over a weekend.", DISTILLED),
        ("Teacher model: cats/Lion-7b", DISTILLED),
        (f"We continued pre-training of {LION} on old hymns.", FINETUNE),
        (f"The weights were initialised from {LION}.", UNKNOWN),
        (f"Kitten is derived from {LION}.", UNKNOWN),
        (f"Kitten is based on {LION} and fine-tuned on letters.", FINETUNE),
        (f"This model is {LION} fine-tuned on letters.", FINETUNE),
        (f"{LION} fine-tuned on letters.", FINETUNE),
        (f"A small model ({LION}) that was later fine-tuned on letters.", FINETUNE),
        (f"It was obtained by fine-tuning {LION} on letters.", FINETUNE),
        ("It uses https://huggingface.co/cats/Lion-7b as the base model.", UNKNOWN),
        ("A merge of cats/Lion-7b.", MERGE),
        ('<p>A fine-tuned version of <a href="https://huggingface.co/cats/Lion-7b">Lion</a></p>', FINETUNE),
        (
            "A fine-tuned version of [https://huggingface.co/cats/Lion-7b](https://huggingface.co/cats/Lion-7b)",
            FINETUNE,
        ),
        (f"SFT of {LION} on poems.", FINETUNE),
        (f"Instruction-tuned from {LION}.", FINETUNE),
        (f"Trained with RLHF on top of {LION}.", FINETUNE),
        (f"I took {LION} and fine-tuned it on my diary.", FINETUNE),
        (f"We initialise our weights with those of {LION}.", UNKNOWN),
        (f"Questo modello è una versione affinata di {LION}.", FINETUNE),
        (f"Эта модель дообучена на основе {LION}.", FINETUNE),
    ],
)
def test_how_a_model_was_made_of_the_one_that_is_named(said: str, edge: str) -> None:
    assert edges(f"# Kitten\n\n{said}\n") == [edge]


@pytest.mark.parametrize(
    "said",
    [
        f"Модель не дообучена на основе {LION}.",
        f"Questo modello non è una versione affinata di {LION}.",
        f"I took {LION} and compared it with ours.",
        f"PPO of {LION} is described in another place.",
        f"It is better than a fine-tuned version of {LION}.",
        f"Unlike {LION}, it is small.",
        f"It is not a fine-tuned version of {LION}.",
        f"It can be fine-tuned from {LION} in an hour.",
        f"Is it a fine-tuned version of {LION}?",
        f"You should use an adapter for {LION}.",
        f"> This model is a fine-tuned version of {LION}.",
        f"```\nThis model is a fine-tuned version of {LION}.\n```",
        f"## Abstract\n\nThis model is a fine-tuned version of {LION}.",
        f"## Related models\n\nTiger was fine-tuned from {LION}.",
        f"- [cats/Tiger](https://huggingface.co/cats/Tiger): fine-tuned from {LION}",
        f"- [cats/Tiger](https://huggingface.co/cats/Tiger)\n  - Base model: {LION}",
        f"The tokenizer is based on {LION}.",
        f"_The following language is modified from {LION}._",
        f"The disclaimer above was adapted from {LION}.",
        f"The training recipe is based on {LION}.",
        f"Usage examples are mostly taken from {LION}.",
        f"This card is based on the [card of a friend](https://huggingface.co/cats/Lion-7b), {LION} that is.",
        "It is adapted from the [model card of Lion](https://huggingface.co/cats/Lion-7b).",
        f"A quantized version of it is available: {LION}.",
        f"The fine-tuned model is at {LION}.",
        "It is fine-tuned from Lion, an older model.",
        f"It is built on the {LION} architecture.",
        "It is built on ViT-B/16.",
        "Base model: an old lion",
        "Base model: none",
        "Base model: encoder/decoder of our own",
        f"Source: {LION}",
        "- **Finetuned from model [optional]:** [More Information Needed]",
        "This model is a fine-tuned version of [None](https://huggingface.co/None).",
        "The weights are based on [cats/lion](https://github.com/cats/lion).",
        "It was fine-tuned from and/or merged with others.",
        "It was fine-tuned on [letters](https://huggingface.co/datasets/cats/letters).",
        "It was fine-tuned from [this](https://huggingface.co/tasks/text-generation).",
        "It was fine-tuned from [this](https://discuss.huggingface.co/t/lions/12).",
        "It was fine-tuned from [this](https://cats-lion.hf.space/a/b).",
        "It is trained from data/train.jsonl on one machine.",
        "It is based on a [guide](https://example.org/a)/[report](https://example.org/b).",
        "A distilgpt2 that learned from a set of happy/sad quotes.",
        "For a test we fine-tune models based on cats/A1, cats/B2, cats/C3 and cats/D4.",
        f"Tiger is a fine-tuned version of {LION}.",
        f"Related: a fine-tuned version of {LION}.",
        f"We fine-tuned {LION} as a baseline.",
        f"本模型不是基于{LION}微调的。",
        f"与基于{LION}微调的模型相比本模型更好。",
        f"このモデルは{LION}をファインチューニングしたものではありません。",
        f"이 모델은 {LION}을 파인튜닝한 것이 아닙니다.",
        f"Este modelo no es una versión ajustada de {LION}.",
        f"Ce modèle n'est pas une version affinée de {LION}.",
        f"Dieses Modell ist keine feinabgestimmte Version von {LION}.",
        f"Contrary to rumours, it is a fine-tuned version of {LION}.",
        f'The authors write: "this model is fine-tuned from {LION}".',
        f"All texts were filtered with a classifier based on {LION}.",
        f"A quantized version of {LION} is available as well.",
        f"The text above is modified from a page; the following language is adapted from {LION}.",
        "It uses a framework built on top of JAX/Flax to pre-train the model.",
        f"~~It is fine-tuned from {LION}.~~",
        f"<del>It is fine-tuned from {LION}.</del>",
    ],
)
def test_what_is_no_parent(said: str) -> None:
    assert edges(f"# Kitten\n\n{said}\n") == []


def test_every_model_of_a_merge_is_a_parent() -> None:
    listed = "## Models Merged\n\nThese went in:\n* [a/One1](https://huggingface.co/a/One1)\n* b/Two2\n* a note\n"
    assert edges(f"# A merge\n\n{listed}") == ["merge hf:a/One1", "merge hf:b/Two2"]
    lead = "Kitten is a merge of the following models:\n* [a/One1](https://huggingface.co/a/One1)\n* b/Two2\n"
    assert edges(f"# Kitten\n\n{lead}") == ["merge hf:a/One1", "merge hf:b/Two2"]
    assert edges(f"# Kitten\n\nSee also:\n* b/Two2\n\n{lead.replace('is', 'can be')}") == []
    assert edges("# A merge\n\nA blend of a/One1, b/Two2 and c/Three3.\n") == [
        "merge hf:a/One1",
        "merge hf:b/Two2",
        "merge hf:c/Three3",
    ]


def test_two_sayings_of_one_sentence_are_two_edges() -> None:
    said = f"It was fine-tuned from {LION}, and distilled from the model [cats/Tiger](https://hf.co/cats/Tiger)."
    assert edges(f"# Kitten\n\n{said}\n") == ["finetune hf:cats/Lion-7b", "distilled hf:cats/Tiger"]


@pytest.mark.parametrize(
    ("said", "parent"),
    [
        ("[bert-base-cased](https://huggingface.co/bert-base-cased)", "hf:google-bert/bert-base-cased"),
        ("`gpt2`", "hf:openai-community/gpt2"),
        ("[out/run 3/step](https://huggingface.co/out/run 3/step)", "out/run 3/step"),
        ("[./out/run](https://huggingface.co/./out/run)", "./out/run"),
        ("[/home/me/lion](https://huggingface.co//home/me/lion)", "/home/me/lion"),
        ("[a/b/c](https://huggingface.co/a/b/c)", "a/b/c"),
    ],
)
def test_old_ids_and_folders_stand_for_what_they_are(said: str, parent: str) -> None:
    """An old id leads to the model of today; a folder on somebody's machine is a parent that nobody can look up."""
    assert edges(f"# Kitten\n\nThis model is a fine-tuned version of {said} on letters.\n") == [f"finetune {parent}"]


def test_an_old_id_is_the_same_model_wherever_it_is_read() -> None:
    text = "---\nbase_model: bert-base-cased\n---\n# Kitten\n\nA fine-tuned version of google-bert/bert-base-cased.\n"
    assert {edge.partition(" ")[2] for edge in edges(text)} == {"hf:google-bert/bert-base-cased"}
    assert names.model("https://huggingface.co/gpt2") == "hf:openai-community/gpt2"
    assert names.model("https://huggingface.co/cats") == ""
