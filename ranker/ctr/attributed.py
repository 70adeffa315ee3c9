"""What each input adds to a click ranker's probability: integrated gradients (Sundararajan, Taly and Yan, ICML 2017).

The path goes from a row of which nothing is known (embeddings of zeros, numbers at their mean, a history that says nothing) to
the row. Every embedding is read from a table, so a point of the path is the ranker with its tables times t. The integral is
taken by Gauss-Legendre quadrature, as captum takes it; `base` and the attributions add up to the probability.

Shapes: P points, A actions.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.func import functional_call

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.ctr.batch import ImpressionBatch, check_impressions
from nightrank.ranker.ctr.bundle import CtrBundle
from nightrank.ranker.ctr.compose import CtrRanker
from nightrank.ranker.ctr.encode import encoded
from nightrank.ranker.ctr.layers import FieldTable

POINTS: Final = 128
HISTORY: Final = "history"
NUMBERS: Final = ""
"""Among the names of tables."""


class Attribution(NamedTuple):
    """`probability` is `base` and the sum of `inputs`, up to the error of the quadrature. `inputs` are fields, numbers and, as
    `history`, the events before it."""

    probability: float
    base: float
    inputs: dict[str, float]


def attributions(bundle: CtrBundle, table: pa.Table, action: str, points: int = POINTS) -> Attribution:
    """Of the table's one row, for one of the ranker's actions. DataContractError for more rows or another action."""
    labels = bundle.ranker.shapes.labels
    if table.num_rows != 1 or action not in labels:
        raise DataContractError(
            f"{table.num_rows} rows, action {action!r}: one row is explained, for one of {', '.join(labels)}",
            "name one of them",
        )
    batch = check_impressions(encoded(bundle.with_aggregates(table), bundle.ranker, bundle.codes), bundle.ranker.shapes)
    return integrated(bundle.ranker, batch, labels.index(action), points)


def integrated(ranker: CtrRanker, batch: ImpressionBatch, action: int, points: int = POINTS) -> Attribution:
    """Of a batch of one row. Where the item in question stands in the history too, its embedding counts for the item."""
    places, weights = np.polynomial.legendre.leggauss(points)  # type: ignore[no-untyped-call]
    path = _Path(ranker, batch, action)
    total = {name: torch.zeros_like(value) for name, value in path.starts.items()}
    for at, weight in zip(((places + 1) / 2).tolist(), (weights / 2).tolist(), strict=True):
        for name, gradient in path.gradients(at).items():
            total[name] += weight * gradient
    moved = {name: total[name] * path.lengths[name] for name in total}
    return Attribution(path.probability(1.0), path.probability(0.0), _by_input(ranker, batch, moved))


class _Path:
    """The ranker along the way, in double precision and evaluation mode; nothing of it is changed."""

    def __init__(self, ranker: CtrRanker, batch: ImpressionBatch, action: int) -> None:
        self.ranker, self.action = ranker, action
        tables = {id(table) for table in ranker.tables()}
        state = {name: value.detach().double() for name, value in ranker.state_dict().items() if value.is_floating_point()}
        names = [name for name, value in ranker.named_parameters() if id(value) in tables]
        self.fixed: dict[str, Any] = {name: value for name, value in state.items() if name not in names}
        self.mean_D = torch.tensor([number.mean for number in ranker.shapes.numeric], dtype=torch.float64)
        known_BD = torch.where(batch.numeric_BD.isnan(), self.mean_D, batch.numeric_BD.double())
        self.batch = batch
        self.lengths: dict[str, Tensor] = {**{name: state[name] for name in names}, NUMBERS: known_BD - self.mean_D}
        self.starts: dict[str, Tensor] = {name: torch.zeros_like(value) for name, value in self.lengths.items()}

    def _at(self, t: float, watched: bool) -> tuple[dict[str, Tensor], Tensor]:
        point = {name: (t * value).requires_grad_(watched) for name, value in self.lengths.items()}
        batch = ImpressionBatch(
            self.batch.codes_BF,
            self.mean_D + point[NUMBERS],
            self.batch.labels_BA,
            self.batch.weight_B,
            self.batch.history_T,
            self.batch.offsets_B1,
        )
        was = self.ranker.training
        self.ranker.eval()
        tables = {name: value for name, value in point.items() if name != NUMBERS}
        logits_MBA = functional_call(self.ranker, {**self.fixed, **tables}, (batch,))
        self.ranker.train(was)
        return point, torch.sigmoid(logits_MBA).mean(dim=0)[0, self.action]

    def gradients(self, t: float) -> dict[str, Tensor]:
        point, probability = self._at(t, watched=True)
        found = torch.autograd.grad(probability, list(point.values()), allow_unused=True)
        return {
            name: torch.zeros_like(value) if gradient is None else gradient
            for (name, value), gradient in zip(point.items(), found, strict=True)
        }

    def probability(self, t: float) -> float:
        with torch.no_grad():
            return float(self._at(t, watched=False)[1])


def _by_input(ranker: CtrRanker, batch: ImpressionBatch, moved: dict[str, Tensor]) -> dict[str, float]:
    """Each field's own row of every table, each number, and what is left in the tables: the history's rows."""
    places = {field.name: place for place, field in enumerate(ranker.shapes.fields)}
    found, history = dict.fromkeys(places, 0.0), 0.0
    for prefix, module in ranker.named_modules():
        if not isinstance(module, FieldTable):
            continue
        of_row = moved[f"{prefix}.table.weight"].sum(dim=1)
        history += float(of_row.sum())
        for name, start in zip(module.names, module.starts_F.tolist(), strict=True):
            share = float(of_row[start + int(batch.codes_BF[0, places[name]])])
            found[name], history = found[name] + share, history - share
    numbers = {number.name: float(value) for number, value in zip(ranker.shapes.numeric, moved[NUMBERS][0], strict=True)}
    return {**found, **numbers, **({HISTORY: history} if batch.history_T is not None else {})}
