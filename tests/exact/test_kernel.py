"""Compiled kernels are kept, and never outlive a file that they are made of."""

import shutil
import subprocess
import sys
import time
from os import utime

import pytest

from regrow.exact import kernel

PROGRAM = "import made.product; print(made.product.product(3))"
PRODUCT = """
from made.kernel import kernel
from made.factor import factor

@kernel()
def product(x):
    return factor() * x
"""
FACTOR = """
from made.kernel import kernel

@kernel(inline="always")
def factor():
    return {}
"""


@pytest.fixture
def package(tmp_path):
    """A package of a kernel and of what is compiled into it, in another file."""
    folder = tmp_path / "made"
    folder.mkdir()
    shutil.copy(kernel.__file__, folder / "kernel.py")
    (folder / "__init__.py").touch()
    (folder / "product.py").write_text(PRODUCT)
    (folder / "factor.py").write_text(FACTOR.format(2))
    return folder


def run(package, **environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=package.parent, capture_output=True, text=True, env=environment, check=True
    )
    return int(done.stdout)


def kept(folder):
    return sorted(path.name for path in folder.glob("kernels-*"))


def test_a_kernel_is_compiled_again_when_another_file_changes(package):
    assert run(package) == 6
    first = kept(package / "__pycache__")
    assert len(first) == 1
    assert run(package) == 6
    assert kept(package / "__pycache__") == first
    (package / "factor.py").write_text(FACTOR.format(5))
    assert run(package) == 15
    assert len(kept(package / "__pycache__")) == 2


def test_kernels_go_where_they_are_asked_to(package, tmp_path):
    assert run(package, NUMBA_CACHE_DIR=str(tmp_path / "asked")) == 6
    assert kept(package / "__pycache__") == []
    (made,) = (tmp_path / "asked").iterdir()
    assert list(made.rglob("product.product-*.nbi"))


def test_kernels_of_long_ago_are_dropped(tmp_path):
    old, new, foreign = (tmp_path / f"kernels-{name}" for name in ("0" * 16, "1" * 16, "of-somebody-else"))
    for folder in (old, new, foreign):
        folder.mkdir()
    for folder in (old, foreign):
        utime(folder, (time.time() - 30 * 24 * 3600,) * 2)
    assert kernel._folder.__wrapped__(str(tmp_path)).startswith(f"{tmp_path}/kernels-")
    assert kept(tmp_path) == [new.name, foreign.name]


def test_kernels_of_a_package_that_others_installed_are_kept_among_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "_beside", lambda package: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernel._folder.__wrapped__("").startswith(f"{tmp_path}/regrow/kernels-")


def test_a_user_without_a_home_leaves_the_place_to_numba(monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(kernel, "_beside", lambda package: None)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(kernel.Path, "home", nobody)
    assert kernel._folder.__wrapped__("") == ""
