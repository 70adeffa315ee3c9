"""The runner over real processes: order, resuming, codes, conflicts and signals."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import psutil
import pytest
from pipeline_fakes import DAY, landed_lake, request_for, result_of, trace, write_stage

from nightrank.feature_store.contracts.errors import ConflictError, UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.stage import RUN_DIR as MARKER
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.stages import Stage

NIGHT = date(2024, 1, 2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return landed_lake(tmp_path / "lake")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    return tmp_path / "modules"


def three(modules: Path, middle: str = "pass") -> tuple[Stage, ...]:
    return (write_stage(modules, "one"), write_stage(modules, "two", middle), write_stage(modules, "three"))


def runner(stages: tuple[Stage, ...]) -> Runner:
    return Runner(stages, finish=())


def test_a_run_goes_through_the_list_and_says_what_it_did(lake: Lake, modules: Path) -> None:
    result = runner(three(modules)).run(request_for(lake))
    assert (result["status"], result["exit_code"], result["run_id"]) == ("done", 0, "full-2024-01-01")
    assert trace(lake) == ["one", "two", "three"]
    assert [s["rows_out"] for s in result["stages"]] == [3, 3, 3]
    assert result["counts"]["events"] == 3 and result["counts"]["quarantined"] == {"nan_value": 6}
    assert result == result_of(lake, "full-2024-01-01")


def test_the_same_date_again_is_already_done_and_starts_nothing(lake: Lake, modules: Path) -> None:
    run = runner(three(modules))
    first = run.run(request_for(lake))
    lease = lake.lease.read_bytes()
    again = run.run(request_for(lake))
    assert (again["status"], again["exit_code"]) == ("already_done", 0)
    assert len(trace(lake)) == 3
    assert lake.lease.read_bytes() == lease
    assert result_of(lake, first["run_id"])["status"] == "done"
    other = run.run(request_for(lake, scoring={"k": 5}))
    assert other["status"] == "already_done" and "another configuration (scoring.k); --redo" in other["note"]


def test_redo_is_a_run_of_its_own(lake: Lake, modules: Path) -> None:
    run = runner(three(modules))
    run.run(request_for(lake))
    assert [run.run(request_for(lake, "nightly", NIGHT, redo=redo))["run_id"] for redo in (False, True, True)] == [
        "nightly-2024-01-02",
        "nightly-2024-01-02-r2",
        "nightly-2024-01-02-r3",
    ]
    assert run.run(request_for(lake, "nightly", NIGHT))["status"] == "already_done"


def test_a_stage_killed_with_sigkill_is_named_and_the_same_command_continues(lake: Lake, modules: Path) -> None:
    once = "(context.root / 'mark').exists() or ((context.root / 'mark').path.touch(), os.kill(os.getpid(), signal.SIGKILL))"
    run = runner(three(modules, once))
    first = run.run(request_for(lake))
    assert (first["status"], first["exit_code"]) == ("failed", 1)
    assert "stage two was ended by SIGKILL" in first["error"]["message"]
    assert [s["status"] for s in first["stages"]] == ["done", "failed", "not_run"]
    assert "stage two was ended by SIGKILL" in (lake.root / first["report"]).read_text()
    assert result_of(lake, first["run_id"]) == first
    second = run.run(request_for(lake))
    assert second["status"] == "done"
    assert trace(lake) == ["one", "two", "two", "three"]
    assert [s["attempt"] for s in second["stages"]] == [1, 2, 2]


def test_stages_done_under_another_configuration_run_again_but_not_for_sparks_own_section(lake: Lake, modules: Path) -> None:
    failing = runner(three(modules, "raise errors.DependencyUnreachable('tracker is away', 'start it')"))
    assert failing.run(request_for(lake))["exit_code"] == 8
    failing.run(request_for(lake, spark={"driver_memory": "1g"}))
    assert trace(lake) == ["one", "two", "two"]
    failing.run(request_for(lake, scoring={"k": 5}))
    assert trace(lake) == ["one", "two", "two", "one", "two"]


@pytest.mark.parametrize(
    ("error", "status", "code", "word"),
    [
        ("NothingToDo('no events', 'wait')", "nothing", 3, "nothing"),
        ("DataContractError('column item_id is missing from x.parquet', 'mend it')", "failed", 4, "data_contract"),
        ("ConflictError('superseded by run z', 'again')", "failed", 5, "conflict"),
        ("StalledError('rank 1 stopped at step 7', 'again')", "failed", 6, "stalled"),
        ("GateRejected('worse by 0.1', 'look')", "gate_rejected", 7, "gate_rejected"),
    ],
)
def test_a_stages_error_becomes_the_runs(lake: Lake, modules: Path, error: str, status: str, code: int, word: str) -> None:
    result = runner(three(modules, f"raise errors.{error}")).run(request_for(lake))
    assert (result["status"], result["exit_code"], result["error"]["code"]) == (status, code, word)
    assert result["error"]["message"] in error and result["error"]["remedy"] in error
    assert trace(lake) == ["one", "two"]


def test_an_unexpected_error_is_told_with_its_last_words_and_its_log(
    lake: Lake, modules: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = runner(three(modules, "{}['absent']")).run(request_for(lake))
    assert result["exit_code"] == 1
    assert result["error"]["message"] == "stage two failed: KeyError: 'absent'"
    assert "two.log" in result["error"]["remedy"]
    assert "Traceback" in capsys.readouterr().err


def test_a_rejected_gate_is_an_end_and_not_a_fault_to_repeat(lake: Lake, modules: Path) -> None:
    run = runner(three(modules, "raise errors.GateRejected('worse', 'look')"))
    run.run(request_for(lake))
    again = run.run(request_for(lake))
    assert again["status"] == "already_done" and "rejected" in again["note"]
    assert trace(lake) == ["one", "two"]


def test_a_stage_that_may_fail_does_not_hold_up_the_others_and_is_the_only_one_repeated(lake: Lake, modules: Path) -> None:
    one, _, three_ = three(modules)
    write_stage(modules, "two", "raise errors.DependencyUnreachable('disk away', 'mount it')")
    two = Stage("two", "fake_two", "plain", on_failure="continue")
    result = runner((one, two, three_)).run(request_for(lake))
    assert trace(lake) == ["one", "two", "three"]
    assert (result["status"], result["exit_code"]) == ("failed", 8)
    write_stage(modules, "two")
    assert runner((one, two, three_)).run(request_for(lake))["status"] == "done"
    assert trace(lake) == ["one", "two", "three", "two"]


def test_an_empty_day_starts_nothing_and_the_next_day_is_normal(lake: Lake, modules: Path) -> None:
    run = runner(three(modules))
    run.run(request_for(lake))
    empty = run.run(request_for(lake, "nightly", date(2024, 2, 1)))
    assert (empty["status"], empty["exit_code"]) == ("nothing", 3)
    assert len(trace(lake)) == 3
    assert result_of(lake, "nightly-2024-02-01")["status"] == "nothing"
    assert run.run(request_for(lake, "nightly", NIGHT))["status"] == "done"


def test_a_night_before_any_full_run_is_refused(lake: Lake, modules: Path) -> None:
    with pytest.raises(UsageError, match="no full run has finished"):
        runner(three(modules)).run(request_for(lake, "nightly", NIGHT))
    assert not (lake.root / "runs").exists()


def test_a_lake_without_landing_is_refused_and_stays_unmade(tmp_path: Path, modules: Path) -> None:
    with pytest.raises(UsageError, match="no landing data"):
        runner(three(modules)).run(request_for(Lake(tmp_path / "absent")))
    assert not (tmp_path / "absent").exists()


def test_one_stage_alone_needs_what_it_stands_on(lake: Lake, modules: Path) -> None:
    one, two, _ = three(modules)
    run = runner((one, Stage("two", two.module, "plain", needs=("one",))))
    with pytest.raises(UsageError, match="needs one, which is not done"):
        run.run_stage(request_for(lake), "two")
    assert run.run_stage(request_for(lake), "one")["status"] == "running"
    assert run.run_stage(request_for(lake), "two")["status"] == "done"
    assert run.run_stage(request_for(lake), "two")["status"] == "done"
    assert trace(lake) == ["one", "two", "two"]
    with pytest.raises(UsageError, match="no stage 'four'"):
        run.run_stage(request_for(lake), "four")


def test_a_plan_touches_nothing(lake: Lake, modules: Path) -> None:
    before = sorted(lake.root.path.rglob("*"))
    plan = runner(three(modules)).plan(request_for(lake))
    assert [s["status"] for s in plan["stages"]] == ["would_run"] * 3
    assert sorted(lake.root.path.rglob("*")) == before
    runner(three(modules)).run(request_for(lake))
    done = runner(three(modules)).plan(request_for(lake))
    assert {s["status"] for s in done["stages"]} == {"done"} and done["note"] == ""
    other = runner(three(modules)).plan(request_for(lake, scoring={"k": 5}))
    assert other["status"] == "already_done" and "another configuration (scoring.k); --redo" in other["note"]


COMMAND = """
import json, sys
from pathlib import Path
from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.stages import Stage
from pipeline_fakes import request_for
stages = tuple(Stage(n, "fake_" + n, "plain") for n in ("one", "two", "three"))
try:
    print(json.dumps(Runner(stages, finish=()).run(request_for(Lake(Path(sys.argv[1]))))))
