import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from nightrank.feature_store.contracts.files import write_json
from nightrank.pipeline.report.overview import headline, stage_bars, table_versions, tiles
from nightrank.pipeline.report.page import render
from nightrank.pipeline.report.quality import best_baseline, gate, quality
from tests.unit.report_sample import metric_row, sample_curves, sample_result, sample_users

VOID = {"meta", "input", "link", "br", "img", "rect", "line", "path"}


class Balanced(HTMLParser):
    """Raises on a tag that is closed out of turn; collects text."""

    def __init__(self):
        super().__init__()
        self.open, self.words, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.words.append(data)


def parsed(html):
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    return parser


def test_the_sample_is_a_result_as_the_schema_has_it():
    schema = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "result.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(sample_result())


@pytest.fixture(scope="module")
def page():
    return render(sample_result(), sample_curves(), sample_users())


def test_the_page_is_whole_and_has_every_section(page):
    text = " ".join(parsed(page).words)
    for heading in (
        "Is it any good?",
        "The gate",
        "Training",
        "A few users",
        "What came in",
        "Where the time went",
        "What came from what",
    ):
        assert heading in text
    assert "60,911" in text and "event in the future" in text and "0.0931" in text


def test_nothing_is_loaded_from_elsewhere(page):
    tags = parsed(page).tags
    assert not [tag for tag, _ in tags if tag in ("link", "img", "iframe", "object", "embed")]
    assert [attrs for tag, attrs in tags if tag == "script"] == [{}], "one script, and it stands on the page"
    assert not [attrs for _, attrs in tags if {"src", "href", "srcset", "onload"} & set(attrs)]
    assert "url(" not in page and "@import" not in page and not re.search(r"https?://", page)


def test_no_user_id_and_no_host_name_reach_the_page(page):
    for user in sample_users():
        assert user["user"] not in page
    assert "User A" in page and "secret-host" not in page and "ids.in_report" in page and "data-id" not in page


def test_an_id_is_on_the_page_where_the_sample_brings_it():
    named = [{**user, "user_id": f'shop-{place}"<'} for place, user in enumerate(sample_users())]
    tags = parsed(render(sample_result(), sample_curves(), named)).tags
    users = [attrs for tag, attrs in tags if tag == "article"]
    assert [(user["data-letter"], user["data-id"]) for user in users] == [
        ("A", 'shop-0"<'),
        ("B", 'shop-1"<'),
        ("C", 'shop-2"<'),
    ]


def test_every_figure_of_a_table_names_its_column_where_the_head_is_hidden(page):
    cells = [attrs for tag, attrs in parsed(page).tags if tag == "td"]
    assert len(cells) > 50 and all(cell["data-label"] for cell in cells)


def test_what_comes_from_outside_is_escaped():
    users = [
        {"user": "1", "history": ["<script>alert(1)</script>"], "list": [{"title": '"><b>', "score": 1}], "fallback": None}
    ]
    result = sample_result() | {"error": {"code": "x", "message": "<img src=x>", "remedy": ""}, "exit_code": 1}
    html = render(result, {}, users)
    assert html.count("<script>") == 1 and "<script>alert" not in html and "<img" not in html and "&lt;script&gt;" in html
    parsed(html)


def failed_result():
    result = sample_result()
    for stage in result["stages"][6:]:
        stage.update(status="not_run", exit_code=None, seconds=0.0, tables=[])
    result["stages"][5].update(status="failed", exit_code=6)
    error = {"code": "stalled", "message": "rank 1 stopped at step 212", "remedy": "run it again"}
    gone = dict.fromkeys(("snapshot", "training", "model", "gate", "release"))
    return result | gone | {"status": "failed", "exit_code": 6, "error": error, "metrics": []}


def test_a_failed_run_has_a_page_that_says_where_and_what_to_do():
    text = " ".join(parsed(render(failed_result(), {}, [])).words)
    assert "The run stopped in train." in text
    assert "rank 1 stopped at step 212" in text and "run it again" in text and "not run" in text
    assert "The gate" not in text


def test_a_run_that_ended_before_its_first_stage_has_a_page():
    bare = dict.fromkeys(
        ("snapshot", "training", "model", "gate", "release", "report", "commit", "machine", "versions", "error")
    )
    result = sample_result() | bare | {"status": "nothing", "stages": [], "metrics": [], "counts": {}}
    assert "The lists did not change." in " ".join(parsed(render(result, {}, [])).words)


def test_the_headline_follows_the_gate():
    lines = {d: headline(sample_result() | {"gate": {"decision": d}}) for d in ("first", "promoted", "rejected", "undecidable")}
    assert "went live" in lines["first"] and "went live" in lines["promoted"]
    assert "champion stays" in lines["rejected"] and "champion stays" in lines["undecidable"]
    assert all("5,611 users" in sentence for sentence in lines.values())


def test_the_page_names_the_model_that_made_the_lists_and_not_the_challenger_for_it():
    maker = sample_result()["release"]["model"] | {"version": 1, "items_not_scored": 12, "trained_by": "full-2026-03-01"}
    undecided = {"decision": "undecidable", "reasons": ["21 hold-out rows, 200 are needed"], "delta": 0.01, "ci": [-0.1, 0.1]}
    result = sample_result() | {"gate": {**undecided, "n": 21, "new_items": "12 new items are not in the lists: no texts"}}
    result["release"]["model"] = maker
    text = " ".join(" ".join(parsed(render(result, {}, [])).words).split())
    assert "(undecidable), so the champion stays and nightrank v1 made the lists" in text
    assert "Model of this run nightrank v7" in text and "Lists made by nightrank v1 manifest" in text
    for words in ("nightrank v1, trained by full-2026-03-01", "transformer", "width 128, head dot, blocks 2", "12 (newer than"):
        assert words in text, words
    assert "12 new items are not in the lists: no texts" in text


