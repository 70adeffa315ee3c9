"""The lease: exclusive, with growing fences, freed by death and by silence."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts import lease_record as records
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConflictError, DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.process import ProcessId, this_process
from nightrank.feature_store.contracts.stage import StageContext

ELSEWHERE = ProcessId("elsewhere", "another boot", 1, "1")
WORKER = """
import sys, time
from pathlib import Path
from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.lake import Lake
lake, name = Lake(Path(sys.argv[1])), sys.argv[2]
turn = 0
while turn < 4:
    try:
        lease = leases.acquire(lake, f"{name}-{turn}")
    except ConflictError:
        time.sleep(0.002)
        continue
    turn += 1
    inside = lake.root.path / "inside"
    inside.open("x").close()           # fails if somebody else is inside
    print(lease.fence, flush=True)
    time.sleep(0.001)
    inside.unlink()
    if turn < 4 or int(name) % 2:
        lease.release()
    else:
        import os; os._exit(0)         # die without releasing
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def holder_of(lake: Lake, code: str = "import time; time.sleep(60)") -> subprocess.Popen[str]:
    """A live process of its own that holds the lease as run `other`."""
    program = (
        "import sys; from pathlib import Path; from nightrank.feature_store.contracts import lease\n"
        "from nightrank.feature_store.contracts.lake import Lake\n"
        f"held = lease.acquire(Lake(Path({str(lake.root)!r})), 'other'); print('held', flush=True)\n{code}"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def test_a_live_owner_is_named_in_the_conflict(lake: Lake) -> None:
    process = holder_of(lake)
    try:
        with pytest.raises(ConflictError, match="run other is working"):
            leases.acquire(lake, "mine")
    finally:
        process.kill()
        process.wait()


def test_a_dead_local_owner_is_superseded_at_once(lake: Lake) -> None:
    process = holder_of(lake)
    process.send_signal(signal.SIGKILL)
    process.wait()
    lease = leases.acquire(lake, "mine")
    assert lease.fence == 2
    assert lease.superseded and lease.superseded.run_id == "other"


def test_a_reused_pid_does_not_keep_a_dead_owner_alive(lake: Lake) -> None:
    holds(lake, records.Record("other", 1, replace(this_process(), started="1")))
    assert leases.acquire(lake, "mine").fence == 2


def test_fence_grows_over_release_and_is_what_stages_read(lake: Lake) -> None:
    for expected in (1, 2, 3):
        lease = leases.acquire(lake, f"run-{expected}")
        body = json.loads(lake.lease.read_text())
        assert (body["fence"], body["run_id"], body["released"]) == (expected, f"run-{expected}", False)
        lease.release()
        assert json.loads(lake.lease.read_text())["released"] is True


def holds(lake: Lake, record: records.Record) -> None:
    """`lease.json` says so, whatever it said before."""
    found = records.read(lake)
    assert records.put(lake, record, found[1] if found else None)


def test_a_remote_owner_that_is_heard_of_holds_the_lake_whatever_its_clock_says(lake: Lake) -> None:
    holds(lake, records.Record("far", 1, ELSEWHERE))
    beats = threading.Timer(0.5, lambda: records.update(lake, lambda record: replace(record, beat=record.beat + 1)))
    os.utime(lake.lease, (0, 0))
    beats.start()
    with pytest.raises(ConflictError, match=r"run far is working .*on host elsewhere"):
        leases.acquire(lake, "mine", silent_seconds=30)
    beats.join()


def test_a_silent_remote_owner_is_superseded_within_a_minute_and_its_commit_fails(lake: Lake) -> None:
    holds(lake, records.Record("far", 7, ELSEWHERE))
    os.utime(lake.lease, (2**32, 2**32))  # an hour or a century ahead: only a change of the file counts
    assert leases.SILENT_SECONDS + 2 * leases.HEARTBEAT_SECONDS <= 60
    assert leases.acquire(lake, "mine", silent_seconds=0.3).fence == 8
    late = StageContext(lake.root, "far", "full", date(2024, 1, 1), 1, 7, Configuration.from_run({}))
    with pytest.raises(ConflictError, match=r"far \(fence 7\) was superseded by run mine \(fence 8\)"):
        late.check_fence()


def test_the_heartbeat_notices_a_newer_owner_and_does_not_write_over_it(lake: Lake) -> None:
    lease = leases.acquire(lake, "mine")
    holds(lake, records.Record("newer", 2, ELSEWHERE))
    lease.beat()
    assert lease.lost.is_set()
    lease.release()
    body = json.loads(lake.lease.read_text())
    assert (body["run_id"], body["released"], body["beat"]) == ("newer", False, 0)


def test_a_heartbeat_changes_nothing_but_the_counter(lake: Lake) -> None:
    lease = leases.acquire(lake, "mine")
    before, _ = records.read(lake)
    lease.beat()
    assert records.read(lake)[0] == replace(before, beat=1)


def test_of_two_claims_on_one_record_the_second_is_refused(lake: Lake) -> None:
    leases.acquire(lake, "before").release()
    record, version = records.read(lake)
    assert records.put(lake, records.claim("a", record), version)
    assert not records.put(lake, records.claim("b", record), version)
    assert records.read(lake)[0].run_id == "a"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"run_id": "a", "fence": "many"}', b'{"run_id": "a", "fence": 1, "commits": 3}']
)
def test_a_broken_record_is_named_and_not_written_over(lake: Lake, content: bytes) -> None:
    lake.lease.write_bytes(content)
    with pytest.raises(DataContractError, match=r"lease\.json is not what a run writes there"):
        leases.acquire(lake, "mine")
    assert lake.lease.read_bytes() == content


def test_many_processes_are_never_inside_together_and_no_fence_is_given_twice(lake: Lake) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(lake.root), str(n)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for n in range(10)
    ]
    fences: list[int] = []
    for worker in workers:
        out, err = worker.communicate(timeout=60)
        assert worker.returncode == 0, err.decode()
        mine = [int(line) for line in out.split()]
        assert mine == sorted(mine)
        fences += mine
    assert len(set(fences)) == len(fences) == 40
