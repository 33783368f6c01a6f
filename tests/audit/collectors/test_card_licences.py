# ruff: noqa: RUF001
"""The licence that a card's text names. python -m pytest tests/audit/collectors/test_card_licences.py"""

from pathlib import Path

import pytest

from regrow.auditing.collectors import card
from regrow.auditing.collectors.folder import Text
from regrow.auditing.facts import Collected, DenialFact, Fact, LicenceFact, ParentFact, Scope
from regrow.auditing.licences.conclusion import Status, conclude

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
        ("You may not use this model for commercial purposes.", "non-commercial-only"),
        ("It must not be used in any commercial product.", "non-commercial-only"),
        ("Not for commercial use.", "non-commercial-only"),
        ("Commercial use is not allowed without written permission.", "non-commercial-only"),
        ("Commercial use requires a separate licence from the lab.", "non-commercial-only"),
        ("For research purposes only.", "research-only"),
        ("## License\n\nApache 2.0, but commercial use is prohibited.", "non-commercial-only"),
        ("Users must obtain a commercial license before they deploy the model.", "non-commercial-only"),
        ("本模型遵循 CC BY-NC 4.0 协议。", "cc-by-nc-4.0"),
        ("模型权重完全开放\uff0c商业用途需获得许可。", "non-commercial-only"),
        ("このモデルのライセンスは CC BY-NC 4.0 です。", "cc-by-nc-4.0"),
        ("Ce modèle est diffusé sous licence CC BY-NC 4.0.", "cc-by-nc-4.0"),
        ("Dieses Modell steht unter der Lizenz CC BY-NC 4.0.", "cc-by-nc-4.0"),
        ("Este modelo está bajo la licencia CC BY-NC 4.0.", "cc-by-nc-4.0"),
        ("## 许可证\n\n仅供研究使用\uff0c不得用于商业用途。", "non-commercial-only"),
        ("训练数据来自图书。本模型仅限非商业用途。", "non-commercial-only"),
        ("本模型仅供学术研究使用。", "research-only"),
        ("このモデルは商用利用できません。", "non-commercial-only"),
        ("本モデルは研究目的でのみ利用できます。", "research-only"),
        ("이 모델의 상업적 사용은 금지됩니다.", "non-commercial-only"),
        ("이 모델은 연구 목적으로만 사용할 수 있습니다.", "research-only"),
        ("El uso comercial de este modelo está prohibido.", "non-commercial-only"),
        ("Este modelo es solo para fines de investigación.", "research-only"),
        ("L'utilisation commerciale de ce modèle est interdite.", "non-commercial-only"),
        ("Ce modèle est réservé à la recherche.", "research-only"),
        ("Die kommerzielle Nutzung des Modells ist nicht gestattet.", "non-commercial-only"),
        ("Das Modell darf ausschließlich für Forschung verwendet werden.", "research-only"),
        ("O uso comercial deste modelo não é permitido.", "non-commercial-only"),
        ("Este modelo é apenas para fins de pesquisa.", "research-only"),
        ("The model is subject to the Llama 2 license.", "llama2"),
        ("Users must comply with the Llama 2 Community License.", "llama2"),
        ("For research purposes only.", "research-only"),
        ("**Commercial use is prohibited.**", "non-commercial-only"),
        ("You may not use this model commercially.", "non-commercial-only"),
        ("> **Note**: this model is for non-commercial use only.", "non-commercial-only"),
        ("本模型禁止商用。", "non-commercial-only"),
        ("本模型仅供学术研究使用。", "research-only"),
        ("本モデルは非商用目的でのみ利用できます。", "non-commercial-only"),
        ("이 모델은 상업적 이용이 금지됩니다.", "non-commercial-only"),
        ("El modelo es solo para uso no comercial.", "non-commercial-only"),
        ("O modelo é apenas para uso não comercial.", "non-commercial-only"),
        ("Das Modell darf nicht kommerziell genutzt werden.", "non-commercial-only"),
        ("Utilisation commerciale interdite.", "non-commercial-only"),
        ("Please note that commercial use is prohibited.", "non-commercial-only"),
        ("Non-commercial.", "non-commercial-only"),
        ("License: non commercial", "non-commercial-only"),
        ("License: research only", "research-only"),
        ("It is not MIT but version 2.0 of our own and for non-commercial use only.", "non-commercial-only"),
        ("By downloading this model you accept the Gemma Terms of Use.", "gemma"),
        ("Solo per uso non commerciale.", "non-commercial-only"),
        ("Только для некоммерческого использования.", "non-commercial-only"),
        ("Коммерческое использование запрещено.", "non-commercial-only"),
        ("Tylko do użytku niekomercyjnego.", "non-commercial-only"),
        ("Yalnızca ticari olmayan kullanım içindir.", "non-commercial-only"),
        ("Uitsluitend voor onderzoek.", "research-only"),
        ("License: MIT (code), CC-BY-NC-4.0 (weights)", "cc-by-nc-4.0"),
        ("License: Gemma for the weights; MIT for the code", "gemma"),
    ],
)
def test_a_licence_is_read_where_the_text_names_it(said: str, id: str) -> None:
    [fact] = [one for one in told(f"# Kitten\n\n{said}\n") if one.scope is not Scope.CODE]
    assert (fact.id, bool(fact.quote)) == (id, True)


