"""A multi-layer perceptron over the embeddings. Shapes: B rows, A actions."""

from torch import Tensor, nn

from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.config import CtrShapes, DnnConfig
from nightrank.ranker.ctr.layers import Inputs, Mlp


class Dnn(nn.Module):
    def __init__(self, config: DnnConfig, shapes: CtrShapes) -> None:
        super().__init__()
        self.inputs = Inputs(shapes, config.width)
        self.deep = Mlp(self.inputs.size, config.hidden, config.dropout, config.batch_norm)
        self.head = nn.Linear(self.deep.size, len(shapes.labels))

    def forward(self, batch: ImpressionBatch) -> Tensor:
        """[B, A] logits."""
        logits_BA: Tensor = self.head(self.deep(self.inputs(batch)))
        return logits_BA
