"""Stage `report`: one self-contained HTML page of the run so far, `runs/<id>/report.html`."""

from typing import Any

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.outputs.closing import Reported
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.settings import CalendarSettings, TrainingSetSettings
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.pipeline.report.files import write_report
from nightrank.pipeline.report.morning import LISTS
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
    _write_lists(context, result)
    path = write_report(context.run_dir, result)
    relative = path.below(context.root)
    return StageResult(NAME, rows_out=1, bytes_written=path.size, output=Reported(report=relative))


def _write_lists(context: StageContext, result: dict[str, Any]) -> None:
    """`lists.json` in the run's folder, where the run released lists: what changed in them, and the explorer's sample. A lake
    whose tables lack something has a page without them."""
    from nightrank.feature_store import delta_read  # brings pandas in, which a page of a run without lists does without

    release = delta_read.latest_release(context.lake)
    if not result.get("release") or release is None or release.run_id != context.run_id:
        return
    try:
        body = _lists(context, release)
    except (DataContractError, FileNotFoundError) as fault:
        log.warning(f"{NAME}: the page does not show what changed in the lists: {fault}")
        return
    with context.commit():
        write_json(context.run_dir / LISTS, body)


def _lists(context: StageContext, release: Release) -> dict[str, Any]:
    from nightrank.pipeline.report.changes import changes, compared
    from nightrank.pipeline.report.explored import explored

    found = compared(context.lake, release)
    rows, calendar = context.section("training_set", TrainingSetSettings), context.section("calendar", CalendarSettings)
    sample = explored(context.lake, release, found, (rows, calendar), context.config.is_on("ids.in_report"))
    return {"changes": changes(found), "explorer": sample}


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
