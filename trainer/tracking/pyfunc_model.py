"""The model as MLflow loads it: models-from-code, run from the logged model's own folder.

Input: a DataFrame with `history` (raw item ids as text or integers, oldest first) and optionally `k` (10). Output, in long
form: one row an item with `row` (index of the input row, from 0), `rank` from 1, `item_id`, `score`. Unknown ids are skipped; a
history without a known id gets the most popular items, scored 1, 1/2, 1/3 ...; items of the history are not listed. The
parameter `unavailable` (a list of item ids) names what is not on sale: those items are in no list either.

This file alone imports mlflow at the top: MLflow runs it as a script and nothing else imports it.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

DEFAULT_K = 10


class RankerModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc]
    def load_context(self, context: Any) -> None:
        from nightrank.ranker.bundle.bundle import load_bundle

        self.bundle = load_bundle(Path(context.artifacts["bundle"]))

    # Without annotations: MLflow would take them for a signature of its own and warn about it.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        histories = [list(history) if history is not None else [] for history in model_input["history"]]
        ks = [int(k) if k == k and k is not None else DEFAULT_K for k in model_input.get("k", [DEFAULT_K] * len(histories))]
        hidden = [str(item) for item in (params or {}).get("unavailable", [])]
        rows = [
            (row, rank, item, score)
            for row, listed in enumerate(self.bundle.recommend_many(histories, ks, hidden=hidden))
            for rank, (item, score) in enumerate(listed, 1)
        ]
        frame = pd.DataFrame(rows, columns=["row", "rank", "item_id", "score"])
        return frame.astype({"row": "int64", "rank": "int64", "item_id": "str", "score": "float64"})


mlflow.models.set_model(RankerModel())
