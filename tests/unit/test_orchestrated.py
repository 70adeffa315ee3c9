"""A run in the hands of an orchestrator: one lease over processes of their own, retries that shut out their zombies."""

import json
import signal
import subprocess
import sys
import threading
import time
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from pipeline_fakes import DAY, import_stages_from, landed_lake, request_for, result_of, trace, write_stage

from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts import lease_record as records
from nightrank.feature_store.contracts import open_run as open_runs
from nightrank.feature_store.contracts.errors import ConflictError, UsageError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.orchestrated import Orchestrated
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.stages import Stage

RUN = "full-2024-01-01"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return landed_lake(tmp_path / "lake")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return import_stages_from(tmp_path / "modules", monkeypatch)


def night(modules: Path, middle: str = "pass") -> Orchestrated:
    stages = (write_stage(modules, "one"), write_stage(modules, "two", middle), write_stage(modules, "three"))
    return of(stages)


def of(stages: tuple[Stage, ...]) -> Orchestrated:
    return Orchestrated(Runner(stages, finish=()))


def holder(lake: Lake) -> records.Record:
    found = records.read(lake)
    assert found is not None
    return found[0]


def test_opened_worked_and_closed_it_is_a_run_like_any_other(lake: Lake, modules: Path) -> None:
    run, request = night(modules), request_for(lake)
    assert run.open(request)["status"] == "running"
    assert holder(lake).open
    for name in ("one", "two", "three"):
        result = run.work(request, [name])
        assert (result["status"], result["exit_code"]) == ("done", 0)
    closed = run.close(request)
    assert (closed["status"], closed["exit_code"]) == ("done", 0)
    assert trace(lake) == ["one", "two", "three"]
    assert result_of(lake, RUN)["status"] == "done"
    assert (holder(lake).open, holder(lake).released, holder(lake).tasks) == (False, True, {})
    assert leases.acquire(lake, "next").fence > 5, "the lake is free"


def test_each_step_again_does_nothing_again(lake: Lake, modules: Path) -> None:
    run, request = night(modules), request_for(lake)
    for _ in range(2):
        run.open(request)
        run.work(request, ["one", "two"])
    assert trace(lake) == ["one", "two"]
    run.work(request, ["three"])
    for _ in range(2):
        assert run.close(request)["status"] == "done"
    assert run.open(request)["status"] == "already_done"
    assert run.work(request, ["two"])["status"] == "already_done", "a cleared night runs again as already_done"
    assert not holder(lake).open
    assert trace(lake) == ["one", "two", "three"]


def test_while_a_run_is_open_no_other_starts_and_it_says_how_to_end_it(lake: Lake, modules: Path) -> None:
    run = night(modules)
    run.open(request_for(lake))
    for other in (
        lambda: run.open(request_for(lake, day=date(2024, 1, 2))),
        lambda: run.runner.run(request_for(lake, day=date(2024, 1, 2))),
    ):
        with pytest.raises(ConflictError, match=f"run {RUN} is open on this lake") as caught:
            other()
        assert "nightrank run close" in caught.value.remedy


