"""The pyarrow schema of every table: engine-neutral values that Spark, the trainer and the tests share."""

from typing import Final

import pyarrow as pa

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.aggregates import EVENTS as EVENTS_COUNTER

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
STRING_MAP: Final = pa.map_(pa.string(), pa.string())
NUMBER_MAP: Final = pa.map_(pa.string(), pa.float64())


def _schema(**fields: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in fields.items()])


LANDING_EVENTS: Final = _schema(
    event_id=pa.string(),
    user_id=pa.string(),
    item_id=pa.string(),
    action=pa.string(),
    event_time=TIMESTAMP,
    availability_time=TIMESTAMP,
    value=pa.float64(),
    position=pa.int32(),
    propensity=pa.float64(),
    context=STRING_MAP,
    session_id=pa.string(),
    list_id=pa.string(),
)
_DESCRIPTION: Final[dict[str, pa.DataType]] = {
    c.ITEM_ID: pa.string(),
    c.TITLE: pa.string(),
    c.TEXT: pa.string(),
    c.CATEGORIES: pa.list_(pa.string()),
    c.PRICE: pa.float64(),
    c.CREATED: TIMESTAMP,
    c.AVAILABILITY_TIME: TIMESTAMP,
}
LANDING_ITEMS: Final = _schema(
    **_DESCRIPTION,
    available=pa.bool_(),
    complete=pa.bool_(),
    fields=pa.list_(pa.string()),
    numbers=NUMBER_MAP,
)
"""The last four may be left out of a file. `complete`: the row is of an export that holds every item there is. `fields`: what
the row sets, null = all; the other fields do not change. `numbers`: numbers of the item by name, such as its weight; null
removes one, and a name that is not there does not change."""
LANDING_USERS: Final = _schema(user_id=pa.string(), attributes=STRING_MAP, availability_time=TIMESTAMP)

EVENTS: Final = LANDING_EVENTS.append(pa.field(c.EVENT_DATE, pa.date32())).append(pa.field(c.LANDING_DATE, pa.date32()))
ITEMS: Final = _schema(
    **_DESCRIPTION,
    landing_date=pa.date32(),
    first_landed=pa.date32(),
    priced=TIMESTAMP,
    available=pa.bool_(),
    listed=pa.string(),
    complete=pa.string(),
    numbers=NUMBER_MAP,
)
"""`availability_time` and `landing_date` say since when the description is as it is now, `priced` since when the price is, and
`first_landed` since when the item is known. `listed` and `complete` name the newest file that described it, and the newest
complete export that held it, as `<day>#<number>`."""
USERS: Final = LANDING_USERS.append(pa.field(c.LANDING_DATE, pa.date32()))

QUARANTINE: Final = _schema(
    row_hash=pa.string(),
    source_table=pa.string(),
    landing_date=pa.date32(),
    reason=pa.string(),
    file=pa.string(),
    row=pa.string(),
)
VOCABULARY: Final = _schema(
    kind=pa.string(),
    raw_id=pa.string(),
    dense_id=pa.int32(),
    first_available=TIMESTAMP,
    landing_date=pa.date32(),
)
INTERACTIONS: Final = _schema(
    user=pa.int32(),
    item=pa.int32(),
    action=pa.int8(),
    event_time=pa.int64(),
    availability_time=pa.int64(),
    value=pa.float64(),
    event_id=pa.string(),
    event_date=pa.date32(),
    landing_date=pa.date32(),
)
"""Times are microseconds since the epoch."""

_COUNTERS: Final = {name: pa.int32() for name in (EVENTS_COUNTER, *ACTION_CODES)}
USER_FEATURES: Final = _schema(user=pa.int32(), day=pa.int32(), **_COUNTERS)
ITEM_FEATURES: Final = _schema(item=pa.int32(), day=pa.int32(), **_COUNTERS)
"""Of releases before there were day counts; a snapshot may still pin them: what each counter had summed up to by that day."""
USER_DAYS: Final = _schema(user=pa.int32(), day=pa.int32(), **_COUNTERS)
ITEM_DAYS: Final = _schema(item=pa.int32(), day=pa.int32(), **_COUNTERS)
"""One row a day with an event: how many there were on that day, by action. A day counts from 1970-01-01 in the calendar's
time zone; an event is of the day on which it had happened and become known."""
USER_ATTRIBUTES: Final = _schema(user=pa.int32(), attributes=STRING_MAP, known_from=pa.int64())
"""The attributes that are read, raw, and the microsecond from which they were known."""

