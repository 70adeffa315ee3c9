"""score_users and release on a small real bundle: the whole catalogue, the seen rule, cold users, one commit, one release."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import ValidationError
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConflictError, DataContractError, DependencyUnreachable, UsageError
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.settings import IdSettings
from nightrank.feature_store.contracts.stage import run_stage
from nightrank.feature_store.contracts.storage import locate
from nightrank.ranker.batch import Batch
from nightrank.ranker.retrieval.topk import exact_topk
from nightrank.spark_jobs import release, score_users
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.driver.submit import settings
from nightrank.spark_jobs.scoring import list_checks
from nightrank.spark_jobs.scoring.champion import open_champion
from nightrank.spark_jobs.scoring.sample_users import sample_users
from tests.evaluation_lake import ref_of
from tests.spark.conftest import DAY, make_context
from tests.spark.hand_lake import event, fill
from tests.spark.tiny_champion import crown

pytestmark = pytest.mark.spark
ITEMS = 12


def market(spark, lake, more=()):
    """User 1: long history with repeats; 2: one click and an impression; 3: only an item the model does not know; 4: nothing
    but an impression; 5: nothing at all. Item 12 came after the model."""
    yesterday = DAY - timedelta(days=1)
    rows = [event(1, item, f"2024-03-09 00:00:{place:02}", yesterday) for place, item in enumerate([1, 2, 2, 3, 4, 5, 6, 7, 8])]
    rows += [event(2, 3, "2024-03-10 01:00:00", action="click"), event(2, 4, "2024-03-10 01:00:01", action="impression")]
    rows += [event(3, 12, "2024-03-10 02:00:00"), event(4, 9, "2024-03-10 03:00:00", action="impression")]
    rows += more
    rows += [event(5, 1, "2024-03-11 00:00:00", DAY + timedelta(days=1))]
    fill(spark, lake, rows, [("i3", [], None)], users=5, items=ITEMS, segments={1: "de", 5: "de"})


def context_of(lake, run_id="run", day=DAY, **scoring):
    segments = {"segment_attribute": "country"}
    return make_context(lake, day, "nightly", run_id, scoring={"k": 5, **scoring}, features=segments)


def lists(spark, lake):
    rows = delta_io.read(spark, lake, tables.RECOMMENDATIONS).orderBy("user_id", "rank").collect()
    result: dict = {}
    for row in rows:
        result.setdefault(row["user_id"], []).append(row)
    return result


@pytest.mark.parametrize("job", [score_users, release])
def test_an_older_date_than_what_is_current_makes_no_lists_and_releases_none(lake, job):
    """Another run went live while this one worked."""
    ref_of("models/n", "later", day=str(DAY + timedelta(days=1))).save(lake.champion_path)
    with pytest.raises(ConflictError, match=r"run run is for 2024-03-10, and the current .* are newer \(2024-03-11\)"):
        job.run(context_of(lake))


def test_lists_by_hand(spark, lake):
    market(spark, lake)
    bundle = crown(lake, ITEMS - 1)
    context = context_of(lake)
    scored = run_stage("score_users", score_users.run, context)
    found = lists(spark, lake)
    assert {user: len(rows) for user, rows in found.items()} == {"u1": 3, "u2": 5, "u3": 5, "u4": 5, "u5": 5}
    assert all([row["rank"] for row in rows] == list(range(1, len(rows) + 1)) for rows in found.values())
    assert {row["item_id"] for row in found["u1"]} == {"i9", "i10", "i11"}
    # The model's own answer for users 1 and 2, from the history that training rows would show.
    batch = Batch.from_lists(
        [[1, 2, 3, 4, 5, 6, 7, 8], [3]], [[2] * 8, [3]], [times_of(lake, spark, 1), times_of(lake, spark, 2)]
    )
    excluded = (batch.items_T, batch.offsets_B1)
    ids, scores = exact_topk(bundle.user_vectors(batch), bundle.item_matrix, 5, excluded)
    assert [row["item_id"] for row in found["u2"]] == [f"i{item}" for item in ids[1].tolist()]
    assert [row["score"] for row in found["u2"]] == pytest.approx(scores[1].tolist(), rel=1e-5)
    assert [row["item_id"] for row in found["u1"]] == [f"i{item}" for item in ids[0, :3].tolist()]
    # Popularity: user 1's segment chose 2 twice and 1, 3, 4 ... once; without a segment, everybody's counts.
    assert [row["item_id"] for row in found["u5"]] == ["i2", "i1", "i3", "i4", "i5"]
    assert [row["item_id"] for row in found["u4"]] == ["i2", "i3", "i1", "i4", "i5"]
    assert {user: rows[0]["fallback"] for user, rows in found.items()} == {
        "u1": None, "u2": None, "u3": "history_unknown_to_model", "u4": "no_history", "u5": "no_history",
    }  # fmt: skip
    facts = scored.output.sections["lists"]
    assert facts["fallback"] == {"history_unknown_to_model": 1, "no_history": 2} and facts["items_not_scored"] == 1
    assert (facts["users"], facts["rows"]) == (5, 23) and "own copy" in facts["note"]
    assert not list((context.run_dir / "score_users").glob("*"))


def times_of(lake, spark, user):
    rows = delta_io.read(spark, lake, tables.INTERACTIONS).where((F.col("user") == user) & (F.col("action") != 1))
    found = [(row["event_time"], row["item"]) for row in rows.orderBy("event_time").collect()]
    return [time for place, (time, item) in enumerate(found) if place == 0 or found[place - 1][1] != item]


def test_seen_takes_actions_and_a_window_over_everything_the_user_did(spark, lake):
    yesterday = DAY - timedelta(days=1)
    market(spark, lake, [event(2, 5, "2024-03-09 01:00:02", yesterday, action="dislike")])
    crown(lake, ITEMS)
    score_users.run(context_of(lake, k=12, filter_seen={"actions": ["impression", "view"], "days": 1}))
    hidden = {
        user: {f"i{item}" for item in range(1, ITEMS + 1)} - {row["item_id"] for row in rows}
        for user, rows in lists(spark, lake).items()
    }
    # User 1's views are of the day before, user 2's click does not count, a dislike does for ever.
    assert hidden == {"u1": set(), "u2": {"i4", "i5"}, "u3": {"i12"}, "u4": {"i9"}, "u5": set()}


def test_a_release_is_one_row_and_recommend_reads_it_without_a_jvm(spark, lake):
    market(spark, lake)
    crown(lake, ITEMS)
    assert delta_read.latest_release(lake) is None
    context = context_of(lake)
    run_stage("score_users", score_users.run, context)
    first = run_stage("release", release.run, context)
    again = run_stage("release", release.run, context)
    assert delta_io.read(spark, lake, tables.RELEASES).count() == 1
    assert first.output.sections["release"] == again.output.sections["release"] and again.rows_out == 0
    made, rows = delta_read.recommendations_for(lake, "u2")
    assert [row["item_id"] for row in rows] == [row["item_id"] for row in lists(spark, lake)["u2"]]
    assert made.release_id == first.output.release.id and {row["release_id"] for row in rows} == {made.release_id}
    assert delta_read.recommendations_for(lake, "nobody")[1] == []
    assert delta_read.rows_of(lake, "recommendations", made.recommendations_version) == made.rows
    sample = json.loads((context.run_dir / "sample_users.json").read_text())
    # Users 1 to 3 are warm to a model that knows item 12; of the two cold ones one is shown.
    assert [entry["user"] for entry in sample] == ["A", "B", "C", "D"]
    assert [entry["fallback"] for entry in sample] == [None, None, None, "no_history"]
    assert sample[0]["history"] == ["i1", "i2", "i2", "title i3", "i4", "i5", "i6", "i7", "i8"]
    assert [entry["title"] for entry in sample[1]["list"]] == [row["item_id"] for row in rows]
    assert not any(user in json.dumps(sample) for user in ('"u1"', '"u4"', '"u5"'))
    _ids_are_in_the_sample_by_setting_alone(spark, context, made.recommendations_version)
    _lists_of_another_run_are_not_released(spark, lake, context)


def _ids_are_in_the_sample_by_setting_alone(spark, context, version):
    named = sample_users(spark, context, DataSections(Configuration.from_run({"ids": {"in_report": True}})), version)
    assert [entry["user_id"] for entry in named[:3]] == ["u1", "u2", "u3"]
    with pytest.raises(ValidationError, match=r"switch one of them off"):
        IdSettings(in_report=True, hash_users=True)


def _lists_of_another_run_are_not_released(spark, lake, context):
    stored = delta_io.read(spark, lake, tables.RECOMMENDATIONS)
    delta_io.replace(stored, lake, tables.RECOMMENDATIONS, context=context_of(lake, "other"), key="x")
    with pytest.raises(ConflictError, match="run run wrote version"):
        release.run(context)
    assert delta_io.read(spark, lake, tables.RELEASES).count() == 1
    write_json(lake.lease, {"run_id": "newer", "fence": 9})
    with pytest.raises(ConflictError, match="superseded"):
        run_stage("release", release.run, replace(context, fence=8))


def test_what_is_not_whole_is_not_committed(spark):
    users = spark.createDataFrame([(1,), (2,)], "user int")
    seen, hidden = spark.createDataFrame([(1, 1)], "user int, item int"), spark.createDataFrame([(4,)], "item int")
    rows = [(1, 2, 1, None), (1, 3, 2, None), (2, 1, 1, "no_history"), (2, 2, 2, "no_history")]

    def check(*listed):
        return list_checks.check_complete(
            spark.createDataFrame(list(listed), "user int, item int, rank int, fallback string"), users, seen, hidden, 4, 2
        )

    assert check(*rows) == {"users": 2, "rows": 4, "fallback": {"no_history": 1}}
    broken = {
        "1 are not as long": rows[1:],
        "1 do not have ranks": [(1, 2, 3, None), *rows[1:]],
        "1 hold an item twice": [(1, 3, 1, None), *rows[1:]],
        "not on sale": [(1, 4, 1, None), *rows[1:]],
        "not eligible": [(1, 9, 1, None), *rows[1:]],
        "the user has seen": [(1, 1, 1, None), *rows[1:]],
    }
    for text, listed in broken.items():
        with pytest.raises(DataContractError, match=text):
            check(*listed)


def test_no_champion_no_bundle_and_a_changed_bundle(spark, lake, tmp_path):
    mlflow = settings(context_of(lake)).mlflow
    with pytest.raises(UsageError, match="no champion"):
        open_champion(lake, mlflow, locate(tmp_path / "into"))
    bundle = crown(lake, 3)
    manifest = lake.bundles / bundle.manifest_sha256 / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    with pytest.raises(DataContractError, match=r"champion\.json names"):
        open_champion(lake, mlflow, locate(tmp_path / "into"))
    manifest.parent.path.rename(tmp_path / "moved")
    with pytest.raises(DependencyUnreachable, match="does not exist"):
        open_champion(lake, mlflow, locate(tmp_path / "into"))


def test_the_bundle_comes_from_the_registry(lake, tmp_path):
    import mlflow

    bundle = crown(lake, 3)
    folder = lake.bundles / bundle.manifest_sha256
    lake.mlflow.mkdir()
    uri = f"sqlite:///{lake.mlflow / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model("nightrank")
    client.create_model_version("nightrank", str(folder))
    client.set_registered_model_alias("nightrank", "champion", "1")
    found = open_champion(lake, settings(context_of(lake)).mlflow, locate(tmp_path / "into"))
    assert found.note is None and tmp_path in found.folder.parents
    assert found.ref.manifest_sha256 == bundle.manifest_sha256
