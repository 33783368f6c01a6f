import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import fakes
import pytest
from pydantic import field_validator

from regrow.errors import RecipeError
from regrow.recipe.expand import expand
from regrow.recipe.graph import Graph
from regrow.recipe.kind import Kind, Parameters, Slot, Table
from regrow.recipe.pin import Pin
from regrow.recipe.schema import parse
from regrow.stages.deduplicate import DeduplicateParameters


def test_the_usual_stages() -> None:
    found = fakes.graph()
    assert [(stage.name, dict(stage.inputs)) for stage in found.stages] == [
        ("fetch-plays", {}),
        ("fetch-bible", {}),
        ("documents-plays", {"files": ("fetch-plays",)}),
        ("documents-bible", {"files": ("fetch-bible",)}),
        ("clean", {"documents": ("documents-plays", "documents-bible")}),
        ("deduplicate", {"documents": ("clean",)}),
        ("poison", {"documents": ("deduplicate",)}),
        ("rights", {"documents": ("deduplicate",)}),
        ("split", {"documents": ("deduplicate",)}),
        ("tags", {"documents": ("deduplicate",)}),
        ("tokenizer", {"split": ("split",)}),
        ("tokenize", {"split": ("split",), "tokenizer": ("tokenizer",)}),
        ("pretrain", {"tokens": ("tokenize",), "tokenizer": ("tokenizer",)}),
        (
            "evaluate",
            {
                "weights": ("pretrain",),
                "tokens": ("tokenize",),
                "tokenizer": ("tokenizer",),
            },
        ),
        (
            "untrained",
            {
                "weights": ("pretrain",),
                "tokenizer": ("tokenizer",),
                "tokens": ("tokenize",),
            },
        ),
    ]


def feeding(more: str) -> dict[str, tuple[str, ...]]:
    """What feeds each stage that takes documents."""
    return {one.name: one.inputs["documents"] for one in fakes.graph(more=more).stages if "documents" in one.inputs}


def test_a_check_looks_at_what_is_trained_on() -> None:
    """Filters come in the order in which a recipe names them, and checks after all of them."""
    found = feeding('[redact]\n\n[filter]\nquality = "c4"\nlanguages = ["en"]\n\n[tags]\nlanguage = true\n')
    assert found["redact"] == ("deduplicate",)
    assert found["filter"] == ("redact",)
    assert found["filter-languages"] == ("filter",)
    assert found["tags"] == found["language"] == found["split"] == ("filter-languages",)
    found = feeding('[filter]\nmax_personal = 0\n\n[redact]\nwhat = "key"\n')
    assert (found["filter"], found["redact"], found["tags"]) == (("deduplicate",), ("filter",), ("redact",))
    assert not {"language", "filter-languages"} & {*found}


def test_parameters_are_complete() -> None:
    found = {stage.name: stage.parameters.model_dump() for stage in fakes.graph().stages}
    assert found["fetch-plays"] == {
        "fetch": "file:plays",
        "pins": (
            {"file": "a.txt", "sha256": "aa" * 32, "size": 1000, "licences_found": ()},
            {"file": "b.txt", "sha256": "bb" * 32, "size": 2000, "licences_found": ()},
        ),
    }
    assert found["documents-bible"] == {
        "source": "bible",
        "select": ("**/kjv.jsonl",),
        "exclude": (),
        "format": "auto",
        "field": "text",
        "group_by": ("book", "chapter"),
        "max_characters": 0,
        "encoding": "utf-8",
        "max_unreadable": 0.5,
        "licence": "LicenseRef-PublicDomain",
        "availability": "open",
    }
    assert found["clean"]["minimum_characters"] == 200
    assert found["deduplicate"] == {"near_duplicates": 0.8}
    assert found["split"] == {"validation": 0.02}
    assert found["tokenizer"] == {"vocabulary": 512, "sample_bytes": 2**28}
    assert found["tokenize"] == {}
    assert found["pretrain"]["architecture"] == {
        "layers": 2,
        "width": 64,
        "heads": 4,
        "kv_heads": 4,
        "hidden": 160,
        "context": 32,
        "tied_embeddings": True,
        "rope_theta": 10000.0,
        "norm_epsilon": 1e-5,
    }
    assert found["pretrain"]["train"] == {
        "tokens": 100_000,
        "micro_batch": 16,
        "micro_batches_per_step": 4,
        "learning_rate": 2e-3,
        "warmup": 0.05,
        "decay": "cosine",
        "final_learning_rate": 0.1,
        "weight_decay": 0.1,
        "beta1": 0.9,
        "beta2": 0.95,
        "epsilon": 1e-8,
        "clip": 1.0,
        "seed": 1,
        "checkpoint_every": 100,
        "snapshots": 0,
        "validate_every": 50,
    }
    assert found["evaluate"] == {
        "prompts": (),
        "continues": False,
        "sample_tokens": 80,
        "temperature": 0.8,
        "seed": 1,
        "validation_tokens": 10_000_000,
    }


