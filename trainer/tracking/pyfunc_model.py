"""The model as MLflow loads it: models-from-code, run from the logged model's own folder.

Input: a DataFrame with `history` (raw item ids as text or integers, oldest first) and optionally `k` (10). A ranker that reads
features also takes `times` (microseconds since the epoch, one an item), `actions` (names, one an item) and `attributes` (names
and values); what is left out counts as not known. Output, in long
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


BESIDE = ("times", "actions", "attributes")
FIELDS = {"history": "items"}


def _given(value: Any) -> Any:
    """Lists, dictionaries, or None for what was left out (pandas says nan)."""
    if isinstance(value, dict):
        return {str(name): str(of_it) for name, of_it in value.items() if of_it is not None}
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else None


def _known(names: list[str], row: tuple[Any, ...]) -> dict[str, Any]:
    return {name: value for name, value in zip(names, row, strict=True) if value is not None}


class RankerModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc]
    def load_context(self, context: Any) -> None:
        from nightrank.ranker.bundle.bundle import load_bundle

        self.bundle = load_bundle(Path(context.artifacts["bundle"]))

    # Without annotations: MLflow would take them for a signature of its own and warn about it.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        from nightrank.ranker.bundle.histories import History

        given = [[_given(row) for row in model_input[name]] for name in ("history", *BESIDE) if name in model_input]
        names = [FIELDS.get(name, name) for name in ("history", *BESIDE) if name in model_input]
        histories = [History(**{"items": [], **_known(names, row)}) for row in zip(*given, strict=True)]
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
