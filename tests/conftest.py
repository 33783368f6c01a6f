"""What holds for all tests."""

import os
from collections.abc import Iterator

import pytest

from regrow.cli import spin_briefly

spin_briefly()  # as every command does: many tests train, on cores that they share


@pytest.fixture(autouse=True, scope="session")
def a_store_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a test does is remembered among the user's own things."""
    before = os.environ.get("REGROW_STORE")
    os.environ["REGROW_STORE"] = str(tmp_path_factory.mktemp("store"))
    yield
    os.environ.pop("REGROW_STORE")
    if before is not None:
        os.environ["REGROW_STORE"] = before
