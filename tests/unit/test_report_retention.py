"""The gate's limits and what is still known, on the page: figures, pictures, and nothing where nothing was measured."""

from pathlib import Path

from report_sample import sample_result

from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.storage import locate
from nightrank.pipeline.report.earlier import earlier_results
from nightrank.pipeline.report.night_lines import night_lines
from nightrank.pipeline.report.page import render
from nightrank.pipeline.report.quality import gate
from nightrank.pipeline.report.retention import earlier_sections, retention

LIMITS = [
    {"limit": "coverage", "value": 0.3, "bound": 0.5, "n": 300, "verdict": "failed", "sentence": "lists hold 3 items <b>"},
    {"limit": "slice_floor:new_users", "value": None, "bound": 0.1, "n": 3, "verdict": "not_judged", "sentence": "3 rows"},
]


def section(value: float, *, asks: bool = False):
    rows = [
        {"set": name, "slice": part, "model": model, "ndcg": value if n else None, "ci": [0.0, 1.0] if n else None, "n": n}
        for name in ("holdout", "cohort")
        for part, n in (("all", 80), ("new_items", 0))
        for model in ("challenger", "last_full")
    ]
    cohort = {"sha256": "ab" * 32, "rows": 80, "date": "2026-03-01"}
    return {"rows": rows, "cohort": cohort, "asks_for_full": asks, "note": "much is lost"}


def test_a_failed_limit_is_named_and_what_it_says_is_escaped():
    result = sample_result()
    result["gate"] |= {"decision": "rejected", "reasons": ["limit coverage: lists hold 3 items <b>"], "limits": LIMITS}
    view = gate(result["gate"])
    assert view is not None and view.meaning.startswith("The challenger failed a limit.")
    assert [row[:3] for row in view.limits] == [
        ("coverage", "failed", "warn"),
        ("floor of new users", "not judged", "calm"),
    ]
    page = render(result, {}, [])
    assert "Limits: 0 passed, 1 failed, 1 not judged" in page and "3 items &lt;b&gt;" in page and "items <b>" not in page
    assert "Limits:" not in render(sample_result(), {}, [])


def test_the_page_shows_what_is_still_known_over_the_last_nights():
    result = {**sample_result(), "retention": section(0.2, asks=True)}
    page = render(result, {}, [], None, [("2026-03-10", section(0.3)), ("2026-03-11", section(0.25))])
    assert "asks for a full pass" in page and "80 rows of 2026-03-01, abababababab" in page and "Much is lost." in page
    assert "2026-03-10 Challenger on the old cohort: 0.3000" in page and "3 nights from 2026-03-10 to 2026-03-12" in page
    view = retention(result["retention"], "2026-03-12", [])
    assert view is not None and [row[:3] for row in view.rows] == [
        ("gate's hold-out", "all", "80"),
        ("old cohort", "all", "80"),
    ]
    assert retention({**section(0.2), "rows": []}, "2026-03-12", []) is None
    assert "What is still known" not in render(sample_result(), {}, [])


def test_earlier_nights_are_those_before_the_date_each_once(tmp_path: Path):
    runs = locate(tmp_path) / "runs"
    for run_id, day, value in (("a", "2026-03-10", 0.1), ("a-r2", "2026-03-10", 0.3), ("b", "2026-03-13", 0.2)):
        write_json(runs / run_id / "result.json", {"date": day, "retention": section(value)})
    write_json(runs / "c" / "result.json", {"date": "2026-03-11"})
    found = earlier_sections(earlier_results(runs / "now", "2026-03-12"))
    assert [(day, body["rows"][0]["ndcg"]) for day, body in found] == [("2026-03-10", 0.3)]


def test_a_night_without_a_figure_is_a_gap_in_its_line():
    nights = [("2026-03-10", {"ours": 0.1}), ("2026-03-11", {"other": 0.3}), ("2026-03-12", {"ours": 0.2, "other": 0.3})]
    chart = night_lines("figures", nights, {"ours": "ours", "other": "peer", "nobody": "truth"})
    assert chart is not None and [line.name for line in chart.lines] == ["ours", "other"]
    assert [len(line.paths) for line in chart.lines] == [2, 1] and len(chart.x_ticks) == 3
    assert night_lines("figures", [("2026-03-10", {})], {"ours": "ours"}) is None
