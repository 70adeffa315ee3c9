"""When a run and its stages began and ended, read off the records they left: MLflow's clock is not the stages'."""

from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.stage import StageContext

Milliseconds = int


def span_of(context: StageContext, stage: str) -> tuple[Milliseconds, Milliseconds] | None:
    """(start, end) of a stage that is done, since the epoch; None for one that is not."""
    record = context.stage_file(stage)
    if not record.exists():
        return None
    end = record.entry().modified
    return int(1000 * (end - read_json(record)["seconds"])), int(1000 * end)


def start_of_run(context: StageContext) -> Milliseconds | None:
    """Start of the earliest stage that is done; None before there is one."""
    spans = [span_of(context, path.stem) for path in (context.run_dir / "stages").glob("*.json") if path.name.count(".") == 1]
    return min((span[0] for span in spans if span is not None), default=None)
