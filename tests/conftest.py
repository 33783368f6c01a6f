"""What holds for all tests."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import regrow


def pytest_configure(config: pytest.Config) -> None:
    """Kernels of a checkout are compiled anew when any of their files changes.

    Numba looks at the file of a kernel alone, and not at those whose functions it compiles into it. An installed
    package needs no such care: all its files are as new as the installation.
    """
    package = Path(regrow.__file__).parent
    if config.cache and package.parent.name == "src":
        files = sorted((package / "exact").rglob("*.py"))
        key = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
        os.environ.setdefault("NUMBA_CACHE_DIR", str(config.cache.mkdir(f"kernels-{key[:16]}")))


@pytest.fixture(autouse=True, scope="session")
def a_store_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a test does is remembered among the user's own things."""
    before = os.environ.get("REGROW_STORE")
    os.environ["REGROW_STORE"] = str(tmp_path_factory.mktemp("store"))
    yield
    os.environ.pop("REGROW_STORE")
    if before is not None:
        os.environ["REGROW_STORE"] = before
