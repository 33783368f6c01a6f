"""What holds for all tests."""

import gc
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from regrow.cli import spin_briefly
from regrow.system import uncollected

# The machine may be busy: how long an example takes to make or to try says nothing.
settings.register_profile("regrow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("regrow")
spin_briefly()  # as every command does: many tests train, on cores that they share

FIRST = ("test_same_hash.py", "house", "audit", "cli", "train", "exact", "stages", "serve", "verify")
"""What takes long begins first, so that no process is left alone with it at the end. Checks and audits need no kernels:
beside them one process compiles those of training, for which others would wait in a fresh clone."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Search for cycles neither while tests are collected, which are as many objects as all else, nor in them later."""
    with uncollected():
        found = yield
    gc.freeze()
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of tests in that order. Folders named to pytest have none: it takes them as the one they are in."""
    turns = {name: turn for turn, name in enumerate(FIRST)}

    def turn(item: pytest.Item) -> int:
        name = item.nodeid.removeprefix("tests/").partition("::")[0].partition("/")[0]
        return turns.get(name, len(turns))

    items.sort(key=turn)


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
