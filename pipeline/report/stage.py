"""Stage `report`: one self-contained HTML page of the run so far, `runs/<id>/report.html`."""

from nightrank.feature_store.contracts.outputs.closing import Reported
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.pipeline.report.files import write_report
from nightrank.pipeline.result import compose
from nightrank.pipeline.stages import stages_of

NAME = "report"
STILL_TO_RUN = (NAME, "verdict")


def run(context: StageContext) -> StageResult:
    """The page of the run as it stands; its own stage and the verdict are still to come and are left out."""
    listed = stages_of(context.kind, context.config, without_events=context.without_events)
    stages = tuple(stage for stage in listed if stage.name not in STILL_TO_RUN)
    result = compose(context.run_dir, stages, "done", 0)
    failed = any(stage["status"] == "failed" for stage in result["stages"])
    rejected = (result.get("gate") or {}).get("decision") == "rejected"
    result["status"] = "failed" if failed else "gate_rejected" if rejected else "done"
    path = write_report(context.run_dir, result)
    relative = path.below(context.root)
    return StageResult(NAME, rows_out=1, bytes_written=path.size, output=Reported(report=relative))


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
