"""The sums that a snapshot pins, as a click ranker's bundle holds them."""

from typing import Final, Literal

from nightrank.feature_store.contracts.aggregates import counters_of, named_by_rows
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.ctr.sums import AggregateSums, EntitySums
from nightrank.trainer.ctr.pinned import impressions_in
from nightrank.trainer.data.features import pinned_sums
from nightrank.trainer.data.item_inputs import load_vocabulary

KINDS: Final[tuple[Literal["user", "item"], ...]] = ("user", "item")


def sums_of(snapshot: DatasetSnapshot, root: Location) -> AggregateSums | None:
    """Of the entities whose aggregates stand among the rows' numbers; None where none do.

    DataContractError where the snapshot lacks a table or a counter.
    """
    spec = impressions_in(snapshot)
    if spec.timezone is None:
        return None
    named, found = named_by_rows(spec.numeric), dict[str, EntitySums]()
    for kind in (kind for kind in KINDS if kind in named):
        table = pinned_sums(snapshot, root, "user_features" if kind == "user" else "item_features", named[kind])
        found[kind] = EntitySums.of_dense(table, load_vocabulary(snapshot, root, kind), counters_of(named[kind]))
    return AggregateSums(spec.timezone, found)
