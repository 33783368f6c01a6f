"""SPDX expressions over the table. python -m pytest tests/audit/licences/test_expressions.py"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.licences import get
from regrow.licences.expressions import alternatives


@pytest.mark.parametrize(
    ("expression", "ways"),
    [
        ("MIT", {("mit",)}),
        ("MIT OR Apache-2.0", {("mit",), ("apache-2.0",)}),
        ("MIT AND Apache-2.0", {("apache-2.0", "mit")}),
        ("(MIT OR GPL-2.0-only) AND CC-BY-4.0", {("cc-by-4.0", "mit"), ("cc-by-4.0", "gpl-2.0")}),
        ("GPL-2.0-only WITH Classpath-exception-2.0", {("gpl-2.0",)}),
        ("Apache-2.0 with llvm-exception", {("apache-2.0",)}),
        ("MIT OR Apache-2.0 WITH Commons-Clause", {("mit",)}),
        ("MIT OR LicenseRef-Mine", {("mit",)}),
    ],
)
def test_the_ways_to_meet_an_expression(expression: str, ways: set[tuple[str, ...]]) -> None:
    found = alternatives(expression)
    assert found is not None
    assert {tuple(sorted(way)) for way in found} == ways


@pytest.mark.parametrize(
    "expression",
    [
        *("", "other", "MIT AND LicenseRef-Mine", "MIT AND", "((MIT", "MIT OR " * 400),
        *("Apache-2.0 WITH Commons-Clause", "MIT WITH LicenseRef-scancode-x", "MIT WITH MIT"),
    ],
)
def test_what_cannot_be_told_is_not_guessed(expression: str) -> None:
    assert alternatives(expression) is None


@given(st.text(alphabet="MITORANDWH ().-+2cc-by", max_size=60))
def test_nothing_breaks_it(text: str) -> None:
    for way in alternatives(text) or ():
        assert all(get(id) for id in way)
