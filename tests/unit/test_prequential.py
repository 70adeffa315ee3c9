"""The curve of a replay, from results written by hand: what is drawn, what is left out, and the lake of the full trainings."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.holds import Hold, save_hold
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import locate
from nightrank.pipeline.replay import page
from nightrank.pipeline.replay.chart import chart
from nightrank.pipeline.replay.curve import Figure, curve
from nightrank.pipeline.replay.full_lake import OVERRIDES, FullLake, beside, measured

FIRST = date(2024, 3, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(4)]


def row(recommender: str, value: float | None, **other: Any) -> dict[str, Any]:
    head = {"recommender": recommender, "split": "day", "slice": "all", "name": "ndcg", "k": 10, "n": 400}
    return {**head, "value": value, "ci": None if value is None else [round(value - 0.01, 4), round(value + 0.01, 4)], **other}


def result(
    lake: Lake, day: date, *metrics: dict[str, Any], kind: str = "nightly", status: str = "done", model: str = "full-a"
) -> None:
    """A run that has ended; `model` is the last full run that it found."""
    run_id = f"{kind}-{day}"
    stages = [{"name": "train", "seconds": 100.0 if kind == "full" else 8.0}]
    gate = {"decision": "promoted"} if metrics else None
    body = {"run_id": run_id, "kind": kind, "date": str(day), "status": status, "metrics": list(metrics), "stages": stages}
    write_json(lake.run_dir(run_id) / "result.json", {**body, "gate": gate})
    found = {"manifest_sha256": f"sha-{model}", "run_id": model, "date": model.removeprefix("full-")}
    write_json(lake.run_dir(run_id) / "run.json", {"found": {"last_full": found}})


def landed(lake: Lake, *days: date) -> None:
    for day in days:
        (lake.landing_day("events", day) / "part-0.parquet").parent.mkdir()
        (lake.landing_day("events", day) / "part-0.parquet").write_text(f"events of {day}")
    write_json(lake.landing_meta_path, {"clock": "real"})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_the_curve_has_a_figure_for_every_night_that_was_measured(lake: Lake) -> None:
    holdout = row("champion", 0.9, split="holdout")
    result(lake, DAYS[0], holdout, row("champion", 0.10), row("last_full", 0.10), row("truth", 0.3), row("champion", 0.8, k=20))
    result(lake, DAYS[1], row("champion", 0.14), row("last_full", 0.08), row("truth", 0.3))
    result(lake, DAYS[2], status="held")
    found = curve(
        lake,
        DAYS,
        ("static", "full"),
        {DAYS[0]: (Figure(value=0.1, ci=None), 90.0), DAYS[1]: (Figure(value=0.15, ci=None), 95.0)},
    )
    assert [night.date for night in found.nights] == [str(day) for day in DAYS[:2]]
    assert found.without == {str(DAYS[2]): "held back by a guard", str(DAYS[3]): "no night has run"}
    assert found.means == pytest.approx({"nightly": 0.12, "static": 0.09, "full": 0.125, "truth": 0.3})
    assert (found.nights_of_means, found.train_seconds) == (2, {"nightly": 16.0, "full": 185.0})
    assert found.nights[0].figures["nightly"] == Figure(value=0.1, ci=(0.09, 0.11))
    assert curve(lake, DAYS, (), {}).means == pytest.approx({"nightly": 0.12, "truth": 0.3})


def test_no_update_is_the_full_model_of_before_the_first_night(lake: Lake) -> None:
    result(lake, DAYS[0], row("champion", 0.1), row("last_full", 0.1))
    result(lake, DAYS[1], row("champion", 0.2), row("last_full", 0.2), model="full-b")
    result(lake, DAYS[2], row("champion", 0.3), row("last_full", 0.1))
    found = curve(lake, DAYS[:3], ("static",), {})
    assert ["static" in night.figures for night in found.nights] == [True, False, True]
    assert (found.nights_of_means, found.means["nightly"]) == (2, pytest.approx(0.2)), "means are over the same nights"
    drawn = chart(found)
    assert drawn is not None and [(line.name, len(line.paths), len(line.points)) for line in drawn.lines] == [
        ("Nightly fine-tunes", 1, 3),
        ("No update", 2, 2),
    ]


def test_the_latest_repetition_of_a_night_counts(lake: Lake) -> None:
    result(lake, DAYS[0], row("champion", 0.1))
    for number in (2, 10):
        result(lake, DAYS[0], row("champion", number / 100))
        (lake.run_dir(f"nightly-{DAYS[0]}")).path.rename(lake.run_dir(f"nightly-{DAYS[0]}-r{number}").path)
    for name in ("result", "run"):
        body = lake.run_dir(f"nightly-{DAYS[0]}-r10") / f"{name}.json"
        write_json(body, {**body.read_json(), "run_id": f"nightly-{DAYS[0]}-r10"})
    assert curve(lake, DAYS[:1], (), {}).means == {"nightly": 0.1}


def test_page_and_numbers_are_written_also_without_a_figure(lake: Lake) -> None:
    result(lake, DAYS[0], row("champion", 0.1), row("last_full", None, note="not decidable"))
    html, numbers = page.write(lake, curve(lake, DAYS[:2], ("static",), {}))
    text = html.read_text()
    assert "<svg" in text and "Nightly fine-tunes" in text and "No update" not in text and "no night has run" in text
    assert json.loads(numbers.read_text())["means"] == {"nightly": 0.1}
    assert "No night of these dates has a figure" in page.render(curve(lake, DAYS[2:], (), {}))


def test_full_trainings_are_in_a_lake_of_their_own_and_go_without_held_days(lake: Lake) -> None:
    landed(lake, *DAYS)
    save_hold(lake, Hold(date=DAYS[1], status="held", landing="x", reasons=("r",), run_id="n"))
    made: list[tuple[str, str, date]] = []

    def run(root: Any, kind: str, day: date) -> dict[str, Any]:
        made.append((root.name, kind, day))
        result(Lake(root), day, row("last_full", 0.2), kind=kind, model=f"full-{DAYS[0]}")
        return {"status": "done"}

    there = FullLake(lake, beside(lake.root), run)
    assert [there.night(day) for day in DAYS[:3]] == [None] * 3
    assert made == [("lake-full-retrain", "full", DAYS[0]), ("lake-full-retrain", "nightly", DAYS[2])], (
        "the held day is skipped"
    )
    assert there.lake.landing_days("events") == [DAYS[0], DAYS[2]] and there.lake.landing_meta() == lake.landing_meta()
    assert measured(lake, there.root, DAYS) == {DAYS[2]: (Figure(value=0.2, ci=(0.19, 0.21)), 100.0)}
    assert not (lake.root / "runs").exists()
    result(there.lake, DAYS[2], row("last_full", 0.2), model=f"full-{DAYS[2]}")
    assert measured(lake, there.root, DAYS[2:3]) == {}, "a model that has learnt the date is not one of the day before"


def test_a_full_training_that_fails_ends_it(lake: Lake) -> None:
    landed(lake, *DAYS)
    failed = {"status": "failed", "exit_code": 6}
    there = FullLake(lake, beside(lake.root), lambda root, kind, day: failed)
    assert there.night(DAYS[1]) == failed


def test_the_lake_beside_has_a_registry_of_its_own() -> None:
    assert "mlflow.tracking_uri=null" in OVERRIDES
    with pytest.raises(UsageError, match="need a lake beside it on a disk"):
        beside(locate("s3://bucket/lake"))
