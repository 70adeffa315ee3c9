"""The best trial as a configuration file that `nightrank full --config` takes as it is."""

from typing import Final

import yaml

from nightrank.feature_store.contracts.files import write_atomic
from nightrank.feature_store.contracts.storage import Location
from nightrank.trainer.tune.space import Params, applied
from nightrank.trainer.tune.spec import NOTE, StudySpec

OVERLAY: Final = "best.yaml"


def write_overlay(spec: StudySpec, params: Params, number: int, value: float) -> Location:
    """All that differs from the defaults, with the trial's parameters: alone it is the configuration of that trial."""
    tree = applied(spec.differing, params)
    head = [
        f"# The best of study {spec.study}: trial {number}, validation NDCG@10 {value:.4f}.",
        f"# {NOTE}",
        f"# nightrank full --root LAKE --config {OVERLAY}",
        *(f"# searched: {key}" for key in sorted(params)),
    ]
    path = spec.folder / OVERLAY
    write_atomic(path, ("\n".join(head) + "\n" + yaml.safe_dump(tree, sort_keys=True)).encode())
    return path
