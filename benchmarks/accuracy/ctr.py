"""One seed of a click ranker on rows in memory, and what is said of it.

Choices are made on `valid`; `test`, where it is given, is read once, after training.
"""

import json
import sys
import time
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.accuracy.report import ROOT
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.compose import CtrRanker, compose_ctr
from nightrank.ranker.ctr.config import CtrShapes
from nightrank.ranker.metrics.ctr import mean_over_actions, told_apart
from nightrank.trainer.config.ctr import CtrTrainerConfig, load_ctr_config
from nightrank.trainer.ctr.fit import EpochReport, evaluate_each, fit_ctr
from nightrank.trainer.ranks.communicator import SingleProcess
from nightrank.trainer.ranks.device import Device


def settings(model: str, overrides: list[str]) -> CtrTrainerConfig:
    paths = [ROOT / "conf" / "models" / "ctr" / f"{prefix}{model}.yaml" for prefix in ("ctr_", "")]
    found = [path for path in paths if path.exists()]
    if not found:
        raise ConfigError(f"there is no model {model}", f"write {paths[1].relative_to(ROOT)}, or name one that is there")
    return load_ctr_config(found[:1], overrides)


def one_seed(
    config: CtrTrainerConfig, parts: dict[str, ImpressionBatch], shapes: CtrShapes, seed: int, device: Device
) -> dict[str, Any]:
    """Trained on train, chosen on valid, measured on test where that part is given."""
    started = time.monotonic()
    ranker = compose_ctr(config.model, shapes, seed)

    def tell(report: EpochReport) -> None:
        print(f"seed {seed}, {json.dumps(asdict(report))}", file=sys.stderr, flush=True)

    curve = fit_ctr(ranker, parts["train"], parts["valid"], config, seed, SingleProcess(), device, tell)
    return {
        "seed": seed,
        **{part: measured(ranker, rows) for part, rows in parts.items() if part != "train"},
        "epochs": len(curve.epochs),
        "best_epoch": curve.best,
        "seconds": round(time.monotonic() - started, 1),
        "seconds_per_epoch": round(float(np.median([epoch.seconds for epoch in curve.epochs])), 2),
        "params": sum(parameter.numel() for parameter in ranker.parameters()),
        "valid_curve": [round(epoch.valid["auc"], 5) for epoch in curve.epochs],
    }


def measured(ranker: CtrRanker, rows: ImpressionBatch) -> dict[str, float]:
    """`auc` and `log_loss`; of several actions also each one's own."""
    each = evaluate_each(ranker, rows)
    return {**mean_over_actions(each), **(told_apart(each) if len(each) > 1 else {})}


def means(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    return {
        part: {name: float(np.mean([run[part][name] for run in runs])) for name in runs[0][part]}
        for part in ("valid", "test")
        if part in runs[0]
    }
