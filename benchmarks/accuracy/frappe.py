"""AUC and log loss of a click ranker on frappe_x1 (the BARS split): `python -m benchmarks.accuracy.frappe --data FOLDER`.

`--model dnn` reads conf/models/ctr/ctr_dnn.yaml or clicks/dnn.yaml, whichever is there; `--set model.width=20` overrides a
value. Codes are fitted on train, epochs and learning rate chosen on valid; test is read once a seed, after training. The rows
have no history (so not `din`) and one label.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.accuracy.ctr import means, one_seed, settings
from benchmarks.accuracy.report import commit
from benchmarks.machine import machine
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import write_json
from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.codes import FieldCodes
from nightrank.ranker.ctr.config import CtrShapes
from nightrank.trainer.ranks.device import Device, make_deterministic, multiplies_in_bf16

FIELDS = ("user", "item", "daytime", "weekday", "isweekend", "homework", "cost", "weather", "country", "city")
LABEL = "label"
PARTS = ("train", "valid", "test")
CPU = torch.device("cpu")


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
    config, made_by, before = settings(options.model, options.overrides), commit(), machine(threads=torch.get_num_threads())
    bf16 = multiplies_in_bf16(CPU) if options.precision == "auto" else options.precision == "bf16"
    device = Device(CPU, bf16)
    make_deterministic(device)
    tables = {part: read_part(options.data, part) for part in PARTS if part != "test" or not options.without_test}
    codes = FieldCodes.fit(tables["train"], FIELDS)
    parts = {part: impressions(table, codes) for part, table in tables.items()}
    runs = [one_seed(config, parts, CtrShapes(fields=codes.shapes), seed, device) for seed in options.seeds]
    result = {
        "name": f"frappe_{options.model}",
        "model": options.model,
        "seeds": options.seeds,
        "mean": means(runs),
        "runs": runs,
        "settings": config.model_dump(mode="json"),
        "rows": {part: rows.rows for part, rows in parts.items()},
        "precision": "bf16" if bf16 else "fp32",
        "machine": before,
        "commit": made_by,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": _command(options),
    }
    if options.out:
        write_json(options.out, result)
    return result


def _command(options: argparse.Namespace) -> str:
    """What to type again, less this machine's paths."""
    seeds = " ".join(map(str, options.seeds))
    changed = "".join(f" --set {text}" for text in options.overrides)
    named = f"--model {options.model} --seeds {seeds} --precision {options.precision}{changed}"
    return f"python -m benchmarks.accuracy.frappe {named} --data FOLDER --out FILE"


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
