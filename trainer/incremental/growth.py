"""A night's start: the champion's weights and moments, with rows for the items that came since. Old rows are the same bits."""

from pathlib import Path

from torch import Tensor, nn

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Parent, load_snapshot
from nightrank.feature_store.contracts.storage import Location, local_folder
from nightrank.ranker.bundle.bundle import Bundle, load_bundle
from nightrank.ranker.growth import grow_optimizer_state, grown_rows
from nightrank.ranker.inputs import ItemInputs, ItemShapes
from nightrank.ranker.model import Ranker
from nightrank.ranker.tables.row_table import NewTable
from nightrank.trainer.config.job import Job
from nightrank.trainer.loop.text import base_revision


def champion(root: Location, parent: Parent) -> Bundle:
    """The parent's bundle, checked against its manifest and lineage. DataContractError where it is not the one named."""
    bundle = load_bundle(local_folder(root / parent.bundle), Path(parent.bundle).name)
    if bundle.info.lineage != parent.lineage:
        raise DataContractError(
            f"bundle {parent.bundle} has lineage {bundle.info.lineage[:12]}, the champion has {parent.lineage[:12]}",
            "register the champion again",
        )
    return bundle


def check_extends(bundle: Bundle, raw_ids: list[str]) -> None:
    """DataContractError unless the vocabulary begins with the bundle's: dense ids never move."""
    if raw_ids[: len(bundle.raw_ids)] != bundle.raw_ids:
        pairs = zip(bundle.raw_ids, raw_ids, strict=False)
        moved = next((place for place, (old, new) in enumerate(pairs, 1) if old != new), len(raw_ids) + 1)
        raise DataContractError(
            f"the snapshot's vocabulary does not extend the champion's: dense id {moved} belongs to another item or is gone",
            "train a full run",
        )


def check_same_features(job: Job, bundle: Bundle, snapshot: DatasetSnapshot) -> None:
    """DataContractError where a column of the item features means something else than when the champion was trained."""
    assert job.parent is not None
    before, now = base_revision(bundle.info.text_revision), snapshot.text_revision
    if bundle.info.text_width and before and now and before != now:
        raise DataContractError(
            f"item texts are encoded by revision {now[:12]}, the champion knows those of {before[:12]}",
            "set the previous text.encoder, or run `nightrank full`",
        )
    path = job.lake.snapshot(job.parent.snapshot_id)
    if not path.exists():  # maintenance forgets old snapshots; widths are checked all the same
        return
    old, new = load_snapshot(path).normalisation, snapshot.normalisation
    if new.numeric != old.numeric or new.categories[: len(old.categories)] != old.categories:
        raise DataContractError(
            f"item features of snapshot {snapshot.id[:12]} do not extend those of the champion's {job.parent.snapshot_id[:12]}",
            "keep the normalisation of the last full run, or run `nightrank full` again",
        )


def grown(bundle: Bundle, inputs: ItemInputs, text_encoder: Path | None = None, table: NewTable = nn.Embedding) -> Ranker:
    """The champion with a row for every item of `inputs`, in training mode; `text_encoder` is the folder its own was tuned
    from, where it was."""
    return bundle.ranker(inputs, text_encoder, table)


def longer_moments(moments: dict[str, Tensor], old: ItemShapes, new: ItemShapes) -> dict[str, Tensor]:
    """An optimizer's state with zeros for the new rows of the tables that `grow` made longer."""
    longer = grown_rows(old, new)
    return {key: _longer(key, value, longer) for key, value in moments.items()}


def _longer(key: str, value: Tensor, longer: dict[str, tuple[int, int]]) -> Tensor:
    name = key.rpartition("/")[0]
    if name not in longer:
        return value
    grown_value: Tensor = grow_optimizer_state({key: value}, *longer[name])[key]
    return grown_value
