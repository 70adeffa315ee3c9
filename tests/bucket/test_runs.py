"""A full run and two nights in a bucket: the same content as on a disk, nothing of the lake on this machine's disk."""

import subprocess

import pytest

from nightrank.feature_store.contracts.lake import Lake
from tests.bucket.lakes import BUCKET, runs, simulated
from tests.commands import command, environment, hashes, nightrank
from tests.s3_server import Faults

pytestmark = [pytest.mark.bucket, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def in_bucket(faults: Faults, tmp_path_factory):
    lake, options = simulated(f"s3://{BUCKET}/plain", tmp_path_factory.mktemp("tracker"))
    return lake, options, [nightrank(lake, *each, expect=(0, 7)) for each in runs(lake, options)]


def test_runs_in_a_bucket_leave_the_content_that_runs_on_a_disk_leave(in_bucket, on_disk):
    lake, _, results = in_bucket
    assert [hashes(lake, result) for result in results] == on_disk[1]


def test_the_lists_are_readable_and_everything_verifies(in_bucket):
    lake, _, results = in_bucket
    for result in results:
        assert nightrank(lake, "verify", "--run", result["run_id"])["failed"] == []
    user = first_user(lake)
    assert len(nightrank(lake, "recommend", "--user", user)["items"]) == 10


def test_the_same_date_again_changes_nothing(in_bucket):
    lake, options, results = in_bucket
    before = {place: entry.tag for place, entry in lake.root.walk()}
    again = nightrank(lake, "nightly", "--date", results[-1]["date"], *options)
    assert again["status"] == "already_done"
    assert {place: entry.tag for place, entry in lake.root.walk()} == before


def test_logs_and_reports_are_in_the_bucket(in_bucket):
    lake, _, results = in_bucket
    folder = lake.run_dir(results[0]["run_id"])
    assert {"train.log", "score_users.log"} <= {place.name for place in (folder / "logs").children()}
    assert b"</html>" in (lake.root / results[0]["report"]).read_bytes()


def first_user(lake: Lake) -> str:
    import pyarrow.parquet as pq

    for path in lake.landing_day("events", lake.landing_days("events")[0]).glob("*.parquet"):
        with path.open() as file:
            users = pq.read_table(file, columns=["user_id"]).column(0).to_pylist()
            return str(next(user for user in users if user))
    raise AssertionError("no events")


def test_of_two_runs_at_once_one_is_refused(faults, tmp_path):
    lake, options = simulated(f"s3://{BUCKET}/two", tmp_path)
    full = command(lake, *runs(lake, options)[0])
    both = [
        subprocess.Popen(full, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True) for _ in range(2)
    ]
    codes = sorted(process.wait() for process in both if process.communicate() is not None)
    assert codes == [0, 5]
