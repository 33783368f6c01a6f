"""python -m pytest tests/cli/test_progress.py"""

import pytest

from regrow.cli import progress as module
from regrow.cli.console import Console
from regrow.cli.progress import Lines, details

STEP = {
    "event": "progress",
    "stage": "pretrain",
    "done": 120,
    "total": 1000,
    "unit": "steps",
    "loss": 4.21,
    "tokens_per_second": 5300.4,
    "seconds_left": 123.0,
}


def test_training_tells_loss_speed_and_time_left() -> None:
    assert details(STEP) == "step 120/1,000, loss 4.210, 5,300 tokens/s, 2 min 3 s left"


def test_other_units() -> None:
    assert details({"done": 1_500_000, "total": 3_000_000, "unit": "bytes"}) == "1.5 MB of 3 MB"
    assert details({"done": 1_500_000, "total": None, "unit": "bytes"}) == "1.5 MB"
    assert details({"done": 7, "total": None, "unit": "documents"}) == "7 documents"
    assert details({"done": 7, "total": 9, "unit": "sequences"}) == "7/9 sequences"


def test_a_log_gets_a_heartbeat_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    lines = Lines(Console())
    lines({"event": "stage-start", "stage": "pretrain"})
    for second in range(26):
        now[0] = float(second)
        lines(STEP)
    lines({"event": "stage-done", "stage": "pretrain", "duration": 25.0, "digest": "0" * 64, "key": "0" * 64})
    beat = "    Training pretrain step 120/1,000, loss 4.210, 5,300 tokens/s, 2 min 3 s left\n"
    assert capsys.readouterr().err == 2 * beat + f"       Built {'pretrain':<28} 25 s\n"


def test_fetching_tells_how_much_came(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Console())
    lines({"event": "progress", "stage": "fetch-a", "done": 5_000_000, "total": 5_000_000, "unit": "bytes"})
    lines({"event": "stage-done", "stage": "fetch-a", "duration": 2.0})
    assert capsys.readouterr().err == f"       Built {'fetch-a':<28} 2.0 s  5 MB\n"


def test_damage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Lines(Console())({"event": "damaged", "stage": "split", "key": "", "digest": ""})
    assert capsys.readouterr().err == "     Warning split was damaged in the store; it is built again\n"


def test_unknown_events_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Lines(Console())({"event": "something new", "stage": "split"})
    assert capsys.readouterr().err == ""


def test_validation_and_compiling_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Console())
    for kernel in ("one", "two"):
        lines({"event": "compiling", "stage": "pretrain", "kernel": kernel, "duration": None})
    words = "and the king\n said to them that were gathered there, come and see what is done"
    lines({**STEP, "validation_loss": 4.5, "sample": words})
    lines({**STEP, "seconds_left": None, "tokens_per_second": None})
    compiling, validated = capsys.readouterr().err.splitlines()
    assert compiling == "   Compiling kernels for pretrain, once per installation"
    assert validated == (
        "   Validated pretrain step 120/1,000, loss 4.210, on validation text 4.500: "
        '"and the king said to them that were gathered there, come ..."'
    )