def test_an_open_run_that_was_forgotten_gives_way(lake: Lake, modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = night(modules)
    run.open(request_for(lake))
    monkeypatch.setattr(leases, "IDLE_SECONDS", 0.0)
    lease = leases.acquire(lake, "next")
    assert (holder(lake).run_id, holder(lake).open, lease.superseded.run_id) == ("next", False, RUN)
    with pytest.raises(UsageError, match=f"run {RUN} is not open"):
        run.work(request_for(lake), ["one"])


def test_stages_run_side_by_side_and_both_commit(lake: Lake, modules: Path) -> None:
    wait = "time.sleep(0.1)\n    while not Path(context.root / 'go').exists(): time.sleep(0.05)"
    run = of((write_stage(modules, "one", wait), write_stage(modules, "two")))
    request = request_for(lake)
    run.open(request)
    slow = threading.Thread(target=run.work, args=(request, ["one"]))
    slow.start()
    until = time.monotonic() + 60
    while "one" not in trace(lake) and time.monotonic() < until:
        time.sleep(0.05)
    assert run.work(request, ["two"])["exit_code"] == 0
    (lake.root / "go").path.touch()
    slow.join()
    assert run.close(request)["status"] == "done"
    assert sorted(trace(lake)) == ["one", "two"]


WORKER = """
import sys
from datetime import date
from pathlib import Path
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.pipeline.orchestrated import Orchestrated
from nightrank.pipeline.run.request import RunRequest
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.stages import Stage
run = Orchestrated(Runner((Stage("one", "fake_one", "plain"),), finish=()))
result = run.work(RunRequest(Path(sys.argv[1]), "full", date(2024, 1, 1), Configuration.from_run({"seed": 5})), ["one"])
print(result["status"], flush=True)
"""


def test_a_retry_shuts_its_zombie_out(lake: Lake, modules: Path) -> None:
    """The orchestrator lost its task, started it again, and the old driver still lives and comes to its commit later."""
    stuck = (
        "(context.root / f'in-{context.fence}').path.touch()\n    while not (context.root / 'go').exists(): time.sleep(0.05)"
    )
    run = of((write_stage(modules, "one", stuck),))
    request = request_for(lake)
    run.open(request)
    zombie = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(lake.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 240  # a cold interpreter on a machine full of other tests
    while not list(lake.root.glob("in-*")) and zombie.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert list(lake.root.glob("in-*")), zombie.poll()
    zombie.send_signal(signal.SIGSTOP)
    (lake.root / "go").path.touch()
    assert run.work(request, ["one"])["status"] == "done"
    before = result_of(lake, RUN)
    zombie.send_signal(signal.SIGCONT)
    zombie.communicate(timeout=120)
    assert zombie.returncode != 0
    assert trace(lake) == ["one", "one"] and result_of(lake, RUN) == before
    assert run.close(request)["status"] == "done"


def test_a_stages_process_that_a_retry_has_replaced_commits_nothing(lake: Lake) -> None:
    open_runs.open_run(lake, RUN)
    tasks = partial(open_runs.task, lake, RUN)
    with tasks("one") as zombie, tasks("two") as other, tasks("one") as retry:
        with pytest.raises(ConflictError, match=rf"run {RUN} \(fence {zombie.fence}\) was superseded"), zombie.commit():
            raise AssertionError("inside")
        with retry.commit(), other.commit():
            pass
        zombie.beat()
        assert zombie.lost.is_set() and not other.lost.is_set()
    assert holder(lake).tasks == {}


def test_a_failed_stage_is_this_tasks_fault_alone_and_closes_as_failed(lake: Lake, modules: Path) -> None:
    run, request = night(modules, "raise errors.DependencyUnreachable('no hub', 'later')"), request_for(lake)
    run.open(request)
    run.work(request, ["one"])
    result = run.work(request, ["two"])
    assert (result["status"], result["exit_code"], result["error"]["message"]) == ("failed", 8, "no hub")
    closed = run.close(request)
    assert (closed["status"], closed["exit_code"]) == ("failed", 0)
    assert result_of(lake, RUN)["exit_code"] == 8
    write_stage(modules, "two")
    assert run.open(request)["status"] == "running", "the same date again goes on"
    assert run.work(request, ["one", "two", "three"])["status"] == "done"
    assert trace(lake) == ["one", "two", "two", "three"]


def test_a_run_closed_before_its_end_says_what_is_left(lake: Lake, modules: Path) -> None:
    run, request = night(modules), request_for(lake)
    run.open(request)
    run.work(request, ["one"])
    assert run.close(request)["error"]["message"] == "closed before two, three"


def test_an_empty_day_is_nothing_and_closing_it_is_no_fault(lake: Lake, modules: Path) -> None:
    run, request = night(modules), request_for(lake, day=date(2023, 1, 1))
    opened = run.open(request)
    assert (opened["status"], opened["exit_code"]) == ("nothing", 3)
    assert not holder(lake).open
    assert (run.close(request)["status"], run.close(request)["exit_code"]) == ("nothing", 0)


def test_what_was_never_opened_is_closed_already(lake: Lake, modules: Path) -> None:
    assert night(modules).close(request_for(lake))["exit_code"] == 0
    with pytest.raises(UsageError, match="is not open"):
        night(modules).work(request_for(lake), ["one"])


def test_a_run_is_not_closed_while_a_task_is_at_work(lake: Lake, modules: Path) -> None:
    run, request = night(modules), request_for(lake)
    run.open(request)
    with open_runs.task(lake, RUN, "two"), pytest.raises(ConflictError, match=f"two of {RUN} is still at work"):
        run.close(request)


def test_a_stage_before_what_it_stands_on_is_refused(lake: Lake, modules: Path) -> None:
    first = write_stage(modules, "one")
    second = Stage("two", write_stage(modules, "two").module, "plain", ("one",))
    run, request = of((first, second)), request_for(lake)
    run.open(request)
    with pytest.raises(UsageError, match="needs one, which is not done"):
        run.work(request, ["two"])
    assert run.work(request, ["two", "one"])["status"] == "done", "their order is the list's"


def test_another_configuration_than_the_open_one_is_refused(lake: Lake, modules: Path) -> None:
    run = night(modules)
    run.open(request_for(lake))
    with pytest.raises(UsageError, match="opened with another configuration"):
        run.work(request_for(lake, text={"encoder": "none"}), ["one"])


def test_a_run_that_an_older_version_opened_is_opened_again_or_closed(lake: Lake, modules: Path) -> None:
    """After an upgrade the same settings have another hash. The lake is not held until its time is over."""
    run, request = night(modules), request_for(lake)
    run.open(request)
    run.work(request, ["one"])
    body = lake.run_dir(RUN) / "run.json"

    def upgrade() -> None:
        write_json(body, {**read_json(body), "config_sha256": "of the version before"})

    upgrade()
    with pytest.raises(UsageError, match="by another version of nightrank") as refused:
        run.work(request, ["two"])
    assert "open it again" in refused.value.remedy
    run.open(request)
    assert run.work(request, ["one", "two"])["status"] == "done" and trace(lake) == ["one", "two"]
    upgrade()
    closed = run.close(request)
    assert closed["exit_code"] == 0 and not holder(lake).open and result_of(lake, RUN)["status"] == "failed"


def test_unknown_and_switched_off_stages(lake: Lake, modules: Path) -> None:
    off = Stage("two", write_stage(modules, "two").module, "plain", switch="impressions.enabled")
    run, request = of((write_stage(modules, "one"), off)), request_for(lake)
    run.open(request)
    assert run.work(request, ["two"])["exit_code"] == 3
    with pytest.raises(UsageError, match="no stage three"):
        run.work(request, ["three"])
    assert trace(lake) == []


def test_the_commands_say_it_in_json(lake: Lake, tmp_path: Path) -> None:
    def nightrank(*arguments: str) -> tuple[int, dict]:
        done = subprocess.run(
            [sys.executable, "-m", "nightrank.pipeline.cli", "run", *arguments, "--root", str(lake.root), "--json"],
            capture_output=True, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    day = ("--date", DAY.isoformat(), "--kind", "full")
    assert nightrank("open", *day)[1]["status"] == "running"
    code, answer = nightrank("open", "--date", "2024-01-02", "--kind", "full")
    assert (code, answer["error"]["code"]) == (5, "conflict")
    code, answer = nightrank("stage", "train_ctr", *day)
    assert (code, answer["status"]) == (3, "nothing")
    code, answer = nightrank("close", *day)
    assert (code, answer["status"], answer["error"]["code"]) == (0, "failed", "incomplete")
    assert nightrank("close", "--date", "2020-01-01", "--kind", "full")[0] == 0
