"""The licence that a card's text names. python -m pytest tests/audit/collectors/test_card_licences.py"""

from pathlib import Path

import pytest

from regrow.auditing.collectors import card
from regrow.auditing.collectors.folder import Text
from regrow.auditing.facts import LicenceFact, ParentFact, Scope

from .making import TODAY, of, read, sound, write


def told(text: str) -> list[LicenceFact]:
    return [one for one in card.read(Text("README.md", text, "", "card", TODAY)) if isinstance(one, LicenceFact)]


@pytest.mark.parametrize(
    ("said", "id"),
    [
        ("License: MIT", "mit"),
        ("- **License:** Apache-2.0", "apache-2.0"),
        ("* Licence : [CC BY-NC 4.0](https://creativecommons.org/licenses/by-nc/4.0/)", "cc-by-nc-4.0"),
        ("- Details\n  - License: MIT", "mit"),
        ("| License | `GPL 3.0` |", "gpl-3.0"),
        ("language: en\nlicense: apache-2.0\ntags:", "apache-2.0"),
        ("**License:** https://creativecommons.org/licenses/by-nc/4.0/", "cc-by-nc-4.0"),
        ("## License\n\nMIT", "mit"),
        ("## Licensing\n\n[The MIT License](https://example.org/x)", "mit"),
        ("## License\n\nKitten is licensed under the MIT licence.", "mit"),
        ("## License\n\n- Code: MIT\n- Weights: CC BY-NC 4.0", "cc-by-nc-4.0"),
        ("The model is released under the Apache License, Version 2.0.", "apache-2.0"),
        ("Released under the permissive Apache 2.0 license, it is free.", "apache-2.0"),
        ("We release the weights under the Gemma Terms of Use.", "gemma"),
        (
            "Code and weights are available under a Creative Commons Attribution 4.0 International License.",
            "cc-by-4.0",
        ),
        ("Licensed under CC-BY-NC-SA-4.0.", "cc-by-nc-sa-4.0"),
        (
            "This model is available to all, with a CreativeML OpenRAIL-M license.",
            "creativeml-openrail-m",
        ),
        ("The model is for non-commercial use only.", "non-commercial-only"),
        ("These weights are released for research purposes only.", "research-only"),
        ("Commercial use of this model is not permitted.", "non-commercial-only"),
        ("The model may be used only for non-commercial research, under CC BY-NC 4.0.", "cc-by-nc-4.0"),
    ],
)
def test_a_licence_is_read_where_the_text_names_it(said: str, id: str) -> None:
    [fact] = [one for one in told(f"# Kitten\n\n{said}\n") if one.scope is not Scope.CODE]
    assert (fact.id, bool(fact.quote)) == (id, True)


@pytest.mark.parametrize(
    "said",
    [
        "It was trained on text that is released under CC BY 4.0.",
        "The training data is licensed under CC BY-SA 3.0.",
        "The base model is released under the Apache 2.0 license.",
        "Both were released under the Apache 2.0 license.",
        "Lion is released under the MIT license.",
        "It uses a library that is available under the MIT license.",
        "Is it released under the MIT license?",
        "It is not released under the MIT license.",
        "It will be released under the MIT license.",
        "It is intended for research use only.",
        "The model is intended for commercial and research use.",
        "The dataset is for non-commercial use only.",
        "The license of the code can be found [here](LICENSE).",
        "License: [More Information Needed]",
        "License: n/a",
        "* [cats/Tiger](https://huggingface.co/cats/Tiger): a large one\n  * License: MIT",
        "License: see the repository",
        "It tells the license of a text, such as MIT or GPL 3.0.",
        "> Released under the MIT license.",
        "```\nLicense: MIT\n```",
        "## Training data\n\nReleased under CC BY 4.0.",
        "| Model | License |\n|---|---|\n| Lion | MIT |",
    ],
)
def test_what_says_nothing_of_the_model(said: str) -> None:
    assert told(f"# Kitten\n\n{said}\n") == []


@pytest.mark.parametrize(
    "said", ["The code is under the MIT license.", "The code is MIT.", "Code license: MIT", "## Code License\n\nMIT"]
)
def test_a_licence_of_code_is_none_of_the_weights(said: str) -> None:
    said = said.replace("is under", "is released under")
    assert [(one.scope, one.id) for one in told(f"# Kitten\n\n{said}\n")] == [(Scope.CODE, "mit")]


def test_terms_that_are_not_known_are_told_with_their_name() -> None:
    [fact] = told("# Kitten\n\n- License: [Acme Weights License 2.0](https://example.org/terms)\n")
    assert (fact.id, fact.raw, fact.name, fact.link) == (
        None,
        "other",
        "Acme Weights License 2.0",
        "https://example.org/terms",
    )


def test_a_card_beside_weights_speaks_of_them(tmp_path: Path) -> None:
    beside = "---\nlicense: cc-by-nc-4.0\nbase_model: cats/Lion\n---\n# Weights\n"
    files = {"README.md": "# Kitten\n", "weights/model.safetensors": sound(16), "weights/README.md": beside}
    found = read(write(tmp_path, {**files, "notes/README.md": "---\nlicense: mit\n---\n"}))
    assert [(one.scope, one.id, one.evidence.file) for one in of(found, LicenceFact)] == [
        (Scope.WEIGHTS, "cc-by-nc-4.0", "weights/README.md")
    ]
    assert [one.parent for one in of(found, ParentFact)] == ["hf:cats/Lion"]