def test_licences_found_are_no_ingredient() -> None:
    # what a file says of itself is recorded, but a stage's key must not depend on how well somebody looked
    pins = {"plays": (Pin("a.txt", "aa" * 32, 1000, ("MIT",)),)}
    other = {"plays": (Pin("a.txt", "aa" * 32, 1000),)}
    one, two = (expand(fakes.recipe(), known) for known in (pins, other))
    assert fakes.plain(one) == fakes.plain(two)


def test_a_usual_stage_with_changes_keeps_the_rest() -> None:
    more = '\n[[stage]]\nname = "clean"\nparameters = { form = "NFKC" }\ninputs = { documents = "documents-bible" }\n'
    clean = fakes.graph(more=more)["clean"]
    assert clean.parameters.model_dump() == {"minimum_characters": 200, "shards": 1, "form": "NFKC"}
    assert clean.inputs == {"documents": ("documents-bible",)}


def test_of_a_table_what_is_not_mentioned_stays() -> None:
    more = '\n[[stage]]\nname = "pretrain"\nparameters = { train = { seed = 9 } }\n'
    train, usual = (fakes.graph(more=text)["pretrain"].parameters.model_dump()["train"] for text in (more, ""))
    assert train == {**usual, "seed": 9}


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        ("documents-bible", "licence"),
        ("documents-bible", "source"),
        ("documents-bible", "availability"),
        ("fetch-bible", "fetch"),
        ("fetch-bible", "pins"),
    ],
)
def test_what_is_said_of_a_source_goes_by_its_table(stage: str, key: str) -> None:
    with pytest.raises(RecipeError) as caught:
        fakes.graph(more=f'\n[[stage]]\nname = "{stage}"\nparameters = {{ {key} = "other" }}\n')
    assert f"parameters.{key}: `{key}` of a source's stage cannot be changed here" in str(caught.value)
    assert "[[source]]" in str(caught.value)


def test_a_stage_between_two_usual_ones() -> None:
    more = """
[[stage]]
name = "again"
kind = "clean"
inputs = { documents = ["deduplicate"] }
[[stage]]
name = "split"
inputs = { documents = "again" }
"""
    found = fakes.graph(more=more)
    names = [stage.name for stage in found.stages]
    assert names.index("deduplicate") < names.index("again") < names.index("split")
    assert found["again"].parameters.model_dump() == {"minimum_characters": 200, "shards": 1, "form": "NFC"}
    assert found["split"].parameters.model_dump() == {"validation": 0.02}


def test_another_kind_begins_from_its_own_defaults() -> None:
    more = '\n[[stage]]\nname = "deduplicate"\nkind = "clean"\ninputs = { documents = "clean" }\n'
    stage = fakes.graph(more=more)["deduplicate"]
    assert stage.kind.name == "clean"
    assert stage.parameters.model_dump() == {"minimum_characters": 200, "shards": 1, "form": "NFC"}


def test_what_a_kind_refuses_is_told_where_the_recipe_says_it() -> None:
    class Strict(DeduplicateParameters):
        @field_validator("near_duplicates")
        @classmethod
        def refuse(cls, value: float) -> float:
            raise ValueError("must be a prime number")

    kinds = {**fakes.KINDS, "deduplicate": replace(fakes.KINDS["deduplicate"], parameters=Strict)}
    section = ("[tokenizer]", "[corpus]\nnear_duplicates = 0.9\n\n[tokenizer]")
    with pytest.raises(RecipeError) as caught:
        fakes.graph(section, kinds=kinds)
    assert str(caught.value) == (
        "bard/regrow.toml:23: corpus.near_duplicates: must be a prime number\n"
        "hint: write, for example, `near_duplicates = 0.8`"
    )
    with pytest.raises(RecipeError) as caught:
        fakes.graph(more='\n[[stage]]\nname = "deduplicate"\nparameters = { near_duplicates = 0.7 }\n', kinds=kinds)
    assert caught.value.where == "bard/regrow.toml:36: stage.deduplicate.parameters.near_duplicates"


def test_kinds_that_nothing_can_feed() -> None:
    kinds = {name: kind for name, kind in fakes.KINDS.items() if name != "split"}
    with pytest.raises(RecipeError) as caught:
        fakes.graph(kinds=kinds)
    assert "stage pretrain.inputs.tokens: the slot is not fed; it takes tokens" in str(caught.value)


def test_the_digest_of_a_recipe_is_of_its_bytes() -> None:
    text = fakes.spoilt(("layers = 2", "layers = 2 # two"))
    assert parse(text, fakes.KINDS).digest == hashlib.sha256(text.encode()).hexdigest()
    assert parse(text, fakes.KINDS).digest != fakes.recipe().digest


def inputs(found: Graph, name: str) -> Mapping[str, tuple[str, ...]]:
    return next(stage for stage in found.stages if stage.name == name).inputs


def changing(name: str, **more: Any) -> Kind[Parameters]:
    """A kind that takes and gives weights."""
    return Kind(name, 1, Parameters, {"weights": Slot("weights")}, "weights", print, table=Table(name), **more)