except NightrankError as error:
    print(json.dumps(error.to_json()))
    raise SystemExit(error.exit_code)
"""


def start(lake: Lake, modules: Path) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{modules}{os.pathsep}{here}"}
    return subprocess.Popen([sys.executable, "-c", COMMAND, str(lake.root)], stdout=subprocess.PIPE, text=True, env=environment)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


SLOW = "((context.root / 'inside').path.touch(), __import__('subprocess').Popen(['sleep', '300']), time.sleep(300))"


def marked(lake: Lake) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER, "").startswith(str(lake.root)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_whole_tree_and_leaves_a_result(lake: Lake, modules: Path, number: signal.Signals) -> None:
    three(modules, SLOW)
    process = start(lake, modules)
    wait_for(lake.root / "inside", process)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert json.loads(out)["error"]["code"] == "interrupted"
    result = result_of(lake, "full-2024-01-01")
    assert (result["status"], result["exit_code"]) == ("failed", 128 + number)
    assert marked(lake) == []
    assert json.loads(lake.lease.read_text())["released"] is True
    assert runner(three(modules)).run(request_for(lake))["status"] == "done"


def test_of_two_at_once_one_works_and_the_other_is_told_which(lake: Lake, modules: Path) -> None:
    three(modules, "time.sleep(2)")
    both = [start(lake, modules) for _ in range(2)]
    answers = sorted([(p.wait(60), json.loads(p.stdout.read())) for p in both if p.stdout], key=lambda pair: pair[0])
    assert [code for code, _ in answers] == [0, 5]
    assert answers[0][1]["status"] == "done"
    assert "run full-2024-01-01 is working" in answers[1][1]["message"]
    assert trace(lake) == ["one", "two", "three"]


def test_a_killed_runner_is_superseded_at_once_and_what_it_left_is_ended(lake: Lake, modules: Path) -> None:
    three(modules, SLOW)
    process = start(lake, modules)
    wait_for(lake.root / "inside", process)
    with pytest.raises(ConflictError, match="full-2024-01-01"):
        runner(three(modules, SLOW)).run(request_for(lake, scoring={"k": 5}))
    process.kill()
    process.wait()
    assert marked(lake), "its stage outlives it"
    result = runner(three(modules)).run(request_for(lake))
    assert result["status"] == "done"
    assert marked(lake) == []
    assert trace(lake) == ["one", "two", "two", "three"]
    fences = [int(line.split()[2]) for line in (lake.root / "trace").read_text().splitlines()]
    assert fences == [1, 1, 2, 2]


def test_full_without_a_date_means_the_last_landing_day(lake: Lake) -> None:
    from nightrank.pipeline.run.request import last_landing_day

    assert last_landing_day(lake) == date.fromordinal(DAY.toordinal() + 2)
