"""The case's shop, smaller: USERS buy what they like, and bot 666 views the last 20 of 100 items all day."""

import sys

import numpy as np
import pandas as pd
import pyarrow as pa
from deltalake import write_deltalake

rng = np.random.default_rng(3)
USERS, ITEMS, DAYS = 80, 100, 14
EVENTS, VIEWS = int(sys.argv[1]), int(sys.argv[2])
start = pd.Timestamp("2024-03-20", tz="UTC")
popularity = 1 / np.arange(1, ITEMS + 1) ** 0.6
items = rng.choice(ITEMS, EVENTS, p=popularity / popularity.sum())


def shop(customer, chosen, kinds, amounts):
    moments = start + pd.to_timedelta(rng.integers(0, DAYS * 86_400, len(chosen)), unit="s")
    return pd.DataFrame(
        {"customer": customer, "sku": [f"P-{x:04d}" for x in chosen], "ts": moments, "kind": kinds, "amount": amounts}
    )


kind = rng.choice(["view", "cart", "buy", "refund"], EVENTS, p=[0.75, 0.15, 0.08, 0.02])
people = shop(rng.integers(0, USERS, EVENTS) + 10**12, items, kind, np.where(kind == "refund", -19.99, 19.99))
bot = shop(np.int64(666), rng.integers(ITEMS - 20, ITEMS, VIEWS), "view", 0.0)
both = pd.concat([people, bot]).sort_values("ts").reset_index(drop=True)
both["day"] = both.ts.dt.date.astype(str)
both["ts"] = both.ts.astype("datetime64[us, UTC]")
write_deltalake("events_delta", pa.Table.from_pandas(both, preserve_index=False), partition_by=["day"], mode="overwrite")
rows = {"sku": [f"P-{x:04d}" for x in range(ITEMS)], "name": [f"model {x}" for x in range(ITEMS)], "cat": "all", "price": 9.99}
pd.DataFrame(rows).to_csv("products.csv", index=False)
