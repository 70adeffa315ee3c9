"""From what a run command was given to a request, and from what a run did to an answer."""

from datetime import date, timedelta
from typing import Any

import typer

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location


def run_or_plan(
    kind: str,
    root: Location,
    when: date,
    config: list[str] | None,
    overrides: list[str] | None,
    redo: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """A whole run, or with `dry_run` its plan."""
    from nightrank.pipeline.full_pass import as_due

    request = as_due(request_for(kind, root, when, config, overrides, redo))
    if dry_run:
        answer_plan(plan_of(request), as_json)
    else:
        answer(runner().run(request), as_json, root)


def request_for(
    kind: str, root: Location, when: date, config: list[str] | None, overrides: list[str] | None, redo: bool
) -> Any:
    from nightrank.pipeline.config import configured
    from nightrank.pipeline.run.request import RunRequest

    return RunRequest(root, kind, when, configured(config or [], overrides or [], Lake(root)), redo)


def request_of_stage(kind: str, root: Location, when: date, config: list[str] | None, overrides: list[str] | None) -> Any:
    """A request for a part of a run; without a given configuration, with the run's own."""
    from nightrank.pipeline.config import configured_again
    from nightrank.pipeline.run.request import RunRequest, run_id_of

    request = request_for(kind, root, when, config, overrides, False)
    path = request.lake.run_dir(run_id_of(request)) / "run.json"
    if config or overrides or not path.exists():
        return request
    return RunRequest(request.root, kind, when, configured_again(read_json(path)["config"]))


def runner() -> Any:
    from nightrank.pipeline.progress import choose
    from nightrank.pipeline.runner import Runner

    return Runner(progress=choose())


def plan_of(request: Any, only: str | None = None) -> dict[str, Any]:
    """The plan. DataContractError where landing files are broken that the run would take in."""
    from nightrank.pipeline.run.landing_check import check_landing_files

    plan: dict[str, Any] = runner().plan(request, only)
    if any(stage == {"name": "ingest_events", "status": "would_run"} for stage in plan["stages"]):
        check_landing_files(request)
    return plan


def answer_plan(plan: dict[str, Any], as_json: bool) -> None:
    from nightrank.pipeline.output import print_plan

    print_plan(plan, as_json)


def answer(result: dict[str, Any], as_json: bool, root: Location) -> None:
    from nightrank.pipeline.output import print_run

    print_run(result, as_json, root)
    raise typer.Exit(result["exit_code"])


def last_day(root: Location) -> date:
    from nightrank.pipeline.run.request import last_landing_day

    return last_landing_day(Lake(root))


def days_between(first: date, last: date) -> list[date]:
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}", "give the earlier day to --from")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def kind_of(lake: Lake, when: date) -> str:
    kinds = [kind for kind in ("nightly", "full") if lake.run_dir(f"{kind}-{when}").exists()]
    if len(kinds) != 1:
        found = " and ".join(f"{kind}-{when}" for kind in kinds) or "no run"
        raise UsageError(f"{found} of {when} on this lake", "write --kind full or --kind nightly to choose the run")
    return kinds[0]


def checked_kind(kind: str) -> str:
    """The kind of run that `--kind` names. UsageError where there is none of that name."""
    if kind not in ("full", "nightly"):
        raise UsageError(f"--kind {kind!r} is neither full nor nightly", "write --kind full or --kind nightly")
    return kind