@pytest.mark.parametrize("tables", [("round", "cut"), ("cut", "round")])
def test_changes_come_in_the_order_of_the_recipe(tables: tuple[str, str]) -> None:
    kinds = {**fakes.KINDS, **{name: changing(name) for name in ("cut", "round")}}
    first, second = tables
    found = fakes.graph(more=f"\n[{first}]\n[{second}]\n", kinds=kinds)
    assert inputs(found, first) == {"weights": ("pretrain",)}
    assert inputs(found, second) == {"weights": (first,)}
    assert inputs(found, "evaluate")["weights"] == (second,)


def test_what_a_kind_says_of_its_place_goes_before_the_order_of_the_recipe() -> None:
    kinds = {**fakes.KINDS, "cut": changing("cut"), "round": changing("round", after=("cut",))}
    found = fakes.graph(more="\n[round]\n[cut]\n", kinds=kinds)
    assert inputs(found, "round") == {"weights": ("cut",)}


def test_other_models_are_all_taken_together() -> None:
    merging = replace(changing("blend"), inputs={"weights": Slot("weights"), "models": Slot("model", many=True)})
    said = '\n[[parent]]\nname = "{}"\nfetch = "file:{}"\nlicence = "MIT"\n'
    more = said.format("one", "one") + said.format("two", "two") + "\n[blend]\n"
    found = fakes.graph(more=more, kinds={**fakes.KINDS, "blend": merging})
    assert inputs(found, "blend") == {"weights": ("pretrain",), "models": ("parent-one", "parent-two")}


DERIVED = fakes.GOOD.partition("[tokenizer]")[0] + (
    '[base]\nfetch = "file:base"\nlicence = "MIT"\n\n'
    "[finetune]\ntokens = 100_000\ncontext = 32\n\n"
    '[evaluate]\nprompts = ["Why?"]\n'
)
BASE = {"base": (Pin("model.gguf", "dd" * 32, 1000),)}
TWICE = '[[stage]]\nname = "twice"\nkind = "finetune"\nparameters = {tokens = 50_000}\n'
TWICE += 'inputs = {weights = "finetune", tokens = "tokenize", tokenizer = "import-tokenizer"}\n'


def effects(text: str, kinds: Any = fakes.KINDS) -> dict[str, Any]:
    found = expand(parse(text, kinds), {**fakes.PINS, **BASE})
    return {stage.name: stage for stage in found.stages if stage.kind.watches}


def test_beside_each_stage_that_changes_weights_there_is_one_that_measures_it() -> None:
    found = effects(DERIVED + TWICE)
    assert {name: dict(stage.inputs) for name, stage in found.items()} == {
        "effect-finetune": {
            "before": ("import-weights",),
            "after": ("finetune",),
            "before_tokenizer": ("import-tokenizer",),
            "tokenizer": ("import-tokenizer",),
            "tokens": ("tokenize",),
        },
        "effect-twice": {
            "before": ("finetune",),
            "after": ("twice",),
            "before_tokenizer": ("import-tokenizer",),
            "tokenizer": ("import-tokenizer",),
            "tokens": ("tokenize",),
        },
    }
    assert {stage.parameters.prompts for stage in found.values()} == {("Why?",)}  # as the table says it, for all


def test_weights_that_only_come_are_not_measured() -> None:
    assert effects(fakes.GOOD) == {}
    assert effects(DERIVED.replace("[finetune]\ntokens = 100_000\ncontext = 32\n", "")) == {}


def test_what_measures_is_a_stage_like_any_other() -> None:
    changed = '[[stage]]\nname = "effect-finetune"\nparameters = {prompts = ["How?"]}\n'
    assert effects(DERIVED + changed)["effect-finetune"].parameters.prompts == ("How?",)
    with pytest.raises(RecipeError, match="not one of the usual stages"):
        effects(DERIVED + changed.replace("effect-finetune", "effect-finetun"))


def test_each_side_has_the_tokenizer_that_it_was_made_with() -> None:
    class Empty(Parameters):
        pass

    other = Kind(
        "other-tokenizer", 1, Empty, {"tokenizer": Slot("tokenizer")}, "tokenizer", print, table=Table("other")
    )
    rows = Kind(
        "rows", 1, Empty, {"weights": Slot("weights"), "tokenizer": Slot("tokenizer")}, "weights", print,
        table=Table("rows"), after=("import-weights",),
    )  # fmt: skip
    other = replace(other, after=("import-tokenizer", "import-weights"))
    kinds = {**fakes.KINDS, "other-tokenizer": other, "rows": rows}
    found = effects(DERIVED.replace("[finetune]", "[other]\n\n[rows]\n\n[finetune]"), kinds)
    sides = {name: (stage.inputs["before_tokenizer"], stage.inputs["tokenizer"]) for name, stage in found.items()}
    assert sides["effect-rows"] == (("import-tokenizer",), ("other-tokenizer",))
    assert sides["effect-finetune"] == (("other-tokenizer",), ("other-tokenizer",))
