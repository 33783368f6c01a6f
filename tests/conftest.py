"""What holds for all tests."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from regrow.cli import spin_briefly

# The machine may be busy: how long an example takes to make or to try says nothing.
settings.register_profile("regrow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("regrow")
spin_briefly()  # as every command does: many tests train, on cores that they share


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what the processes that share the tests make only once."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(autouse=True, scope="session")
def a_store_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a test does is remembered among the user's own things."""
    before = os.environ.get("REGROW_STORE")
    os.environ["REGROW_STORE"] = str(tmp_path_factory.mktemp("store"))
    yield
    os.environ.pop("REGROW_STORE")
    if before is not None:
        os.environ["REGROW_STORE"] = before


def pytest_configure() -> None:
    """Hear Ctrl-C, and let the processes that tests start hear it: a shell makes what it runs behind it deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
