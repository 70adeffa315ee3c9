"""Where little is known: the page's charts of cold items and of the shortest histories."""

from nightrank.pipeline.report.cold_start import cold_start
from nightrank.pipeline.report.page import render
from tests.unit.report_sample import metric_row, sample_curves, sample_result, sample_users


def test_cold_items_and_the_shortest_histories_are_drawn_beside_every_baseline() -> None:
    both = [(name, part) for part in ("history_6_20", "cold_items") for name in ("als", "challenger")]
    rows = [metric_row(name, "test", "ndcg", 10, 0.05, 90, part) for name, part in both]
    rows.append(metric_row("challenger", "test", "ndcg", 10, 0.02, 40, "history_0_5"))
    rows.append(metric_row("als", "valid", "ndcg", 10, 0.9, 9, "cold_items"))
    items, users = cold_start(rows)
    assert items.title == "Items with few events (n = 90)"
    assert [mark.estimate.role for mark in items.marks] == ["ours", "peer"]
    assert users.title == "Users with histories of 0 to 5 events (n = 40)" and len(users.marks) == 1


def test_a_slice_without_a_row_is_not_drawn_and_the_page_has_the_rest() -> None:
    assert cold_start([metric_row("als", "test", "ndcg", 10, 0.0, 0, "cold_items")]) == ()
    assert cold_start([]) == ()
    html = render(sample_result(), sample_curves(), sample_users())
    assert "New items and new users, by NDCG@10" in html and "Users with histories of 6 to 20 events" in html