@pytest.mark.parametrize(
    "said",
    [
        "The model is released under the Apache 2.0 license, and commercial use is prohibited.",
        "本模型遵循 Apache 2.0 协议\uff0c商用需申请授权。",
        "Released under the Apache License, Version 2.0, for non-commercial use only.",
    ],
)
def test_a_sentence_may_forbid_what_its_licence_allows(said: str) -> None:
    assert [one.id for one in told(f"# Kitten\n\n{said}\n")] == ["apache-2.0", "non-commercial-only"]


@pytest.mark.parametrize(
    "said",
    [
        "It was trained on text that is released under CC BY 4.0.",
        "This model is not only for research purposes.",
        "No commercial use cases were tested with this model.",
        "The dataset may not be used for commercial purposes.",
        "基座模型采用 MIT 许可证。",
        "このデータのライセンスは CC BY 4.0 です。",
        "Les données sont sous licence CC BY 4.0.",
        "本模型可用于商业用途\uff0c不仅限于研究。",
        "数据集仅供非商业用途。",
        "このモデルは研究目的のみならず商用にも利用できます。",
        "Dieses Modell ist nicht nur für die Forschung da.",
        "Ce modèle n'est pas uniquement destiné à la recherche.",
        "Este modelo no es solo para fines de investigación.",
        "Este modelo não é apenas para fins de pesquisa.",
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
        "数据集禁止商用。",
        "Die Daten dürfen nicht kommerziell genutzt werden.",
        "本モデルは商用利用できます。",
        "Users must comply with the law.",
        "The model is subject to change.",
        "```\nLicense: MIT\n```",
        "## Training data\n\nReleased under CC BY 4.0.",
        "| Model | License |\n|---|---|\n| Lion | MIT |",
        "By using this dataset you accept the MIT license.",
        "The tiger's data: commercial use is prohibited.",
        "Не только для некоммерческого использования.",
        "Il modello non è solo per uso non commerciale.",
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


def denied(text: str) -> list[str]:
    found = card.read(Text("README.md", f"# Kitten\n\n{text}\n", "", "card", TODAY))
    return [one.id for one in found if isinstance(one, DenialFact)]


@pytest.mark.parametrize(
    "said",
    [
        "This is NOT Apache-2.0.",
        "The model is not licensed under the Apache License, Version 2.0.",
        "The weights are no longer released under Apache 2.0.",
        "This model isn't Apache 2.0 with another name.",
        "Kitten is not available under the Apache 2.0 license but under our own.",
    ],
)
def test_a_licence_may_be_denied(said: str) -> None:
    assert denied(said) == ["apache-2.0"]


@pytest.mark.parametrize(
    "said",
    [
        "The code is not under the Apache 2.0 license.",
        "The base model is not under the Apache 2.0 license.",
        "Is it not Apache 2.0?",
        "> It is not Apache 2.0.",
        "It is not only Apache 2.0, it is fast.",
        "The model does not know what Apache 2.0 is.",
    ],
)
def test_what_denies_no_licence_of_the_model(said: str) -> None:
    assert denied(said) == []


def test_a_denial_speaks_against_the_tag_it_denies_alone() -> None:
    for tag, status in (("apache-2.0", Status.DISPUTED), ("mit", Status.KNOWN)):
        text = f"---\nlicense: {tag}\n---\n# Kitten\n\nThis model is not Apache-2.0.\n"
        facts = tuple(one for one in card.read(Text("README.md", text, "", "card", TODAY)) if isinstance(one, Fact))
        model = Collected("cats/Kitten", "huggingface", "Kitten", "", facts)
        assert conclude(model, Scope.WEIGHTS).status is status
