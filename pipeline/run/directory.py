"""run.json: opening a run's folder, or opening it again where an earlier attempt was cut off."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.context import StageContext, context_of
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.fingerprint import is_done, is_kept
from nightrank.feature_store.contracts.found import Found
from nightrank.feature_store.contracts.storage import Location, workplace
from nightrank.pipeline.run import facts
from nightrank.pipeline.run.request import RunRequest, finished
from nightrank.pipeline.stages import Stage


@dataclass(frozen=True)
class RunDirectory:
    """One open run: its folder and what run.json says."""

    folder: Location
    body: dict[str, Any]

    @property
    def run_id(self) -> str:
        return str(self.body["run_id"])

    @cached_property
    def context(self) -> StageContext:
        return context_of(self.body, self.folder.parent.parent)

    @property
    def note(self) -> str:
        """What is special about the run; empty for an ordinary one."""
        because = str(self.body.get("because") or "")
        if (found := self.context.found) is None:
            return because
        if found.newer:
            return f"a back-fill: it takes data in, and the model and lists of {found.newer} stay current"
        if found.without_events:
            return "no event landed: nothing is trained, and the champion makes the lists again"
        return because

    def recorded(self, stage: Stage) -> bool:
        """The stage has left a record; of what, `done` says."""
        return (self.folder / "stages" / f"{stage.name}.json").is_file()

    def done(self, stage: Stage) -> bool:
        """What the stage left was made of what it would be made of now (`contracts.fingerprint`)."""
        return is_done(self.context, stage.name)

    def kept(self, stage: Stage) -> bool:
        """The same within the run: what landed or was promoted since does not matter."""
        return is_kept(self.context, stage.name)

    def left(self, todo: Sequence[Stage], done: Callable[[Stage], bool], opened: Iterable[str] = ()) -> list[Stage]:
        """What of `todo` is not done, or needs what is not, or one of `opened`."""
        names, left = set(opened), list[Stage]()
        for stage in todo:
            if names.intersection(stage.needs) or not done(stage):
                names.add(stage.name)
                left.append(stage)
        return left

    def missing(self, stage: Stage, stages: tuple[Stage, ...]) -> list[str]:
        """The stages it needs that are not done with this configuration; a name outside the list counts as missing."""
        made = {one.name for one in stages} - {one.name for one in self.left(stages, self.kept)}
        return [need for need in stage.needs if need not in made]

    def error_of(self, stage: Stage) -> dict[str, Any] | None:
        path = self.folder / "stages" / f"{stage.name}.error.json"
        return dict(read_json(path)) if path.exists() else None

    def log_of(self, stage: Stage) -> Path:
        """On this machine; `keep_log` puts it into the lake where that is in a bucket."""
        return workplace(self.folder / "logs") / f"{stage.name}.log"

    def keep_log(self, name: str) -> None:
        """What `logs/<name>.log` holds now is in the lake."""
        log = self.folder / "logs" / f"{name}.log"
        if not log.is_local and (here := workplace(log.parent) / log.name).exists():
            log.upload(here)

    def forget(self, stage: Stage) -> None:
        """The stage counts as not done, so that it runs again."""
        (self.folder / "stages" / f"{stage.name}.json").unlink()
        (self.folder / "stages" / f"{stage.name}.error.json").unlink()


def open_run_directory(request: RunRequest, run_id: str, fence: int, again: str | None = None) -> RunDirectory:
    """run.json written for this attempt, with `again` asked for once more."""
    folder = request.lake.run_dir(run_id)
    body = body_of(request, run_id, fence, again)
    write_json(folder / "run.json", body)
    return RunDirectory(folder, body)


def planned_directory(request: RunRequest, run_id: str, again: str | None = None) -> RunDirectory:
    """The run as it would be opened now; nothing is written."""
    return RunDirectory(request.lake.run_dir(run_id), body_of(request, run_id, 0, again))


def body_of(request: RunRequest, run_id: str, fence: int, again: str | None) -> dict[str, Any]:
    folder = request.lake.run_dir(run_id)
    earlier = read_json(folder / "run.json") if (folder / "run.json").exists() else {}
    found = _found(request, run_id, earlier, again)
    repetitions = dict(earlier.get("repetitions", {}))
    if again:
        repetitions[again] = repetitions.get(again, 0) + 1
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "root": str(request.root),
        "run_id": run_id,
        "kind": request.kind,
        "date": request.day.isoformat(),
        "seed": request.config.seed,
        "fence": fence,
        "attempt": int(earlier.get("attempt", 0)) + 1,
        "repetitions": repetitions,
        "found": found.model_dump(mode="json"),
        "because": request.because or earlier.get("because", ""),
        "config": request.config.shown,
        "config_sha256": request.config_sha256,
        "commit": facts.commit(),
        "versions": facts.versions(),
        "machine": facts.machine(),
        "started": earlier.get("started", now),
        "attempt_started": now,
    }


def _found(request: RunRequest, run_id: str, earlier: dict[str, Any], again: str | None) -> Found:
    """What the run found when it was first opened, once it has promoted, released or ended; what is there now before that.

    Stage gate, requested again, compares with the current champion; score_users follows the shop's current rules.
    """
    from nightrank.feature_store.current import found_now

    now = found_now(request.lake, run_id, request.kind, request.day)
    if "found" not in earlier:
        return now
    promoted = now.champion is not None and now.champion.run_id == run_id
    folder = request.lake.run_dir(run_id)
    ended = finished(folder) or (folder / "stages" / "release.json").exists()
    if not promoted and (not ended or again == "gate"):
        return now
    kept = Found.model_validate(earlier["found"])
    return kept.model_copy(update={"list_rules": now.list_rules}) if again == "score_users" else kept
