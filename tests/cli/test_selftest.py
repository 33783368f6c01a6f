"""python -m pytest tests/cli/test_selftest.py"""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from regrow.building import speed
from regrow.cli.root import cli
from regrow.engine.machine import Measured
from regrow.exact import measuring, selftest
from regrow.exact.measuring import Speed, Way
from regrow.exact.selftest import Result
from regrow.store import Store


def test_this_machine_is_exact() -> None:
    result = CliRunner().invoke(cli, ["selftest"])
    assert result.exit_code == 0
    assert "gemm float64" in result.stdout


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([("gemm int8", False), ("gemm float64", True)], 0),
        ([("gemm int8", False), ("gemm float64", False)], 1),
        ([("gemm float64", True), ("kernel norm", False)], 1),
    ],
)
def test_what_is_not_exact_is_shown(
    results: list[tuple[str, bool]], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Result(name, ok, "exact" if ok else "3 of 5 integers wrong", 0.25) for name, ok in results]
    monkeypatch.setattr(selftest, "self_test", lambda full: found)
    result = CliRunner().invoke(cli, ["selftest"])
    assert result.exit_code == code
    assert "not exact" in result.stdout
    assert "3 of 5 integers wrong" in result.stdout
    document = json.loads(CliRunner().invoke(cli, ["selftest", "--json"]).stdout)
    assert (document["schema"], document["ok"]) == ("regrow/selftest/1", code == 0)
    assert [test["ok"] for test in document["tests"]] == [ok for _, ok in results]


def test_what_multiplies_is_said_and_plan_takes_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ways = Way("amx", "the processor lacks amx-int8", False), Way("vnni", "", True, 0.62)
    monkeypatch.setattr(selftest, "self_test", lambda full: [Result("gemm vnni", True, "exact", 0.25)])
    monkeypatch.setattr(measuring, "speed", lambda results: Speed(ways, 2.4, 1.0, "try another"))
    monkeypatch.setattr(speed, "default_root", lambda: tmp_path)
    said = CliRunner().invoke(cli, ["selftest"]).stdout
    assert re.search(r"vnni +computes +0\.62", said)
    assert re.search(r"amx +the processor lacks amx-int8", said)
    assert "training takes about 1.7 times as long" in said
    assert "try another" in said
    assert speed.speeds().measured == Measured(2.4, 1.0)
    Store(tmp_path).close()  # and the first build can be made there still
    document = json.loads(CliRunner().invoke(cli, ["selftest", "--json"]).stdout)
    assert document["speed"]["ways"][1] == {"name": "vnni", "missing": "", "chosen": True, "ratio": 0.62}
