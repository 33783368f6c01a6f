"""Licences of single makers. python -m pytest tests/audit/licences/test_makers.py"""

import pytest

from regrow.licences import Right, find


@pytest.mark.parametrize(
    ("tag", "id", "limits"),
    [
        ("flux-1-dev-non-commercial-license", "flux-1-dev-non-commercial-license", {Right.USE, Right.COMMERCIAL}),
        ("dinov3-license", "dinov3-license", {Right.USE}),
        ("tongyi-qianwen-research", "tongyi-qianwen-research", {Right.USE, Right.COMMERCIAL}),
        ("sai-nc-community", "stability-ai-nc", {Right.USE, Right.COMMERCIAL}),
        ("stable-cascade-nc-community", "stability-ai-nc", {Right.USE, Right.COMMERCIAL}),
    ],
)
def test_a_makers_licence_is_known_by_the_hubs_name(tag: str, id: str, limits: set[Right]) -> None:
    licence = find(tag)
    assert licence is not None
    assert licence.id == id
    assert not licence.open
    assert {right for clause in licence.clauses for right in clause.limits} == limits
