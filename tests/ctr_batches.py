"""Small impressions for tests: three fields, one number, one action, histories of items."""

from typing import Any

import torch

from nightrank.feature_store.contracts.config import FrozenConfig, validate
from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.config import CtrConfig, CtrShapes, FieldShape, NumericShape

SHAPES = CtrShapes(
    fields=(FieldShape(name="user", size=9), FieldShape(name="item", size=13), FieldShape(name="hour", size=4)),
    numeric=(NumericShape(name="price", mean=2.0, scale=4.0),),
    history="item",
)
SMALL: dict[str, dict[str, Any]] = {
    "lr": {},
    "dnn": {"width": 4, "hidden": [8, 6]},
    "dcnv2": {"width": 4, "crosses": 2, "hidden": [8]},
    "din": {"width": 4, "attention": [6], "hidden": [8]},
    "finalmlp": {"width": 4, "first": {"hidden": [8], "gate_fields": ["user"]}, "second": {"hidden": [6]}, "heads": 2},
    "mmoe": {"width": 4, "experts": 2, "expert_hidden": [6], "tower_hidden": [4]},
}


class _Holder(FrozenConfig):
    model: CtrConfig


def ctr_config(name: str, **changes: Any) -> CtrConfig:
    return validate(_Holder, {"model": {"name": name, **SMALL[name], **changes}}).model


def impressions(rows: int, shapes: CtrShapes = SHAPES, seed: int = 0) -> ImpressionBatch:
    """Random rows; a click where user and item are both even, so that a ranker without crosses cannot have it all."""
    draw = torch.Generator().manual_seed(seed)
    codes = torch.stack([torch.randint(0, field.size, (rows,), generator=draw) for field in shapes.fields], dim=1)
    lengths = torch.randint(0, 4, (rows,), generator=draw)
    label = ((codes[:, 0] % 2 == 0) & (codes[:, 1] % 2 == 0)).float()
    return ImpressionBatch(
        codes_BF=codes,
        numeric_BD=torch.randn(rows, len(shapes.numeric), generator=draw) * 4 + 2,
        labels_BA=label.unsqueeze(1).repeat(1, len(shapes.labels)),
        weight_B=torch.ones(rows),
        history_T=torch.randint(1, shapes.fields[1].size, (int(lengths.sum()),), generator=draw),
        offsets_B1=torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]),
    )
