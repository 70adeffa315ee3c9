"""AUC and log loss of a click ranker on frappe_x1 (the BARS split): `python -m benchmarks.accuracy.frappe --data FOLDER`.

`--model dnn` reads conf/models/clicks/ctr_dnn.yaml or clicks/dnn.yaml, whichever is there; `--set model.width=20` overrides a
value. Codes are fitted on train, epochs and learning rate chosen on valid; test is read once a seed, after training. The rows
have no history (so not `din`) and one label.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from feature_store.contracts.errors import ConfigError, DataContractError
from feature_store.contracts.files import write_json
from ranker.clicks.batch import ImpressionBatch
from ranker.clicks.codes import FieldCodes
from ranker.clicks.compose import compose_clicks
from ranker.clicks.config import ClickShapes
from trainer.clicks.config import ClickTrainerConfig, load_clicks
from trainer.clicks.fit import EpochReport, fit_clicks, measure
from trainer.communicator import SingleProcess
from trainer.device import Device, make_deterministic, multiplies_in_bf16

ROOT = Path(__file__).resolve().parents[2]
FIELDS = ("user", "item", "daytime", "weekday", "isweekend", "homework", "cost", "weather", "country", "city")
LABEL = "label"
PARTS = ("train", "valid", "test")
CPU = torch.device("cpu")


def settings(model: str, overrides: list[str]) -> ClickTrainerConfig:
    paths = [ROOT / "conf" / "models" / "clicks" / f"{prefix}{model}.yaml" for prefix in ("ctr_", "")]
    found = [path for path in paths if path.exists()]
    if not found:
        raise ConfigError(f"there is no model {model}", f"write {paths[1].relative_to(ROOT)}, or name one that is there")
    return load_clicks(found[:1], overrides)


def read_part(folder: Path, part: str) -> pa.Table:
    path = folder / f"frappe_x1_{part}.parquet"
    if not path.exists():
        raise DataContractError(f"{path.name} is not in the folder given as --data", "point --data at the frappe_x1 files")
    return pq.read_table(path, columns=[LABEL, *FIELDS])


def impressions(table: pa.Table, codes: FieldCodes) -> ImpressionBatch:
    return ImpressionBatch(
        codes_BF=torch.from_numpy(codes.encode(table)),
        numeric_BD=torch.zeros(table.num_rows, 0),
        labels_BA=torch.from_numpy(table[LABEL].to_numpy().astype(np.float32)).unsqueeze(1),
        weight_B=torch.ones(table.num_rows),
    )


def one_seed(
    config: ClickTrainerConfig, parts: dict[str, ImpressionBatch], shapes: ClickShapes, seed: int, device: Device
) -> dict[str, Any]:
    """Trained on train, chosen on valid, measured on test where that part is given."""
    started = time.monotonic()
    ranker = compose_clicks(config.model, shapes, seed)

    def tell(report: EpochReport) -> None:
        print(f"frappe: seed {seed}, {json.dumps(asdict(report))}", file=sys.stderr, flush=True)

    curve = fit_clicks(ranker, parts["train"], parts["valid"], config, seed, SingleProcess(), device, tell)
    return {
        "seed": seed,
        **{part: measure(ranker, rows) for part, rows in parts.items() if part != "train"},
        "epochs": len(curve.epochs),
        "best_epoch": curve.best,
        "seconds": round(time.monotonic() - started, 1),
        "seconds_per_epoch": round(float(np.median([epoch.seconds for epoch in curve.epochs])), 2),
        "params": sum(parameter.numel() for parameter in ranker.parameters()),
        "valid_curve": [round(epoch.valid["auc"], 5) for epoch in curve.epochs],
    }


def means(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    return {
        part: {name: float(np.mean([run[part][name] for run in runs])) for name in ("auc", "log_loss")}
        for part in ("valid", "test")
        if part in runs[0]
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="dnn")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="key=value", dest="overrides")
    parser.add_argument("--without-test", action="store_true", help="leave test unread: for choosing settings on valid")
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    options = parser.parse_args(arguments)
    config, commit = settings(options.model, options.overrides), _commit()
    bf16 = multiplies_in_bf16(CPU) if options.precision == "auto" else options.precision == "bf16"
    device = Device(CPU, bf16)
    make_deterministic(device)
    tables = {part: read_part(options.data, part) for part in PARTS if part != "test" or not options.without_test}
    codes = FieldCodes.fit(tables["train"], FIELDS)
    parts = {part: impressions(table, codes) for part, table in tables.items()}
    runs = [one_seed(config, parts, ClickShapes(fields=codes.shapes), seed, device) for seed in options.seeds]
    result = {
        "benchmark": "frappe_x1",
        "model": options.model,
        "seeds": options.seeds,
        "mean": means(runs),
        "runs": runs,
        "settings": config.model_dump(mode="json"),
        "rows": {part: rows.rows for part, rows in parts.items()},
        "precision": "bf16" if bf16 else "fp32",
        "machine": _machine(),
        "commit": commit,
        "command": _command(options),
    }
    if options.out:
        write_json(options.out, result)
    return result


def _machine() -> dict[str, Any]:
    cpu = platform.processor() or platform.machine()
    return {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def _command(options: argparse.Namespace) -> str:
    """What to type again, less this machine's paths."""
    seeds = " ".join(map(str, options.seeds))
    changed = "".join(f" --set {text}" for text in options.overrides)
    named = f"--model {options.model} --seeds {seeds} --precision {options.precision}{changed}"
    return f"python -m benchmarks.accuracy.frappe {named} --data FOLDER --out FILE"


def _commit() -> str:
    """The commit, with `+` where the checkout was changed after it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
