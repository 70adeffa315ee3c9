"""What a rollback goes back to, read and not yet done: the champion before the present one, or what ends a cut-off rollback."""

from collections.abc import Iterator
from dataclasses import dataclass

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.errors import DataContractError, SafetyRefusal
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import LIST_MODEL, ModelRef, load_model_ref
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.vocabulary_lineage import refuse_older_lineage
from nightrank.pipeline.rollback.fitting import refuse_other_columns


@dataclass(frozen=True)
class Step:
    """From where to where."""

    champion: ModelRef
    release: Release
    replaced: str


def planned(lake: Lake) -> Step:
    """Reads only."""
    present = expect_champion(lake)
    releases = delta_read.releases(lake)
    behind = bool(releases) and _left_behind(lake, releases[-1], present)
    target = present if behind else lake.champion_replaced_by(present)
    if target is None:
        raise SafetyRefusal(
            f"there is no champion before {present.name} version {present.version} of {present.date}",
            "nothing was changed; a rollback needs two promotions",
        )
    refuse_older_lineage(lake, target)
    kept = [release for release in releases if made_by(lake, release, target) and whole(lake, release)]
    if not kept or not (lake.root / target.bundle).exists():
        raise no_longer_kept("lists" if (lake.root / target.bundle).exists() else "bundle", target)
    refuse_other_columns(lake, kept[-1])
    return Step(target, kept[-1], f"version {releases[-1].model_version if behind else present.version}")


def expect_champion(lake: Lake) -> ModelRef:
    present = lake.champion()
    if present is None:
        raise SafetyRefusal(f"{lake.root} has no champion yet", "nothing was changed; a rollback needs two promotions")
    return present


def no_longer_kept(what: str, model: ModelRef) -> SafetyRefusal:
    return SafetyRefusal(
        f"the {what} of {model.name} version {model.version} of {model.date} are no longer kept",
        "nothing was changed; maintenance.keep_releases says how many are",
    )


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


def whole(lake: Lake, release: Release) -> bool:
    """Every file of the lists is still there, of users, of similar and of popular items."""
    return all(_there(lake, table, version) for table, version in release.lists.items())


def earlier_champions(lake: Lake) -> Iterator[ModelRef]:
    return map(load_model_ref, (lake.root / "champions").glob("*.json"))


def _left_behind(lake: Lake, newest: Release, present: ModelRef) -> bool:
    """A rollback has set the champion back and was cut off before its lists: the newest are of one that came after it."""
    if made_by(lake, newest, present):
        return False
    return any(made_by(lake, newest, ref) and _came_after(lake, ref, present) for ref in earlier_champions(lake))


def _came_after(lake: Lake, later: ModelRef, present: ModelRef) -> bool:
    """`later` took the place of `present`, or of one that did. A model that was promoted twice makes no endless chain."""
    passed: set[str] = set()
    while later.replaced is not None and later.replaced not in passed:
        if later.replaced == present.manifest_sha256:
            return True
        passed.add(later.replaced)
        before = lake.champion_replaced_by(later)
        if before is None:
            return False
        later = before
    return False


def _there(lake: Lake, table: str, version: int) -> bool:
    try:
        files = delta_read.files_of(lake, table, version)
    except DataContractError:
        return False
    return all((lake.table(table) / file).exists() for file in files)
