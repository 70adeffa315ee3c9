"""A click ranker as MLflow loads it: models-from-code, run from the logged model's own folder.

Input: a DataFrame with a column a field (text or integers), a column a number, and `history` (raw item ids, oldest first) where
the ranker reads histories. Aggregates such as `user_count_7d` are no columns: they are looked up in the bundle's sums for
`user` or `item` as of `event_time` (microseconds since the epoch, or timestamps). Output: a column a label with its
probability, in the order of the rows. A value that training has not seen counts as unknown, a missing number as the mean.

Besides nightrank.trainer.tracking.pyfunc_model this file alone imports mlflow at the top: MLflow runs it as a script.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd


class CtrModel(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined,misc]
    def load_context(self, context: Any) -> None:
        from nightrank.ranker.ctr.bundle import load_ctr_bundle

        self.bundle = load_ctr_bundle(Path(context.artifacts["bundle"]))

    # Without annotations: MLflow would take them for a signature of its own and warn about it.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        import pyarrow as pa

        scores_BA = self.bundle.predict(pa.Table.from_pandas(model_input, preserve_index=False))
        labels = list(self.bundle.ranker.shapes.labels)
        return pd.DataFrame(scores_BA.double().numpy(), columns=labels, index=model_input.index)


mlflow.models.set_model(CtrModel())
