"""A lake with impressions whose rows have features, written by hand: what build_training_set leaves, without Spark."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nightrank.feature_store.as_of import Cumulative, aggregates, from_events
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.feature_store.days import days_of
from tests.ctr_batches import SHAPES, impressions
from tests.impression_lake import LAKE_SHAPES, ROWS, impression_lake, pointwise
from tests.snapshots import write_part

ZONE = "Europe/Berlin"
HOUR = 3_600_000_000
START = 19_800 * 24 * HOUR
USER_NAMES, ITEM_NAMES = ("count_3d", "age_days"), ("recency_days", "view_all")
NUMERIC = ("user_count_3d", "price", "item_recency_days", "item_view_all", "user_age_days")
INPUTS: dict[str, Any] = {
    "numeric": NUMERIC,
    "mean": (0.4, 2.0, 0.5, 0.3, 0.2),
    "scale": (0.2, 4.0, 0.3, 0.2, 0.1),
    "timezone": ZONE,
}
SIZES = {field.name: field.size for field in SHAPES.fields}


def raw(entity: str, code: int) -> str:
    """The value of a field with that code; one that nobody knows for code 0."""
    return f"{entity} {code:02}" if code else "nobody"


def dense(entity: str, code: int) -> int:
    """Dense ids run against the codes; code 0 has none."""
    return SIZES[entity] - code if code else 0


def events(*more: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """(user, item, time, known) by dense id over twelve days; the last user and the last item have none."""
    draw = np.random.default_rng(4)
    users, items, hours, late = (draw.integers(low, high, 90) for low, high in ((1, 8), (1, 12), (0, 280), (0, 30)))
    times = START + hours * HOUR
    return [*zip(users.tolist(), items.tolist(), times.tolist(), (times + late * HOUR).tolist(), strict=True), *more]


def sums(entity: str, of: list[tuple[int, int, int, int]]) -> Cumulative:
    users, items, times, known = (np.array(values, np.int64) for values in zip(*of, strict=True))
    names = USER_NAMES if entity == "user" else ITEM_NAMES
    actions = np.full(len(of), ACTION_CODES["view"], np.int8)
    return from_events(users if entity == "user" else items, actions, times, known, counters_of(names), ZONE)


def feature_part(root: Path, entity: str) -> Any:
    names, table = (USER_NAMES if entity == "user" else ITEM_NAMES), sums(entity, events())
    schema = schemas.USER_FEATURES if entity == "user" else schemas.ITEM_FEATURES
    columns = {entity: table.entities, "day": table.days, **dict(zip(counters_of(names), table.sums.T, strict=True))}
    empty = pa.nulls(len(table.keys), pa.int32())
    rows = pa.table({field.name: pa.array(columns.get(field.name, empty)) for field in schema}, schema=schema)
    return write_part(root, f"{entity}_features", rows, [[7], [len(rows) - 7]])


def vocabulary_part(root: Path) -> Any:
    """Dense ids in no order."""
    pairs = [(kind, code) for kind in ("item", "user") for code in range(1, SIZES[kind])]
    columns: dict[str, Any] = {
        "kind": [kind for kind, _ in pairs],
        "raw_id": [raw(kind, code) for kind, code in pairs],
        "dense_id": [dense(kind, code) for kind, code in pairs],
    }
    return write_part(root, "vocabulary", pa.table({f.name: pa.array(columns[f.name], f.type) for f in VOCABULARY}), [[12, 8]])


VOCABULARY = pa.schema([("kind", pa.string()), ("raw_id", pa.string()), ("dense_id", pa.int32())])


def drawn(split: str) -> Any:
    """(batch, event_time [N]) of the split before its features are looked up."""
    made = impressions(ROWS[split], LAKE_SHAPES, seed=list(ROWS).index(split))
    return made, START + np.random.default_rng(len(split)).integers(0, 330, made.rows) * HOUR


def rows_of(split: str) -> pa.Table:
    """The split as the lake holds it: each number as of its row's day."""
    made, times = drawn(split)
    days, known = days_of(times, ZONE), events()
    columns: dict[str, Any] = {"price": made.numeric_BD[:, 0].numpy()}
    for place, (entity, names) in enumerate((("user", USER_NAMES), ("item", ITEM_NAMES))):
        entities = np.array([dense(entity, code) for code in made.codes_BF[:, place].tolist()])
        found = aggregates(sums(entity, known), names, counters_of(names), entities, days)
        columns |= {f"{entity}_{name}": found[:, at] for at, name in enumerate(names)}
    numeric = np.stack([columns[name] for name in NUMERIC], axis=1)
    return pointwise(made, event_time=times.tolist(), numeric=numeric.tolist())


def raw_rows(split: str) -> pa.Table:
    """The same rows as a caller sends them: raw values, the moment, and no aggregate."""
    made, times = drawn(split)
    fields = {name: [raw(name, code) for code in made.codes_BF[:, place].tolist()] for place, name in enumerate(SIZES)}
    ends, past = made.offsets_B1.tolist(), [raw("item", code) for code in made.history_T.tolist()]
    history = [past[start:end] for start, end in pairwise(ends)]
    return pa.table({**fields, "price": made.numeric_BD[:, 0].numpy(), "event_time": times, "history": history})


def feature_lake(root: Path) -> DatasetSnapshot:
    more = {"user_features": feature_part(root, "user"), "item_features": feature_part(root, "item")}
    more["vocabulary"] = vocabulary_part(root)
    return impression_lake(root, more, INPUTS, **{split: rows_of(split) for split in ROWS})
