"""Going back: the champion before the present one, and the newest lists that it made, are current again.

Under the lake's lease and fence. `champion.json` moves first, then one release is appended, then the alias follows. Cut off in
between, the same command ends what it began and does not go back once more.
"""

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from nightrank.feature_store import delta_read, release_rows
from nightrank.feature_store.contracts.champion import set_back_champion
from nightrank.feature_store.contracts.errors import DataContractError, SafetyRefusal
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lease import held
from nightrank.feature_store.contracts.model_ref import LIST_MODEL, ModelRef, load_model_ref
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.vocabulary_lineage import refuse_older_lineage

ALIAS: Final = (sys.executable, "-m", "nightrank.trainer.stages.alias")


@dataclass(frozen=True)
class Step:
    """From where to where. `ended` is true where an earlier rollback has moved the champion and not yet the lists."""

    champion: ModelRef
    release: Release
    replaced: str
    ended: bool


def roll_back(lake: Lake, *, dry_run: bool = False) -> dict[str, Any]:
    """What is current afterwards. SafetyRefusal where there is no champion before, or its lists are no longer kept."""
    if dry_run:
        return _answer(planned(lake), "")
    with held(lake, f"rollback-{datetime.now(UTC):%Y-%m-%dT%H%M%S}") as lease:
        step = planned(lake)
        with lease.commit():
            if not step.ended:
                set_back_champion(lake, step.champion)
            current = delta_read.latest_release(lake)
            if current is None or not made_by(lake, current, step.champion):
                release_rows.append(lake, step.release.model_copy(update={"fence": lease.fence}))
    return _answer(step, _align(lake, step.champion))


def planned(lake: Lake) -> Step:
    """Reads only."""
    present = lake.champion()
    if present is None:
        raise SafetyRefusal(f"{lake.root} has no champion yet", "nothing was changed; a rollback needs two promotions")
    releases = delta_read.releases(lake)
    behind = bool(releases) and _left_behind(lake, releases[-1], present)
    target = present if behind else lake.champion_replaced_by(present)
    if target is None:
        raise SafetyRefusal(
            f"there is no champion before {present.name} version {present.version} of {present.date}",
            "nothing was changed; a rollback needs two promotions",
        )
    refuse_older_lineage(lake, target)
    kept = [release for release in releases if made_by(lake, release, target) and _whole(lake, release)]
    if not kept or not (lake.root / target.bundle).exists():
        raise SafetyRefusal(
            f"the {'lists' if (lake.root / target.bundle).exists() else 'bundle'} of {target.name} version {target.version} of "
            f"{target.date} are no longer kept",
            "nothing was changed; maintenance.keep_releases says how many are",
        )
    replaced = f"version {releases[-1].model_version if behind else present.version}"
    return Step(target, kept[-1], replaced, behind)


def made_by(lake: Lake, release: Release, model: ModelRef) -> bool:
    """The lists are the model's, or those of a copy of it that knows new items.

    By the hash of the bundle: a registry that was lost and begun again gives the same versions to other models.
    """
    if release.manifest_sha256 == model.manifest_sha256:
        return True
    run = lake.run_dir(release.run_id)
    copy, record = run / LIST_MODEL, run / "stages" / "gate.json"
    if not (copy.exists() and record.exists()) or load_model_ref(copy).manifest_sha256 != release.manifest_sha256:
        return False
    return bool(read_json(record)["output"]["gate"]["champion"] == model.manifest_sha256)


def _left_behind(lake: Lake, newest: Release, present: ModelRef) -> bool:
    """A rollback has set the champion back and was cut off before its lists: the newest are of the one that it replaced."""
    if made_by(lake, newest, present):
        return False
    earlier = map(load_model_ref, (lake.root / "champions").glob("*.json"))
    return any(ref.replaced == present.manifest_sha256 and made_by(lake, newest, ref) for ref in earlier)


def _whole(lake: Lake, release: Release) -> bool:
    """Every file of the lists is still there, of users, of similar and of popular items."""
    return all(_there(lake, table, version) for table, version in release.lists.items())


def _there(lake: Lake, table: str, version: int) -> bool:
    try:
        files = delta_read.files_of(lake, table, version)
    except DataContractError:
        return False
    return all((lake.table(table) / file).exists() for file in files)


def _align(lake: Lake, champion: ModelRef) -> str:
    """The alias in the tracker follows; where it cannot, the next run puts it right."""
    run_dir = lake.run_dir(champion.run_id)
    done = subprocess.run([*ALIAS, "--run-dir", str(run_dir)], capture_output=True, text=True, check=False)
    words = done.stderr.strip().splitlines() or [""]
    return "" if done.returncode == 0 else f"the alias in the tracker follows with the next run: {words[0]}"


def _answer(step: Step, note: str) -> dict[str, Any]:
    champion = step.champion.model_dump(include={"name", "version", "date", "manifest_sha256"})
    release = step.release.model_dump(include={"release_id", "date", "users", "rows", "recommendations_version"})
    return {"champion": champion, "release": release, "replaced": step.replaced, "note": note}
