"""TableRef and the catalogue: which tables a lake holds, by what they are keyed, and what two equal ones may differ in."""

from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import list_schemas, schemas


@dataclass(frozen=True)
class TableRef:
    """A Delta table of the lake. `volatile` columns (run ids, wall clocks, versions) are left out of its content hash."""

    name: str
    schema: pa.Schema
    keys: tuple[str, ...]
    partitions: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()
    checks: dict[str, str] = field(default_factory=dict)
    """Delta CHECK constraints: name -> SQL condition."""

    @property
    def content_columns(self) -> tuple[str, ...]:
        return tuple(name for name in self.schema.names if name not in self.volatile)


EVENTS: Final = TableRef(
    "events",
    schemas.EVENTS,
    (c.EVENT_ID,),
    checks={"ids_present": "user_id IS NOT NULL AND item_id IS NOT NULL AND event_id IS NOT NULL"},
)
ITEMS: Final = TableRef("items", schemas.ITEMS, (c.ITEM_ID,), checks={"item_id_present": "item_id IS NOT NULL"})
USERS: Final = TableRef("users", schemas.USERS, (c.USER_ID,), checks={"user_id_present": "user_id IS NOT NULL"})
QUARANTINE: Final = TableRef("quarantine", schemas.QUARANTINE, (c.ROW_HASH,), volatile=(c.FILE,))
VOCABULARY: Final = TableRef("vocabulary", schemas.VOCABULARY, (c.KIND, c.RAW_ID), checks={"dense_id_positive": "dense_id > 0"})
# Not partitioned by day: twenty years of a thin log would be thousands of files of thirty rows (a full ingest of 100,000
# ratings took 200 s so). Full loads are written in order of event_date instead, and file statistics prune as partitions would.
INTERACTIONS: Final = TableRef("interactions", schemas.INTERACTIONS, (c.EVENT_ID,))
USER_FEATURES: Final = TableRef("user_features", schemas.USER_FEATURES, (c.USER, c.DAY))
ITEM_FEATURES: Final = TableRef("item_features", schemas.ITEM_FEATURES, (c.ITEM, c.DAY))
USER_DAYS: Final = TableRef("user_days", schemas.USER_DAYS, (c.USER, c.DAY))
ITEM_DAYS: Final = TableRef("item_days", schemas.ITEM_DAYS, (c.ITEM, c.DAY))
USER_ATTRIBUTES: Final = TableRef("user_attributes", schemas.USER_ATTRIBUTES, (c.USER,))
TEXT_CACHE: Final = TableRef("text_cache", schemas.TEXT_CACHE, (c.CONTENT_SHA256, c.REVISION))
ITEM_EMBEDDINGS: Final = TableRef("item_embeddings", schemas.ITEM_EMBEDDINGS, (c.ITEM,))
ITEM_INPUTS: Final = TableRef("item_inputs", schemas.ITEM_INPUTS, (c.ITEM,))

EXAMPLE_SPLITS: Final = ("train", "refit", "valid", "test", "holdout")
EXAMPLES: Final[dict[str, TableRef]] = {
    split: TableRef(
        f"examples_{split}",
        schemas.EXAMPLES,
        (c.USER, c.N, c.LOSS_FROM),
        checks={"loss_inside": "loss_from >= 0 AND loss_from < n"},
    )
    for split in EXAMPLE_SPLITS
}
"""One table a split, each its own write of even files: a row group never mixes splits (docs/adr/0002)."""

IMPRESSION_SPLITS: Final = ("train", "valid", "test")
IMPRESSIONS: Final[dict[str, TableRef]] = {
    split: TableRef(f"impressions_{split}", schemas.POINTWISE, (c.USER, c.ITEM, c.EVENT_TIME)) for split in IMPRESSION_SPLITS
}
IMPRESSION_CODES: Final = TableRef("impression_codes", schemas.IMPRESSION_CODES, (c.FIELD, c.RAW_ID))

