"""The lease: exclusive, with growing fences, freed by death and by silence."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts import lease_claims as claims
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.process import ProcessId, this_process
from nightrank.feature_store.contracts.stage import StageContext

ELSEWHERE = ProcessId("elsewhere", "another boot", 1, "1")
WORKER = """
import sys, time
from pathlib import Path
from nightrank.feature_store.contracts import lease as leases
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
    inside = lake.root / "inside"
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
    claims.make(lake, claims.Owner("other", 1, replace(this_process(), started="1")))
    assert leases.acquire(lake, "mine").fence == 2


def test_fence_grows_over_release_and_is_what_stages_read(lake: Lake) -> None:
    for expected in (1, 2, 3):
        lease = leases.acquire(lake, f"run-{expected}")
        body = json.loads(lake.lease.read_text())
        assert (body["fence"], body["run_id"], body["released"]) == (expected, f"run-{expected}", False)
        lease.release()
        assert json.loads(lake.lease.read_text())["released"] is True
    assert len(list((lake.root / ".lease").glob("[0-9]*"))) == 2, "claims of the past are forgotten"


def remote(lake: Lake, fence: int, *, silent_for: float) -> None:
    owner = claims.Owner("far", fence, ELSEWHERE)
    assert claims.make(lake, owner)
    claim = lake.root / ".lease" / f"{fence:012d}.json"
    now = claim.stat().st_mtime
    os.utime(claim, (now - silent_for, now - silent_for))


def test_a_remote_owner_heard_of_lately_holds_the_lake(lake: Lake) -> None:
    remote(lake, 1, silent_for=30)
    with pytest.raises(ConflictError, match=r"run far is working .*on host elsewhere"):
        leases.acquire(lake, "mine")


def test_a_silent_remote_owner_is_superseded_within_a_minute_and_its_commit_fails(lake: Lake) -> None:
    remote(lake, 7, silent_for=leases.SILENT_SECONDS + 1)
    assert leases.SILENT_SECONDS + 2 * leases.HEARTBEAT_SECONDS <= 60
    assert leases.acquire(lake, "mine").fence == 8
    late = StageContext(lake.root, "far", "full", date(2024, 1, 1), 1, 7, {})
    with pytest.raises(ConflictError, match=r"far \(fence 7\) was superseded by run mine \(fence 8\)"):
        late.check_fence()


def test_the_heartbeat_notices_a_newer_owner_and_does_not_write_over_it(lake: Lake) -> None:
    lease = leases.acquire(lake, "mine")
    newer = claims.Owner("newer", 2, ELSEWHERE)
    claims.make(lake, newer)
    claims.publish(lake, newer)
    lease.beat()
    assert lease.lost.is_set()
    lease.release()
    assert json.loads(lake.lease.read_text())["run_id"] == "newer"
    assert not claims.is_released(lake, 2)


def test_an_outrun_claimants_late_copy_is_put_right_by_the_heartbeat(lake: Lake) -> None:
    stale = claims.Owner("stale", 1, ELSEWHERE)
    leases.acquire(lake, "first").release()
    lease = leases.acquire(lake, "mine")
    claims.publish(lake, stale)
    lease.beat()
    assert json.loads(lake.lease.read_text())["run_id"] == "mine"


def test_a_claim_below_the_highest_is_no_lease(lake: Lake) -> None:
    """A claimant that slept while the fence it wanted was used and forgotten."""
    assert claims.make(lake, claims.owner("b", 5))
    assert not claims.make(lake, claims.owner("a", 3))


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
