"""A measurement works: nobody else would notice before the next one. That its types fit is in test_checks."""

import subprocess
import sys
from pathlib import Path

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
