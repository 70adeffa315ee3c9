"""What a run left in its own folder: run.json, result.json, a record a stage, the report."""

from nightrank.feature_store.contracts.files import sha256_of
from nightrank.pipeline import result as results
from nightrank.pipeline.checks.check import NotApplicable, Subject, expect
from nightrank.pipeline.stages import stages_of

RUN_FIELDS = {"root", "run_id", "kind", "date", "seed", "fence", "config", "config_sha256", "commit", "versions", "machine"}
STATUSES = {"done": 0, "nothing": 3, "gate_rejected": 7, "held": 7}


def run_json(subject: Subject) -> str:
    run = subject.run
    expect(run.keys() >= RUN_FIELDS, f"run.json lacks {', '.join(sorted(RUN_FIELDS - run.keys()))}")
    expect(run["run_id"] == subject.run_id, f"run.json is of run {run['run_id']}")
    expect(sha256_of(run["config"]) == run["config_sha256"], "the configuration in run.json has another sha256 than it says")
    return f"{run['kind']} run of {run['date']}, fence {run['fence']}"


def result_json(subject: Subject) -> str:
    result = subject.result
    fields = {"schema", "status", "exit_code", "error", "counts", "stages", *results.FROM_RUN, *results.FROM_OUTPUTS}
    expect(result.keys() >= fields, f"result.json lacks {', '.join(sorted(fields - result.keys()))}")
    expect(result["schema"] == results.SCHEMA, f"result.json has schema {result['schema']}, not {results.SCHEMA}")
    expect(result["status"] != "running", "the run has not ended: it is at work, or was cut off")
    wanted = STATUSES.get(result["status"])
    expect(wanted in (None, result["exit_code"]), f"status {result['status']} with exit code {result['exit_code']}")
    expect(result["status"] != "failed", f"the run failed: {(result['error'] or {}).get('message')}")
    return f"{result['status']}, exit code {result['exit_code']}"


def stage_records(subject: Subject) -> str:
    """Every stage of the list has run, and result.json says of it what the stage itself said."""
    if subject.result["status"] == "nothing":
        raise NotApplicable("nothing landed, so no stage ran")
    if subject.result["status"] == "held":
        raise NotApplicable("the day is held back, so no stage after check_day ran")
    back_fill = subject.result.get("back_fill_of") is not None
    without = subject.without_events
    stages = stages_of(subject.run["kind"], subject.config, back_fill=back_fill, without_events=without)
    composed = results.compose(subject.folder, stages, subject.result["status"], subject.result["exit_code"])
    for stage, mine, theirs in zip(stages, composed["stages"], subject.result["stages"], strict=True):
        ended = mine["status"] == "done" or (stage.ends_run and subject.result["status"] == "gate_rejected")
        expect(ended, f"stage {stage.name} is {mine['status']}")
        expect(mine == theirs, f"result.json and stages/{stage.name}.json differ")
    return f"{len(stages)} stages"


def report(subject: Subject) -> str:
    path = subject.lake.root / str(subject.section("report"))
    expect(path.is_file() and path.size > 0, f"report {path} is missing or empty")
    return str(subject.result["report"])
