"""score_baselines on hand-made data: what each may learn from, and what MLlib's ALS gives back."""

import numpy as np
import pytest

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.storage import locate
from nightrank.feature_store.transforms.cooccurrence import neighbours, popularity
from nightrank.spark_jobs import build_training_set, score_baselines
from nightrank.spark_jobs.executor.baselines import fold_in, read_fitted
from tests.spark.conftest import make_context
from tests.spark.hand_lake import event, fill

pytestmark = pytest.mark.spark


def test_neighbours_are_cosines_of_user_sets(spark):
    rows = [(1, 1, 1), (1, 2, 2), (2, 1, 1), (2, 2, 1), (2, 3, 1), (3, 1, 1), (3, 1, 2)]
    known = spark.createDataFrame(rows, "user int, item int, event_time long")
    found = {(r["item"], r["neighbour"]): r["similarity"] for r in neighbours(known, 1).collect()}
    assert found == pytest.approx({(1, 2): 2 / 6**0.5, (2, 1): 2 / 6**0.5, (3, 2): 1 / 2**0.5})
    counts = {r["item"]: (r["recent"], r["total"]) for r in popularity(known, 2).collect()}
    assert counts == {1: (1, 4), 2: (1, 2), 3: (0, 1)}


def test_lists_learn_nothing_of_what_they_are_measured_on(spark, lake):
    """Nine users choose 1 to 4; the tenth's last item, 9, is nobody else's: no baseline fitted on train rows can rank it up."""
    events = [event(user, item, f"2024-03-10 00:{user:02}:{item:02}") for user in range(1, 10) for item in (1, 2, 3, 4, 5)]
    events += [event(10, item, f"2024-03-10 00:10:{at:02}") for at, item in enumerate((1, 2, 8, 9))]
    fill(spark, lake, events, clock="position")
    config = {"training_set": {"max_length": 10, "overlap": 2, "holdout_modulus": 2}, "baselines": {"k": 4, "als_rank": 3}}
    context = make_context(lake, kind="full", **config)
    build_training_set.run(context)
    result = score_baselines.run(context)
    rows = delta_io.read(spark, lake, tables.BASELINE_LISTS).collect()
    tests = {(row["recommender"], row["user"]): row["items"] for row in rows if row["split"] == "test"}
    assert {recommender for recommender, _ in tests} == {"popular_7d", "als", "item_cooccurrence"} and len(tests) == 30
    assert all(not set(items) & {1, 2, 8} for (_, user), items in tests.items() if user == 10)
    # Items 4 and 5 of users 1 to 9 are their valid and test items: train rows know 1, 2 and 3 of them alone.
    assert tests[("popular_7d", 10)] == [3, 4, 5, 6] and tests[("item_cooccurrence", 10)] == [3, 4, 5, 6]
    assert tests[("als", 10)] == [3]
    held = {row["user"] for row in rows if row["split"] == "holdout"}
    stored = delta_io.read(spark, lake, tables.EXAMPLES["holdout"]).collect()
    assert held == {row["user"] for row in stored} and held
    assert result.rows_out == len(rows) and not (context.run_dir / "score_baselines").exists()
    again = score_baselines.run(context)
    assert again.tables[0]["content_sha256"] == result.tables[0]["content_sha256"]


def test_folding_in_gives_mllibs_own_user_factors(spark, tmp_path):
    rng = np.random.default_rng(3)
    pairs = sorted({(int(u), int(i)) for u, i in zip(rng.integers(1, 30, 200), rng.integers(1, 12, 200), strict=True)})
    known = spark.createDataFrame([(u, i, 0) for u, i in pairs], "user int, item int, event_time long")
    config = score_baselines.BaselineSettings(als_rank=4, als_iterations=3)
    score_baselines.fit(known, None, config, 5, locate(tmp_path))
    fitted = read_fitted(str(tmp_path), 12)
    model = score_baselines.als(config, 5).fit(known.withColumn("rating", (known.item * 0 + 1).cast("float")))
    theirs = {row["id"]: row["features"] for row in model.userFactors.collect()}
    histories = [np.array([i for u, i in pairs if u == user]) for user in sorted(theirs)]
    ours, _ = fold_in(fitted, histories, config.als_regularisation, config.als_alpha)
    assert ours == pytest.approx(np.array([theirs[user] for user in sorted(theirs)]), abs=1e-3)
