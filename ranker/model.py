"""The ranker: items and histories to vectors whose dot product is the score.

Shapes: T tokens, B rows, N ids, I1 = items + 1, d width.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Final

import torch
from torch import Tensor, nn

from nightrank.ranker.batch import Batch
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.encoders.base import UserEncoder
from nightrank.ranker.encoders.items import ItemEncoder
from nightrank.ranker.heads.dot import DotHead
from nightrank.ranker.heads.pairs import PairHead
from nightrank.ranker.init import init_weights
from nightrank.ranker.inputs import ItemShapes
from nightrank.ranker.tables.row_table import NewTable, RowTable

IDS: Final = "items.ids.weight"
"""Name of the table of item ids."""


class Ranker(nn.Module):
    """One item table, read by the encoder and scored against by the head.

    Its weights are a function of (config, vocabulary size); texts and side features are buffers outside `state_dict()`.
    """

    def __init__(
        self,
        config: RankerConfig,
        shapes: ItemShapes,
        encoder: UserEncoder,
        head: DotHead | PairHead,
        table: NewTable = nn.Embedding,
    ) -> None:
        super().__init__()
        self.config, self.shapes = config, shapes
        self.items = ItemEncoder(config, shapes, table)
        self.encoder = encoder
        self.head = head

    @property
    def row_table(self) -> RowTable | None:
        """The table of ids, where a rank holds only rows of it or exchanges only rows of it."""
        return self.items.ids if isinstance(self.items.ids, RowTable) else None

    @property
    def pretrained(self) -> tuple[str, ...]:
        """Prefixes of parameters that come from models trained elsewhere."""
        return ("items.text_tower.", *(f"encoder.{prefix}" for prefix in self.encoder.pretrained))

    def item_inputs(self, ids_N: Tensor) -> Tensor:
        """[N, d] item vectors as the encoder reads them (before its own norm). Each distinct id is computed once."""
        distinct, where_N = torch.unique(ids_N, return_inverse=True)
        result: Tensor = self.items(distinct).index_select(0, where_N)
        return result

    def item_vectors(self, ids_N: Tensor) -> Tensor:
        """[N, catalogue width]: item vectors as they are scored."""
        bias = self.items.bias
        result: Tensor = self.head.catalogue(self.items(ids_N), None if bias is None else bias.index_select(0, ids_N))
        return result

    def item_table(self, chunk: int = 65_536) -> Tensor:
        """[I1, d] of `item_inputs` for every id, row 0 zeros. Differentiable."""
        if self.row_table is not None:
            assert self.row_table.rows.ranks == 1, "no rank holds every row of the table"
            return self.held_items(self.row_table, chunk)
        ids = torch.arange(self.shapes.items + 1, device=self.items.popularity.device)
        return torch.cat([self.items(part) for part in ids.split(chunk)])

    def held_items(self, table: RowTable, chunk: int = 65_536) -> Tensor:
        """[L, d] of `item_inputs` for the ids whose rows this rank holds. Differentiable."""
        ids = table.rows.ids(self.items.popularity.device)
        with table.columns():
            return torch.cat([self.items(part) for part in ids.split(chunk)])

    def all_input_vectors(self, chunk: int = 65_536) -> Tensor:
        """[I1, d] fp32 of `item_inputs` for every id, row 0 zeros, dropout off."""
        with torch.no_grad(), evaluating(self):
            return self.item_table(chunk).float()

    def all_item_vectors(self, chunk: int = 65_536) -> Tensor:
        """[I1, d] (d + 1 with an item bias) fp32 of `item_vectors` for every id, row 0 zeros, dropout off, no gradient."""
        result: Tensor = self.head.catalogue(self.all_input_vectors(chunk), self.items.bias).detach()
        return result

    def user_states(self, batch: Batch, table_Id: Tensor | None = None) -> Tensor:
        """[T, d]: the user after each token. `table_Id` is `item_table()` where the caller has it already."""
        result: Tensor = self.head.user(self._encoded(batch, table_Id))
        return result

    def _encoded(self, batch: Batch, table_Id: Tensor | None) -> Tensor:
        vectors_Td = self.item_inputs(batch.items_T) if table_Id is None else table_Id.index_select(0, batch.items_T)
        result: Tensor = self.encoder(vectors_Td, batch)
        return result

    def user_vectors(self, batch: Batch, table_Id: Tensor | None = None) -> Tensor:
        """[B, d], or d + 1 with an item bias: what `item_vectors` are scored against; zeros for a row without tokens."""
        query = self.encoder.query_batch(batch)
        return last_states(self.head.query(self._encoded(query, table_Id)), query)

    def forward(self, batch: Batch) -> Tensor:
        return self.user_states(batch)

    def init_weights(self, generator: torch.Generator) -> None:
        """Draws every weight, in a fixed order, from the generator; padding rows 0, items' biases by popularity."""
        init_weights(self, generator, self.config.init)
        with torch.no_grad():
            for table in (self.items.ids, self.items.categories):
                if isinstance(table, RowTable):
                    table.zero_padding()
                elif table is not None:
                    table.weight[0] = 0
            self.items.init_bias()


def last_states(states_Td: Tensor, batch: Batch) -> Tensor:
    """[B, d]: each row's last state, zeros for a row without tokens."""
    if batch.tokens == 0:
        return states_Td.new_zeros(batch.rows, states_Td.shape[1])
    last_Bd = states_Td.index_select(0, (batch.offsets_B1[1:] - 1).clamp_min(0))
    return last_Bd * (batch.lengths > 0).unsqueeze(1)


class evaluating:
    """Within it the module is in evaluation mode; afterwards in the mode it was in."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.was = module, bool(module.training)

    def __enter__(self) -> None:
        self.module.eval()

    def __exit__(self, *_: object) -> None:
        self.module.train(self.was)


def every_row(ranker: Ranker) -> AbstractContextManager[None]:
    """Within it ids are looked up in the table itself, where this rank holds every row of it."""
    return nullcontext() if ranker.row_table is None else ranker.row_table.columns()