BASELINE_LISTS: Final = TableRef("baseline_lists", schemas.BASELINE_LISTS, (c.RECOMMENDER, c.SPLIT, c.USER))
RECOMMENDATIONS: Final = TableRef(
    "recommendations",
    schemas.RECOMMENDATIONS,
    (c.USER_ID, c.RANK),
    volatile=(
        c.RELEASE_ID,
        c.RUN_ID,
        c.LIST_ID,
        c.MODEL_VERSION,
        c.VOCABULARY_VERSION,
        c.DATA_VERSION,
        c.SNAPSHOT_ID,
        c.INPUTS,
    ),
)
EXPERIMENT_LISTS: Final = TableRef(
    "experiment_lists", list_schemas.EXPERIMENT_LISTS, (c.LIST_ID,), volatile=(c.LIST_ID, c.RUN_ID)
)
FEEDBACK: Final = TableRef("feedback", list_schemas.FEEDBACK, (c.LIST_ID,), volatile=(c.LIST_ID,))
SIMILAR_ITEMS: Final = TableRef(
    "similar_items", list_schemas.SIMILAR_ITEMS, (c.ITEM_ID, c.RANK), volatile=(c.RELEASE_ID, c.RUN_ID)
)
POPULAR_ITEMS: Final = TableRef(
    "popular_items", list_schemas.POPULAR_ITEMS, (c.SEGMENT, c.RANK), volatile=(c.RELEASE_ID, c.RUN_ID)
)
CLICK_SCORES: Final = TableRef(
    "ctr_scores",
    list_schemas.CLICK_SCORES,
    (c.USER_ID, c.ITEM_ID),
    volatile=(c.LIST_ID, c.RELEASE_ID, c.RUN_ID, c.MODEL_VERSION, c.MANIFEST_SHA256, c.SNAPSHOT_ID),
)
RELEASES: Final = TableRef(
    "releases",
    schemas.RELEASES,
    (c.RELEASE_ID,),
    volatile=(
        c.RELEASE_ID,
        c.RUN_ID,
        c.MODEL_VERSION,
        c.MANIFEST_SHA256,
        c.VOCABULARY_VERSION,
        c.DATA_VERSION,
        c.RECOMMENDATIONS_VERSION,
        c.SNAPSHOT_ID,
        c.FENCE,
        c.BODY,
        c.CREATED_AT,
    ),
)

CATALOGUE: Final[dict[str, TableRef]] = {
    table.name: table
    for table in (
        EVENTS,
        ITEMS,
        USERS,
        QUARANTINE,
        VOCABULARY,
        INTERACTIONS,
        USER_DAYS,
        ITEM_DAYS,
        USER_ATTRIBUTES,
        TEXT_CACHE,
        ITEM_EMBEDDINGS,
        ITEM_INPUTS,
        *EXAMPLES.values(),
        *IMPRESSIONS.values(),
        IMPRESSION_CODES,
        BASELINE_LISTS,
        RECOMMENDATIONS,
        EXPERIMENT_LISTS,
        FEEDBACK,
        SIMILAR_ITEMS,
        POPULAR_ITEMS,
        CLICK_SCORES,
        RELEASES,
    )
}

LIST_RULES: Final = TableRef("list_rules", list_schemas.LIST_RULES, (c.POSITION,))
"""People edit it (`nightrank rules`), no stage makes or tidies it: every version stays, for runs that followed it."""

RETIRED: Final = (USER_FEATURES, ITEM_FEATURES)
"""No stage writes them any more; snapshots of earlier releases pin them."""

MADE_BY: Final[dict[str, str]] = {
    table.name: stage
    for stage, made in {
        "ingest_events": (EVENTS, ITEMS, USERS, QUARANTINE),
        "build_features": (VOCABULARY, INTERACTIONS, USER_DAYS, ITEM_DAYS, USER_ATTRIBUTES),
        "embed_items": (TEXT_CACHE, ITEM_EMBEDDINGS),
        "build_training_set": (ITEM_INPUTS, *EXAMPLES.values(), *IMPRESSIONS.values(), IMPRESSION_CODES),
        "score_baselines": (BASELINE_LISTS,),
        "score_users": (RECOMMENDATIONS, EXPERIMENT_LISTS, SIMILAR_ITEMS, POPULAR_ITEMS),
        "read_feedback": (FEEDBACK,),
        "release": (RELEASES,),
        "score_ctr": (CLICK_SCORES,),
    }.items()
    for table in made
}
"""table -> the stage that makes it."""