TEXT_CACHE: Final = _schema(
    content_sha256=pa.string(),
    revision=pa.string(),
    vector=pa.list_(pa.float32()),
    tokens_cut=pa.int32(),
    tokens=pa.list_(pa.int32()),
)
ITEM_EMBEDDINGS: Final = _schema(
    item=pa.int32(),
    content_sha256=pa.string(),
    revision=pa.string(),
    vector=pa.list_(pa.float32()),
    tokens=pa.list_(pa.int32()),
)
"""`tokens` are the encoder's own, special ones included, as many as it read: a ranker that tunes the encoder reads them."""
ITEM_INPUTS: Final = _schema(item=pa.int32(), category_codes=pa.list_(pa.int32()), numeric=pa.list_(pa.float32()))
"""What the ranker reads of an item beside its text: category codes 1..C and normalised numbers, fitted on training rows."""

EXAMPLES: Final = _schema(
    user=pa.int32(),
    n=pa.int32(),
    loss_from=pa.int32(),
    split=pa.string(),
    source=pa.string(),
    weight=pa.float32(),
    items=pa.list_(pa.int32()),
    actions=pa.list_(pa.int8()),
    times=pa.list_(pa.int64()),
)
"""The training row. Items, actions and times have length n, oldest first; the loss is taken at positions [loss_from, n)."""

POINTWISE: Final = _schema(
    user=pa.int32(),
    item=pa.int32(),
    event_time=pa.int64(),
    availability_time=pa.int64(),
    split=pa.string(),
    source=pa.string(),
    weight=pa.float32(),
    codes=pa.list_(pa.int32()),
    numeric=pa.list_(pa.float32()),
    labels=pa.list_(pa.float32()),
    history=pa.list_(pa.int32()),
)
"""One impression with its context as of its time (microseconds). `codes` holds one code a categorical field, 0 = unknown,
`numeric` one raw number a feature, null = not known, `labels` 0 or 1 an action, null = not asked; each row has as many as the
ranker's shapes say. `history` holds codes of the item field that were available by then, oldest first."""

IMPRESSION_CODES: Final = _schema(field=pa.string(), raw_id=pa.string(), dense_id=pa.int32())
"""The values each field had in training impressions, with their codes from 1."""

BASELINE_LISTS: Final = _schema(
    recommender=pa.string(),
    split=pa.string(),
    user=pa.int32(),
    items=pa.list_(pa.int32()),
    scores=pa.list_(pa.float32()),
)
RECOMMENDATIONS: Final = _schema(
    user_id=pa.string(),
    item_id=pa.string(),
    rank=pa.int32(),
    score=pa.float32(),
    fallback=pa.string(),
    list_id=pa.string(),
    release_id=pa.string(),
    run_id=pa.string(),
    date=pa.date32(),
    model_name=pa.string(),
    model_version=pa.int64(),
    vocabulary_version=pa.int64(),
    data_version=pa.int64(),
    snapshot_id=pa.string(),
    moved=pa.string(),
    source=pa.string(),
    taken=pa.string(),
    variant=pa.string(),
    inputs=pa.int64(),
)
"""`moved` says which rules of re-ranking moved the item, from which place to which, and why; null where none did. `score` is
the model's own. `source` names what proposed the item, null where the model alone proposes. `taken`, in a list's first row,
says which of a shop's rules took an item that the model would have listed, and from which place. `variant` is the user's arm
in the experiment. `inputs` is the hash of what the list was made of: a later night keeps the list where it is the same."""
RELEASES: Final = _schema(
    release_id=pa.string(),
    run_id=pa.string(),
    date=pa.date32(),
    model_name=pa.string(),
    model_version=pa.int64(),
    manifest_sha256=pa.string(),
    vocabulary_version=pa.int64(),
    data_version=pa.int64(),
    recommendations_version=pa.int64(),
    snapshot_id=pa.string(),
    fence=pa.int64(),
    users=pa.int64(),
    rows=pa.int64(),
    body=pa.string(),
    created_at=TIMESTAMP,
)
