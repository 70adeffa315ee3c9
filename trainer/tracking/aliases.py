"""MLflow's aliases follow the lake: `champion` is its champion, `previous` the one before, `challenger` the newest model.

The lake is the truth: champion.json, which one release after the other is made by. A registry that was away, a crash between
the two writes, or a hand that moved an alias leaves them behind; the next run, or a rollback, puts them right and says so.
"""

from typing import Any, Final

from nightrank.feature_store.contracts.champion import ALIAS as CHAMPION
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.model_ref import ModelRef, load_model_ref
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.trainer.tracking.tracker import MANIFEST, Tracker, tracker_of

CHALLENGER: Final = "challenger"
PREVIOUS: Final = "previous"


def wanted(lake: Lake) -> dict[str, ModelRef | None]:
    """Which model each alias is of; empty before the first promotion. None: there is no such model."""
    champion = lake.champion()
    if champion is None:
        return {}
    refs = [load_model_ref(path) for path in lake.root.glob("runs/*/model_ref.json")]
    registered = [ref for ref in refs if ref.name == champion.name]
    newest = max(registered, key=lambda ref: (ref.date, ref.version), default=None)
    return {CHAMPION: champion, PREVIOUS: lake.champion_replaced_by(champion), CHALLENGER: newest}


def reconcile(context: StageContext) -> list[str]:
    """Afterwards the aliases are as `wanted`; a sentence for each that had to be moved, which is in the log too.

    Nothing is moved in a tracker that does not know the champion: a new one, which gets it from the next promotion. An alias
    whose model it does not know stays away.
    """
    models = wanted(context.lake)
    champion = models.get(CHAMPION)
    if champion is None:
        return []
    with tracker_of(context) as tracker:
        if not knows(tracker, champion):
            return []
        # Not from a search: its rows may come without aliases.
        found = {name: str(at) for name, at in tracker.client.get_registered_model(champion.name).aliases.items()}
        moved = [_moved(context, tracker, champion.name, alias, ref, found.get(alias)) for alias, ref in models.items()]
    return [sentence for sentence in moved if sentence]


def _moved(context: StageContext, tracker: Tracker, name: str, alias: str, ref: ModelRef | None, found: str | None) -> str:
    there = ref if ref is not None and ref.name == name and knows(tracker, ref) else None
    version = None if there is None else str(there.version)
    if found == version:
        return ""
    with context.commit():
        if version is None:
            tracker.client.delete_registered_model_alias(name, alias)
        else:
            tracker.client.set_registered_model_alias(name, alias, version)
    before = "was missing" if found is None else f"pointed at version {found}"
    now = "is removed" if there is None else f"points at version {version} of {there.date} now, as the lake says"
    sentence = f"alias {alias} of {name} {before}, and {now}"
    log.info(f"registry: {sentence}")
    return sentence


def knows(tracker: Tracker, ref: ModelRef) -> bool:
    """Whether the tracker holds this very version: another tracker may have given its number to another bundle."""
    from mlflow.exceptions import MlflowException

    try:
        found: Any = tracker.client.get_model_version(ref.name, str(ref.version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return bool(found.tags.get(MANIFEST) == ref.manifest_sha256)
