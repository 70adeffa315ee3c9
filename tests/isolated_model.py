"""Logged models in a process of its own, outside the checkout, with every engine forbidden that they do not name."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ENGINES = {
    "pyspark",
    "delta",
    "petastorm",
    "horovod",
    "transformers",
    "peft",
    "deltalake",
    "torchmetrics",
    "spark_jobs",
    "trainer",
    "pipeline",
}
SCRIPT = """
import json, sys
order = json.loads(sys.argv[1])
# -S and an explicit site-packages keep the checkout's own editable install, if there is one, off the path.
sys.path.append(order["packages"])

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if (name.removeprefix("nightrank.")).partition(".")[0] in order["forbidden"]:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
import mlflow, pandas as pd
mlflow.set_tracking_uri(order["tracking_uri"])
answers = [mlflow.pyfunc.load_model(uri).predict(pd.DataFrame(order["rows"])) for uri in order["models"]]
from nightrank import ranker
told = [{"rows": answer.to_dict("records"), "columns": list(answer.columns)} for answer in answers]
print("RESULT" + json.dumps({"answers": told, "ranker": ranker.__file__}))
"""


def predicted_elsewhere(
    tracking_uri: str, models: list[str], rows: list[dict[str, Any]], folder: Path, allowed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """{"answers": [{"rows", "columns"} of each model], "ranker": where the package came from}."""
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    order = {
        "tracking_uri": tracking_uri,
        "models": models,
        "rows": rows,
        "packages": packages,
        "forbidden": sorted(ENGINES - set(allowed)),
    }
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-S", "-c", SCRIPT, json.dumps(order)]
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))[6:])
    return result
