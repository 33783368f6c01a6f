"""Columns of numbers added up by keys."""

import random
import subprocess
import sys
from collections import Counter

import pyarrow as pa
import pytest

from regrow.release import tables

KEYS = ["source", "file"]
PROGRAM = """
import sys
import pyarrow as pa
from regrow.formats.parquet import column
from regrow.release import tables

texts = [column(values, pa.string()) for values in (["b", "a", "b"], ["x", "y", "x"])]
table = pa.Table.from_arrays([*texts, column([1, 2, 3], pa.int64())], names=["source", "file", "bytes"])
print(tables.summed([table], ["source", "file"], "bytes").to_pylist())
print("pandas" in sys.modules)
"""


@pytest.mark.parametrize("waiting", [1, 50, 1 << 18])
@pytest.mark.parametrize("rows", [0, 1, 500])
def test_they_are_the_sums_and_counts_in_the_order_of_the_keys(rows, waiting, monkeypatch):
    monkeypatch.setattr(tables, "_WAITING", waiting)
    chosen = random.Random(rows)
    groups, sums, counts = [], Counter(), Counter()
    for _ in range(5):
        drawn = [(chosen.choice("aäb"), chosen.choice(["", "z", "é", "\U0001f600", "\uffee"])) for _ in range(rows)]
        values = [chosen.randrange(-9, 1 << 40) for _ in drawn]
        for key, value in zip(drawn, values, strict=True):
            sums[key] += value
            counts[key] += 1
        columns = [pa.array([key[i] for key in drawn], pa.string()) for i in range(2)]
        groups.append(pa.table([*columns, pa.array(values, pa.int64())], names=[*KEYS, "bytes"]))
    expected = [
        {"source": key[0], "file": key[1], "sum": sums[key], "count": counts[key]}
        for key in sorted(sums, key=lambda key: [part.encode() for part in key])
    ]
    assert tables.summed(groups, KEYS, "bytes").to_pylist() == expected
    assert tables.summed([], KEYS, "bytes").to_pylist() == []


def test_pandas_is_left_alone():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    expected = [{"source": "a", "file": "y", "sum": 2, "count": 1}, {"source": "b", "file": "x", "sum": 4, "count": 2}]
    assert done.stdout == f"{expected}\nFalse\n"
