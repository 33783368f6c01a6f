"""python -m pytest tests/report/test_doubts.py"""

import json
from pathlib import Path
from typing import Any

import pytest

from regrow.building.card import model_card
from regrow.release import Release
from regrow.report import ReportData, contents, doubts, render


def release(folder: Path, losses: list[float], validation: dict[str, Any], unigram: float = 3.0) -> Release:
    """A release with these training losses and this measurement, in which the learning rate rose to 0.5."""
    (folder / "SHA256SUMS").write_text("")
    (folder / "training").mkdir()
    rows = [{"step": i + 1, "loss": loss, "learning_rate": (i + 1) / len(losses) / 2} for i, loss in enumerate(losses)]
    (folder / "training" / "losses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "evaluation.json").write_text(
        json.dumps({"validation": validation, "unigram": {"bits_per_byte": unigram}})
    )
    return Release.at(folder)


def measured(loss: float, bits: float) -> dict[str, Any]:
    return {"loss": loss, "bits_per_byte": bits}


FALLING = [6.0 - 0.04 * step for step in range(100)]


@pytest.mark.parametrize(
    ("losses", "validation", "kinds"),
    [
        (FALLING, measured(2.2, 2.0), []),
        (FALLING, measured(2.2, 3.0), ["worse-than-counting"]),
        ([6.0] * 100, measured(6.0, 2.9), []),
        ([6.0, *FALLING[1:50], *[200.0] * 50], measured(200.0, 120.0), ["diverged"]),
        ([6.0] * 99 + [90.0], measured(6.0, 2.9), ["diverged"]),
        (FALLING, measured(3.5, 2.9), ["by-heart"]),
        (FALLING, measured(3.5, 3.5), ["worse-than-counting", "by-heart"]),
        (FALLING, measured(float("nan"), float("nan")), ["not-a-number"]),
        (FALLING, measured(float("inf"), float("inf")), ["not-a-number"]),
        ([], measured(2.0, 2.0), []),
        ([6.0], measured(2.0, 2.0), []),
    ],
)
def test_a_bad_model_is_doubted(
    losses: list[float], validation: dict[str, Any], kinds: list[str], tmp_path: Path
) -> None:
    assert [doubt.kind for doubt in doubts(release(tmp_path, losses, validation))] == kinds


def test_what_to_change_first_after_divergence_is_the_learning_rate(tmp_path: Path) -> None:
    (doubt,) = doubts(release(tmp_path, [6.0, 300.0], measured(300.0, 150.0)))
    assert doubt.what == (
        "training diverged: the loss began at 6.00 nats per token and ended at 300.00, and 150.00 bits per byte stand "
        "against 3.00 of the unigram model"
    )
    assert doubt.hint == "lower `learning_rate` first, which was 0.5 at its highest"


def test_report_and_card_show_doubts(tmp_path: Path) -> None:
    data = contents(release(tmp_path, FALLING, measured(2.2, 3.5)))
    warning = "no better than counting how often each token occurs: 3.500 bits per byte stand against 3.000"
    assert warning in render(data)
    assert f"> **Warning:** the model is {warning}" in model_card(data)
    nothing = ReportData(name="x", digest="")
    assert "Warning" not in render(nothing) + model_card(nothing)
