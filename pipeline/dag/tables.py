"""Which Delta tables each stage writes. Stdlib only: the catalogue of tables itself needs pyarrow."""

from collections.abc import Mapping
from typing import Final

TABLES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "ingest_events": ("events", "items", "users", "quarantine"),
    "build_features": ("vocabulary", "interactions", "user_days", "item_days", "user_attributes"),
    "embed_items": ("text_cache", "item_embeddings"),
    "build_training_set": (
        "item_inputs",
        *(f"examples_{split}" for split in ("train", "refit", "valid", "test", "holdout")),
        *(f"impressions_{split}" for split in ("train", "valid", "test")),
        "impression_codes",
    ),
    "score_baselines": ("baseline_lists",),
    "score_users": ("recommendations", "experiment_lists", "similar_items", "popular_items"),
    "release": ("releases",),
    "read_feedback": ("feedback",),
    "score_ctr": ("ctr_scores",),
}
"""Tables that a stage writes."""
