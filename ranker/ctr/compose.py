"""CtrConfig -> a click ranker. Models are registered by name. Shapes: B rows, A actions, M members."""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn

from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.config import CtrConfig, CtrShapes
from nightrank.ranker.ctr.dcnv2 import DcnV2
from nightrank.ranker.ctr.din import Din
from nightrank.ranker.ctr.dnn import Dnn
from nightrank.ranker.ctr.finalmlp import FinalMlp
from nightrank.ranker.ctr.layers import FieldTable, RowNorm
from nightrank.ranker.ctr.linear import Linear
from nightrank.ranker.ctr.mmoe import Mmoe

MODELS: Final[dict[str, Callable[[Any, CtrShapes], nn.Module]]] = {
    "lr": Linear,
    "dnn": Dnn,
    "dcnv2": DcnV2,
    "din": Din,
    "finalmlp": FinalMlp,
    "mmoe": Mmoe,
}
"""name -> constructor. A model maps an ImpressionBatch to logits [B, A]."""
TABLE_STD: Final = 1e-4
"""Standard deviation of a fresh embedding: close to nothing, so that a rare value says little until it has been seen."""


class CtrRanker(nn.Module):
    """A model with what it was made of. Its weights, with batch norm's running statistics, are a function of both."""

    def __init__(self, config: CtrConfig, shapes: CtrShapes) -> None:
        super().__init__()
        self.config, self.shapes = config, shapes
        self.members = nn.ModuleList(MODELS[config.name](config, shapes) for _ in range(config.members))

    def forward(self, batch: ImpressionBatch) -> Tensor:
        """[M, B, A] logits of the M members: in training each has a loss of its own."""
        return torch.stack([member(batch) for member in self.members])

    def scores(self, batch: ImpressionBatch) -> Tensor:
        """[B, A] probabilities, fp32, in evaluation mode and without a gradient; the mode is as before afterwards."""
        was = bool(self.training)
        self.eval()
        with torch.no_grad():
            result: Tensor = torch.sigmoid(self(batch).double()).mean(dim=0).float()
        self.train(was)
        return result

    def tables(self) -> list[nn.Parameter]:
        """The embedding tables: what `table_l2` pulls to zero."""
        tables = [module.table for module in self.modules() if isinstance(module, FieldTable)]
        return [parameter for table in tables for parameter in table.parameters()]

    def init_weights(self, generator: torch.Generator) -> None:
        """Draws every weight, in a fixed order: tables N(0, TABLE_SPREAD) with unknown rows 0, matrices Xavier normal
        (Glorot & Bengio 2010), batch norm 1 and 0, biases 0; running statistics as of no batch."""
        with torch.no_grad():
            tables = {id(table) for table in self.tables()}
            scales = {id(module.weight) for module in self.modules() if isinstance(module, RowNorm)}
            for parameter in self.parameters():
                if parameter.ndim >= 2:
                    std = TABLE_STD if id(parameter) in tables else (2 / sum(parameter.shape[-2:])) ** 0.5
                    parameter.copy_(torch.empty(parameter.shape).normal_(0.0, std, generator=generator))
                else:
                    parameter.fill_(1.0 if id(parameter) in scales else 0.0)
            for module in self.modules():
                if isinstance(module, FieldTable):
                    module.forget_unknown()
                if isinstance(module, RowNorm):
                    module.reset_running_stats()


def compose_ctr(config: CtrConfig, shapes: CtrShapes, seed: int = 0) -> CtrRanker:
    """A ranker with weights drawn from `seed`: the same on every rank. In training mode."""
    ranker = CtrRanker(config, shapes)
    ranker.init_weights(torch.Generator().manual_seed(seed))
    return ranker
