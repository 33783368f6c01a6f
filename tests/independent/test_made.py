"""The known answers of docs/arithmetic are those that ``regrow`` gives, whatever computes them.

python -m pytest tests/independent/test_made.py
"""

import subprocess
import sys
from pathlib import Path

import pytest

from regrow.corpus import vectors as order
from regrow.exact import vectors as exact
from regrow.exact.gemm import FLOAT64
from regrow.exact.registry import cpu_gemm_backends
from regrow.exact.selection import use
from regrow.train import vectors as training

FOLDER = Path(__file__).parents[2] / "docs" / "arithmetic"
PAGES = {"exact": exact, "order": order, "training": training}


BACKENDS = [("reference", "float64"), *(("numba", gemm.name) for gemm in cpu_gemm_backends() if gemm != FLOAT64)]


@pytest.mark.parametrize("backend", [*BACKENDS, pytest.param(("triton", ""), marks=pytest.mark.gpu)], ids=str)
@pytest.mark.parametrize("page", PAGES)
def test_known_answers_are_made_again(page, backend):
    module = PAGES[page]
    with use(*backend):
        made = exact.document(module.vectors())
    assert (FOLDER / f"{page}.json").read_text("utf-8") == made, (
        f"python -m {module.__name__} > docs/arithmetic/{page}.json"
    )


def test_the_command_writes_them():
    done = subprocess.run([sys.executable, "-m", "regrow.corpus.vectors"], capture_output=True, check=True)
    assert done.stdout == (FOLDER / "order.json").read_bytes()
