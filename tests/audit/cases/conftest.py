"""Texts of licences, taken from the packages that are installed for the tests: none is kept here."""

from collections.abc import Callable
from importlib.metadata import distribution

import pytest

_CARRIERS = {"mit": "pydantic", "apache-2.0": "hypothesis"}


@pytest.fixture
def licence_text() -> Callable[[str], str]:
    def read(name: str) -> str:
        files = distribution(_CARRIERS[name]).files or []
        path = next(file for file in files if file.name.upper().startswith("LICEN"))
        return path.locate().read_text(encoding="utf-8")  # type: ignore[union-attr]

    return read
