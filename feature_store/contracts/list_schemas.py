"""The pyarrow schemas of what stands beside users' lists: a shop's rules, experiments, scores of clicks, similar items."""

from typing import Final

import pyarrow as pa

LIST_RULES: Final = pa.schema(
    {
        "position": pa.int32(),
        "kind": pa.string(),
        "item": pa.string(),
        "category": pa.string(),
        "number": pa.string(),
        "lowest": pa.float64(),
        "highest": pa.float64(),
        "actions": pa.list_(pa.string()),
        "days": pa.int32(),
        "at_most": pa.int32(),
        "note": pa.string(),
    }
)
"""In their order, as `contracts.list_rules.ListRule` has them; `item` is the raw id."""
CLICK_SCORES: Final = pa.schema(
    {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "rank": pa.int32(),
        "scores": pa.map_(pa.string(), pa.float64()),
        "list_id": pa.string(),
        "release_id": pa.string(),
        "run_id": pa.string(),
        "date": pa.date32(),
        "model_name": pa.string(),
        "model_version": pa.int64(),
        "manifest_sha256": pa.string(),
        "snapshot_id": pa.string(),
    }
)
"""A click ranker's probability of each action for the items of released lists. `rank` is the list's own, `snapshot_id` what the
click ranker was trained on."""

EXPERIMENT_LISTS: Final = pa.schema(
    {
        "list_id": pa.string(),
        "user_id": pa.string(),
        "date": pa.date32(),
        "run_id": pa.string(),
        "experiment": pa.string(),
        "variant": pa.string(),
        "place": pa.int32(),
        "chosen": pa.int32(),
        "candidates": pa.list_(pa.string()),
        "scores": pa.list_(pa.float32()),
        "chances": pa.list_(pa.float64()),
    }
)
"""One row a list of an experiment. `place` is the one that was drawn, `chosen` the index of its item among `candidates`, which
had these probabilities; null where nothing was drawn."""
FEEDBACK: Final = pa.schema(
    {
        "list_id": pa.string(),
        "user_id": pa.string(),
        "date": pa.date32(),
        "variant": pa.string(),
        "shown": pa.int32(),
        "reward": pa.int32(),
        "place_shown": pa.bool_(),
        "place_reward": pa.int32(),
        "chosen": pa.int32(),
        "scores": pa.list_(pa.float32()),
        "chances": pa.list_(pa.float64()),
    }
)
"""One row a list that was shown: how many of its items were, how many had a reward, and both for the drawn place."""
SIMILAR_ITEMS: Final = pa.schema(
    {
        "item_id": pa.string(),
        "rank": pa.int32(),
        "similar_id": pa.string(),
        "score": pa.float32(),
        "cosine": pa.float32(),
        "together": pa.float32(),
        "reason": pa.string(),
        "release_id": pa.string(),
        "run_id": pa.string(),
        "date": pa.date32(),
    }
)
"""Items like an item, best first. `cosine`: of the ranker's item vectors; `together`: users of both by the geometric mean of
the users of each; null where the item is not among the nearest by it. `score` adds 1 / (60 + place) of both orders."""
POPULAR_ITEMS: Final = pa.schema(
    {
        "segment": pa.string(),
        "rank": pa.int32(),
        "item_id": pa.string(),
        "count": pa.int64(),
        "release_id": pa.string(),
        "run_id": pa.string(),
        "date": pa.date32(),
    }
)
"""What users of a segment chose most lately, of what may be shown; the empty segment is everybody."""
