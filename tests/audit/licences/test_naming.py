"""Names of licences in running text. python -m pytest tests/audit/licences/test_naming.py"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.licences import every
from regrow.licences.expressions import alternatives
from regrow.licences.naming import named


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("Apache License, Version 2.0 (the terms)", "apache-2.0"),
        ("apache2", "apache-2.0"),
        ("the MIT license.", "mit"),
        ("GNU GPL v3", "gpl-3.0"),
        ("GNU Lesser General Public License v2.1", "lgpl-2.1"),
        ("CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0"),
        ("Creative Commons Attribution-NonCommercial 4.0 International (CC BY-NC 4.0) license", "cc-by-nc-4.0"),
        ("Creative Commons Attribution Non Commercial Share Alike 4.0", "cc-by-nc-sa-4.0"),
        ("Attribution-ShareAlike 3.0 Unported by somebody", "cc-by-sa-3.0"),
        ("CC0: Public Domain", "cc0-1.0"),
        ("CreativeML Open RAIL++-M License", "openrail++"),
        ("Llama 3.1 Community License", "llama3.1"),
        ("MIT or Apache 2.0", "mit OR apache-2.0"),
        ("CC BY-SA", "cc-by-sa-2.0 OR cc-by-sa-2.5 OR cc-by-sa-3.0 OR cc-by-sa-4.0"),
    ],
)
def test_a_name_is_known_however_it_is_written(text: str, expression: str) -> None:
    found = named(text)
    assert found is not None
    assert found.expression == expression
    assert alternatives(expression)


@pytest.mark.parametrize(
    "text",
    [
        "MIT-like",
        "Apache 2.0 with restrictions on use",
        "a modified MIT license",
        "MIT license but without commercial use",
        "by Google",
        "CC",
        "creative people",
        "2.0",
        "",
        "Acme License",
        "BSL 1.1",
        "Apache License 1.3",
        "Llama 9.9 Community License",
        "Falcon License",
        "general purpose",
        "Microsoft Research License",
        "Research License",
    ],
)
def test_what_is_no_name_of_a_licence(text: str) -> None:
    assert named(text) is None


def test_every_title_names_its_licence() -> None:
    for licence in every():
        found = named(licence.title)
        assert found is None or licence.id in found.expression.split(" OR "), licence.title


@given(st.text(max_size=200))
def test_any_text_can_be_asked(text: str) -> None:
    found = named(text)
    assert found is None or 0 < found.end <= len(text)
