"""What a run says without a terminal, and how its summary ends."""

import io
import time
from pathlib import Path

import pytest

from nightrank.pipeline.demo import _short, show
from nightrank.pipeline.output import print_run
from nightrank.pipeline.progress import LineProgress
from tests.unit.report_sample import sample_result


def test_a_stage_says_that_it_begins_and_a_long_one_that_it_goes_on():
    stream = io.StringIO()
    progress = LineProgress(stream, every_seconds=0.05)
    progress.begin("run", ("train",))
    progress.stage("train", "running")
    assert stream.getvalue().splitlines() == ["run", "  train  running"]
    until = time.monotonic() + 10
    while stream.getvalue().count("s so far") < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert stream.getvalue().count("s so far") >= 2
    progress.stage("train", "done", {"seconds": 3.0})
    progress.end()
    time.sleep(0.1)
    ended = stream.getvalue()
    assert ended.splitlines()[-1] == "  train  done        3.0 s"
    time.sleep(0.2)
    assert stream.getvalue() == ended


def test_the_summary_ends_with_a_figure_beside_the_best_baseline_and_the_way_to_the_lists(capsys: pytest.CaptureFixture[str]):
    print_run(sample_result(), False, "lake")
    quality, lists, way = capsys.readouterr().out.splitlines()[-3:]
    assert quality.startswith("  quality: NDCG@10 0.") and "best baseline 0.0" in quality
    assert quality.endswith("(Item co-occurrence); test, n = 4,871") and "made by nightrank version 7" in lists
    assert way == "  one user's list: nightrank recommend --root lake --user ID"


def test_the_demo_ends_with_the_same_figure_and_the_way_to_other_lists(capsys: pytest.CaptureFixture[str]):
    item = {"rank": 1, "item_id": "i1", "title": "Tent", "score": 2.5}
    answer = {"root": "lake", "runs": [_short(Path("lake"), sample_result())]}
    show({**answer, "recommendations": {"date": "2024-01-02", "user": "u1", "items": [item]}})
    quality, way = capsys.readouterr().out.splitlines()[-2:]
    assert quality.startswith(f"Quality of {sample_result()['run_id']}: NDCG@10 0.") and "best baseline 0.0" in quality
    assert way == "Another user's list: nightrank recommend --root lake --user ID"
