import math

import pytest

from nightrank.pipeline.report import wording
from nightrank.pipeline.report.interval_chart import Estimate, interval_chart
from nightrank.pipeline.report.line_chart import line_chart, running_mean, thinned
from nightrank.pipeline.report.scale import Scale, round_ticks, tick_label


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 0.138, [0.0, 0.05, 0.1, 0.15]),
        (-0.004, 0.011, [-0.005, 0.0, 0.005, 0.01, 0.015]),
        (2.9, 7.4, [2.0, 4.0, 6.0, 8.0]),
    ],
)
def test_ticks_are_round_and_cover_the_range(low, high, ticks):
    assert round_ticks(low, high) == pytest.approx(ticks)


def test_ticks_of_a_single_value_still_span_something():
    ticks = round_ticks(3.0, 3.0)
    assert ticks[0] <= 3.0 <= ticks[-1] and len(ticks) > 1


def test_tick_labels_have_the_decimals_of_their_step():
    assert [tick_label(t, [-0.05, 0.0, 0.05]) for t in (-0.05, 0.0, 0.05)] == ["−0.05", "0", "0.05"]
    assert tick_label(2000, [0, 2000]) == "2,000"


def test_scale_maps_ends_to_ends():
    scale = Scale(2.0, 4.0, 100.0, 0.0)
    assert [scale(2.0), scale(3.0), scale(4.0)] == [100.0, 50.0, 0.0]


def test_interval_chart_puts_every_bound_on_the_axis_and_begins_at_zero():
    rows = [Estimate("a", 0.09, 0.08, 0.1, "0.09"), Estimate("b", None, None, None, "", note="not decidable")]
    chart = interval_chart("NDCG@10", rows)
    first, second = chart.marks
    assert chart.ticks[0] == (chart.layout.left, "0") and chart.zero is None
    assert chart.layout.left < first.x_low < first.x < first.x_high <= chart.layout.right
    assert first.x - first.x_low == pytest.approx(first.x_high - first.x, abs=0.02)
    assert second.x is None and "not decidable" in chart.description


def test_on_a_phone_the_same_rows_have_an_axis_as_wide_as_the_drawing():
    rows = [Estimate("a", 0.09, 0.08, 0.1, "0.09"), Estimate("b", 0.02, 0.01, 0.03, "0.02")]
    chart = interval_chart("NDCG@10", rows)
    narrow = chart.narrow
    assert narrow.layout.stacked and narrow.layout.width < 375 < chart.layout.width
    assert [mark.estimate for mark in narrow.marks] == [mark.estimate for mark in chart.marks]
    assert all(0 <= mark.x_low < mark.x < mark.x_high <= narrow.layout.width for mark in narrow.marks)
    assert narrow.marks[1].y < narrow.bottom < narrow.height


def test_a_difference_is_drawn_around_a_zero_line():
    chart = interval_chart("d", [Estimate("c - c", -0.01, -0.03, 0.01, "")], around_zero=True)
    mark = chart.marks[0]
    assert mark.x_low < mark.x < chart.zero < mark.x_high


def test_line_chart_skips_what_is_not_finite_and_keeps_the_last_figure():
    chart = line_chart("loss", [(1, 4.0), (2, math.nan), (3, math.inf), (4, 2.0)], marked=True)
    assert len(chart.series[0].points) == 2 and chart.last[2] == "2.0000"
    assert "nan" not in chart.series[0].path


def test_an_empty_curve_and_a_single_point_are_charts_too():
    assert line_chart("loss", []).series == ()
    assert line_chart("loss", [(5, 1.0)]).last[2] == "1.0000"


def test_thinning_keeps_both_ends():
    kept = thinned([(float(i), 0.0) for i in range(1000)], 50)
    assert (len(kept), kept[0][0], kept[-1][0]) == (50, 0.0, 999.0)


def test_running_mean_does_not_lag_and_its_end_is_a_mean():
    line = [(float(i), 2.0 * i) for i in range(200)]
    assert [y for _, y in running_mean(line)][6:-6] == pytest.approx([y for _, y in line[6:-6]])
    spike = [(float(i), 0.0) for i in range(99)] + [(99.0, 4.0)]
    assert running_mean(spike)[-1][1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.44, "0.4 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (3720, "1 h 02 min")],
)
def test_seconds(value, text):
    assert wording.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "–"), (999, "999 B"), (1500, "1.5 kB"), (4_100_000, "4.1 MB"), (15e9, "15 GB")]
)
def test_sizes(value, text):
    assert wording.size(value) == text


def test_recommenders_stand_in_reading_order():
    names = ["truth", "als", "something_new", "champion", "challenger"]
    assert sorted(names, key=wording.recommender_order) == ["challenger", "champion", "als", "something_new", "truth"]
