"""The same erasure in a bucket: Parquet, Delta logs, snapshots and texts are rewritten through the store."""

import pytest

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.storage import locate
from nightrank.pipeline.erase import erase
from nightrank.pipeline.search_erased import search
from nightrank.pipeline.verify import verify_run
from tests.s3_server import s3_server, use
from tests.unit.finished_run import DAY, RUN, finished_run


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """A finished run that was copied into a bucket, with a log that names u2."""
    finished_run(tmp_path / "lake")
    with s3_server("lakes") as port:
        use(monkeypatch, port)
        found = Lake(locate("s3://lakes/shop"))
        found.root.upload_folder(tmp_path / "lake")
        (found.run_dir(RUN) / "logs" / "score.log").write_text("user u2 has no list")
        yield found


def test_a_user_is_erased_from_a_bucket(lake, tmp_path):
    (tmp_path / "key").write_text("a key of more than sixteen bytes")
    ids = {"ids": {"key_file": str(tmp_path / "key")}, "mlflow": {"tracking_uri": f"sqlite:///{tmp_path / 'elsewhere.db'}"}}
    config = Configuration.from_run(ids)
    answer = erase(lake, ["u2"], config)
    assert answer["users"][0]["rows"]["tables/recommendations"] == 4
    assert search(lake, "u2", config)["found"] == []
    assert delta_read.recommendations_for(lake, "u2")[1] == []
    assert len(delta_read.recommendations_for(lake, "u1")[1]) == 4
    snapshot = load_snapshot(next(place for place in lake.snapshots.children()))
    assert (snapshot.date, snapshot.rows("train")) == (str(DAY), 1)
    assert verify_run(lake).failed == ()
