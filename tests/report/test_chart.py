"""python -m pytest tests/report/test_chart.py"""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from regrow.release.release import Loss
from regrow.report.chart import curve, every, graph_drawing, loss_chart, running_mean, ticks
from regrow.report.data import StageRow
from regrow.report.doubts import last_loss

numbers = st.floats(-1e6, 1e6)


def row(name: str, *inputs: str, kind: str = "kind") -> StageRow:
    return StageRow(name, kind, 1, "0" * 64, {}, tuple(("in", other) for other in inputs), ())


@given(numbers, numbers, st.integers(2, 9))
@example(-5e-324, 0.0, 2)
@example(0.0, 1e-11, 4)
def test_ticks_are_round_and_enclose_the_range(low: float, high: float, about: int) -> None:
    found = ticks(low, high, about)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= about + 2


def test_ticks_of_a_usual_loss() -> None:
    assert ticks(3.4, 8.7, 6) == [3, 4, 5, 6, 7, 8, 9]


@given(st.integers(1, 5000), st.integers(2, 500))
def test_every_keeps_first_and_last(length: int, most: int) -> None:
    found = every(length, most)
    assert (found[0], found[-1]) == (0, length - 1)
    assert len(found) == min(length, most) == len(set(found))
    assert found == sorted(found)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.integers(0, 9))
def test_running_mean_is_the_mean_of_the_neighbours(values: list[float], reach: int) -> None:
    for i, mean in enumerate(running_mean(values, reach)):
        near = values[max(0, i - reach) : i + reach + 1]
        assert math.isclose(mean, sum(near) / len(near), abs_tol=1e-9)


def test_chart_spans_its_room_and_the_validation_loss_lies_in_it() -> None:
    chart = loss_chart([Loss(1, 8.0), Loss(2, 4.0), Loss(3, 3.5)], 2.2)
    assert chart is not None
    assert chart.raw.startswith("M0.00 ")
    assert "L100.00 " in chart.raw
    assert chart.validation is not None
    assert 0 <= chart.validation.at <= 100
    assert [tick.label for tick in chart.y_ticks] == ["2", "3", "4", "5", "6", "7", "8"]
    assert sum(strip.width for strip in chart.strips) == pytest.approx(100)
    assert "step 2: " in chart.strips[1].title


def test_validation_on_the_way_is_marked_and_leads_to_the_end() -> None:
    losses = [Loss(1, 8.0), Loss(2, 4.0, validation=9.5), Loss(3, 3.5)]
    chart = loss_chart(losses, 2.2)
    assert chart is not None
    assert [(point.x, point.title) for point in chart.points] == [(50.0, "step 2: 9.500 on validation text")]
    assert 0 <= chart.points[0].y <= 100
    assert chart.between.startswith(f"M50.00 {chart.points[0].y:.2f}L100.00 ")
    assert chart.y_ticks[-1].label == "10"


def test_a_curve_begins_at_nothing_and_needs_two_points() -> None:
    found = curve("Learning rate", [(1, 0.25), (2, 1.0), (3, None), (4, 0.5)])
    assert found is not None
    assert found.path == "M0.00 75.00L33.33 0.00L100.00 50.00"
    assert (found.least, found.most) == ("0.25", "1")
    assert curve("Gradient norm", [(1, 0.25), (2, None), (3, math.nan)]) is None


@pytest.mark.parametrize("losses", [[], [Loss(1, 2.0)], [Loss(1, math.nan), Loss(2, 1.0)]])
def test_no_chart_without_two_points(losses: list[Loss]) -> None:
    assert loss_chart(losses, None) is None


def test_graph_places_every_stage_right_of_its_inputs() -> None:
    drawing = graph_drawing([row("fetch-a"), row("fetch-b"), row("clean", "fetch-a", "fetch-b"), row("split", "clean")])
    assert drawing is not None
    assert (drawing.columns, drawing.rows) == (3, 2)
    assert {(a.name, b.name) for a, b in drawing.edges} == {
        ("fetch-a", "clean"),
        ("fetch-b", "clean"),
        ("clean", "split"),
    }
    assert all(a.x < b.x for a, b in drawing.edges)


def test_a_node_is_not_named_twice() -> None:
    drawing = graph_drawing([row("fetch-bible", kind="fetch"), row("split", kind="split"), row("other", kind="split")])
    assert drawing is not None
    assert [(n.label, n.kind) for n in drawing.nodes] == [("bible", "fetch"), ("split", ""), ("other", "split")]


def test_the_first_and_the_last_loss_are_those_that_a_warning_names() -> None:
    losses = [Loss(1, 6.0), *(Loss(step, 600.0 - step) for step in range(2, 201))]
    chart = loss_chart(losses, None)
    assert chart is not None
    assert (chart.first.loss, chart.last.loss) == (6.0, last_loss(losses))
