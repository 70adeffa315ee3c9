"""Two perceptrons over gated inputs and a bilinear form between them (FinalMLP, Mao et al. 2023).

Shapes: B rows, X inputs, H heads, P and Q widths of a head of the first and the second stream, A actions.
"""

import torch
from torch import Tensor, nn

from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.config import CtrShapes, FinalMlpConfig, StreamConfig
from nightrank.ranker.ctr.layers import FieldTable, Inputs, Mlp, place_of


class Gate(nn.Module):
    """2 sigmoid(MLP(embeddings of the gate's fields)), one factor an input (equations 5 and 6). Its table is its own."""

    places: Tensor

    def __init__(self, config: FinalMlpConfig, shapes: CtrShapes, names: tuple[str, ...], inputs: int) -> None:
        super().__init__()
        places = [place_of(shapes, name, "finalmlp gate_fields") for name in names]
        self.register_buffer("places", torch.tensor(places, dtype=torch.int64), persistent=False)
        self.fields = FieldTable(tuple(shapes.fields[place] for place in places), config.width) if names else None
        self.start_X = None if names else nn.Parameter(torch.empty(1, config.width))
        self.hidden = Mlp(config.width * max(1, len(names)), config.gate_hidden)
        self.factors = nn.Linear(self.hidden.size, inputs)

    def forward(self, batch: ImpressionBatch) -> Tensor:
        """[B, X], or [1, X] for a gate without fields. Rows that agree on one field share the work."""
        if self.fields is None:
            assert self.start_X is not None
            return self._factors(self.start_X)
        codes_BG = batch.codes_BF.index_select(1, self.places)
        if codes_BG.shape[1] > 1:
            return self._factors(self.fields(codes_BG).flatten(1))
        distinct, where_B = torch.unique(codes_BG, return_inverse=True)
        return self._factors(self.fields(distinct.unsqueeze(1)).flatten(1)).index_select(0, where_B.squeeze(1))

    def _factors(self, seen: Tensor) -> Tensor:
        return 2 * torch.sigmoid(self.factors(self.hidden(seen)))


class Stream(nn.Module):
    def __init__(self, config: FinalMlpConfig, shapes: CtrShapes, stream: StreamConfig, inputs: int) -> None:
        super().__init__()
        self.gate = Gate(config, shapes, stream.gate_fields, inputs) if config.gates else None
        self.deep = Mlp(inputs, stream.hidden, config.dropout, config.batch_norm)

    def forward(self, batch: ImpressionBatch, inputs_BX: Tensor) -> Tensor:
        seen_BX = inputs_BX if self.gate is None else inputs_BX * self.gate(batch)
        result: Tensor = self.deep(seen_BX)
        return result


class Bilinear(nn.Module):
    """b + w1 x + w2 y + sum over heads of x_h W_h y_h (equations 8 and 9)."""

    def __init__(self, first: int, second: int, heads: int, actions: int) -> None:
        super().__init__()
        self.heads, self.actions = heads, actions
        self.first = nn.Linear(first, actions)
        self.second = nn.Linear(second, actions, bias=False)
        self.form = nn.Parameter(torch.empty(heads, first // heads, actions * (second // heads)))

    def forward(self, first_BX: Tensor, second_BY: Tensor) -> Tensor:
        """[B, A]."""
        first_HBP = first_BX.unflatten(1, (self.heads, -1)).transpose(0, 1)
        turned_BHAQ = torch.bmm(first_HBP, self.form).unflatten(2, (self.actions, -1)).transpose(0, 1)
        joined_BA = (turned_BHAQ * second_BY.unflatten(1, (self.heads, 1, -1))).sum(dim=(1, 3))
        result: Tensor = self.first(first_BX) + self.second(second_BY) + joined_BA
        return result


class FinalMlp(nn.Module):
    def __init__(self, config: FinalMlpConfig, shapes: CtrShapes) -> None:
        super().__init__()
        self.inputs = Inputs(shapes, config.width)
        self.first = Stream(config, shapes, config.first, self.inputs.size)
        self.second = Stream(config, shapes, config.second, self.inputs.size)
        self.head = Bilinear(self.first.deep.size, self.second.deep.size, config.heads, len(shapes.labels))

    def forward(self, batch: ImpressionBatch) -> Tensor:
        """[B, A] logits."""
        inputs_BX = self.inputs(batch)
        logits_BA: Tensor = self.head(self.first(batch, inputs_BX), self.second(batch, inputs_BX))
        return logits_BA
