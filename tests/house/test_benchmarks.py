"""What a measurement calls is there: nobody else would notice before the next one."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALLS = """
import sys
from pathlib import Path
from benchmarks.corpus import RECIPE, make, stage

folder = Path(sys.argv[1])
make(folder / "texts", 20_000, 1, False)
(folder / "regrow.toml").write_text(RECIPE.format(shards=""))
for name in ("fetch-web", "documents-web"):
    stage(folder, name, 1)
"""


def test_a_stage_of_a_made_up_corpus_is_measured(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CALLS, tmp_path], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    assert [*(tmp_path / "store" / "artifacts").glob("*/*/documents.parquet")]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_what_a_benchmark_takes_from_regrow_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "regrow":
            taken = import_module(str(node.module))
            for one in node.names:
                assert hasattr(taken, one.name) or import_module(f"{node.module}.{one.name}")
