"""A small real bundle as the lake's champion."""

import torch

from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.bundle.store import store_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import RankerConfig, TransformerConfig
from nightrank.ranker.inputs import ItemInputs


def crown(lake: Lake, items: int, *, snapshot_id: str = "snap", version: int = 1, features: Features | None = None):
    """A ranker over the first `items` items (i1, i2, ...), kept in the lake and named by champion.json. Returns its bundle.
    One that reads `features` has weights for them that are not zeros."""
    config = RankerConfig(width=8, encoder=TransformerConfig(max_length=6))
    ranker = compose(config, ItemInputs(items, features=features), seed=1).eval()
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in ranker.named_parameters():
            if ".side." in name:
                weight.copy_(torch.randn(weight.shape, generator=draw))
    raw_ids = [f"i{item}" for item in range(1, items + 1)]
    name = store_bundle(lake.bundles, ranker, raw_ids, snapshot_id=snapshot_id, lineage="line")
    ref = ModelRef(
        name="nightrank", version=version, alias="champion", mlflow_run_id="r", manifest_sha256=name, vocabulary_lineage="line",
        vocabulary_items=items, snapshot_id=snapshot_id, run_id="trained", date="2024-03-10", bundle=f"models/{name}",
    )  # fmt: skip
    write_json(lake.root / "champion.json", ref.model_dump(mode="json"))
    return load_bundle(lake.bundles.path / name)
