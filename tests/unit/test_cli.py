"""The commands as a user meets them: a process, its exit code, stdout for results and stderr for words."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pipeline_fakes import landed_lake

from nightrank.pipeline.commands.replays import replay_code

COMMANDS = [
    "doctor",
    "import",
    "simulate",
    "full",
    "nightly",
    "replay",
    "stage",
    "tune",
    "demo",
    "recommend",
    "verify",
    "erase",
    "config",
    "horovod",
    "join",
    "explain",
    "serve",
    "publish",
]


def nightrank(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nightrank.pipeline.cli", *arguments], capture_output=True, text=True, timeout=60
    )


def test_help_lists_every_command_and_loads_no_engine() -> None:
    program = (
        "import sys\nfrom nightrank.pipeline import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'pyspark', 'torch', 'mlflow', 'horovod', 'petastorm', 'pyarrow', 'numpy', 'pandas', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 10
    assert done.stderr.strip() == "[]"
    assert all(command in done.stdout for command in COMMANDS)


def test_no_command_loads_an_engine() -> None:
    program = (
        "import sys\nfrom nightrank.pipeline import runner, verify, recommend, config, progress\n"
        "print(sorted({'pyspark', 'torch', 'mlflow', 'horovod', 'petastorm', 'delta'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    done = nightrank(command, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout and f"nightrank {command}" in done.stdout


WRONG = [
    (["full", "--nope"], "No such option: --nope"),
    (["nightly"], "nightly needs --date"),
    (["nightly", "--date", "soon"], "'soon' is not a date"),
    (["replay", "--from", "2024-01-02", "--to", "2024-01-01"], "is before --from"),
    (["full", "--root", "{absent}"], "no landing data"),
    (["full", "--root", "{lake}", "--set", "trainer.speed=9"], "trainer.speed"),
    (["full", "--root", "{lake}", "--config", "nowhere.yaml"], "nowhere.yaml does not exist"),
    (["nightly", "--root", "{lake}", "--date", "2024-01-02"], "no full run has finished"),
    (["stage", "train", "--root", "{lake}", "--date", "2024-01-02"], "no run of 2024-01-02"),
    (["recommend", "--root", "{lake}", "--user", "u"], "nothing is released"),
    (["verify", "--root", "{lake}"], "nothing is released"),
    (["verify", "--root", "{lake}", "--run", "full-1999-01-01"], "no run full-1999-01-01"),
    (["demo", "--size", "huge"], "'huge' is not known"),
    (["tune", "--root", "{lake}", "--run", "full-1999-01-01"], "no run full-1999-01-01"),
    (["tune", "--root", "{lake}", "--trials", "0"], "--trials"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_wrong_use_ends_with_2_says_why_and_the_way_out(arguments: list[str], message: str, tmp_path: Path) -> None:
    landed_lake(tmp_path / "lake")
    given = [word.format(absent=tmp_path / "absent", lake=tmp_path / "lake") for word in arguments]
    done = nightrank(*given)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and "what to do:" in done.stderr and "Traceback" not in done.stderr


def test_with_json_a_fault_is_one_object_on_stdout(tmp_path: Path) -> None:
    done = nightrank("nightly", "--root", str(tmp_path), "--date", "2024-01-02", "--json")
    body = json.loads(done.stdout)
    assert (done.returncode, body["exit_code"], body["error"]["code"]) == (2, 2, "usage")


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    lake = landed_lake(tmp_path / "lake")
    before = sorted(lake.root.path.rglob("*"))
    done = nightrank("full", "--root", str(lake.root), "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert (done.returncode, plan["run_id"], plan["status"]) == (0, "full-2024-01-03", "planned")
    assert plan["stages"][:2] == [{"name": name, "status": "would_run"} for name in ("check_day", "ingest_events")]
    assert len(plan["processes"]) < len(plan["stages"]), "neighbouring Spark stages share a session"
    cluster = ("--set", "spark.master=spark://host:7077")
    there = json.loads(nightrank("full", "--root", str(lake.root), "--dry-run", "--json", *cluster).stdout)
    assert len(there["processes"]) == len(plan["processes"])
    assert there["processes"][1][0].endswith("spark-submit") and "spark://host:7077" in there["processes"][1]
    assert sorted(lake.root.path.rglob("*")) == before


def test_tune_without_a_finished_full_run_has_nothing_to_do(tmp_path: Path) -> None:
    landed_lake(tmp_path / "lake")
    done = nightrank("tune", "--root", str(tmp_path / "lake"))
    assert (done.returncode, done.stdout) == (3, "")
    assert "no full run has finished" in done.stderr and "what to do: run `nightrank full` first" in done.stderr


def test_tune_says_what_it_chooses_by() -> None:
    assert "validation NDCG@10; the test split is never read" in " ".join(nightrank("tune", "--help").stdout.split())


def test_show_prints_every_key_as_yaml() -> None:
    import yaml

    body = yaml.safe_load(nightrank("config", "--show", "--set", "scoring.k=3").stdout)
    assert body["scoring"]["k"] == 3 and {"trainer", "gate", "evaluation", "spark"} <= body.keys()


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([("done", 0), ("already_done", 0)], 0),
        ([("done", 0), ("nothing", 3)], 0),
        ([("nothing", 3), ("nothing", 3)], 3),
        ([("gate_rejected", 7), ("done", 0)], 7),
        ([("gate_rejected", 7), ("failed", 4)], 4),
    ],
)
def test_several_nights_end_with_one_code(outcomes: list[tuple[str, int]], code: int) -> None:
    assert replay_code(outcomes) == code


def test_version_says_version_and_commit() -> None:
    done = nightrank("--version")
    assert done.returncode == 0 and done.stderr == ""
    assert re.fullmatch(r"nightrank \d+\.\d+\.\d+ \(commit ([0-9a-f]{40}(-dirty)?|unknown: not a checkout)\)\n", done.stdout)


def test_a_full_disk_is_named_without_a_traceback():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "nightrank.pipeline.cli", "config", "--reference"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the disk is full" in done.stderr and "make room" in done.stderr
