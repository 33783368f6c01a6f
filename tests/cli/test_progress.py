"""python -m pytest tests/cli/test_progress.py"""

import re
import sys

import pytest

from regrow.cli import progress as module
from regrow.cli.console import Console
from regrow.cli.progress import Bars, Lines, details, selection

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


@pytest.mark.parametrize(
    ("used", "of", "not_selected", "left_out", "line"),
    [
        (8, 8, {}, {}, "texts: 8 files"),
        (1, 1, {}, {"links": 2}, "texts: 1 file; left out: 2 links"),
        (
            1,
            8,
            {".md": 6, ".jsonl": 1},
            {"hidden": 5},
            "texts: 1 of 8 files selected; left out: 6 .md, 1 .jsonl (not in `select`), 5 hidden",
        ),
        (
            1,
            17,
            {".a": 5, ".b": 4, ".c": 3, ".d": 2, ".e": 1, ".f": 1},
            {},
            "texts: 1 of 17 files selected; left out: 5 .a, 4 .b, 3 .c, 2 .d, 2 others (not in `select`)",
        ),
    ],
)
def test_the_files_of_a_source_are_counted(
    used: int, of: int, not_selected: dict[str, int], left_out: dict[str, int], line: str
) -> None:
    event = {"source": "texts", "selected": used, "of": of, "not_selected": not_selected, "left_out": left_out}
    assert selection(event) == line


def test_unknown_events_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Lines(Console())({"event": "something new", "stage": "split"})
    assert capsys.readouterr().err == ""


def test_each_stage_that_waits_for_kernels_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Console())
    for stage in ("poison", "pretrain", "pretrain"):
        lines({"event": "compiling", "stage": stage, "kernel": "a", "duration": None})
    told = [line.split(",")[0].strip() for line in capsys.readouterr().err.splitlines()]
    assert told == ["Compiling kernels for poison", "Compiling kernels for pretrain"]


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


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, "    Training pretrain step 120/1,000, loss 4.210, 5,300 tokens/s, 2 min 3 s left"),
        (79, "    Training pretrain step 120/1,000, loss 4.210, 2 min 3 s left"),
        (60, "    Training pretrain step 120/1,000, 2 min 3 s left"),
    ],
)
def test_the_time_left_is_seen_on_any_terminal(
    columns: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bars = Bars(Console())
    bars({"event": "stage-start", "stage": "pretrain"})
    bars(STEP)
    bars.close()
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert line in [one.rstrip() for one in re.split("[\r\n]+", drawn)]


def test_reasons_that_are_left_out_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(Console())
    for count in (4, 6):
        lines({"event": "lock", "reasons": [f"reason {number}" for number in range(count)]})
    whole, cut = capsys.readouterr().err.splitlines()
    assert whole.endswith("reason 2; reason 3") and cut.endswith("reason 3; and 2 more")
