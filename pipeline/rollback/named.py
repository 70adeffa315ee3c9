"""`rollback --to RELEASE`: lists of a named release and the champion that made them, behind or ahead of what is current."""

from typing import Final

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.errors import SafetyRefusal, UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.vocabulary_lineage import refuse_older_lineage
from nightrank.pipeline.rollback.fitting import refuse_other_columns
from nightrank.pipeline.rollback.step import Step, earlier_champions, expect_champion, made_by, no_longer_kept, whole

SHOWN: Final = 12
"""How many of the newest releases an error names."""


def planned_to(lake: Lake, name: str) -> Step:
    """Reads only. UsageError names the known releases where none, or more than one, has an id that begins so."""
    present = expect_champion(lake)
    releases = delta_read.releases(lake)
    release = _found(releases, name)
    model = _maker(lake, release, present)
    refuse_older_lineage(lake, model)
    if not (lake.root / model.bundle).exists():
        raise no_longer_kept("bundle", model)
    if not whole(lake, release):
        raise SafetyRefusal(
            f"the lists of release {release.label} are no longer kept",
            "nothing was changed; maintenance.keep_releases says how many are",
        )
    refuse_other_columns(lake, release)
    return Step(model, release, f"version {present.version}")


def _found(releases: list[Release], name: str) -> Release:
    """The release as it was made last: a rollback appends it again under another fence."""
    known = {release.release_id: release for release in releases}
    fitting = [name] if name in known else [each for each in known if name and each.startswith(name)]
    if len(fitting) == 1:
        return known[fitting[0]]
    newest = [f"{release.label} (version {release.model_version})" for release in known.values()]
    told = "several releases begin so" if fitting else "no release has that id"
    raise UsageError(f"--to {name!r}: {told}", f"known, newest last: {', '.join(newest[-SHOWN:])}")


def _maker(lake: Lake, release: Release, present: ModelRef) -> ModelRef:
    for model in (present, *earlier_champions(lake)):
        if made_by(lake, release, model):
            return model
    raise SafetyRefusal(
        f"the model of release {release.label} was no champion of this lake, or its reference is gone",
        "nothing was changed; name a release of a model that was live",
    )
