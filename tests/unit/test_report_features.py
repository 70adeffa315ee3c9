"""The report's row of features: names, known share, and who read them."""

from nightrank.pipeline.report.training import training

READ = {
    "names": {"user": ["count_7d", "recency_days"], "item": [], "attributes": ["country"]},
    "known": {"user": 0.914, "attributes": 1.0},
    "read_by": "transformer",
}
FACTS = {"backend": "gloo", "steps": [3], "rows_read": [9], "dropped": 0}


def test_features_are_named_with_the_share_of_events_of_which_something_was_known():
    told = dict(training({**FACTS, "features": READ}, {}).facts)["Features"]
    user = "user count_7d, recency_days (known for 91% of events)"
    assert told == f"{user}; attributes country (known for 100% of events). Read by transformer"


def test_a_run_that_was_resumed_after_its_last_step_names_them_without_shares():
    told = dict(training({**FACTS, "features": {**READ, "known": {}}}, {}).facts)["Features"]
    assert told == "user count_7d, recency_days; attributes country. Read by transformer"


def test_without_features_there_is_no_row():
    assert "Features" not in dict(training(FACTS, {}).facts)