def test_the_best_baseline_is_the_strongest_peer_and_never_the_truth():
    ours, peer = best_baseline(sample_result()["metrics"])
    assert (ours["recommender"], peer["recommender"]) == ("challenger", "item_cooccurrence")
    assert any(tile.note == "1.33 × Item co-occurrence" for tile in tiles(sample_result()))


def test_a_figure_of_few_rows_is_shown_with_its_interval_and_a_warning():
    rows = [metric_row(recommender, "test", "ndcg", 10, 0.05, 120) for recommender in ("challenger", "als")]
    view = quality(rows)
    assert all(mark.x_low < mark.x < mark.x_high for mark in view.charts[0].marks)
    assert view.warning == "Only 120 rows: the intervals are wide and may still be too narrow."
    assert view.warning in render(sample_result() | {"metrics": rows}, {}, [])
    assert best_baseline(rows)[1]["recommender"] == "als"


def test_without_a_row_nothing_is_decidable():
    view = quality([metric_row("challenger", "test", "ndcg", 10, 0.05, 0)])
    assert [mark.x for mark in view.charts[0].marks] == [None]
    assert "not decidable (n = 0)" in view.charts[0].description


def test_a_night_is_judged_on_its_holdout():
    rows = [row for row in sample_result()["metrics"] if row["split"] == "holdout"]
    view = quality(rows)
    assert view.split == "holdout" and [m.estimate.label for m in view.charts[0].marks] == [
        "Challenger (this run)",
        "Champion (live before)",
    ]


def test_slices_are_named_for_people():
    titles = [table.title for table in quality(sample_result()["metrics"]).further]
    assert titles == ["test, cold items", "test, histories of 6 to 20 events", "holdout"]


def test_the_gate_without_a_delta_has_no_drawing():
    view = gate({"decision": "undecidable", "reasons": ["112 rows, 200 needed"], "delta": None, "ci": None, "n": 112})
    assert view.chart is None and view.reasons == ("112 rows, 200 needed",) and view.n == "112"


def test_a_table_written_twice_shows_its_first_and_last_version():
    stages = [
        {"tables": [{"name": "t", "from": 3, "to": 4}]},
        {"tables": [{"name": "t", "from": 4, "to": 5, "content_sha256": "ab"}]},
    ]
    assert table_versions(stages) == (("t", "3", "5", "ab"),)


def test_the_longest_stage_fills_its_bar():
    shares = {bar.label: bar.share for bar in stage_bars(sample_result()["stages"])}
    assert shares["train"] == 100.0 and shares["evaluate"] == pytest.approx(11.5, abs=0.01)


def run_folder(tmp_path, gate_decision="promoted"):
    """A run's folder as its stages leave it right before the report."""
    result = sample_result()
    folder = tmp_path / "runs" / result["run_id"]
    run = {key: result[key] for key in ("run_id", "kind", "date", "seed", "commit", "config_sha256", "versions", "machine")}
    write_json(folder / "run.json", {**run, "root": str(tmp_path), "fence": 0, "config": {}, "attempt": 1})
    compared = {"decision": gate_decision, "challenger": "m", "champion": "c", "question": [], "nights": 1}
    extras = {
        "build_training_set": {"snapshot": result["snapshot"]},
        "train": {"training": result["training"], "model_files": {"live": "models/m"}, "curves": sample_curves()},
        "register": {"model": result["model"] | {"ranker": "transformer", "settings": {}}},
        "evaluate": {"metrics": result["metrics"], "comparisons": [], "evaluation": {}},
        "gate": {"gate": result["gate"] | compared, "lists_by": {"manifest_sha256": "m", "version": 7}},
        "release": {"release": result["release"]},
    }
    for stage in result["stages"]:
        counts = result["counts"] if stage["name"] == "ingest_events" else {}
        write_json(
            folder / "stages" / f"{stage['name']}.json", {**stage, "counts": counts, "output": extras.get(stage["name"], {})}
        )
    write_json(folder / "sample_users.json", sample_users())
    return folder


def run_report(folder):
    command = [sys.executable, "-m", "nightrank.pipeline.report.stage", "--run-dir", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_stage_writes_the_page_and_says_where(tmp_path):
    folder = run_folder(tmp_path)
    done = run_report(folder)
    assert done.returncode == 0, done.stderr
    left = json.loads((folder / "stages" / "report.json").read_text())
    assert left["output"]["report"] == f"runs/{folder.name}/report.html"
    text = " ".join(parsed((folder / "report.html").read_text()).words)
    assert "The new model went live" in text and "User C" in text and "Training loss" in text
    assert sorted(path.name for path in folder.glob(".*")) == []


def test_the_stage_tells_a_rejected_challenger_before_the_verdict_does(tmp_path):
    folder = run_folder(tmp_path, "rejected")
    assert run_report(folder).returncode == 0
    assert "challenger rejected" in (folder / "report.html").read_text()


def test_a_failed_late_stage_shows_on_the_page(tmp_path):
    folder = run_folder(tmp_path)
    (folder / "stages" / "maintain_tables.json").unlink()
    fault = {"name": "maintain_tables", "exit_code": 9, "code": "refused", "message": "m", "remedy": "r"}
    write_json(folder / "stages" / "maintain_tables.error.json", fault)
    assert run_report(folder).returncode == 0
    assert "The run stopped in maintain tables." in (folder / "report.html").read_text()
